"""Cases about charges: what they are about, and which of them an event is in."""

from collections.abc import Collection
from decimal import Decimal
from uuid import UUID

from billing.engine.money import EXACT, ZERO
from billing.models import Charge, ChargeDispute, DisputedEvent, UsageEvent


def amounts(disputes: Collection[ChargeDispute]) -> dict[UUID, dict[str, Decimal]]:
    """What the events of each case were charged at first, by asset."""
    lines = DisputedEvent.objects.filter(dispute__in=disputes).values_list("dispute_id", "customer_id", "event_id")
    found: dict[UUID, dict[str, Decimal]] = {dispute.pk: {} for dispute in disputes}
    cases: dict[UUID, list[UUID]] = {}
    for dispute_id, _, event_id in lines:
        cases.setdefault(event_id, []).append(dispute_id)
    charges = Charge.objects.filter(
        customer_id__in={customer_id for _, customer_id, _ in lines}, event_id__in=cases, correction=None
    )
    for event_id, asset, amount in charges.order_by().values_list("event_id", "asset_id", "amount"):
        for dispute_id in cases[event_id]:
            by_asset = found[dispute_id]
            by_asset[asset] = EXACT.add(by_asset.get(asset, ZERO), amount)
    return found


def latest_of(event: UsageEvent) -> ChargeDispute | None:
    """The newest case that the event is in."""
    cases = ChargeDispute.objects.filter(customer_id=event.customer_id, lines__event=event)
    return cases.order_by("-id").first()
