"""Notices: what a customer's people are told, in their inbox, by e-mail and wherever else they want.

A notice is written with the fact that it tells of (``publication``); workers address it to people and send it.
"""

from billing.services.notices.addressing import address
from billing.services.notices.reading import inbox, prefer, read
from billing.services.notices.sending import retry, send_due
from billing.services.notices.targets import send_codes
from billing.services.notices.texts import TOPICS, said, topic, topics_for
from billing.services.notices.writing import Told, publication

__all__ = [
    "TOPICS",
    "Told",
    "address",
    "inbox",
    "prefer",
    "publication",
    "read",
    "retry",
    "said",
    "send_codes",
    "send_due",
    "topic",
    "topics_for",
]
