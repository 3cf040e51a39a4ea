"""The column types of the books."""

import json
from decimal import Decimal
from typing import Any

from django.db import models

AMOUNT_DIGITS = 30
AMOUNT_DECIMALS = 12
AMOUNT_BELOW = Decimal(10) ** (AMOUNT_DIGITS - AMOUNT_DECIMALS)
"""Every amount and quantity is smaller than this, in either direction."""


class AmountField(models.DecimalField):  # type: ignore[type-arg]
    """An exact amount or quantity: ``NUMERIC(30,12)``, 18 digits before the point and 12 after it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"] = AMOUNT_DIGITS
        kwargs["decimal_places"] = AMOUNT_DECIMALS
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, args, kwargs


class ExactJSONDecoder(json.JSONDecoder):
    """Reads the numbers of a JSON column as they were written, never as floats."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs | {"parse_float": Decimal})


def number_check(table: str, *fields: str, at_least: int | None = None) -> models.CheckConstraint:
    """Refuse NaN in ``fields``, and, where given, anything below ``at_least``.

    PostgreSQL sorts NaN above every number, so that ``amount > 0`` alone lets it in; an upper bound keeps it out.
    """
    condition = models.Q()
    for field in fields:
        condition &= models.Q(**{f"{field}__lt": AMOUNT_BELOW})
        if at_least is not None:
            condition &= models.Q(**{f"{field}__gte": at_least})
    suffix = "numbers" if at_least is None else f"at_least_{at_least}"
    return models.CheckConstraint(name=f"{table}_{suffix}", condition=condition)
