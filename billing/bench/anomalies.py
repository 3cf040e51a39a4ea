"""A synthetic set with planted anomalies: how many are found, and how much of what is found was planted.

Customers of several kinds live through ten weeks, hour by hour, each with a rhythm of days and weeks and noise of its
own, drawn with a fixed seed. In the last week some hours are multiplied. Every hour of that week is judged as the
worker would judge it.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from billing.engine import anomalies
from billing.engine.anomalies import HOUR, Bounds

WEEKS = 10
ENDS = datetime(2026, 11, 16, tzinfo=UTC)
FLOOR = Decimal(1)
PLANTED_SHARE = 0.01
TIMES = {"spike": (6, 12), "runaway": (50, 50)}
Rhythm = Callable[[random.Random, datetime], float]


def _office(chance: random.Random, hour: datetime) -> float:
    busy = 8 <= hour.hour < 18 and hour.weekday() < 5
    return (20.0 if busy else 1.0) * chance.lognormvariate(0, 0.35)


def _round_the_clock(chance: random.Random, hour: datetime) -> float:
    return (10.0 + 6.0 * (hour.hour / 23)) * chance.lognormvariate(0, 0.25)


def _nightly(chance: random.Random, hour: datetime) -> float:
    return (80.0 if hour.hour == 2 else 0.5) * chance.lognormvariate(0, 0.3)


def _quiet(chance: random.Random, hour: datetime) -> float:
    return 0.2 * chance.lognormvariate(0, 1.0) if chance.random() < 0.1 else 0.0


def _bursty(chance: random.Random, hour: datetime) -> float:
    return 4.0 * chance.lognormvariate(0, 0.8) * (3.0 if chance.random() < 0.1 else 1.0)


def _growing(chance: random.Random, hour: datetime) -> float:
    weeks = (hour - (ENDS - timedelta(weeks=WEEKS))) / timedelta(weeks=1)
    return 5.0 * math.pow(1.1, weeks) * chance.lognormvariate(0, 0.3)


KINDS: dict[str, Rhythm] = {
    "office hours": _office,
    "round the clock": _round_the_clock,
    "a job each night": _nightly,
    "quiet": _quiet,
    "bursty": _bursty,
    "growing by a tenth a week": _growing,
}


@dataclass(slots=True)
class Found:
    """How the hours of one kind of customer, or of all, were judged."""

    planted: int = 0
    hit: int = 0
    false: int = 0
    hours: int = 0

    @property
    def precision(self) -> float:
        return self.hit / (self.hit + self.false) if self.hit + self.false else 1.0

    @property
    def recall(self) -> float:
        return self.hit / self.planted if self.planted else 1.0


def evaluate(what: str, *, customers: int, seed: int, done: Callable[[int], None]) -> dict[str, Found]:
    """Judge everything for ``spike`` or ``runaway``; by kind of customer. A runaway hour is judged by its minutes."""
    bounds = {"spike": anomalies.SPIKE, "runaway": anomalies.RUNAWAY}[what]
    found: dict[str, Found] = {}
    for kind, rhythm in KINDS.items():
        tally = found[kind] = Found()
        for number in range(customers):
            chance = random.Random(f"{seed} {kind} {number}")  # noqa: S311
            for planted, flagged in _judged(chance, rhythm, bounds, TIMES[what]):
                tally.hours += 1
                tally.planted += planted
                tally.hit += planted and flagged
                tally.false += flagged and not planted
            done(1)
    return found


def minutes_until_stopped(*, customers: int, seed: int) -> dict[str, float]:
    """The median of how many minutes a loop at fifty times the usual pace runs until it is found, by kind."""
    result = {}
    for kind, rhythm in KINDS.items():
        minutes = []
        for number in range(customers):
            chance = random.Random(f"{seed} {kind} {number}")  # noqa: S311
            history, hour = _history(chance, rhythm), ENDS - timedelta(days=3, hours=10)
            usual = anomalies.baseline(history, hour)
            pace = 50 * max(float(history.get(hour, 0)), 0.01) / 60
            if usual is not None:
                minutes.append(float(anomalies.RUNAWAY.above(usual, FLOOR)) / pace)
        result[kind] = sorted(minutes)[len(minutes) // 2] if minutes else float("nan")
    return result


def _history(chance: random.Random, rhythm: Rhythm) -> dict[datetime, Decimal]:
    hours = (ENDS - timedelta(weeks=WEEKS) + HOUR * number for number in range(WEEKS * 7 * 24))
    spent = {hour: Decimal(f"{rhythm(chance, hour):.6f}") for hour in hours}
    return {hour: amount for hour, amount in spent.items() if amount}


def _judged(
    chance: random.Random, rhythm: Rhythm, bounds: Bounds, times: tuple[int, int]
) -> Iterator[tuple[bool, bool]]:
    history = _history(chance, rhythm)
    for number in range(7 * 24):
        hour = ENDS - timedelta(weeks=1) + HOUR * number
        spent = history.get(hour, Decimal(0))
        usual = anomalies.baseline(history, hour)
        planted = usual is not None and spent > FLOOR and chance.random() < PLANTED_SHARE
        if planted:
            # Afterwards it is a part of the history, as it would be.
            spent = history[hour] = spent * chance.randint(*times)
        yield planted, usual is not None and spent > bounds.above(usual, FLOOR)
