"""Notices: what a customer's people are told, in their inbox and by e-mail.

A notice is written with the fact that it tells of (``publication``); workers address it to people and send it.
"""

from billing.services.notices.addressing import address
from billing.services.notices.reading import prefer, read
from billing.services.notices.sending import send_due
from billing.services.notices.texts import TOPICS, topic
from billing.services.notices.writing import Told, publication

__all__ = ["TOPICS", "Told", "address", "prefer", "publication", "read", "send_due", "topic"]
