"""What of an event a price runs on, where that is not its quantity: the event itself, or an amount of money."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from billing.engine.metering import BadQuantity, number_in
from billing.engine.money import DECIMALS_MAX, EXACT, LIMIT, ZERO, round_half_even
from billing.engine.prices.function import WIDE


class Measure(Protocol):
    """Turns a metered event into what its price's function counts."""

    def of(self, quantity: Decimal, data: Mapping[str, Any]) -> Decimal:
        """At most 12 decimals. Raises ``BadQuantity`` where the data does not give it."""
        ...


@dataclass(frozen=True, slots=True)
class PerEvent:
    """Each event counts as one, whatever its quantity."""

    def of(self, quantity: Decimal, data: Mapping[str, Any]) -> Decimal:
        return Decimal(1)


@dataclass(frozen=True, slots=True)
class Share:
    """``rate`` of the metered amount and ``fixed`` on top, within ``minimum`` and ``maximum`` for each event."""

    rate: Decimal
    fixed: Decimal = ZERO
    minimum: Decimal = ZERO
    maximum: Decimal | None = None

    def of(self, quantity: Decimal, data: Mapping[str, Any]) -> Decimal:
        amount = max(WIDE.add(WIDE.multiply(quantity, self.rate), self.fixed), self.minimum)
        if self.maximum is not None:
            amount = min(amount, self.maximum)
        if amount >= LIMIT:
            raise BadQuantity("data", "comes to more than 18 digits before the point")
        return round_half_even(amount, precision=DECIMALS_MAX)


@dataclass(frozen=True, slots=True)
class FromData:
    """An amount that the event itself brings, in ``field`` of its data."""

    field: str

    def of(self, quantity: Decimal, data: Mapping[str, Any]) -> Decimal:
        amount = number_in(data, self.field)
        if amount is None:
            raise BadQuantity(f"data.{self.field}", "is needed: the price is taken from it")
        if amount < 0:
            raise BadQuantity(f"data.{self.field}", "must not be negative")
        return EXACT.plus(amount)


@dataclass(frozen=True, slots=True)
class FromCatalogue:
    """The line's part of what the provider charges for the event, by the cost catalogue: known once all lines are."""

    def of(self, quantity: Decimal, data: Mapping[str, Any]) -> Decimal:
        return ZERO
