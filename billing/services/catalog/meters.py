"""Meters: which number of which events is counted."""

from collections.abc import Mapping, Sequence

from django.db import IntegrityError, transaction

from accounts.services import audit
from billing.engine import expressions, presets
from billing.errors import AlreadyExists, InvalidRequest
from billing.models import Meter


def create(
    *,
    actor: audit.Actor,
    code: str,
    name: str,
    event_type: str,
    aggregation: str,
    value: str = "",
    filter: Mapping[str, Sequence[str]] | None = None,
    dimensions: Sequence[str] = (),
    unit: str = "",
    phase: str = "",
    section: str = "",
) -> Meter:
    """Add a meter. Raises ``InvalidRequest`` for a value that cannot be read, ``AlreadyExists`` for a taken code."""
    _check_value(aggregation, value)
    try:
        with transaction.atomic():
            meter = Meter.objects.create(
                code=code,
                name=name,
                event_type=event_type,
                aggregation=aggregation,
                value=value,
                filter=dict(filter or {}),
                dimensions=list(dimensions),
                unit=unit,
                phase=phase,
                section=section,
            )
            audit.record(
                actor=actor,
                action="meter.created",
                object_type="meter",
                object_id=code,
                after={"event_type": event_type, "aggregation": aggregation, "value": value},
            )
    except IntegrityError as error:
        raise AlreadyExists(f"There is a meter {code} already.") from error
    return meter


def create_preset(
    *, actor: audit.Actor, preset: str, event_type: str = "", prefix: str = "", dimensions: Sequence[str] = ()
) -> list[Meter]:
    """Add all meters of a preset, or none of them: codes with ``prefix`` in front, for events of ``event_type``.

    Raises ``InvalidRequest`` where there is no such preset, ``AlreadyExists`` where one of the codes is taken.
    """
    found = presets.PRESETS.get(preset)
    if found is None:
        raise InvalidRequest.field("preset", f"must be one of {', '.join(presets.PRESETS)}")
    with transaction.atomic():
        return [
            create(
                actor=actor,
                code=f"{prefix}{meter.code}",
                name=meter.name,
                event_type=event_type or found.event_type,
                aggregation=meter.aggregation,
                value=meter.value,
                filter=meter.filter,
                dimensions=[*dict.fromkeys([*found.dimensions, *dimensions])],
                unit=meter.unit,
                phase=meter.phase,
            )
            for meter in found.meters
        ]


def _check_value(aggregation: str, value: str) -> None:
    if aggregation == Meter.Aggregation.COUNT:
        if value:
            raise InvalidRequest.field("value", "does not go with count, which counts events")
        return
    if not value:
        raise InvalidRequest.field("value", "is needed: a field of the event's data, or arithmetic on such fields")
    try:
        parsed = expressions.parse(value)
    except expressions.BadExpression as bad:
        raise InvalidRequest.field("value", str(bad), code="invalid_expression") from bad
    if aggregation == Meter.Aggregation.UNIQUE and parsed.name is None:
        raise InvalidRequest.field("value", "must be a field of the event's data, whose different values are counted")
