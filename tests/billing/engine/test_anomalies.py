"""What is far from usual, of customers of several kinds; quiet ones are left in peace."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.bench import anomalies as synthetic
from billing.engine.anomalies import HOUR, RUNAWAY, SPIKE, baseline

MONDAY = datetime(2026, 11, 16, 10, tzinfo=UTC)
FLOOR = Decimal(1)


def weeks(count: int, amounts: dict[int, str]) -> dict[datetime, Decimal]:
    """For each hour of the day what it came to, every day for so many weeks before Monday."""
    return {
        MONDAY.replace(hour=hour) - timedelta(days=day): Decimal(amount)
        for day in range(1, 7 * count + 1)
        for hour, amount in amounts.items()
    }


def test_a_steady_hour_has_the_median_for_usual() -> None:
    history = weeks(8, {9: "10", 10: "12", 11: "10"})
    history[MONDAY - timedelta(weeks=3)] = Decimal(900)

    found = baseline(history, MONDAY)

    assert found is not None
    assert (found.usual, found.spread, found.busy) == (Decimal(12), 0, Decimal(12))
    assert SPIKE.above(found, FLOOR) == 48
    assert RUNAWAY.above(found, FLOOR) == 96


def test_with_little_history_nothing_is_judged() -> None:
    assert baseline({}, MONDAY) is None
    assert baseline({MONDAY - HOUR * n: Decimal(1) for n in range(1, 24)}, MONDAY) is None
    assert baseline({MONDAY - HOUR * n: Decimal(1) for n in range(1, 25)}, MONDAY) is not None


def test_one_who_uses_it_now_and_then_is_held_against_the_busy_hours() -> None:
    history = {MONDAY - timedelta(hours=11 * n): Decimal(2) for n in range(1, 100)}
    found = baseline(history, MONDAY)

    assert found is not None
    assert not found.steady
    assert SPIKE.above(found, FLOOR) == 6


def test_a_night_job_that_starts_an_hour_earlier_is_no_spike() -> None:
    found = baseline(weeks(8, {9: "0.1", 11: "80"}), MONDAY)

    assert found is not None
    assert SPIKE.above(found, FLOOR) > 80


def test_nothing_below_the_floor() -> None:
    found = baseline(weeks(8, {9: "0.001", 10: "0.001", 11: "0.001"}), MONDAY)

    assert found is not None
    assert SPIKE.above(found, FLOOR) == FLOOR


@pytest.mark.parametrize(("what", "precision", "recall"), [("spike", 0.85, 0.8), ("runaway", 0.9, 0.95)])
def test_what_is_planted_is_found_and_little_else(what: str, precision: float, recall: float) -> None:
    found = synthetic.evaluate(what, customers=3, seed=1, done=lambda customers: None)

    planted, hit, false = (
        sum(getattr(tally, name) for tally in found.values()) for name in ("planted", "hit", "false")
    )
    assert planted > 10
    assert hit / planted >= recall
    assert hit / (hit + false) >= precision
    assert found["quiet"].false == 0
