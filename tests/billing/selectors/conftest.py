"""Time that tests can move, as the tests of services have it."""

from tests.billing.services.conftest import clock

__all__ = ["clock"]
