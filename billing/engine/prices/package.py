"""``package``: started blocks, or, rounded down, full ones."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.engine.prices.function import WIDE, Part


@dataclass(frozen=True, slots=True)
class Package:
    """``unit_amount`` for every started block of ``per`` units, or every full one where ``up`` is false."""

    unit_amount: Decimal
    per: Decimal
    up: bool = True

    linear = False
    falls_after = ()

    def __post_init__(self) -> None:
        assert self.unit_amount >= 0
        assert self.per > 0

    def packages(self, quantity: Decimal) -> Decimal:
        """How many blocks ``quantity`` is charged as."""
        full, rest = divmod(Fraction(quantity), Fraction(self.per))
        return Decimal(full + 1 if rest and self.up else full)

    def total(self, quantity: Decimal) -> Decimal | Fraction:
        return WIDE.multiply(self.packages(quantity), self.unit_amount)

    def adds_up(self, quantity: Decimal, *, precision: int) -> bool:
        return False

    def parts(self, quantity: Decimal) -> list[Part]:
        return [Part("packages", self.total(quantity), self.packages(quantity), self.unit_amount, self.per)]
