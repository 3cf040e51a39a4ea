"""The first answer again, for an event that was recorded before."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing import pipeline
from billing.engine.money import EXACT, ZERO, amount_string
from billing.errors import (
    BillingError,
    BudgetExceeded,
    EventConflict,
    InsufficientFunds,
    UnpricedUsage,
    WalletFrozen,
)
from billing.models import Charge, UsageEvent
from billing.services.usage.events import ChargeLine, IncomingEvent, Outcome

_REFUSALS: Mapping[str, type[BillingError]] = {
    error.code: error for error in (InsufficientFunds, BudgetExceeded, UnpricedUsage, WalletFrozen)
}
_FIGURES = {"available", "required", "limit", "left"}

Key = tuple[UUID, str, str]


@dataclass(slots=True)
class Recorded:
    """A recorded event, with its charges."""

    row: UsageEvent
    customer: str
    currency: str
    charges: list[ChargeLine] = field(default_factory=list)

    def answer(self, event: IncomingEvent) -> Outcome:
        """The first answer, or a conflict where the content differs."""
        if bytes(self.row.fingerprint) != event.fingerprint():
            return Outcome(
                event_id=event.id, customer=self.customer, status=UsageEvent.Status.REJECTED, error=conflict(event)
            )
        # What was collected later is no part of the first answer.
        charges = self.charges if self.row.status == UsageEvent.Status.CHARGED else []
        cost: dict[str, Decimal] = {}
        for line in charges:
            cost[line.asset] = EXACT.add(cost.get(line.asset, ZERO), line.amount)
        return Outcome(
            event_id=event.id,
            customer=self.customer,
            status=self.row.status,
            charges=charges,
            cost=cost,
            balance={asset: Decimal(amount) for asset, amount in (self.row.balance_after or {}).items()},
            transaction_id=self.row.id if charges else None,
            currency=self.currency,
            data=event.data,
            replayed=True,
            error=_read_refusal(self.row.refusal) if self.row.status == UsageEvent.Status.REJECTED else None,
            refused=self.row.refusal if self.row.status == UsageEvent.Status.CHARGED else None,
        )


_KNOWN = """
SELECT e.id
  FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS k(customer_id, source, event_id)
  JOIN billing_usageevent e USING (event_id, source, customer_id)
"""


def reading(keys: Collection[Key]) -> pipeline.Query:
    """Which events with these keys were recorded before. To be asked under their customers' locks."""
    columns = [list(column) for column in zip(*keys, strict=True)] if keys else [[], [], []]
    return pipeline.Query(_KNOWN, columns)


def load(ids: Collection[UUID]) -> dict[Key, Recorded]:
    """The recorded events with these ids, with their charges."""
    if not ids:
        return {}
    found: dict[Key, Recorded] = {}
    by_id: dict[UUID, Recorded] = {}
    for row in UsageEvent.objects.filter(id__in=ids).select_related("customer"):
        recorded = Recorded(row, row.customer.external_id, row.customer.currency_id)
        found[row.customer_id, row.source, row.event_id] = by_id[row.id] = recorded
    charges = Charge.objects.filter(event_id__in=ids, correction=None)
    for charge in charges.select_related("meter", "plan_version__plan").order_by("id"):
        by_id[charge.event_id].charges.append(
            ChargeLine(
                charge.meter.code,
                charge.quantity,
                charge.asset_id,
                charge.amount,
                charge.plan_version.plan.code,
                charge.plan_version.number,
                charge.waived,
            )
        )
    return found


def conflict(event: IncomingEvent) -> EventConflict:
    return EventConflict(
        f"The event {event.id} from {event.source} was recorded before with other content. Nothing was charged again."
    )


def stored_refusal(refusal: BillingError) -> dict[str, Any]:
    """The refusal as it is kept with the event."""
    figures = {
        name: amount_string(value) if isinstance(value, Decimal) else value for name, value in refusal.figures.items()
    }
    return {"code": refusal.code, "detail": refusal.detail, **figures}


def _read_refusal(stored: Any) -> BillingError:
    figures: dict[str, Any] = {
        name: Decimal(value) if name in _FIGURES else value
        for name, value in stored.items()
        if name not in {"code", "detail"}
    }
    return _REFUSALS[stored["code"]](stored["detail"], **figures)
