"""Disputes, their evidence, and what standing orders wait for."""
