"""A clock that runs behind, for the process that makes a demonstration's past and does nothing else."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from django.utils import timezone

from accounts import ids
from billing import locks
from billing.models import LedgerTransaction, Seal
from billing.pipeline import Query


def can_be_made() -> bool:
    """Whether nothing is in the books yet: where something is, a row that came later and says that it is older would be
    one that the seals find."""
    return not LedgerTransaction.objects.exists() and not Seal.objects.exists()


class Clock:
    """Another time of day, which goes on as time does. It can be set, but never back: ids and books grow with it."""

    def __init__(self) -> None:
        self._behind = timedelta(0)

    def begin(self, moment: datetime) -> None:
        """Be at ``moment``, which is past."""
        self._behind = datetime.now(UTC) - moment

    def go_to(self, moment: datetime) -> None:
        """Be at ``moment``, or where the clock is already if that is later."""
        self._behind = min(self._behind, datetime.now(UTC) - moment)

    def now(self) -> datetime:
        """In place of Django's."""
        return datetime.now(UTC) - self._behind

    def time_ns(self) -> int:
        """In place of that which ids begin with."""
        return time.time_ns() - self._behind // timedelta(microseconds=1) * 1000

    def ledger_time(self) -> Query:
        """In place of that of the books."""
        return Query("SELECT clock_timestamp() - %s::interval", [self._behind])

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What this process writes meanwhile bears this clock's time, in its rows, its ids and the books alike."""
        with ExitStack() as stack:
            stack.enter_context(patch.object(timezone, "now", self.now))
            stack.enter_context(patch.object(ids, "time", self))
            stack.enter_context(patch.object(locks, "ledger_time", self.ledger_time))
            yield
