"""Periods that pages are asked for, and going through large tables by time: years of months, months of days.

The latter goes along the ids, which grow with time. Django's own date hierarchy looks at every row to find out which
days there are.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.lists import YEARS, made_within

TITLES = {"today": "Today", "yesterday": "Yesterday", "7d": "Last 7 days", "30d": "Last 30 days"}
USUAL = "30d"
PARAMETER = "when"
MONTHS_MAX = 24

_DAY_OR_MONTH = re.compile(r"(\d{4})-(\d{2})(?:-(\d{2}))?\Z")


@dataclass(frozen=True, slots=True)
class Span:
    """The half-open interval [``start``, ``end``)."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Choice:
    """A step one can take. ``query`` is what the link adds to the address."""

    title: str
    query: str
    chosen: bool = False


def span(value: str | None) -> Span | None:
    """What a parameter means: ``today``, ``yesterday``, ``7d``, ``30d``, ``2026-11`` or ``2026-11-20``."""
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow = today + timedelta(days=1)
    named = {
        "today": Span(today, tomorrow),
        "yesterday": Span(today - timedelta(days=1), today),
        "7d": Span(today - timedelta(days=6), tomorrow),
        "30d": Span(today - timedelta(days=29), tomorrow),
    }
    if not value or value in named:
        return named.get(value or "")
    found = _DAY_OR_MONTH.match(value)
    if found is None or int(found[1]) not in YEARS:
        return None
    try:
        start = today.replace(year=int(found[1]), month=int(found[2]), day=int(found[3] or 1))
    except ValueError:
        return None
    return Span(start, start + timedelta(days=1) if found[3] else _next_month(start))


def asked(request: HttpRequest, named: Collection[str]) -> tuple[str, Span]:
    """The period in the address: one of ``named``, a month or a day; the last 30 days where it is none of these."""
    period = request.GET.get("period", USUAL)
    found = None if period in TITLES and period not in named else span(period)
    if found is None:
        period, found = USUAL, span(USUAL)
    assert found is not None
    return period, found


def offered(named: Collection[str], chosen: str) -> list[dict[str, Any]]:
    """What a form lets one choose from: ``named``, this month and the last, and what is ``chosen``."""
    month = timezone.localtime().replace(day=1)
    before = (month - timedelta(days=1)).replace(day=1)
    titles = {name: TITLES[name] for name in named}
    titles |= {f"{start:%Y-%m}": f"{start:%B %Y}" for start in (month, before)}
    titles.setdefault(chosen, chosen)
    return [{"code": code, "title": title, "chosen": code == chosen} for code, title in titles.items()]


class PeriodFilter(admin.SimpleListFilter):
    """Rows booked in a period. ``booked_field`` is the column that says when."""

    title = "period"
    parameter_name = PARAMETER
    booked_field = "posted_at"
    runs_along_ids = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = self.value()
        return [*TITLES.items()] if value is None or value in TITLES else [*TITLES.items(), (value, value)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = span(self.value())
        if wanted is None:
            return queryset
        return queryset.filter(made_within(self.booked_field, wanted.start, wanted.end))


class LaterBookedPeriodFilter(PeriodFilter):
    """For rows that may be booked long after their ids were made: the period's end alone is found by the ids."""

    runs_along_ids = False

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = span(self.value())
        if wanted is None:
            return queryset
        return self.up_to_its_end(queryset).filter(**{f"{self.booked_field}__gte": wanted.start})

    def up_to_its_end(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = span(self.value())
        return queryset if wanted is None else queryset.filter(made_within(self.booked_field, None, wanted.end))


class ReceivedPeriodFilter(PeriodFilter):
    booked_field = "received_at"


class CreatedPeriodFilter(PeriodFilter):
    booked_field = "created_at"


def choices(request: HttpRequest, rows: QuerySet[Any], field: str) -> list[Choice]:
    """Where one can go from here: the months that there are, or the days of the month one is in."""
    value = request.GET.get(PARAMETER)
    if value and (found := re.match(r"(\d{4}-\d{2})(-\d{2})?\Z", value)):
        month = span(found[1])
        if month is not None:
            last = min(month.end, timezone.now() + timedelta(days=1))
            days = [_choice(request, f"{day:%-d}", f"{day:%Y-%m-%d}", value) for day in _days(month.start, last)]
            back = Choice("All months", _query(request, None))
            return [back, _choice(request, f"{month.start:%B %Y}", found[1], value), *days]
    first, last_row = rows.order_by("id").first(), rows.order_by("-id").first()
    if first is None or last_row is None:
        return []
    months = list(_months(timezone.localtime(getattr(first, field)), timezone.localtime(getattr(last_row, field))))
    return [
        *(_choice(request, TITLES[code], code, value) for code in ("today", "yesterday")),
        *(_choice(request, f"{month:%b %Y}", f"{month:%Y-%m}", value) for month in months[-MONTHS_MAX:]),
    ]


def _choice(request: HttpRequest, title: str, code: str, value: str | None) -> Choice:
    return Choice(title, _query(request, None if code == value else code), chosen=code == value)


def _query(request: HttpRequest, code: str | None) -> str:
    parameters = request.GET.copy()
    for name in (PARAMETER, "p"):
        parameters.pop(name, None)
    if code is not None:
        parameters[PARAMETER] = code
    return f"?{parameters.urlencode()}"


def _next_month(start: datetime) -> datetime:
    return (start + timedelta(days=32)).replace(day=1)


def _months(first: datetime, last: datetime) -> Iterator[datetime]:
    month = first.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while month <= last:
        yield month
        month = _next_month(month)


def _days(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += timedelta(days=1)
