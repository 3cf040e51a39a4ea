"""The rows of events, charges and unpaid usage that are about to be written, in the order in which they are decided."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from accounts.ids import uuid7
from billing.engine.money import amount_strings
from billing.errors import BillingError, InsufficientFunds
from billing.services import outbox
from billing.services.ledger import bulk
from billing.services.usage import answers, rating
from billing.services.usage.drawing import Piece
from billing.services.usage.events import IncomingEvent


class Rows:
    """Collected while events are decided; taken all at once, or part by part."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.recorded: dict[UUID, list[UUID]] = {}
        """By customer, the events whose rows are on their way."""
        self._events: list[dict[str, Any]] = []
        self._charges: list[dict[str, Any]] = []
        self._unpaid: list[dict[str, Any]] = []

    def __len__(self) -> int:
        """How many events wait."""
        return len(self._events)

    def event(
        self,
        event: IncomingEvent,
        payer: rating.Payer,
        pk: UUID,
        status: str,
        *,
        refusal: BillingError | None = None,
        balance_after: Mapping[str, Decimal] | None = None,
    ) -> None:
        """The event as it came, and what became of it."""
        self._events.append(
            {
                "id": pk,
                "customer_id": payer.id,
                "source": event.source,
                "event_id": event.id,
                "type": event.type,
                "occurred_at": event.time or self.now,
                "received_at": self.now,
                "data": event.data,
                "extensions": event.extensions or None,
                "fingerprint": "\\x" + event.fingerprint().hex(),
                "status": status,
                "refusal": None if refusal is None else answers.stored_refusal(refusal),
                "balance_after": None if balance_after is None else amount_strings(balance_after),
                "api_key_id": event.counted_key_id,
                "origin": event.origin.kept(payer.origin_key),
            }
        )

    def charge(
        self,
        charge_id: UUID,
        payer: rating.Payer,
        event_pk: UUID,
        piece: Piece,
        *,
        cost: Decimal | None,
        occurred_at: datetime,
    ) -> None:
        """What one price charges for the event in one asset; ``cost`` is what the provider takes for it."""
        line, rated = piece.line, piece.rated
        self._charges.append(
            {
                "id": charge_id,
                "customer_id": payer.id,
                "event_id": event_pk,
                "subscription_id": line.subscription_id,
                "plan_version_id": line.plan.version_id,
                "price_id": line.price.id,
                "meter_id": line.meter_id,
                "asset_id": piece.asset,
                "quantity": rated.quantity,
                "quantity_before": rated.before,
                "amount": rated.amount,
                "cost": cost,
                "list_amount": rated.list_amount,
                "price_given": line.price.given,
                "waived": line.waived,
                "dimensions": line.groups,
                "late": line.late,
                "occurred_at": occurred_at,
                "posted_at": self.now,
            }
        )

    def unpaid(self, payer: rating.Payer, event_pk: UUID, refusal: InsufficientFunds) -> None:
        """Work that was done and waits for money."""
        self._unpaid.append(
            {
                "id": uuid7(),
                "customer_id": payer.id,
                "event_id": event_pk,
                "asset_id": refusal.figures["asset"],
                "required": refusal.figures["required"],
                "open": True,
            }
        )

    def take(self) -> list[bulk.Write | None]:
        """The writes of what was collected since the last time."""
        for row in self._events:
            self.recorded.setdefault(row["customer_id"], []).append(row["id"])
        writes = [
            bulk.insertion("billing_usageevent", self._events, exact_numbers=True),
            bulk.insertion("billing_charge", self._charges),
            bulk.insertion("billing_unpaidusage", self._unpaid),
        ]
        self._events, self._charges, self._unpaid = [], [], []
        return writes

    def messages(self) -> list[outbox.Message]:
        """What the world is told of all that was taken."""
        return [
            outbox.Message("usage.recorded", customer_id, {"events": ids}) for customer_id, ids in self.recorded.items()
        ]
