"""Customers and their people: who they are, what is kept of them, what they should look at."""
