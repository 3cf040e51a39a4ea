"""Identifiers that grow with time."""

import time
import uuid

import pytest

from accounts.ids import uuid7


def test_it_is_a_version_7_uuid() -> None:
    made = uuid7()

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert abs((made.int >> 80) - time.time() * 1000) < 1000


def test_later_ones_are_greater(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(1_700_000_000_000_000_000, 1_700_000_000_100_000_000, 1_000_000))
    monkeypatch.setattr(time, "time_ns", lambda: next(moments))
    made = [uuid7() for _ in range(100)]

    assert made == sorted(made)


def test_no_two_are_alike() -> None:
    assert len({uuid7() for _ in range(10_000)}) == 10_000
