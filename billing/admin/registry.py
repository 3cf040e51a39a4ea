"""Importing this registers every page of this app."""

from billing.admin import catalog, customers, ledger, operations, usage, wallets

__all__ = ["catalog", "customers", "ledger", "operations", "usage", "wallets"]
