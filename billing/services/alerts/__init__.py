"""Alerts: rules that tell a customer's people once for each crossing, and again after it was undone."""

from billing.services.alerts.committing import watch_commitments
from billing.services.alerts.managing import ALERTS_MAX, create, remove
from billing.services.alerts.watching import watch_balances, watch_expiries, watch_runways

__all__ = [
    "ALERTS_MAX",
    "create",
    "remove",
    "watch_balances",
    "watch_commitments",
    "watch_expiries",
    "watch_runways",
]
