"""``per_unit``, and every price that is a plain share of something."""

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from billing.engine.money import decimals
from billing.engine.prices.function import WIDE, Part, divide, power_of_ten


@dataclass(frozen=True, slots=True)
class PerUnit:
    """``unit_amount`` for every ``per`` units: q / per × unit_amount."""

    unit_amount: Decimal
    per: Decimal = Decimal(1)
    _power: int | None = field(init=False, repr=False, compare=False)
    _decimals: int = field(init=False, repr=False, compare=False)

    linear = True
    falls_after = ()

    def __post_init__(self) -> None:
        assert self.unit_amount >= 0
        assert self.per > 0
        object.__setattr__(self, "_power", power_of_ten(self.per))
        object.__setattr__(self, "_decimals", decimals(self.unit_amount))

    def total(self, quantity: Decimal) -> Decimal | Fraction:
        return divide(WIDE.multiply(quantity, self.unit_amount), self.per, self._power)

    def adds_up(self, quantity: Decimal, *, precision: int) -> bool:
        if self._power is None:
            return False
        return decimals(quantity) + self._decimals + self._power <= precision

    def parts(self, quantity: Decimal) -> list[Part]:
        return [Part("units", self.total(quantity), quantity, self.unit_amount, self.per)]
