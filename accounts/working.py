"""Work that waits for other servers, one thing after the other: no longer than a task may take."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

WORK_SECONDS = 60.0

T = TypeVar("T")


def for_a_while(found: Iterable[T]) -> Iterator[T]:
    """These, until ``WORK_SECONDS`` are over: the rest is found again by the next who looks."""
    until = time.monotonic() + WORK_SECONDS
    for one in found:
        yield one
        if time.monotonic() > until:
            return
