"""What an hour usually comes to, and from which amount on it is a spike, or has run away.

The measure is the median and the median absolute deviation of the same hour of the week, over eight weeks. A mean would
follow the very spikes that are looked for, and a standard deviation even more; half of the weeks could be wild without
moving these two. The hour of the week, for weekdays and nights differ by far more than one day from the same a week
ago. The hours before and after count too, by the highest of the three, so that a job that starts earlier, or a clock
that is put back, is no spike. Where such an hour is not steady from week to week, as with a quiet customer, of whose
hours most come to nothing, it must also be beyond the busy hours of the last four weeks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median

WEEKS = 8
RECENT = timedelta(weeks=4)
HOURS_MIN = 24
"""With fewer hours of usage in the recent weeks nothing is judged."""
WEEKS_MIN = 4
"""With fewer weeks, days are compared instead."""
HOUR = timedelta(hours=1)
SPREAD_OF_MAD = Decimal("1.4826")
"""What makes the median absolute deviation of a normal distribution its standard deviation."""
BUSY = Decimal("0.95")
"""The share of the recent hours with usage that were less busy than a busy one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Multiples that an hour must exceed, all of them: of the spread beyond usual, of usual; unsteady, of busy."""

    spreads: Decimal
    usuals: Decimal
    busies: Decimal

    def above(self, baseline: "Baseline", floor: Decimal) -> Decimal:
        """The amount beyond which an hour is out of bounds; never below ``floor``."""
        out = max(baseline.usual + self.spreads * baseline.spread, self.usuals * baseline.usual, floor)
        return out if baseline.steady else max(out, self.busies * baseline.busy)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What such an hour usually comes to, how far it strays, and what a busy hour comes to."""

    usual: Decimal
    spread: Decimal
    busy: Decimal

    @property
    def steady(self) -> bool:
        return self.spread * 2 <= self.usual > 0


SPIKE = Bounds(spreads=Decimal(6), usuals=Decimal(4), busies=Decimal(3))
RUNAWAY = Bounds(spreads=Decimal(12), usuals=Decimal(8), busies=Decimal(5))


def baseline(history: Mapping[datetime, Decimal], hour: datetime) -> Baseline | None:
    """The baseline of ``hour`` from what the hours before it came to; those that are missing came to nothing.

    None where too little is known.
    """
    recent = sorted(spent for moment, spent in history.items() if hour - RECENT <= moment < hour and spent > 0)
    if len(recent) < HOURS_MIN:
        return None
    first = min(history)
    every, times = timedelta(weeks=1), WEEKS
    if hour - first < WEEKS_MIN * every:
        every, times = timedelta(days=1), 14
    usual = spread = Decimal(0)
    for beside in (-HOUR, timedelta(0), HOUR):
        moments = [hour + beside - every * back for back in range(1, times + 1)]
        samples = [history.get(moment, Decimal(0)) for moment in moments if moment >= first]
        if samples:
            middle = median(samples)
            usual = max(usual, middle)
            spread = max(spread, SPREAD_OF_MAD * median([abs(spent - middle) for spent in samples]))
    return Baseline(usual, spread, recent[min(len(recent) - 1, int(BUSY * len(recent)))])
