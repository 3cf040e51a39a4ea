"""What every pricing model answers, and the arithmetic they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
)
from fractions import Fraction
from typing import Protocol

from billing.engine.money import EXACT

WIDE = Context(
    prec=200, rounding=ROUND_HALF_EVEN, traps=[Inexact, FloatOperation, InvalidOperation, DivisionByZero, Overflow]
)
"""Exact for sums of products of three booked numbers."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what a quantity costs. The amounts of a price's parts add up to its total."""

    kind: str
    """``units``, ``packages``, ``flat_amount``, ``free_units`` or ``maximum``."""
    amount: Decimal | Fraction
    quantity: Decimal | None = None
    unit_amount: Decimal | None = None
    per: Decimal | None = None
    tier: int | None = None
    """Counted from 1."""


class PriceFunction(Protocol):
    """One pricing model with its numbers filled in."""

    @property
    def linear(self) -> bool:
        """Whether an event can ever cost the same wherever in the period it falls: if not, every event is counted."""
        ...

    @property
    def falls_after(self) -> Sequence[Decimal]:
        """The quantities beyond which the next unit may make the whole cheaper; in between F never falls."""
        ...

    def total(self, quantity: Decimal) -> Decimal | Fraction:
        """What ``quantity`` units cost in all, unrounded."""
        ...

    def adds_up(self, quantity: Decimal, *, precision: int) -> bool:
        """Whether an event of this quantity costs the same wherever in the period it falls, with nothing to round.

        While that holds for every event of a period, no running quantity is needed.
        """
        ...

    def parts(self, quantity: Decimal) -> list[Part]:
        """What the total is made of."""
        ...


def power_of_ten(number: Decimal) -> int | None:
    """The n of 10ⁿ, or None for anything else."""
    sign, digits, exponent = number.normalize(EXACT).as_tuple()
    if sign or digits != (1,):
        return None
    assert isinstance(exponent, int)
    return exponent


def divide(amount: Decimal, per: Decimal, power: int | None) -> Decimal | Fraction:
    """``amount`` ÷ ``per`` exactly, where ``per`` is 10 to the ``power``, if it is a power of ten at all."""
    if power is None:
        return Fraction(amount) / Fraction(per)
    return amount.scaleb(-power, context=WIDE) if power else amount


def add(one: Decimal | Fraction, other: Decimal | Fraction) -> Decimal | Fraction:
    """The exact sum of two exact numbers."""
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return WIDE.add(one, other)
    return Fraction(one) + Fraction(other)


def multiply(one: Decimal | Fraction, other: Decimal) -> Decimal | Fraction:
    """The exact product."""
    return WIDE.multiply(one, other) if isinstance(one, Decimal) else one * Fraction(other)
