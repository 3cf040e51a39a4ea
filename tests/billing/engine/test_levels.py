"""Unit-hours of a level: exact however its time is divided."""

from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.engine.levels import advance

LEVELS = st.decimals(min_value=0, max_value=10**9, places=12, allow_nan=False)


@given(level=LEVELS, parts=st.lists(st.integers(0, 10**10), min_size=1, max_size=20))
def test_any_division_of_a_time_comes_to_the_same(level: Decimal, parts: list[int]) -> None:
    quantity, rest = Decimal(0), 0
    for part in parts:
        quantity, rest = advance(quantity, rest, level, timedelta(microseconds=part))

    assert (quantity, rest) == advance(Decimal(0), 0, level, timedelta(microseconds=sum(parts)))


def test_halves_go_to_the_even_neighbour_and_nothing_is_lost() -> None:
    half = timedelta(minutes=30)
    smallest = Decimal("0.000000000001")

    first = advance(Decimal(0), 0, smallest, half)
    second = advance(*first, smallest, timedelta(hours=1))

    assert first[0] == 0
    assert second[0] == 2 * smallest
    assert advance(*second, smallest, half) == (2 * smallest, 0)
