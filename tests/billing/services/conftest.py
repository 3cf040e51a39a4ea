"""Time that tests can move."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from billing import locks
from billing.pipeline import Query
from tests.builders import Shop

if TYPE_CHECKING:
    from tests.billing.services.play import Play


class Clock:
    """The service's clock and the database's, moved together. The ledger takes its time from the database's."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)
        self._fixed: datetime | None = None
        self._real = timezone.now

    def now(self) -> datetime:
        return self._fixed or self._real() + self._ahead

    def forward(self, **duration: float) -> None:
        """Let time go by: ``hours=1``."""
        if self._fixed is not None:
            self._fixed += timedelta(**duration)
        self._ahead += timedelta(**duration)

    def stop(self, moment: datetime | None = None) -> datetime:
        """Let it be ``moment`` (now) until further notice."""
        self._fixed = moment or self.now()
        return self._fixed

    def query(self) -> Query:
        return Query("SELECT %s::timestamptz", [self.now()])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """``clock.forward(hours=1)`` and ``clock.stop(moment)``."""
    moved = Clock()
    monkeypatch.setattr(timezone, "now", moved.now)
    monkeypatch.setattr(locks, "ledger_time", moved.query)
    return moved


@pytest.fixture
def play(shop: Shop, clock: Clock) -> "Play":
    """A money story, one line a step: see ``play.py``. Time stands still between its steps."""
    from tests.billing.services.play import Play

    return Play(shop, clock)
