"""Customers and what is kept of them: opening an account, notes, links for other pages, and being forgotten."""
