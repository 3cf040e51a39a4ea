"""Importing this registers every page of this app."""

from billing.admin import (
    authorizations,
    catalog,
    costs,
    customers,
    funding,
    ledger,
    operations,
    subscriptions,
    usage,
    wallets,
)

__all__ = [
    "authorizations",
    "catalog",
    "costs",
    "customers",
    "funding",
    "ledger",
    "operations",
    "subscriptions",
    "usage",
    "wallets",
]
