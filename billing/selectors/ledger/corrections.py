"""What operators corrected, and what of a usage event's cost is left to take back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from billing.engine.money import EXACT, ZERO
from billing.models import (
    Charge,
    Correction,
    EntryKind,
    LedgerEntry,
    LedgerTransaction,
    UnpaidUsage,
    UsageEvent,
)
from billing.selectors.catalog.catalog import compile_price
from billing.selectors.invoicing import invoices
from billing.selectors.ledger.paid_for import Counted, PaidFor
from billing.selectors.usage import counting


@dataclass(frozen=True, slots=True)
class Payment:
    """``amount`` that a grant paid of a charge and has not got back; without a grant it went beyond the grants."""

    charge: Charge
    grant_id: UUID | None
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Standing:
    """An event's charges, as they were made at first, and what of them still stands."""

    charges: Sequence[Charge]
    payments: Sequence[Payment]
    """In the order in which they were taken."""
    void: bool = False
    """Whether a part was owed, and is no longer, because its invoice is void."""

    @property
    def left(self) -> dict[str, Decimal]:
        """What can still be taken back, by asset."""
        totals: dict[str, Decimal] = {charge.asset_id: ZERO for charge in self.charges}
        for payment in self.payments:
            totals[payment.charge.asset_id] = EXACT.add(totals[payment.charge.asset_id], payment.amount)
        return totals


def standing(event: UsageEvent) -> Standing:
    """What of the event's charges still stands. To act on it, ask under the customer's lock."""
    rows = list(
        Charge.objects.filter(event=event, customer_id=event.customer_id)
        .select_related("meter", "price__meter", "price__cached_of", "price__asset")
        .prefetch_related("price__tiers")
        .order_by("id")
    )
    corrects = {row.pk: row.reverses_id or row.refunds_id for row in rows}
    charges = {row.pk: row for row in rows if corrects[row.pk] is None}
    corrected_by = LedgerTransaction.objects.filter(reverses_id=event.pk, customer_id=event.customer_id)
    entries = LedgerEntry.objects.filter(
        transaction_id__in=[event.pk, *corrected_by.values_list("pk", flat=True)],
        customer_id=event.customer_id,
        charge__isnull=False,
    ).select_related("grant")
    found = list(entries.annotate(void=invoices.is_void()).order_by("asset_id", "seq"))
    # What was owed of it fell away with its invoice.
    owed_no_longer = {entry.charge_id for entry in found if entry.void and entry.grant_id is None}
    left: dict[tuple[UUID, UUID | None], Decimal] = {}
    for entry in found:
        assert entry.charge_id is not None
        grant_id = entry.grant_id
        if grant_id is None and (corrects[entry.charge_id] or entry.charge_id) in owed_no_longer:
            continue
        if entry.kind == EntryKind.REINSTATEMENT:
            assert entry.grant is not None
            grant_id = entry.grant.replaces_id
        key = (corrects[entry.charge_id] or entry.charge_id, grant_id)
        sign = Decimal(1 if entry.credit == "usage" else -1)
        left[key] = EXACT.add(left.get(key, ZERO), EXACT.multiply(entry.amount, sign))
    for charge in charges.values():
        if charge.quantity_before is not None and compile_price(charge.price).may_give_back(charge.meter.aggregation):
            stands = _stands(charge)
            for key, amount in left.items():
                if key[0] == charge.pk and amount > 0:
                    left[key] = min(amount, stands.get(key, ZERO))
    return Standing(
        list(charges.values()),
        [Payment(charges[charge_id], grant_id, amount) for (charge_id, grant_id), amount in left.items() if amount],
        void=bool(owed_no_longer),
    )


def _stands(charge: Charge) -> Mapping[tuple[UUID, UUID | None], Decimal]:
    """What stands paid for the charge's price in its period, by charge and grant."""
    counter = counting.counters(charge).first()
    if counter is None:
        return {}
    of_period = (counter.period_start, counter.period_end)
    return PaidFor(Counted(charge.customer_id, charge.subscription_id, charge.price_id, *of_period)).by_charge()


def unpaid(event: UsageEvent) -> dict[str, Decimal]:
    """What the event takes and the wallet has not paid yet, by asset. To act on it, ask under the customer's lock."""
    rows = UnpaidUsage.objects.filter(customer_id=event.customer_id, event=event, open=True)
    return dict(rows.values_list("asset_id", "required"))


@dataclass(frozen=True, slots=True)
class Shown:
    """A correction with what it gave back, by asset."""

    correction: Correction
    amounts: Mapping[str, Decimal]
    posted: bool
    """Whether anything was booked: what cost nothing gives nothing back."""


def of(event: UsageEvent) -> list[Shown]:
    """The event's corrections, the first first."""
    return of_all(event.customer_id, [event.pk])[event.pk]


def of_all(customer_id: UUID, event_ids: Sequence[UUID]) -> dict[UUID, list[Shown]]:
    """The corrections of each of a customer's events, the first first."""
    found = list(Correction.objects.filter(event_id__in=event_ids, customer_id=customer_id).order_by("id"))
    amounts: dict[UUID, dict[str, Decimal]] = {}
    entries: QuerySet[LedgerEntry, Any] = LedgerEntry.objects.filter(
        transaction_id__in=[row.pk for row in found], customer_id=customer_id, debit="usage"
    )
    for entry in entries:
        by_asset = amounts.setdefault(entry.transaction_id, {})
        by_asset[entry.asset_id] = EXACT.add(by_asset.get(entry.asset_id, ZERO), entry.amount)
    shown: dict[UUID, list[Shown]] = {event_id: [] for event_id in event_ids}
    for row in found:
        shown[row.event_id].append(Shown(row, amounts.get(row.pk, {}), row.pk in amounts))
    return shown
