"""What goes around a price: units that are free, the most that a period costs, and a discount."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from billing.engine.money import ZERO, decimals
from billing.engine.prices.function import WIDE, Part, PriceFunction, multiply


@dataclass(frozen=True, slots=True)
class FreeUnits:
    """The period's first ``units`` cost nothing; the price starts to count after them."""

    price: PriceFunction
    units: Decimal

    linear = False

    def __post_init__(self) -> None:
        assert self.units >= 0

    @property
    def falls_after(self) -> Sequence[Decimal]:
        return [WIDE.add(quantity, self.units) for quantity in self.price.falls_after]

    def total(self, quantity: Decimal) -> Decimal | Fraction:
        return self.price.total(self._beyond(quantity))

    def adds_up(self, quantity: Decimal, *, precision: int) -> bool:
        return False

    def parts(self, quantity: Decimal) -> list[Part]:
        free = Part("free_units", ZERO, min(quantity, self.units), ZERO)
        return [free, *self.price.parts(self._beyond(quantity))]

    def _beyond(self, quantity: Decimal) -> Decimal:
        return max(ZERO, WIDE.subtract(quantity, self.units))


@dataclass(frozen=True, slots=True)
class Capped:
    """Never more than ``maximum`` in a period."""

    price: PriceFunction
    maximum: Decimal

    linear = False

    def __post_init__(self) -> None:
        assert self.maximum >= 0

    @property
    def falls_after(self) -> Sequence[Decimal]:
        return self.price.falls_after

    def total(self, quantity: Decimal) -> Decimal | Fraction:
        return min(self.price.total(quantity), self.maximum)

    def adds_up(self, quantity: Decimal, *, precision: int) -> bool:
        return False

    def parts(self, quantity: Decimal) -> list[Part]:
        beyond = min(Fraction(0), Fraction(self.maximum) - Fraction(self.price.total(quantity)))
        return [*self.price.parts(quantity), Part("maximum", beyond)]


@dataclass(frozen=True, slots=True)
class Discounted:
    """``share`` off everything: ``Decimal("0.15")`` is 15 %."""

    price: PriceFunction
    share: Decimal
    _rest: Decimal = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        assert 0 <= self.share <= 1
        object.__setattr__(self, "_rest", WIDE.subtract(Decimal(1), self.share))

    @property
    def linear(self) -> bool:
        return self.price.linear

    @property
    def falls_after(self) -> Sequence[Decimal]:
        return self.price.falls_after

    def total(self, quantity: Decimal) -> Decimal | Fraction:
        return multiply(self.price.total(quantity), self._rest)

    def adds_up(self, quantity: Decimal, *, precision: int) -> bool:
        return self.price.adds_up(quantity, precision=precision - decimals(self._rest))

    def parts(self, quantity: Decimal) -> list[Part]:
        off = Fraction(self.price.total(quantity)) * -Fraction(self.share)
        return [*self.price.parts(quantity), Part("discount", off)]
