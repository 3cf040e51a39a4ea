"""Importing this registers every page of this app."""

from billing.admin import (
    approvals,
    authorizations,
    catalog,
    costs,
    customers,
    disputes,
    funding,
    ledger,
    limits,
    meters,
    operations,
    plan_drafts,
    subscriptions,
    usage,
    wallets,
    webhooks,
)

__all__ = [
    "approvals",
    "authorizations",
    "catalog",
    "costs",
    "customers",
    "disputes",
    "funding",
    "ledger",
    "limits",
    "meters",
    "operations",
    "plan_drafts",
    "subscriptions",
    "usage",
    "wallets",
    "webhooks",
]
