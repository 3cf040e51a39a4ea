"""Balances, statements and the books: now, at any past instant, and proved."""
