"""Parts of a period, to the second and exact: what a part of it costs, and what it includes."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from billing.engine.money import EXACT, round_half_even

_TICK = timedelta.resolution
WHOLE = Fraction(1)


def share(start: datetime, end: datetime, *, of: tuple[datetime, datetime]) -> Fraction:
    """How much of the period ``of`` the part [``start``, ``end``) is, as time goes by: 0 to 1."""
    assert of[0] <= start <= end <= of[1]
    return Fraction((end - start) // _TICK, (of[1] - of[0]) // _TICK)


def part(amount: Decimal, share: Fraction, *, precision: int) -> Decimal:
    """``share`` of ``amount``, half even at ``precision`` decimals. The whole of it is ``amount`` itself."""
    if share == WHOLE:
        return amount
    return round_half_even(Fraction(amount) * share, precision=precision)


def discounted(amount: Decimal, discount: Decimal, *, precision: int) -> Decimal:
    """``amount`` less the share ``discount`` of it: 100 at 0.15 is 85."""
    if discount == 0:
        return amount
    return round_half_even(EXACT.multiply(amount, EXACT.subtract(Decimal(1), discount)), precision=precision)
