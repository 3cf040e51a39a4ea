"""Exact amounts: in, inside and out.

Python's default context keeps 28 digits where our amounts may have 30, and loses the rest in silence; the REST
framework would print a bare ``Decimal`` as a float. Everything that counts money goes through here.
"""

import re
from collections.abc import Iterable, Mapping
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
from functools import reduce

ZERO = Decimal(0)
DECIMALS_MAX = 12
DIGITS_MAX = 30
LIMIT = Decimal(10) ** (DIGITS_MAX - DECIMALS_MAX)
WHOLE_LIMIT = int(LIMIT)
"""The same, to be compared with whole numbers: most quantities are some."""

EXACT = Context(
    prec=60, rounding=ROUND_HALF_EVEN, traps=[Inexact, FloatOperation, InvalidOperation, DivisionByZero, Overflow]
)
"""Adds, subtracts and multiplies booked amounts: a lost digit or a stray float raises instead of passing."""

_ROUNDING = Context(
    prec=60, rounding=ROUND_HALF_EVEN, traps=[FloatOperation, InvalidOperation, DivisionByZero, Overflow]
)
_NUMBER = re.compile(r"-?[0-9]{1,64}(\.[0-9]{1,64})?([eE][+-]?[0-9]{1,3})?\Z")
_QUANTUM = tuple(Decimal(1).scaleb(-places) for places in range(DECIMALS_MAX + 1))


def parse(text: str) -> Decimal | None:
    """The number that ``text`` is, as JSON writes numbers; None for anything else that ``Decimal`` would take."""
    return Decimal(text) if _NUMBER.match(text) else None


def amount_string(amount: Decimal) -> str:
    """``Decimal("2.50E-6")`` as ``"0.0000025"``: no exponent, no float, no trailing zeros, no ``-0``."""
    digits = f"{amount:f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return "0" if digits in {"-0", ""} else digits


def amount_strings(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    """``amount_string`` of each, by the same keys."""
    return {key: amount_string(amount) for key, amount in amounts.items()}


def exact_sum(amounts: Iterable[Decimal], start: Decimal = ZERO) -> Decimal:
    """``start`` and all of ``amounts``, to the last digit. Raises ``Inexact`` beyond 60 of them."""
    return reduce(EXACT.add, amounts, start)


def fits(amount: Decimal) -> bool:
    """Whether the books can hold it: finite, at most 18 digits before the point and 12 after it."""
    if not amount.is_finite() or amount.copy_abs() >= LIMIT:  # abs() would round to 28 digits.
        return False
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent >= -DECIMALS_MAX:
        return True
    return amount == amount.quantize(_QUANTUM[DECIMALS_MAX], context=_ROUNDING)


def round_half_even(amount: Decimal | Fraction, *, precision: int) -> Decimal:
    """``amount`` at ``precision`` decimals, halves to the even neighbour. Exact for fractions of any size."""
    if isinstance(amount, Fraction):
        units, rest = divmod(amount.numerator * 10**precision, amount.denominator)
        twice = 2 * rest
        if twice > amount.denominator or (twice == amount.denominator and units % 2):
            units += 1
        return Decimal(units).scaleb(-precision, context=EXACT)
    return amount.quantize(_QUANTUM[precision], context=_ROUNDING)


def decimals(amount: Decimal) -> int:
    """How many decimals it needs: 1 for ``1.50``, none for ``100`` and ``1E2``."""
    if amount == amount.to_integral_value():
        return 0
    exponent = amount.normalize(_ROUNDING).as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)
