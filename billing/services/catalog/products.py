"""A metered product in one go: the meter, and a plan that charges for what it counts."""

from collections.abc import Sequence
from decimal import Decimal

from django.db import transaction

from accounts.services import audit
from billing.engine.money import amount_string
from billing.models import Asset, Meter, PlanDraft
from billing.services.catalog import drafts, meters


def create(
    *,
    actor: audit.Actor,
    code: str,
    name: str,
    event_type: str,
    currency: Asset,
    unit_amount: Decimal,
    per: Decimal = Decimal(1),
    value: str = "",
    unit: str = "",
    dimensions: Sequence[str] = (),
) -> PlanDraft:
    """A meter and the draft of a plan of the same code, whose one price is ``unit_amount`` for each ``per`` units.

    Without ``value`` each event counts as one. Both are made or neither: raises as ``meters.create`` and
    ``drafts.create_plan``.
    """
    aggregation = Meter.Aggregation.SUM if value else Meter.Aggregation.COUNT
    price = {
        "meter": code,
        "asset": currency.pk,
        "model": "per_unit",
        "unit_amount": amount_string(unit_amount),
        "per": amount_string(per),
    }
    with transaction.atomic():
        meters.create(
            actor=actor,
            code=code,
            name=name,
            event_type=event_type,
            aggregation=aggregation,
            value=value,
            unit=unit,
            dimensions=dimensions,
        )
        return drafts.create_plan(actor=actor, code=code, name=name, currency=currency, terms={"prices": [price]})
