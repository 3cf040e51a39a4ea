"""Which usage a budget covers, and where its windows begin."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from billing.engine.budgets import Scope, Use, level, window

KEY, OTHER = UUID(int=1), UUID(int=2)


def use(**data: Any) -> Use:
    return Use("llm.completion", data, KEY)


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        (Scope({}), ""),
        (Scope({"user": "u_1"}), ""),
        (Scope({"user": "u_2"}), None),
        (Scope({"user": "u_1", "project": "search"}), ""),
        (Scope({"user": "u_1", "project": "other"}), None),
        (Scope({"user": "*"}), "u_1"),
        (Scope({"user": "*", "project": "search"}), "u_1"),
        (Scope({"session": "*"}), None),
        (Scope({"feature": "7"}), ""),
        (Scope({"type": "llm.completion"}), ""),
        (Scope({"type": "image"}), None),
        (Scope({}, keys={KEY}), ""),
        (Scope({}, keys={OTHER}), None),
        (Scope({}, members={"u_0", "u_1"}), ""),
        (Scope({"user": "*"}, members={"u_0", "u_1"}), "u_1"),
        (Scope({}, members={"x@y.test"}, member_keys={KEY}), ""),
        (Scope({}, members={"x@y.test"}, member_keys={OTHER}), None),
    ],
    ids=map(str, count(1)),  # A set is written in another order by each process.
)
def test_what_a_scope_covers(scope: Scope, value: str | None) -> None:
    assert scope.counter(use(user="u_1", project="search", feature=Decimal("7.0"))) == value


@pytest.mark.parametrize(
    ("kind", "zone", "start", "end"),
    [
        ("hour", "UTC", "2026-11-20T10:00:00", "2026-11-20T11:00:00"),
        ("hour", "Asia/Kolkata", "2026-11-20T10:30:00", "2026-11-20T11:30:00"),
        ("day", "UTC", "2026-11-20T00:00:00", "2026-11-21T00:00:00"),
        ("day", "America/Chicago", "2026-11-20T06:00:00", "2026-11-21T06:00:00"),
        ("week", "UTC", "2026-11-16T00:00:00", "2026-11-23T00:00:00"),
        ("month", "Europe/Berlin", "2026-10-31T23:00:00", "2026-11-30T23:00:00"),
    ],
)
def test_windows_follow_the_customers_clock(kind: str, zone: str, start: str, end: str) -> None:
    found = window(datetime(2026, 11, 20, 10, 45, 12, tzinfo=UTC), kind, zone=ZoneInfo(zone))

    assert found == tuple(datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in (start, end))


def test_a_total_never_ends() -> None:
    moment = datetime(2026, 11, 20, tzinfo=UTC)

    assert window(moment, "total", zone=UTC) == (moment, None)


def test_the_level_is_how_many_shares_are_reached() -> None:
    shares = [Decimal("0.5"), Decimal("0.8"), Decimal(1)]
    levels = [level(Decimal(spent), limit=Decimal(10), alert_at=shares) for spent in (0, 4, 5, 7, 8, 10, 12)]

    assert levels == [0, 0, 1, 1, 2, 3, 3]
    assert level(Decimal(1), limit=Decimal(0), alert_at=shares) == 0
