"""Meters: which number of which events is counted."""

from collections.abc import Mapping, Sequence

from django.db import IntegrityError, transaction

from accounts.services import audit
from billing.engine import expressions
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
) -> Meter:
    """Add a meter. Raises ``InvalidRequest`` for a value that cannot be read, ``AlreadyExists`` for a taken code."""
    if aggregation == Meter.Aggregation.COUNT:
        if value:
            raise InvalidRequest.field("value", "does not go with count, which counts events")
    elif not value:
        raise InvalidRequest.field("value", "is needed: a field of the event's data, or arithmetic on such fields")
    if value:
        try:
            expressions.parse(value)
        except expressions.BadExpression as bad:
            raise InvalidRequest.field("value", str(bad), code="invalid_expression") from bad
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
