"""Levels over time: how many unit-hours a level comes to, to the last digit, however often it is reported."""

from datetime import timedelta
from decimal import Decimal

from billing.engine.money import DECIMALS_MAX, EXACT

_MICROSECOND = timedelta(microseconds=1)
_HOUR = timedelta(hours=1) // _MICROSECOND


def advance(quantity: Decimal, rest: int, level: Decimal, lasted: timedelta) -> tuple[Decimal, int]:
    """Where ``quantity`` unit-hours stand once ``level`` has lasted that much longer, and the rest.

    Unit-hours are kept to 12 decimals, rounded half even. ``rest`` is what that left out so far, in microseconds of the
    last decimal, so that any division of a time comes to the same.
    """
    parts = _scaled(quantity) * _HOUR + rest + _scaled(level) * (lasted // _MICROSECOND)
    whole, left = divmod(parts, _HOUR)
    if left * 2 > _HOUR or (left * 2 == _HOUR and whole % 2):
        whole, left = whole + 1, left - _HOUR
    return Decimal(whole).scaleb(-DECIMALS_MAX, context=EXACT), left


def further(quantity: Decimal, rest: int, level: Decimal, lasted: timedelta) -> Decimal:
    """How many unit-hours that is beyond ``quantity``; none for a time that is not ahead."""
    return EXACT.subtract(advance(quantity, rest, level, max(lasted, timedelta()))[0], quantity)


def _scaled(amount: Decimal) -> int:
    return int(amount.scaleb(DECIMALS_MAX, context=EXACT))
