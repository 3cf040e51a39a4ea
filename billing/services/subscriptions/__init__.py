"""Subscriptions: which plan a customer is on, from when, on which terms, and what becomes due as time goes by."""

from billing.services.subscriptions.renewal import collect, collect_due, renew_due, settle_due
from billing.services.subscriptions.starting import start

__all__ = ["collect", "collect_due", "renew_due", "settle_due", "start"]
