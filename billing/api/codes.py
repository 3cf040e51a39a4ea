"""Fields that name rows of the catalog, and conditions on an event's data."""

import re
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.models import Asset, Meter, Plan

CODE_LENGTH_MAX = 255
DIMENSION = re.compile(r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")
VALUES_MAX = 100


@extend_schema_field({"type": "string", "minLength": 1, "maxLength": 255})
class CodeField(serializers.Field[Any, Any, Any, Any]):
    """Names a row of the catalog by its code, and gives the row."""

    default_error_messages = {"invalid": "A code is needed, as a string.", "not_found": "There is no {what} {code}."}
    what: ClassVar[str]

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or not data or len(data) > CODE_LENGTH_MAX or "\x00" in data:
            self.fail("invalid")
        row = self.find(data)
        if row is None:
            self.fail("not_found", what=self.what, code=data)
        return row

    def to_representation(self, value: Any) -> Any:
        return value.pk

    def find(self, code: str) -> Any:
        raise NotImplementedError


class CurrencyField(CodeField):
    """An ISO 4217 code, in either case, of an asset that is a currency."""

    what = "currency"

    def find(self, code: str) -> Asset | None:
        return Asset.objects.filter(pk=code.lower(), kind=Asset.Kind.CURRENCY).first()


class AssetField(CodeField):
    what = "asset"

    def find(self, code: str) -> Asset | None:
        return Asset.objects.filter(pk=code).first()


class MeterField(CodeField):
    what = "meter"

    def find(self, code: str) -> Meter | None:
        return Meter.objects.filter(code=code).first()


class PlanField(CodeField):
    what = "plan"

    def find(self, code: str) -> Plan | None:
        return Plan.objects.filter(code=code).first()


@extend_schema_field(
    {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 1}}
)
class MatchField(serializers.Field[dict[str, list[str]], Any, Any, Any]):
    """``{"model": ["gpt-4o", …]}``: for each field of the data the values it may have."""

    default_error_messages = {
        "invalid": 'An object is needed that gives a list of texts for each field: {{"model": ["gpt-4o"]}}.',
    }

    def to_internal_value(self, data: Any) -> dict[str, list[str]]:
        if not isinstance(data, dict):
            self.fail("invalid")
        for name, values in data.items():
            if not DIMENSION.match(name) or not isinstance(values, list) or not 0 < len(values) <= VALUES_MAX:
                self.fail("invalid")
            if any(not isinstance(value, str) or not value or len(value) > 255 for value in values):
                self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        return value
