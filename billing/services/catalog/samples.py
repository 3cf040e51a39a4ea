"""What would one event come to, with nobody's wallet behind it? For trying out meters, prices and costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from accounts.ids import uuid7
from billing.engine.costs import BEGINNING, Cost
from billing.engine.metering import BadQuantity
from billing.errors import BillingError, UnpricedUsage
from billing.models import Meter, PlanVersion
from billing.selectors.catalog import costs
from billing.selectors.catalog.catalog import meter_rule
from billing.services.usage import rating
from billing.services.usage.counters import Counters
from billing.services.usage.events import IncomingEvent


@dataclass(frozen=True, slots=True)
class Metered:
    """What one meter makes of the event: a quantity, or why none."""

    meter: Meter
    quantity: Decimal | None
    why: str
    groups: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Priced:
    """What one price charges for it, as the first usage of a billing period."""

    line: rating.Line
    quantity: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Tried:
    """All of it. ``refused`` says why the plan has no price for the event."""

    metered: Sequence[Metered]
    priced: Sequence[Priced]
    refused: str
    cost: Cost | None


class _Nothing(Counters):
    """A period in which nothing was used so far."""

    def charged_before(self, customer_id: Any, line: rating.Line) -> Decimal:
        return Decimal(0)


def attempt(*, type: str, data: Mapping[str, Any], version: PlanVersion, moment: datetime) -> Tried:
    """The event at ``moment`` under the plan version, as the first of a period. Nothing is written."""
    event = IncomingEvent(id="sample", source="", type=type, subject="", time=moment, data=data)
    zone = ZoneInfo("UTC")
    subscribed = rating.Subscribed(uuid7(), version.pk, BEGINNING, None, BEGINNING, zone, BEGINNING)
    payer = rating.Payer(uuid7(), uuid7(), "this plan", version.plan.currency_id, zone, False, [subscribed])
    priced, refused = [], ""
    counters = _Nothing()
    try:
        for line in rating.lines(event, payer, occurred_at=moment):
            rated = counters.charge(payer.id, line)
            priced.append(Priced(line, rated.quantity, rated.amount))
    except UnpricedUsage as refusal:
        priced, refused = [], _unpriced(refusal, version)
    except BillingError as refusal:
        priced, refused = [], " ".join(_wrong(each.field, each.detail) for each in refusal.errors) or refusal.detail
    return Tried(
        [_metered(meter, data) for meter in Meter.objects.filter(event_type=type)],
        priced,
        refused,
        costs.current().cost(data, moment),
    )


def _metered(meter: Meter, data: Mapping[str, Any]) -> Metered:
    rule = meter_rule(meter)
    try:
        quantity = rule.quantity(data)
    except BadQuantity as bad:
        return Metered(meter, None, _wrong(bad.field, bad.detail), {})
    why = "" if quantity is not None else rule.left_out(data)
    return Metered(meter, quantity, why, rule.groups(data) if quantity is not None else {})


def _wrong(field: str, detail: str) -> str:
    return f"{field.removeprefix('data.')} {detail}. Correct it in the data."


def _unpriced(refusal: UnpricedUsage, version: PlanVersion) -> str:
    """Which price is missing, and where it would be added."""
    if "meter" in refusal.figures:
        return f"{refusal.detail} Add one to its next version."
    return (
        f"{version} has a price for none of the meters that count this event. Choose another plan, or add a price to "
        "its next version."
    )
