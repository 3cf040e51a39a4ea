"""How much an organization's own keys may ask for: so many calls a second, and ten seconds of them at once.

A call costs one; of the events in a batch ``EVENTS_PER_CALL`` cost as much, and a PDF costs ``CALLS_PER_PAPER``. A
bucket for each organization, in each process: nothing is asked of anybody for it. The operator's keys are not counted,
for they call on behalf of everybody.
"""

import math
import threading
import time
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

from django.conf import settings

from billing.errors import RateLimited

SECONDS_AT_ONCE = 10
EVENTS_PER_CALL = 10
CALLS_PER_PAPER = 20
"""Making a PDF keeps a core busy for about as long as so many other calls."""


@dataclass(slots=True)
class Buckets:
    """What is left to each organization, and when that was so: who called last is the last.

    Those that are full again need not be remembered. Each call forgets two of the first that are, so what a call costs
    does not depend on how many organizations there are. Beyond ``size_max`` the first is forgotten, full or not.
    """

    size_max: int = 10_000
    _left: dict[UUID, tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def spend(self, organization_id: UUID | None) -> None:
        """Count a call. Raises ``RateLimited``, and counts nothing, where nothing is left."""
        self._take(organization_id, 1, refuse=True)

    def spend_more(self, organization_id: UUID | None, calls: float) -> None:
        """Count what a call was found to cost beyond one, though it be more than is left: the next ones wait for it.

        So a large batch is never refused for good.
        """
        self._take(organization_id, calls, refuse=False)

    def _take(self, organization_id: UUID | None, calls: float, *, refuse: bool) -> None:
        rate = settings.CUSTOMER_CALLS_PER_SECOND
        if organization_id is None or not rate:
            return
        now, most = time.monotonic(), rate * SECONDS_AT_ONCE
        with self._lock:
            left, since = self._left.get(organization_id, (most, now))
            left = min(most, left + (now - since) * rate)
            if refuse and left < 1:
                raise RateLimited(
                    f"More than {rate:g} calls a second of one customer's keys.",
                    retry_after=max(1, math.ceil((1 - left) / rate)),
                )
            self._left.pop(organization_id, None)
            self._left[organization_id] = left - calls, now
            self._forget(now, rate, most)

    def is_eager(self, organization_id: UUID | None) -> bool:
        """Whether it has asked for more than its rate for long: less than half of what can be saved up is left."""
        found = None if organization_id is None else self._left.get(organization_id)
        if found is None:
            return False
        left, since = found
        rate: float = settings.CUSTOMER_CALLS_PER_SECOND
        return left + (time.monotonic() - since) * rate < rate * SECONDS_AT_ONCE / 2

    def clear(self) -> None:
        """Everybody has all of it again."""
        with self._lock:
            self._left.clear()

    def _forget(self, now: float, rate: float, most: float) -> None:
        for key, (left, since) in list(islice(self._left.items(), 2)):
            if len(self._left) > self.size_max or left + (now - since) * rate >= most:
                del self._left[key]


buckets = Buckets()
