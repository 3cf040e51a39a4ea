"""Authorise, then capture: value is set aside before work runs, and what was really used is charged after it.

open → captured | voided | expired, once and for all.
"""

from billing.services.authorizations.capturing import Captured, capture_amount, capture_usage
from billing.services.authorizations.ending import expire_due, void
from billing.services.authorizations.opening import LIFE_DEFAULT, LIFE_MAX, Opened, open_amount, open_for_usage

__all__ = [
    "LIFE_DEFAULT",
    "LIFE_MAX",
    "Captured",
    "Opened",
    "capture_amount",
    "capture_usage",
    "expire_due",
    "open_amount",
    "open_for_usage",
    "void",
]
