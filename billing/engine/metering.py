"""From an event's data to a meter's quantity."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as kept
from decimal import Decimal
from typing import Any

from billing.engine import expressions
from billing.engine.money import DECIMALS_MAX, LIMIT, WHOLE_LIMIT, ZERO, amount_string, fits, parse, round_half_even


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
    dimensions: tuple[str, ...]

    field: str | None = kept(init=False, repr=False, compare=False)
    """The field of the data that is the quantity as it is; None where it has to be worked out."""
    leading_field: str | None = kept(init=False, repr=False, compare=False)
    """The first field that the quantity is made from: what the meter counts, less what others count."""

    def __post_init__(self) -> None:
        plain = self.value.name if self.value is not None and self.aggregation == "sum" else None
        object.__setattr__(self, "field", plain)
        object.__setattr__(self, "leading_field", self.value.fields[0] if self.value is not None else None)

    def quantity(self, data: Mapping[str, Any]) -> Decimal | None:
        """How much of this meter the event is: for a level or a peak, the one that it reports.

        None where the filter leaves it out or it has no such field at all.
        """
        for field, wanted in self.filter.items():
            if dimension(find(data, field)) not in wanted:
                return None
        if self.aggregation == "count":
            return Decimal(1)
        assert self.value is not None
        if not any(find(data, field) is not _MISSING for field in self.value.fields):
            return None
        if self.aggregation == "unique":
            return Decimal(1) if self.distinct(data) else None
        field = f"data.{self.value.fields[0]}"
        try:
            quantity = self.value.evaluate({name: number_in(data, name) or ZERO for name in self.value.fields})
        except ArithmeticError:
            raise BadQuantity(field, f"cannot be worked out for the meter {self.code}: a division by zero") from None
        if quantity < 0:
            raise BadQuantity(field, f"gives a negative quantity for the meter {self.code}")
        if self.value.name is None:
            # A division may leave more decimals than the books keep.
            quantity = round_half_even(quantity, precision=DECIMALS_MAX)
        if quantity >= LIMIT:
            raise BadQuantity(field, f"gives more than 18 digits before the point for the meter {self.code}")
        return quantity

    def left_out(self, data: Mapping[str, Any]) -> str:
        """Why it counts nothing of the event, for people, where it does not."""
        for field, wanted in self.filter.items():
            value = find(data, field)
            if dimension(value) not in wanted:
                has = "does not say" if value is _MISSING else f"says {dimension(value)}"
                return f"Its filter asks for {field} {' or '.join(sorted(wanted))}, and the event {has}."
        fields = self.value.fields if self.value is not None else ()
        return f"The event has no {' and no '.join(fields)}, which is what it counts."

    def distinct(self, data: Mapping[str, Any]) -> str:
        """What a meter of unique values tells apart; empty where the event has nothing there."""
        assert self.value is not None
        assert self.value.name is not None
        value = find(data, self.value.name)
        if value is _MISSING or value is None:
            return ""
        if isinstance(value, Mapping | list):
            raise BadQuantity(f"data.{self.value.name}", "must be a text or a number")
        return dimension(value, length=None)

    def groups(self, data: Mapping[str, Any]) -> dict[str, str]:
        """The values of its dimensions that the event has."""
        found = {field: data.get(field) if "." not in field else find(data, field) for field in self.dimensions}
        return {
            field: dimension(value) for field, value in found.items() if value is not None and value is not _MISSING
        }


class _Missing:
    """What is not there, where null would be something."""

    def __str__(self) -> str:
        return "None"


_MISSING = _Missing()


def find(data: Mapping[str, Any], path: str) -> Any:
    """The value of the field; ``a.b`` is b in the object a, unless there is a field of that very name."""
    if path in data:
        return data[path]
    found: Any = data
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return _MISSING
        found = found[name]
    return found


def dimension(value: Any, *, length: int | None = 255) -> str:
    """A value of the data as a group's name: a number without needless zeros, true and false as in JSON."""
    if isinstance(value, str):
        return value[:length]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return amount_string(value)
    return str(value)[:length]


def number_in(data: Mapping[str, Any], field: str) -> Decimal | None:
    """The field as an exact number; None for what is missing or null."""
    value = find(data, field)
    if type(value) is int and -WHOLE_LIMIT < value < WHOLE_LIMIT:
        return Decimal(value)
    if value is None or value is _MISSING:
        return None
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
