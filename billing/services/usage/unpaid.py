"""Collecting what was used and could not be paid at the time: oldest first, each event whole, once the wallet can."""

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef

from billing import pipeline
from billing.errors import BillingError, InsufficientFunds
from billing.models import UnpaidUsage, UsageEvent
from billing.services import one_by_one, outbox
from billing.services.ledger import bulk
from billing.services.retrying import retried
from billing.services.usage import rating
from billing.services.usage.events import IncomingEvent, Outcome
from billing.services.usage.recording import Recording
from billing.services.usage.rows import Rows

logger = logging.getLogger(__name__)

BATCH_MAX = 200
"""Events of one customer in one transaction."""

_OPEN = "SELECT event_id, id FROM billing_unpaidusage WHERE customer_id = %s AND event_id = ANY(%s) AND open"


class _ChargesAlone(Rows):
    """The events' own rows are there already."""

    def event(self, *_: Any, **__: Any) -> None:
        pass


class _Collection(Recording):
    """Events that are in the books already, and are to be charged now at the prices of their own time."""

    def __init__(self, *state: Any) -> None:
        super().__init__(*state)
        self.rows = _ChargesAlone(self.journal.now)
        self.known = {}
        self.allowed_before = True
        self.pks: dict[tuple[str, str], UUID] = {}
        self.lacking: dict[UUID, BillingError] = {}
        self._short: set[str] = set()

    def _charge(self, event: IncomingEvent, payer: rating.Payer, lines: Sequence[rating.Line]) -> Outcome:
        for line in lines:
            if line.price.asset in self._short:
                # An older event waits for the same asset.
                return self._wait(event, None)
        return super()._charge(event, payer, lines)

    def _new_pk(self, event: IncomingEvent) -> UUID:
        return self.pks[event.source, event.id]

    def _keep_unpaid(self, event: IncomingEvent, payer: rating.Payer, refusal: InsufficientFunds) -> Outcome:
        self._short.add(refusal.figures["asset"])
        return self._wait(event, refusal)

    def _reject(self, event: IncomingEvent, payer: rating.Payer, refusal: BillingError) -> Outcome:
        if isinstance(refusal, InsufficientFunds):
            return self._keep_unpaid(event, payer, refusal)
        return self._wait(event, refusal)

    def _wait(self, event: IncomingEvent, refusal: BillingError | None) -> Outcome:
        if refusal is not None:
            self.lacking[self._new_pk(event)] = refusal
        return Outcome(event_id=event.id, customer=event.subject, status=UsageEvent.Status.UNPAID)


def collect_due() -> int:
    """Charge the unpaid events that can be paid now. Returns how many. Safe to run twice, and at the same time.

    Of one customer the oldest first; where there is too little of an asset for one, later ones that take the same asset
    wait behind it. The rules are those of an event that comes now: its grants, then the overdraft as far as it goes;
    what authorizations have set aside stays so.
    """
    older = UnpaidUsage.objects.filter(
        customer=OuterRef("customer"), asset=OuterRef("asset"), open=True, pk__lt=OuterRef("pk")
    )
    due = (
        UnpaidUsage.objects.filter(
            open=True,
            customer__balances__asset=F("asset"),
            customer__balances__available__gte=F("required") - F("customer__balances__overdraft_limit"),
        )
        .exclude(Exists(older))
        .order_by("customer_id")
        .values_list("customer_id")
        .distinct()
    )
    collected = 0
    for (customer_id,) in one_by_one.in_turn(due, "unpaid-usage"):
        with one_by_one.apart("unpaid usage of customer", customer_id):
            while found := _collect(customer_id):
                collected += found
    return collected


@retried
def _collect(customer_id: UUID) -> int:
    """Charge what can be paid of the customer's oldest unpaid events. Returns how many were."""
    with transaction.atomic():
        rows = UsageEvent.objects.filter(unpaid__customer_id=customer_id, unpaid__open=True, customer_id=customer_id)
        candidates = {row.pk: row for row in rows.select_related("customer").order_by("unpaid__id")[:BATCH_MAX]}
        still = pipeline.Query(_OPEN, [customer_id, list(candidates)])
        events = {pk: _as_it_came(row) for pk, row in candidates.items()}
        collection = _Collection.open(list(events.values()), still)
        collection.budgets.enforced = collection.fair_use.enforced = False
        ids: dict[UUID, UUID] = dict(still.rows)
        # Somebody else may have collected some while we waited for the lock.
        collection.events = [event for pk, event in events.items() if pk in ids]
        collection.pks = {(event.source, event.id): pk for pk, event in events.items()}
        outcomes = collection.decide()
        paid = [
            collection.pks[event.source, event.id]
            for event, outcome in zip(collection.events, outcomes, strict=True)
            if outcome.status == UsageEvent.Status.CHARGED
        ]
        if paid:
            collection.journal.messages.append(outbox.Message("usage.collected", customer_id, {"events": paid}))
        now = collection.journal.now
        closed = [{"id": ids[pk], "customer_id": customer_id, "open": False, "collected_at": now} for pk in paid]
        collection.write(
            bulk.change("billing_unpaidusage", closed),
            bulk.change("billing_unpaidusage", _lacking(collection, ids, customer_id)),
        )
    return len(paid)


def _lacking(collection: _Collection, ids: dict[UUID, UUID], customer_id: UUID) -> list[dict[str, Any]]:
    """What the ones that could not be paid lack now, so that they are not tried before it is there."""
    changes = []
    for pk, refusal in collection.lacking.items():
        if isinstance(refusal, InsufficientFunds):
            lack = {"asset_id": refusal.figures["asset"], "required": refusal.figures["required"]}
            changes.append({"id": ids[pk], "customer_id": customer_id, **lack})
        else:
            logger.warning("The unpaid event %s cannot be rated any more: %s", pk, refusal)
    return changes


def _as_it_came(row: UsageEvent) -> IncomingEvent:
    return IncomingEvent(
        id=row.event_id,
        source=row.source,
        type=row.type,
        subject=row.customer.external_id,
        time=row.occurred_at,
        data=row.data,
        extensions=row.extensions or {},
        api_key_id=row.api_key_id,
        is_own=not row.source,
    )
