"""How much an organization's own keys may ask for: so many calls a second, and ten seconds of them at once.

A call costs one; of the events in a batch ``EVENTS_PER_CALL`` cost as much, and a PDF costs ``CALLS_PER_PAPER``. A
bucket for each organization, in each process: nothing is asked of anybody for it. The operator's keys are not counted,
for they call on behalf of everybody.

Long before anybody is refused, whoever asks for more than a third of its share is **eager**, until it asks for half of
that: its events wait where they hold up nobody else (``native``).
"""

import math
import threading
import time
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

from billing.errors import RateLimited

SECONDS_AT_ONCE = 10
EVENTS_PER_CALL = 10
CALLS_PER_PAPER = 20
"""Making a PDF keeps a core busy for about as long as so many other calls."""
EAGER_SHARE = 1 / 3
LATELY_SECONDS = 4.0
"""What was asked for so long ago counts ``1 / e`` of it where it is told who is eager."""
AROUND_SECONDS = 1.0
"""For how long after a call of somebody who is not eager there are others to be spared."""


class _Use(NamedTuple):
    """Calls that are left to an organization and those it made lately, at a time of the monotonic clock."""

    left: float
    lately: float
    at: float
    eager: bool = False


@dataclass(slots=True)
class Buckets:
    """What each organization may still ask for, and what it has: who called last is the last.

    Those that have all of it again and were quiet for a while need not be remembered. Each call forgets two of the
    first that are, so what a call costs does not depend on how many organizations there are. Beyond ``size_max`` the
    first is forgotten, full or not.
    """

    size_max: int = 10_000
    _uses: dict[UUID, _Use] = field(default_factory=dict)
    _calm_at: float = -math.inf
    """When somebody called last who is not eager."""
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
        rate, now = settings.CUSTOMER_CALLS_PER_SECOND, time.monotonic()
        if organization_id is None or not rate:
            self._calm_at = now
            return
        most = rate * SECONDS_AT_ONCE
        with self._lock:
            before = self._uses.pop(organization_id, _Use(most, 0, now))
            left, lately = min(most, before.left + (now - before.at) * rate), _faded(before, now)
            if refuse and left < 1:
                self._uses[organization_id] = _Use(left, lately, now, before.eager)
                raise RateLimited(
                    f"More than {rate:g} calls a second of one customer's keys.",
                    retry_after=max(1, math.ceil((1 - left) / rate)),
                )
            modest = rate * EAGER_SHARE * LATELY_SECONDS
            eager = lately + calls > (modest / 2 if before.eager else modest)
            self._uses[organization_id] = _Use(left - calls, lately + calls, now, eager)
            if not eager:
                self._calm_at = now
            self._forget(now, rate, most)

    def is_eager(self, organization_id: UUID | None) -> bool:
        """Whether it has lately asked for more than ``EAGER_SHARE`` of its rate, as of its last call."""
        use = None if organization_id is None else self._uses.get(organization_id)
        return use is not None and use.eager

    def are_others_around(self) -> bool:
        """Whether somebody called a moment ago who is not eager."""
        return time.monotonic() - self._calm_at < AROUND_SECONDS

    def clear(self) -> None:
        """Everybody has all of it again."""
        with self._lock:
            self._uses.clear()
            self._calm_at = -math.inf

    def _forget(self, now: float, rate: float, most: float) -> None:
        for key, use in list(islice(self._uses.items(), 2)):
            is_over = now - use.at >= LATELY_SECONDS and use.left + (now - use.at) * rate >= most
            if is_over or len(self._uses) > self.size_max:
                del self._uses[key]


def _faded(use: _Use, now: float) -> float:
    return use.lately * math.exp((use.at - now) / LATELY_SECONDS)


buckets = Buckets()
