"""What a demonstration shows: a catalog at real list prices, sample customers, and traffic that looks like work.

Plain data and pure generators. Nothing here writes: the seed goes through the services, the live stream through the
API.
"""
