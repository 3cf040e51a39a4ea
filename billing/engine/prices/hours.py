"""Prices that hold only at certain hours, or on certain days of the week."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from billing.engine.prices.terms import BadPrice

_WINDOWS_MAX = 24


@dataclass(frozen=True, slots=True)
class TimeRule:
    """The hours of the week in which a price holds, by the clocks of ``zone``."""

    zone: ZoneInfo
    slots: frozenset[int]
    """Hours of the week: 0 is the first one of Monday."""

    def holds(self, moment: datetime) -> bool:
        """Whether the price holds at ``moment``."""
        local = moment.astimezone(self.zone)
        return local.weekday() * 24 + local.hour in self.slots

    def overlaps(self, other: "TimeRule") -> bool:
        """Whether some moment may be in both. Clocks of different zones are not compared: they may."""
        return self.zone.key != other.zone.key or bool(self.slots & other.slots)


def parse(valid: Mapping[str, Any]) -> TimeRule | None:
    """``{"hours": [[22, 6]], "weekdays": [6, 7], "zone": "UTC"}``: None where it is empty, and holds always.

    Hours are whole and half-open, and may run over midnight; 1 is Monday. A weekday is that of the moment itself: the
    small hours of a Saturday night are Sunday's. Raises ``BadPrice``.
    """
    if not valid:
        return None
    for name in valid:
        if name not in {"hours", "weekdays", "zone"}:
            raise BadPrice(f"valid.{name}", "There is no such field here.", code="unknown_field")
    zone = valid.get("zone", "UTC")
    if not isinstance(zone, str) or zone not in available_timezones():
        raise BadPrice("valid.zone", "must be an IANA name such as Europe/Berlin")
    if "hours" not in valid and "weekdays" not in valid:
        raise BadPrice("valid", "needs hours, weekdays or both")
    hours = _hours(valid.get("hours", [[0, 24]]))
    days = valid.get("weekdays", [1, 2, 3, 4, 5, 6, 7])
    if not isinstance(days, list) or not days or not all(type(day) is int and 1 <= day <= 7 for day in days):
        raise BadPrice("valid.weekdays", "must be a list of days from 1, Monday, to 7")
    return TimeRule(ZoneInfo(zone), frozenset((day - 1) * 24 + hour for day in days for hour in hours))


def _hours(windows: Any) -> set[int]:
    found: set[int] = set()
    if not isinstance(windows, list) or not 0 < len(windows) <= _WINDOWS_MAX:
        raise BadPrice("valid.hours", "must be a list of pairs such as [22, 6]")
    for window in windows:
        if not isinstance(window, list) or len(window) != 2 or not all(type(hour) is int for hour in window):
            raise BadPrice("valid.hours", "must be a list of pairs of whole hours such as [22, 6]")
        start, end = window
        if not (0 <= start <= 23 and 0 <= end <= 24) or start == end:
            raise BadPrice("valid.hours", "must be pairs of different hours, from 0 to 23 and until 0 to 24")
        found |= set(range(start, end)) if start < end else {*range(start, 24), *range(end)}
    return found
