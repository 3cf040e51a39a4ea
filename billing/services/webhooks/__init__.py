"""Telling other systems: endpoints that are named, messages that are made of the outbox, and deliveries that are sent."""
