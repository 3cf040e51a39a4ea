"""Why was this charged? Everything that an event came to, from the event to the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from billing.engine.money import EXACT, ZERO
from billing.models import Charge, LedgerEntry, UsageEvent


@dataclass(frozen=True, slots=True)
class ReceiptDraw:
    """What one grant paid of a charge; without a grant it came from the overdraft."""

    grant_id: UUID | None
    name: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class ReceiptCharge:
    """A charge with the price that was applied: quantity ÷ per × unit amount."""

    meter: str
    quantity: Decimal
    asset: str
    amount: Decimal
    plan: str
    plan_version: int
    model: str
    unit_amount: Decimal
    per: Decimal
    match: Mapping[str, Sequence[str]]
    failure_policy: str
    waived: Decimal | None
    """What was used and is not charged, for the run failed."""
    dimensions: Mapping[str, str]
    draws: Sequence[ReceiptDraw]


@dataclass(frozen=True, slots=True)
class Receipt:
    """All of it. ``cost`` is by asset code."""

    charges: Sequence[ReceiptCharge]
    entries: Sequence[LedgerEntry]
    cost: Mapping[str, Decimal]


def of(event: UsageEvent) -> Receipt:
    """The receipt of a recorded event; empty for one that was refused."""
    entries = list(
        LedgerEntry.objects.filter(transaction_id=event.pk, customer_id=event.customer_id)
        .select_related("grant")
        .order_by("asset_id", "seq")
    )
    draws: dict[UUID | None, list[ReceiptDraw]] = {}
    for entry in entries:
        name = "Overdraft" if entry.grant is None else str(entry.grant)
        draws.setdefault(entry.charge_id, []).append(ReceiptDraw(entry.grant_id, name, entry.amount))
    charges = []
    cost: dict[str, Decimal] = {}
    for charge in (
        Charge.objects.filter(event=event).select_related("meter", "price", "plan_version__plan").order_by("id")
    ):
        cost[charge.asset_id] = EXACT.add(cost.get(charge.asset_id, ZERO), charge.amount)
        charges.append(
            ReceiptCharge(
                meter=charge.meter.code,
                quantity=charge.quantity,
                asset=charge.asset_id,
                amount=charge.amount,
                plan=charge.plan_version.plan.code,
                plan_version=charge.plan_version.number,
                model=charge.price.model,
                unit_amount=charge.price.unit_amount,
                per=charge.price.per,
                match=charge.price.match,
                failure_policy=charge.price.failure_policy,
                waived=charge.waived,
                dimensions=charge.dimensions,
                draws=draws.get(charge.pk, []),
            )
        )
    return Receipt(charges, entries, cost)
