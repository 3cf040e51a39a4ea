"""Meters, plans, prices and costs as they are in force."""
