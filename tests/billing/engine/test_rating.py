"""Prices: any split of a quantity into events adds up to the price of the whole, to the last digit."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.engine.money import EXACT, round_half_even
from billing.engine.prices import PerUnit
from billing.engine.rating import charge

PRECISION = 12

quantities = st.decimals(min_value=0, max_value=10**9, places=6)
unit_amounts = st.decimals(min_value=0, max_value=10**6, places=12)
pers = st.one_of(
    st.sampled_from([Decimal(10) ** power for power in range(-3, 10)]),
    st.decimals(min_value=Decimal("0.001"), max_value=10**7, places=3),
)
prices = st.builds(PerUnit, unit_amount=unit_amounts, per=pers)


def per_unit(unit_amount: str, per: str = "1") -> PerUnit:
    return PerUnit(Decimal(unit_amount), Decimal(per))


@pytest.mark.parametrize(
    ("unit_amount", "per", "quantity", "amount"),
    [
        ("2.50", "1000000", "1000", "0.0025"),
        ("10", "1000000", "450", "0.0045"),
        ("0.10", "1000000", "1", "0.0000001"),
        ("0.002", "1", "3", "0.006"),
        ("1", "60", "90", "1.5"),
        ("1", "3", "3", "1"),
        ("1", "3", "1", "0.333333333333"),
        ("2", "3", "1", "0.666666666667"),
        ("0", "3", "1000", "0"),
        ("5", "1", "0", "0"),
        ("0.000000000001", "3", "1", "0"),
        ("0.000000000001", "3", "2", "0.000000000001"),
        ("1", "0.001", "2", "2000"),
        ("999999999999.999999", "1", "999999.999999", "999999999998999999.000000000001"),
    ],
)
def test_per_unit_charges_exactly(unit_amount: str, per: str, quantity: str, amount: str) -> None:
    price = per_unit(unit_amount, per)

    charged = charge(price, before=Decimal(0), quantity=Decimal(quantity), precision=PRECISION)

    assert charged == Decimal(amount)


def test_events_that_are_each_too_small_to_charge_are_charged_together() -> None:
    price = per_unit("0.000000000001", "3")

    amounts = [charge(price, before=Decimal(n), quantity=Decimal(1), precision=PRECISION) for n in range(6)]

    assert amounts == [Decimal(0), Decimal("1E-12"), Decimal(0), Decimal(0), Decimal("1E-12"), Decimal(0)]
    assert sum(amounts) == Decimal("2E-12")


@given(prices, st.lists(quantities, max_size=12), st.integers(0, 12))
def test_any_split_of_a_quantity_adds_up_to_the_price_of_the_whole(
    price: PerUnit, parts: list[Decimal], precision: int
) -> None:
    running, charged = Decimal(0), Decimal(0)
    for part in parts:
        charged = EXACT.add(charged, charge(price, before=running, quantity=part, precision=precision))
        running = EXACT.add(running, part)

    assert charged == round_half_even(price.total(running), precision=precision)


@given(prices, quantities)
def test_the_total_is_the_fraction_itself(price: PerUnit, quantity: Decimal) -> None:
    assert Fraction(price.total(quantity)) == Fraction(quantity) * Fraction(price.unit_amount) / Fraction(price.per)


@given(prices, quantities, quantities)
def test_a_price_that_is_not_negative_never_charges_less_than_nothing(
    price: PerUnit, before: Decimal, quantity: Decimal
) -> None:
    assert charge(price, before=before, quantity=quantity, precision=PRECISION) >= 0


@given(prices)
def test_nothing_costs_nothing(price: PerUnit) -> None:
    assert price.total(Decimal(0)) == 0
    assert charge(price, before=Decimal(7), quantity=Decimal(0), precision=PRECISION) == 0


@given(prices, quantities, quantities, st.integers(0, 12))
def test_what_adds_up_costs_the_same_wherever_it_falls(
    price: PerUnit, before: Decimal, quantity: Decimal, precision: int
) -> None:
    """That is what allows an event to be charged without knowing what came before."""
    if price.adds_up(quantity, precision=precision) and price.adds_up(before, precision=precision):
        alone = charge(price, before=Decimal(0), quantity=quantity, precision=precision)

        assert charge(price, before=before, quantity=quantity, precision=precision) == alone
        assert Fraction(alone) == Fraction(price.total(quantity))


@pytest.mark.parametrize(
    ("unit_amount", "per", "quantity", "precision", "adds_up"),
    [
        ("2.50", "1000000", "450", 12, True),
        ("2.50", "1000000", "0.00001", 12, True),
        ("2.50", "1000000", "0.000001", 12, False),
        ("2.50", "1000000", "1", 6, False),
        ("1", "3", "3", 12, False),
        ("0", "3", "1", 12, False),
        ("1", "1", "1", 0, True),
        ("0.5", "1", "2", 0, False),
    ],
)
def test_whether_a_quantity_comes_out_even(
    unit_amount: str, per: str, quantity: str, precision: int, adds_up: bool
) -> None:
    assert per_unit(unit_amount, per).adds_up(Decimal(quantity), precision=precision) is adds_up


@pytest.mark.parametrize(("unit_amount", "per"), [("-1", "1"), ("1", "0"), ("1", "-1"), ("NaN", "1"), ("1", "NaN")])
def test_a_price_that_makes_no_sense_cannot_be_made(unit_amount: str, per: str) -> None:
    with pytest.raises((AssertionError, ArithmeticError)):
        per_unit(unit_amount, per)


@pytest.mark.parametrize(("before", "quantity"), [("-1", "1"), ("1", "-2")])
def test_a_negative_quantity_stops(before: str, quantity: str) -> None:
    with pytest.raises(AssertionError):
        charge(per_unit("1"), before=Decimal(before), quantity=Decimal(quantity), precision=PRECISION)
