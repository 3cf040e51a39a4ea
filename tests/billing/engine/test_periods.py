"""Billing periods: every moment lies in exactly one, and the 31st stays the 31st."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.engine.periods import period

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "America/Havana",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Chatham",
    )
]
INTERVALS = ["day", "week", "month", "quarter", "year"]

moments = st.datetimes(min_value=datetime(1995, 1, 1), max_value=datetime(2060, 1, 1), timezones=st.just(UTC))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@given(moments, moments, st.sampled_from(INTERVALS), st.sampled_from(ZONES))
def test_every_moment_lies_in_exactly_one_period(
    moment: datetime, anchor: datetime, interval: str, zone: ZoneInfo
) -> None:
    start, end = period(moment, anchor=anchor, interval=interval, zone=zone)

    assert start <= moment < end
    # The period is the same for each of its moments, and its neighbours begin and end where it does.
    assert period(start, anchor=anchor, interval=interval, zone=zone) == (start, end)
    assert period(end - timedelta.resolution, anchor=anchor, interval=interval, zone=zone) == (start, end)
    assert period(end, anchor=anchor, interval=interval, zone=zone)[0] == end
    assert period(start - timedelta.resolution, anchor=anchor, interval=interval, zone=zone)[1] == start


@given(moments, st.sampled_from(INTERVALS), st.sampled_from(ZONES))
@example(at("2026-10-25T01:22:32Z"), "day", BERLIN)  # In the hour that comes twice, for the second time.
@example(at("2026-10-25T01:22:32Z"), "week", BERLIN)
def test_a_period_starts_at_the_anchor(anchor: datetime, interval: str, zone: ZoneInfo) -> None:
    assert period(anchor, anchor=anchor, interval=interval, zone=zone)[0] == anchor


@pytest.mark.parametrize("day", [28, 29, 30, 31])
@pytest.mark.parametrize("year", [2023, 2024])
def test_a_month_from_the_end_of_january_starts_on_the_last_day_of_shorter_months(day: int, year: int) -> None:
    anchor = datetime(year, 1, day, 9, 30, tzinfo=UTC)
    lengths = [31, 29 if year % 4 == 0 else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

    starts, moment = [], anchor
    for _ in range(12):
        start, moment = period(moment, anchor=anchor, interval="month", zone=UTC)
        starts.append(start)

    assert starts == [
        datetime(year, month, min(day, length), 9, 30, tzinfo=UTC) for month, length in enumerate(lengths, start=1)
    ]
    assert moment == anchor.replace(year=year + 1)


def test_26_months_are_26_periods() -> None:
    anchor = at("2025-12-31T23:30:00+01:00")
    ends, moment = set(), anchor
    for _ in range(26):
        _, moment = period(moment, anchor=anchor, interval="month", zone=BERLIN)
        ends.add(moment)

    assert len(ends) == 26
    assert moment == at("2028-02-29T23:30:00+01:00")


def test_a_leap_years_day_is_kept_for_the_next_leap_year() -> None:
    anchor = at("2024-02-29T00:00:00Z")

    def year_from(text: str) -> tuple[datetime, datetime]:
        return period(at(text), anchor=anchor, interval="year", zone=UTC)

    assert year_from("2025-06-01T00:00:00Z") == (at("2025-02-28T00:00:00Z"), at("2026-02-28T00:00:00Z"))
    assert year_from("2027-06-01T00:00:00Z") == (at("2027-02-28T00:00:00Z"), at("2028-02-29T00:00:00Z"))


def test_a_quarter_from_november_30th_ends_on_the_last_of_february() -> None:
    anchor = at("2026-11-30T00:00:00Z")

    assert period(anchor, anchor=anchor, interval="quarter", zone=UTC) == (anchor, at("2027-02-28T00:00:00Z"))
    assert period(at("2027-02-28T00:00:00Z"), anchor=anchor, interval="quarter", zone=UTC)[1] == at(
        "2027-05-30T00:00:00Z"
    )


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        ("2026-03-29", BERLIN, 23),
        ("2026-10-25", BERLIN, 25),
        ("2026-03-08", NEW_YORK, 23),
        ("2026-11-01", NEW_YORK, 25),
        ("2026-06-01", NEW_YORK, 24),
    ],
)
def test_a_day_has_23_or_25_hours_where_the_clocks_change(day: str, zone: ZoneInfo, hours: int) -> None:
    anchor = datetime(2026, 1, 1, tzinfo=zone)
    noon = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=zone).astimezone(UTC)

    start, end = period(noon, anchor=anchor, interval="day", zone=zone)

    assert start.astimezone(zone).date().isoformat() == day
    assert end - start == timedelta(hours=hours)


def test_a_day_that_a_zone_left_out_belongs_to_the_day_before() -> None:
    """Samoa had no 30 December 2011: it moved across the date line."""
    apia = ZoneInfo("Pacific/Apia")
    anchor = datetime(2011, 4, 1, 21, 15, tzinfo=apia)
    moment = at("2011-12-30T13:15:00Z")

    day = period(moment, anchor=anchor, interval="day", zone=apia)

    assert day == (at("2011-12-30T07:15:00Z"), at("2011-12-31T07:15:00Z"))
    assert period(day[1], anchor=anchor, interval="day", zone=apia) == (day[1], day[1] + timedelta(days=1))


def test_a_month_ends_at_local_midnight_on_either_side_of_a_change_of_clocks() -> None:
    anchor = datetime(2026, 3, 1, tzinfo=BERLIN)

    assert period(at("2026-03-15T00:00:00Z"), anchor=anchor, interval="month", zone=BERLIN) == (
        at("2026-02-28T23:00:00Z"),
        at("2026-03-31T22:00:00Z"),
    )


def test_the_same_moment_falls_into_different_months_of_different_zones() -> None:
    moment = at("2026-05-31T23:30:00Z")

    def month(zone: ZoneInfo) -> int:
        anchor = datetime(2026, 1, 1, tzinfo=zone)
        return period(moment, anchor=anchor, interval="month", zone=zone)[0].astimezone(zone).month

    assert month(BERLIN) == 6
    assert month(NEW_YORK) == 5


def test_a_moment_before_the_anchor_has_its_period_too() -> None:
    anchor = at("2026-03-31T00:00:00Z")

    assert period(at("2026-03-01T00:00:00Z"), anchor=anchor, interval="month", zone=UTC) == (
        at("2026-02-28T00:00:00Z"),
        anchor,
    )


def test_a_week_has_seven_local_days() -> None:
    anchor = datetime(2026, 3, 23, tzinfo=BERLIN)

    start, end = period(at("2026-03-29T12:00:00Z"), anchor=anchor, interval="week", zone=BERLIN)

    assert end - start == timedelta(days=7) - timedelta(hours=1)
