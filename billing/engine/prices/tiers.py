"""``graduated`` and ``volume``: the price falls, or rises, as the period's quantity grows."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from billing.engine.money import ZERO
from billing.engine.prices.function import WIDE, Part, add, divide, power_of_ten


@dataclass(frozen=True, slots=True)
class Tier:
    """Units up to and with ``up_to`` (None: all further ones) at ``unit_amount`` for every ``per`` of the price."""

    up_to: Decimal | None
    unit_amount: Decimal
    flat_amount: Decimal = ZERO
    """Due once, as soon as a unit falls in the tier."""


@dataclass(frozen=True, slots=True)
class _Tiered:
    tiers: tuple[Tier, ...]
    per: Decimal = Decimal(1)
    _power: int | None = field(init=False, repr=False, compare=False)
    _ends: tuple[Decimal, ...] = field(init=False, repr=False, compare=False)
    """Where all but the last tier end."""
    _starts: tuple[Decimal, ...] = field(init=False, repr=False, compare=False)
    """Beyond which quantity each tier begins."""
    _amounts: tuple[Decimal, ...] = field(init=False, repr=False, compare=False)
    """What the units of all tiers before each one cost, times ``per``."""
    _flats: tuple[Decimal, ...] = field(init=False, repr=False, compare=False)
    """The flat amounts of all tiers before each one and its own."""

    linear = False

    def __post_init__(self) -> None:
        ends = [tier.up_to for tier in self.tiers[:-1] if tier.up_to is not None]
        assert self.per > 0
        assert self.tiers
        assert len(ends) == len(self.tiers) - 1
        assert self.tiers[-1].up_to is None
        assert all(low < high for low, high in pairwise([ZERO, *ends]))
        assert all(tier.unit_amount >= 0 and tier.flat_amount >= 0 for tier in self.tiers)
        starts = [ZERO, *ends]
        amounts, flats = [ZERO], [self.tiers[0].flat_amount]
        for (low, high), tier, following in zip(pairwise(starts), self.tiers, self.tiers[1:], strict=False):
            amounts.append(WIDE.add(amounts[-1], WIDE.multiply(WIDE.subtract(high, low), tier.unit_amount)))
            flats.append(WIDE.add(flats[-1], following.flat_amount))
        for name, value in (
            ("_power", power_of_ten(self.per)),
            ("_ends", tuple(ends)),
            ("_starts", tuple(starts)),
            ("_amounts", tuple(amounts)),
            ("_flats", tuple(flats)),
        ):
            object.__setattr__(self, name, value)

    def adds_up(self, quantity: Decimal, *, precision: int) -> bool:
        return False

    def _tier(self, quantity: Decimal) -> int:
        """The tier that the last of ``quantity`` units falls in."""
        return bisect_left(self._ends, quantity)

    def _divided(self, amount: Decimal) -> Decimal | Fraction:
        return divide(amount, self.per, self._power)

    def _part(self, number: int, quantity: Decimal) -> list[Part]:
        """``quantity`` units in a tier, and its flat amount."""
        tier = self.tiers[number]
        amount = self._divided(WIDE.multiply(quantity, tier.unit_amount))
        found = [Part("units", amount, quantity, tier.unit_amount, self.per, tier=number + 1)]
        if tier.flat_amount:
            found.append(Part("flat_amount", tier.flat_amount, Decimal(1), tier.flat_amount, tier=number + 1))
        return found


@dataclass(frozen=True, slots=True)
class Graduated(_Tiered):
    """Each tier's units at that tier's price, and the flat amount of each tier that a unit falls in."""

    falls_after = ()

    def total(self, quantity: Decimal) -> Decimal | Fraction:
        if quantity == 0:
            return ZERO
        number = self._tier(quantity)
        beyond = WIDE.multiply(WIDE.subtract(quantity, self._starts[number]), self.tiers[number].unit_amount)
        return add(self._divided(WIDE.add(self._amounts[number], beyond)), self._flats[number])

    def parts(self, quantity: Decimal) -> list[Part]:
        found: list[Part] = []
        for number in range(self._tier(quantity) + 1 if quantity else 0):
            end = self._ends[number] if number < len(self._ends) else quantity
            found += self._part(number, WIDE.subtract(min(end, quantity), self._starts[number]))
        return found


@dataclass(frozen=True, slots=True)
class Volume(_Tiered):
    """All units at the price of the tier that the last one falls in, and that tier's flat amount.

    F falls where the next tier is cheaper: what was charged too much until then is given back.
    """

    @property
    def falls_after(self) -> Sequence[Decimal]:
        return self._ends

    def total(self, quantity: Decimal) -> Decimal | Fraction:
        if quantity == 0:
            return ZERO
        tier = self.tiers[self._tier(quantity)]
        return add(self._divided(WIDE.multiply(quantity, tier.unit_amount)), tier.flat_amount)

    def parts(self, quantity: Decimal) -> list[Part]:
        return self._part(self._tier(quantity), quantity) if quantity else []
