"""Fields and serializers that take exactly what the contract says."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.engine.money import amount_string, fits, parse

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,12})?(Z|[+-][0-9]{2}:[0-9]{2})\Z",
    re.IGNORECASE,
)
_YEAR_MIN, _YEAR_MAX = 1970, 9998


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses unknown fields: a typo must not bill wrongly."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = sorted(str(name) for name in set(data) - set(self.fields))
            if unknown:
                raise serializers.ValidationError(
                    {
                        name: serializers.ErrorDetail("There is no such field here.", code="unknown_field")
                        for name in unknown
                    }
                )
        return super().to_internal_value(data)


AMOUNT_PATTERN = r"^-?[0-9]{1,18}(\.[0-9]{1,12})?$"


@extend_schema_field({"type": "string", "pattern": AMOUNT_PATTERN, "examples": ["74.10", "0.0000025"]})
class AmountField(serializers.Field[Decimal, Any, str, Any]):
    """A decimal string; in requests a JSON number too, read exactly as written."""

    default_error_messages = {
        "invalid": 'A decimal number is needed, as a string such as "12.50".',
        "range": "At most 18 digits before the point and 12 after it.",
        "minimum": "Must be at least {minimum}.",
    }

    def __init__(self, *, minimum: int | None = None, **kwargs: Any) -> None:
        self.minimum = minimum
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool) or not isinstance(data, str | int | Decimal):
            self.fail("invalid")
        amount = parse(data) if isinstance(data, str) else Decimal(data)
        if amount is None:
            self.fail("invalid")
        if not fits(amount):
            self.fail("range")
        if self.minimum is not None and amount < self.minimum:
            self.fail("minimum", minimum=self.minimum)
        return amount

    def to_representation(self, value: Decimal) -> str:
        return amount_string(value)


@extend_schema_field({"type": "string", "format": "date-time"})
class MomentField(serializers.Field[datetime, Any, str, Any]):
    """RFC 3339 with an offset in; UTC with ``Z`` out."""

    default_error_messages = {"invalid": "A time is needed, as RFC 3339 with an offset: 2026-11-20T10:00:00Z."}

    def to_internal_value(self, data: Any) -> datetime:
        moment = parse_moment(data)
        if moment is None:
            self.fail("invalid")
        return moment

    def to_representation(self, value: datetime) -> str:
        return moment_string(value)


def parse_moment(text: Any) -> datetime | None:
    """The time in UTC, or None where it is no RFC 3339 time with an offset, from 1970 until before 9999.

    Beyond these years a time could not be shown in every zone.
    """
    if not isinstance(text, str) or not _RFC_3339.match(text):
        return None
    try:
        moment = parse_datetime(text.upper())
        moment = None if moment is None else moment.astimezone(UTC)
        return moment if moment is not None and _YEAR_MIN <= moment.year <= _YEAR_MAX else None
    except (ValueError, OverflowError):
        return None


def moment_string(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else moment_string(moment)


def amount_or_none(amount: Decimal | None) -> str | None:
    return None if amount is None else amount_string(amount)


@extend_schema_field({"type": "string", "format": "uuid"})
class IdField(serializers.Field[UUID, Any, str, Any]):
    """One of our own ids, as we write it."""

    default_error_messages = {"invalid": "An id is needed, as it was given."}

    def to_internal_value(self, data: Any) -> UUID:
        found = parse_id(data)
        if found is None:
            self.fail("invalid")
        return found

    def to_representation(self, value: UUID) -> str:
        return str(value)


def parse_id(value: Any) -> UUID | None:
    """The id, or None where it is not written as we write it."""
    try:
        found = UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and str(found) == value.lower() else None


class TextField(serializers.CharField):
    """Text that the database can store and a page can show: no control characters."""

    default_error_messages = {"control": "Control characters are not allowed."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text = super().to_internal_value(data)
        if any(ord(character) < 32 or ord(character) == 127 for character in text):
            self.fail("control")
        return text


class PatternField(serializers.RegexField):
    """Text of a certain form, taken as it is: a name that was trimmed would not be found under its own spelling."""

    def __init__(self, regex: str, **kwargs: Any) -> None:
        super().__init__(regex, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


METADATA_KEYS_MAX = 50
METADATA_BYTES_MAX = 16_384


@extend_schema_field({"type": "object", "additionalProperties": True})
class MetadataField(serializers.Field[dict[str, Any], Any, Any, Any]):
    """The caller's own JSON object: at most 50 keys and 16 KiB."""

    default_error_messages = {
        "invalid": "A JSON object is needed.",
        "size": "At most 50 keys and 16 KiB.",
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        from billing.api.json import write

        if not isinstance(data, dict):
            self.fail("invalid")
        if len(data) > METADATA_KEYS_MAX or len(write(data)) > METADATA_BYTES_MAX:
            self.fail("size")
        kept: dict[str, Any] = stored(data)
        return kept

    def to_representation(self, value: Any) -> Any:
        return value


def stored(value: Any) -> Any:
    """Decimals as strings: a JSON column would read them back as floats."""
    if isinstance(value, Decimal):
        return amount_string(value)
    if isinstance(value, dict):
        return {key: stored(member) for key, member in value.items()}
    if isinstance(value, list):
        return [stored(member) for member in value]
    return value
