"""The time a page is about: whole days of the customer's calendar."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from django.http import QueryDict

from accounts import reading

PRESETS = {"7": 7, "30": 30, "90": 90}
DEFAULT = "30"
DAYS_MAX = 730


@dataclass(frozen=True, slots=True)
class Period:
    """``first`` to ``last``, both included, in ``zone``. ``choice`` is the preset that it is, or ``custom``."""

    first: date
    last: date
    zone: ZoneInfo
    choice: str

    @classmethod
    def latest(cls, days: int, *, today: date, zone: ZoneInfo) -> Self:
        return cls(today - timedelta(days=days - 1), today, zone, str(days))

    @classmethod
    def read(cls, query: QueryDict, *, today: date, zone: ZoneInfo) -> Self:
        """What the address asks for. What cannot be read counts as not asked; two ends the wrong way are turned."""
        choice = query.get("period", "")
        first, last = parse_day(query.get("from")), parse_day(query.get("to"))
        if choice not in PRESETS and (first or last):
            last = last or today
            first = first or last
            first, last = min(first, last), max(first, last)
            return cls(max(first, last - timedelta(days=DAYS_MAX - 1)), last, zone, "custom")
        return cls.latest(PRESETS.get(choice, PRESETS[DEFAULT]), today=today, zone=zone)

    @property
    def start(self) -> datetime:
        return midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        return midnight_after(self.last, self.zone)

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def granularity(self) -> str:
        """Hours for a day or two, months for more than a quarter and a bit, otherwise days."""
        if self.days <= 2:
            return "hour"
        return "day" if self.days <= 100 else "month"

    def marks(self) -> list[datetime]:
        """The start of each hour, day or month in the period, as the database truncates them."""
        if self.granularity == "hour":
            hours = int((self.end.astimezone(_UTC) - self.start.astimezone(_UTC)).total_seconds() // 3600)
            return [(self.start.astimezone(_UTC) + timedelta(hours=n)).astimezone(self.zone) for n in range(hours)]
        all_days = [self.first + timedelta(days=n) for n in range(self.days)]
        if self.granularity == "month":
            all_days = sorted({day.replace(day=1) for day in all_days})
        return [midnight(day, self.zone) for day in all_days]

    def within(self, mark: datetime) -> "Period":
        """The day or the month of the period that begins at this mark."""
        first = last = mark.astimezone(self.zone).date()
        if self.granularity == "month":
            last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        return Period(max(first, self.first), min(last, self.last), self.zone, "custom")

    def label(self, mark: datetime) -> str:
        """A mark as the chart's axis and the table show it."""
        local = mark.astimezone(self.zone)
        if self.granularity == "hour":
            return f"{local:%H:%M}" if self.days == 1 else f"{reading.day_of_year(local.date())}, {local:%H:%M}"
        return reading.month(local.date()) if self.granularity == "month" else reading.day_of_year(local.date())


_UTC = ZoneInfo("UTC")


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment at which the day begins there."""
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def midnight_after(day: date, zone: ZoneInfo) -> datetime:
    """The moment at which the day is over there."""
    return midnight(day + timedelta(days=1), zone)


def parse_day(value: str | None) -> date | None:
    """A day as date inputs send it, None for anything else and for days that no ledger knows."""
    try:
        day = date.fromisoformat(value or "")
    except ValueError:
        return None
    return day if 2000 <= day.year <= 2100 else None
