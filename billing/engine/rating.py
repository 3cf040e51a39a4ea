"""Prices as functions of the period's running quantity.

A price is a function F with F(0) = 0. An event that takes the running quantity from a to b costs F(b) − F(a), where F
is rounded half even at the asset's precision: rounding the running total, never the single event, makes any split of a
quantity into events add up to exactly F(total).
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from billing.engine.money import EXACT, decimals, round_half_even

_UNLIMITED = Decimal(10) ** 15


class PriceFunction(Protocol):
    """One pricing model with its numbers filled in."""

    def total(self, quantity: Decimal) -> Decimal | Fraction:
        """What ``quantity`` units cost in all, unrounded."""
        ...

    def adds_up(self, quantity: Decimal, *, precision: int) -> bool:
        """Whether an event of this quantity costs the same wherever in the period it falls, with nothing to round.

        While that holds for every event of a period, no running quantity is needed.
        """
        ...


@dataclass(frozen=True, slots=True)
class PerUnit:
    """``unit_amount`` for every ``per`` units: q / per × unit_amount."""

    unit_amount: Decimal
    per: Decimal

    def __post_init__(self) -> None:
        assert self.unit_amount >= 0
        assert self.per > 0

    def total(self, quantity: Decimal) -> Decimal | Fraction:
        product = EXACT.multiply(quantity, self.unit_amount)
        power = _power_of_ten(self.per)
        if power is None:
            return Fraction(product) / Fraction(self.per)
        return product.scaleb(-power, context=EXACT)

    def adds_up(self, quantity: Decimal, *, precision: int) -> bool:
        power = _power_of_ten(self.per)
        if power is None:
            return False
        return decimals(quantity) + decimals(self.unit_amount) + power <= precision


def charge(price: PriceFunction, *, before: Decimal, quantity: Decimal, precision: int) -> Decimal:
    """What the event that takes the running quantity from ``before`` to ``before + quantity`` costs."""
    assert before >= 0
    assert quantity >= 0
    after = EXACT.add(before, quantity)
    return EXACT.subtract(
        round_half_even(price.total(after), precision=precision),
        round_half_even(price.total(before), precision=precision),
    )


def affordable(price: PriceFunction, *, before: Decimal, budget: Decimal, precision: int) -> Decimal | None:
    """The largest whole quantity that ``budget`` pays for, on top of ``before``; None where it pays for any."""
    if budget < 0:
        return Decimal(0)
    if charge(price, before=before, quantity=_UNLIMITED, precision=precision) <= budget:
        return None
    paid, unpaid = Decimal(0), _UNLIMITED
    while unpaid - paid > 1:
        middle = (paid + unpaid) // 2
        if charge(price, before=before, quantity=middle, precision=precision) <= budget:
            paid = middle
        else:
            unpaid = middle
    return paid


def _power_of_ten(number: Decimal) -> int | None:
    """The n of 10ⁿ, or None for anything else."""
    sign, digits, exponent = number.normalize(EXACT).as_tuple()
    if sign or digits != (1,):
        return None
    assert isinstance(exponent, int)
    return exponent
