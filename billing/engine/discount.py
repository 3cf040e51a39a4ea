"""A share off a price, whatever the price is."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.engine.money import EXACT, decimals
from billing.engine.rating import PriceFunction


@dataclass(frozen=True, slots=True)
class Discounted:
    """``price`` less the share ``discount`` of it."""

    price: PriceFunction
    discount: Decimal

    def total(self, quantity: Decimal) -> Decimal | Fraction:
        whole, rest = self.price.total(quantity), EXACT.subtract(Decimal(1), self.discount)
        return EXACT.multiply(whole, rest) if isinstance(whole, Decimal) else whole * Fraction(rest)

    def adds_up(self, quantity: Decimal, *, precision: int) -> bool:
        return self.price.adds_up(quantity, precision=precision - decimals(self.discount))
