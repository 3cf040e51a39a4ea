"""A sign of life from the workers, so that the web processes can tell whether anybody works."""

import time

from django.core.cache import cache

_KEY = "worker-seen"
_KEPT_SECONDS = 3600


def beat() -> None:
    """Say that a worker is running its tasks."""
    cache.set(_KEY, time.time(), timeout=_KEPT_SECONDS)


def silent_seconds() -> float | None:
    """How long ago a worker last said so; None where none ever did."""
    seen: float | None = cache.get(_KEY)
    return None if seen is None else time.time() - seen
