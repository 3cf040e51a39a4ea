"""The days that a page is about."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict

from portal.periods import Period

BERLIN = ZoneInfo("Europe/Berlin")
TODAY = date(2026, 11, 20)


def read(query: str, zone: ZoneInfo = BERLIN) -> Period:
    return Period.read(QueryDict(query), today=TODAY, zone=zone)


@pytest.mark.parametrize(
    ("query", "first", "last", "choice"),
    [
        ("", "2026-10-22", "2026-11-20", "30"),
        ("period=7", "2026-11-14", "2026-11-20", "7"),
        ("period=90", "2026-08-23", "2026-11-20", "90"),
        ("period=90&from=2026-01-01", "2026-08-23", "2026-11-20", "90"),
        ("period=custom&from=2026-11-01&to=2026-11-03", "2026-11-01", "2026-11-03", "custom"),
        ("from=2026-11-03&to=2026-11-01", "2026-11-01", "2026-11-03", "custom"),
        ("from=2026-11-03", "2026-11-03", "2026-11-20", "custom"),
        ("to=2026-11-03", "2026-11-03", "2026-11-03", "custom"),
        ("period=custom", "2026-10-22", "2026-11-20", "30"),
        ("period=x&from=yesterday&to=0001-01-01", "2026-10-22", "2026-11-20", "30"),
        ("from=2000-01-01&to=2026-11-20", "2024-11-21", "2026-11-20", "custom"),
    ],
)
def test_what_the_address_asks_for(query: str, first: str, last: str, choice: str) -> None:
    period = read(query)
    assert (period.first.isoformat(), period.last.isoformat(), period.choice) == (first, last, choice)


def test_days_begin_at_the_customers_midnight() -> None:
    period = read("from=2026-11-20&to=2026-11-20")
    assert period.start == datetime(2026, 11, 19, 23, tzinfo=UTC)
    assert period.end == datetime(2026, 11, 20, 23, tzinfo=UTC)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-20", 24)])
def test_a_day_has_as_many_hours_as_the_clocks_give_it(day: str, hours: int) -> None:
    period = read(f"from={day}&to={day}")
    marks = period.marks()
    assert len({mark.astimezone(UTC) for mark in marks}) == hours
    assert marks[0] == period.start


def test_long_periods_are_counted_in_months() -> None:
    period = read("from=2026-01-15&to=2026-11-20")
    assert period.granularity == "month"
    assert [period.label(mark) for mark in period.marks()][:2] == ["Jan 2026", "Feb 2026"]
    assert len(period.marks()) == 11
