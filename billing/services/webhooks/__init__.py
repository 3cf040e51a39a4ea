"""Telling other systems: endpoints that are named, messages made of the outbox, deliveries that are sent."""
