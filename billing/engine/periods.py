"""Billing periods, counted from an anchor and never from the previous period, so that the 31st stays the 31st."""

import calendar
from datetime import UTC, datetime, timedelta, tzinfo

_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_DAYS = {"day": 1, "week": 7}
_SHORTEST_MONTH = 28
IN_A_YEAR = {"day": 365, "week": 52, "month": 12, "quarter": 4, "year": 1}
"""How many periods begin within a year."""


def period(moment: datetime, *, anchor: datetime, interval: str, zone: tzinfo) -> tuple[datetime, datetime]:
    """The half-open period [start, end) that holds ``moment``, both in UTC.

    Periods follow the calendar of ``zone``: a month from the 31st starts on the last day of shorter months, a day is
    23 or 25 hours long where the clocks change. ``moment`` may lie before the anchor.
    """
    local_anchor = anchor.astimezone(zone)
    local = moment.astimezone(zone)
    if interval in _MONTHS:
        months = (local.year - local_anchor.year) * 12 + local.month - local_anchor.month
        number = months // _MONTHS[interval]
    else:
        number = (local.date() - local_anchor.date()).days // _DAYS[interval]
    # More than one step back only where a zone moved across the date line and left a day out.
    while (start := _nth_start(local_anchor, number, interval)) > moment:
        number -= 1
    return start.astimezone(UTC), _nth_start(local_anchor, number + 1, interval).astimezone(UTC)


def _nth_start(anchor: datetime, number: int, interval: str) -> datetime:
    """The start of the period ``number`` periods after the anchor's own."""
    if number == 0:
        return anchor  # Also where it is the second of an hour that comes twice.
    if interval in _DAYS:
        return (anchor.replace(tzinfo=None) + timedelta(days=number * _DAYS[interval])).replace(tzinfo=anchor.tzinfo)
    months = anchor.year * 12 + anchor.month - 1 + number * _MONTHS[interval]
    year, month = divmod(months, 12)
    day = anchor.day
    if day > _SHORTEST_MONTH:
        day = min(day, calendar.monthrange(year, month + 1)[1])
    return anchor.replace(year=year, month=month + 1, day=day)
