"""Exact amounts: nothing is lost on the way in, inside or out."""

from decimal import Context, Decimal, FloatOperation, Inexact
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.engine import money
from billing.engine.money import EXACT, amount_string, decimals, fits, round_half_even

amounts = st.decimals(
    min_value=-(money.LIMIT - 1), max_value=money.LIMIT - 1, places=12, allow_nan=False, allow_infinity=False
)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("2.50E-6", "0.0000025"),
        ("1E-12", "0.000000000001"),
        ("1E+3", "1000"),
        ("100", "100"),
        ("100.000", "100"),
        ("74.10", "74.1"),
        ("0", "0"),
        ("-0", "0"),
        ("0.000", "0"),
        ("-0.00", "0"),
        ("0E+5", "0"),
        ("0E-20", "0"),
        ("-1.50", "-1.5"),
        ("999999999999999999.999999999999", "999999999999999999.999999999999"),
    ],
)
def test_an_amount_prints_in_full_without_exponent_or_needless_zeros(amount: str, text: str) -> None:
    assert amount_string(Decimal(amount)) == text


@given(amounts)
def test_an_amount_is_read_back_from_its_string_exactly(amount: Decimal) -> None:
    text = amount_string(amount)

    assert Decimal(text) == amount
    assert "E" not in text
    assert not text.startswith("-0") or amount < 0


@pytest.mark.parametrize(
    "amount",
    [
        "0",
        "-0",
        "0E+99999",
        "0E-99999",
        "999999999999999999.999999999999",
        "-999999999999999999.999999999999",
        "1E-12",
        "1E+17",
        "1.0000000000000000000000000000",
    ],
)
def test_the_books_can_hold_18_digits_before_the_point_and_12_after_it(amount: str) -> None:
    assert fits(Decimal(amount))


@pytest.mark.parametrize(
    "amount",
    [
        "NaN",
        "sNaN",
        "-NaN",
        "Infinity",
        "-Infinity",
        "1000000000000000000",
        "-1000000000000000000",
        "1E+18",
        "1E+400",
        "1E-13",
        "0.0000000000001",
        "1.0000000000001",
        "1E-400",
        "1" * 40,
    ],
)
def test_the_books_can_hold_nothing_else(amount: str) -> None:
    assert not fits(Decimal(amount))


@given(amounts)
def test_every_amount_of_30_digits_fits(amount: Decimal) -> None:
    assert fits(amount)


@pytest.mark.parametrize(
    ("amount", "precision", "rounded"),
    [
        ("0.5", 0, "0"),
        ("1.5", 0, "2"),
        ("2.5", 0, "2"),
        ("-0.5", 0, "0"),
        ("-1.5", 0, "-2"),
        ("-2.5", 0, "-2"),
        ("0.0000000000005", 12, "0"),
        ("0.0000000000015", 12, "0.000000000002"),
        ("0.00000000000050000001", 12, "0.000000000001"),
        ("1.005", 2, "1"),
        ("1.015", 2, "1.02"),
    ],
)
def test_halves_go_to_the_even_neighbour(amount: str, precision: int, rounded: str) -> None:
    assert round_half_even(Decimal(amount), precision=precision) == Decimal(rounded)
    assert round_half_even(Fraction(amount), precision=precision) == Decimal(rounded)


@given(st.decimals(min_value=-(10**15), max_value=10**15, places=20), st.integers(0, 12))
def test_fractions_and_decimals_round_alike(amount: Decimal, precision: int) -> None:
    assert round_half_even(amount, precision=precision) == round_half_even(Fraction(amount), precision=precision)


@given(st.fractions(min_value=-(10**15), max_value=10**15), st.integers(0, 12))
def test_rounding_moves_by_half_a_unit_at_most(amount: Fraction, precision: int) -> None:
    rounded = round_half_even(amount, precision=precision)

    assert abs(Fraction(rounded) - amount) <= Fraction(1, 2 * 10**precision)
    assert decimals(rounded) <= precision


@given(st.fractions(min_value=0, max_value=10**15), st.fractions(min_value=0, max_value=10**15), st.integers(0, 12))
def test_rounding_keeps_the_order(one: Fraction, other: Fraction, precision: int) -> None:
    smaller, larger = sorted([one, other])

    assert round_half_even(smaller, precision=precision) <= round_half_even(larger, precision=precision)


@pytest.mark.parametrize(
    ("amount", "needed"), [("1.50", 1), ("100", 0), ("1E+2", 0), ("0.000", 0), ("0E-30", 0), ("1E-12", 12)]
)
def test_decimals_counts_only_those_that_are_needed(amount: str, needed: int) -> None:
    assert decimals(Decimal(amount)) == needed


def test_the_exact_context_keeps_what_pythons_own_loses() -> None:
    large, small = Decimal("123456789012345678.123456789012"), Decimal("0.000000000001")

    assert Context().add(large, small) == Decimal("123456789012345678.1234567890")  # The loss is real.
    assert EXACT.add(large, small) == Decimal("123456789012345678.123456789013")


def test_a_lost_digit_raises() -> None:
    with pytest.raises(Inexact):
        EXACT.divide(Decimal(1), Decimal(3))
    with pytest.raises(Inexact):
        EXACT.add(Decimal("1E+60"), Decimal("1E-12"))


def test_a_stray_float_raises() -> None:
    with pytest.raises(FloatOperation):
        EXACT.create_decimal(0.1)


def test_amount_strings_keeps_the_keys() -> None:
    assert money.amount_strings({"usd": Decimal("1.50"), "eur": Decimal(0)}) == {"usd": "1.5", "eur": "0"}
