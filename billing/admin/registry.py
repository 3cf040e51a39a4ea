"""Importing this registers every page of this app."""

from billing.admin import authorizations, catalog, customers, ledger, operations, usage, wallets

__all__ = ["authorizations", "catalog", "customers", "ledger", "operations", "usage", "wallets"]
