"""Tax on an amount: which it is, how much, and in what parts. Pure.

The whole is rounded once, and the parts are cut from it by the largest remainder: they always add up to it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.engine.marking import gettext_noop
from billing.engine.money import EXACT, ZERO, round_half_even

STANDARD, REVERSE_CHARGE, EXEMPT, NONE = "standard", "reverse_charge", "exempt", "none"
TREATMENTS = {
    STANDARD: gettext_noop("Taxed"),
    REVERSE_CHARGE: gettext_noop("Reverse charge: the recipient accounts for the tax"),
    EXEMPT: gettext_noop("Exempt from tax"),
    NONE: gettext_noop("Not taxed"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One tax of those that are due together, such as a federal and a provincial one; ``rate`` 0.19 is 19 %."""

    name: str
    rate: Decimal


@dataclass(frozen=True, slots=True)
class Decision:
    """Which taxes a sale bears, and why. ``included``: what a payer chooses to pay has the tax in it already."""

    treatment: str = NONE
    parts: tuple[Part, ...] = ()
    included: bool = False

    @property
    def rate(self) -> Decimal:
        """Of all parts together."""
        rate = ZERO
        for part in self.parts:
            rate = EXACT.add(rate, part.rate)
        return rate


def on(net: Decimal, decision: Decision, *, places: int) -> Decimal:
    """The tax that comes on top of ``net``, negative where that is."""
    return round_half_even(EXACT.multiply(net, decision.rate), precision=places)


def within(gross: Decimal, decision: Decision, *, places: int) -> Decimal:
    """The tax that ``gross`` has in it."""
    rate = Fraction(decision.rate)
    return round_half_even(Fraction(gross) * rate / (1 + rate), precision=places)


def shares(total: Decimal, weights: Sequence[Decimal], *, places: int) -> list[Decimal]:
    """``total`` in parts as the weights are, each a whole number of coins. None is negative where total is not."""
    whole = sum(map(Fraction, weights), Fraction(0))
    if not weights or whole == 0:
        return [ZERO] * len(weights)
    coin = Fraction(1, 10**places)
    sign = -1 if total < 0 else 1
    exact = [sign * Fraction(total) * Fraction(weight) / whole / coin for weight in weights]
    coins = [math.floor(each) for each in exact]
    missing = int(sign * Fraction(total) / coin) - sum(coins)
    for index in sorted(range(len(exact)), key=lambda at: coins[at] - exact[at])[:missing]:
        coins[index] += 1
    return [Decimal(sign * each).scaleb(-places) for each in coins]
