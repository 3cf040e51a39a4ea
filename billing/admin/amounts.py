"""Form fields for exact amounts, conditions on fields of the data, and hours."""

import csv
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from billing.admin.display import MINUS
from billing.engine.money import amount_string, fits, parse

AMOUNT_LENGTH_MAX = 40
VALUES_MAX = 100
VALUE_LENGTH_MAX = 255
NAME_LENGTH_MAX = 64
_GROUPED = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?", re.ASCII)


def typed(text: str) -> Decimal | None:
    """The number that somebody typed, None where it is none.

    Commas group thousands and do nothing else: whoever means one and a half by ``1,5`` must not get fifteen.
    """
    text = text.strip().replace(MINUS, "-")
    return parse(text.replace(",", "") if _GROUPED.fullmatch(text) else text)


class AmountField(forms.CharField):
    """A decimal number, read exactly; thousands may be grouped by commas. None where nothing is written."""

    def __init__(self, *, required: bool = False, **kwargs: Any) -> None:
        widget = UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(required=required, max_length=AMOUNT_LENGTH_MAX, widget=widget, **kwargs)

    def to_python(self, value: Any) -> Decimal | None:  # type: ignore[override]
        text = super().to_python(value)
        if not text:
            return None
        number = typed(text)
        if number is None:
            raise ValidationError("Write a number, such as 25 or 12.50.")
        if not fits(number):
            raise ValidationError("At most 18 digits before the point and 12 after it.")
        if number < 0:
            raise ValidationError("Must not be negative.")
        return Decimal(amount_string(number))

    def run_validators(self, value: Any) -> None:
        """The length of the text was all they are about."""


class MatchField(forms.CharField):
    """``model: gpt-4o, gpt-4o-mini``, a line for each dimension; a value with a comma stands in double quotes."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false", "placeholder": "model: gpt-4o"})
        super().__init__(required=False, max_length=8000, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return write_match(value) if isinstance(value, Mapping) else value

    def clean(self, value: Any) -> Any:
        found: dict[str, list[str]] = {}
        for line in (super().clean(value) or "").splitlines():
            if not line.strip():
                continue
            name, separator, rest = line.partition(":")
            values = [each.strip() for each in next(csv.reader([rest], skipinitialspace=True), [])]
            if not separator or not name.strip() or not values or not all(values):
                raise ValidationError("Write a dimension and its values in each line: model: gpt-4o, gpt-4o-mini.")
            if name.strip() in found:
                raise ValidationError(f"{name.strip()} stands here twice.")
            if len(name.strip()) > NAME_LENGTH_MAX or len(values) > VALUES_MAX:
                raise ValidationError(f"At most {VALUES_MAX} values for a dimension.")
            if any(len(each) > VALUE_LENGTH_MAX for each in values):
                raise ValidationError(f"A value has at most {VALUE_LENGTH_MAX} characters.")
            found[name.strip()] = values
        return found


def write_match(match: Mapping[str, Sequence[str]]) -> str:
    """The conditions as they are typed."""
    lines = []
    for name, values in match.items():
        quoted = ['"' + value.replace('"', '""') + '"' if {",", '"'} & set(value) else value for value in values]
        lines.append(f"{name}: {', '.join(quoted)}")
    return "\n".join(lines)


class HoursField(forms.CharField):
    """``22-6, 12-14``: whole hours, which may run over midnight. A list of pairs."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "placeholder": "22-6"})
        super().__init__(required=False, max_length=200, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(f"{start}-{end}" for start, end in value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        windows = []
        for part in (super().clean(value) or "").replace("–", "-").split(","):
            if not part.strip():
                continue
            start, separator, end = (piece.strip() for piece in part.partition("-"))
            if not separator or not all(
                each.isdecimal() and each.isascii() and len(each) <= 2 for each in (start, end)
            ):
                raise ValidationError("Write whole hours from and until, such as 22-6.")
            windows.append([int(start), int(end)])
        return windows
