"""Tax: rounded once, in parts that add up."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.engine.taxes import STANDARD, Decision, Part, on, shares, within

D = Decimal
VAT = Decision(STANDARD, (Part("VAT", D("0.19")),))
COINS = st.integers(-10_000_000, 10_000_000).map(lambda coins: D(coins).scaleb(-2))


def test_on_top_and_within() -> None:
    assert on(D("100"), VAT, places=2) == 19
    assert on(D("0.05"), VAT, places=2) == D("0.01")
    assert within(D("119"), VAT, places=2) == 19
    assert within(D("100"), VAT, places=2) == D("15.97")
    assert on(D("100"), Decision(), places=2) == 0


def test_two_taxes_are_rounded_together_and_add_up() -> None:
    both = Decision(STANDARD, (Part("GST", D("0.05")), Part("QST", D("0.09975"))))

    total = on(D("10.01"), both, places=2)

    assert total == D("1.50")  # 1.49899750
    assert shares(total, [part.rate for part in both.parts], places=2) == [D("0.50"), D("1.00")]


@pytest.mark.parametrize(
    ("total", "weights", "expected"),
    [
        ("0.10", ["1", "1", "1"], ["0.04", "0.03", "0.03"]),
        ("-0.10", ["1", "1", "1"], ["-0.04", "-0.03", "-0.03"]),
        ("0.01", ["0", "5"], ["0", "0.01"]),
        ("5", [], []),
    ],
)
def test_shares(total: str, weights: list[str], expected: list[str]) -> None:
    assert shares(D(total), [D(each) for each in weights], places=2) == [D(each) for each in expected]


@given(COINS, st.lists(st.integers(1, 10_000), min_size=1, max_size=6))
def test_parts_add_up_and_are_within_a_coin(total: Decimal, parts_of: list[int]) -> None:
    weights = [D(each) for each in parts_of]
    parts = shares(total, weights, places=2)

    assert sum(parts) == total
    whole = sum(weights)
    assert all(abs(part - total * weight / whole) <= D("0.01") for part, weight in zip(parts, weights, strict=True))
