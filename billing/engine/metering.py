"""From an event's data to a meter's quantity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing.engine import expressions
from billing.engine.money import DECIMALS_MAX, LIMIT, ZERO, amount_string, fits, parse, round_half_even


class BadQuantity(ValueError):
    """The data does not give a usable quantity. ``field`` is what is wrong, as a path below the event."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field
        self.detail = detail


@dataclass(frozen=True, slots=True)
class MeterRule:
    """What a meter counts."""

    code: str
    event_type: str
    aggregation: str
    value: expressions.Expression | None
    filter: Mapping[str, frozenset[str]]
    dimensions: Sequence[str]

    @property
    def field(self) -> str | None:
        """The field of the data that is the quantity as it is; None where it has to be worked out."""
        return self.value.name if self.value is not None and self.aggregation == "sum" else None

    def quantity(self, data: Mapping[str, Any]) -> Decimal | None:
        """How much of this meter the event is. None where the filter leaves it out or it has no such field at all."""
        for field, wanted in self.filter.items():
            if dimension(data.get(field)) not in wanted:
                return None
        if self.aggregation == "count":
            return Decimal(1)
        assert self.value is not None
        if not any(field in data for field in self.value.fields):
            return None
        field = f"data.{self.value.fields[0]}"
        try:
            quantity = self.value.evaluate({name: _number(data, name) for name in self.value.fields})
        except ArithmeticError:
            raise BadQuantity(field, f"cannot be worked out for the meter {self.code}: a division by zero") from None
        if quantity < 0:
            raise BadQuantity(field, f"gives a negative quantity for the meter {self.code}")
        # A division may leave more decimals than the books keep.
        quantity = round_half_even(quantity, precision=DECIMALS_MAX)
        if quantity >= LIMIT:
            raise BadQuantity(field, f"gives more than 18 digits before the point for the meter {self.code}")
        return quantity

    def groups(self, data: Mapping[str, Any]) -> dict[str, str]:
        """The values of its dimensions that the event has."""
        return {field: dimension(data[field]) for field in self.dimensions if data.get(field) is not None}


def dimension(value: Any) -> str:
    """A value of the data as a group's name: a number without needless zeros, true and false as in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return amount_string(value)
    return str(value)[:255]


def _number(data: Mapping[str, Any], field: str) -> Decimal:
    """The field as an exact number; what is missing counts as zero."""
    value = data.get(field)
    if value is None:
        return ZERO
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise BadQuantity(f"data.{field}", "must be a number")
    if isinstance(value, str):
        value = parse(value)
        if value is None:
            raise BadQuantity(f"data.{field}", "must be a number")
    number = Decimal(value)
    if not fits(number):
        raise BadQuantity(f"data.{field}", "must be finite, with at most 18 digits before the point and 12 after it")
    return number
