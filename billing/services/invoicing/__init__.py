"""Invoices: drawn from the ledger, taxed, printed, collected."""
