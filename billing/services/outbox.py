"""Messages to the world, written with the facts they tell of and relayed after the commit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.ids import uuid7
from billing.models import OutboxEvent
from billing.services import bulk

ATTEMPTS_MAX = 5
BATCH_MAX = 500


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that happened. ``payload`` holds ids and plain values."""

    type: str
    customer_id: UUID | None
    payload: Mapping[str, Any]


def publish(messages: Sequence[Message], *, now: datetime) -> None:
    """Write the messages into the transaction that makes them true."""
    bulk.run(publication(messages, now=now))


def publication(messages: Sequence[Message], *, now: datetime) -> bulk.Write | None:
    """The write that ``publish`` does, to be sent along with others."""
    return bulk.insertion(
        "billing_outboxevent",
        [
            {
                "id": uuid7(),
                "customer_id": message.customer_id,
                "type": message.type,
                "payload": message.payload,
                "state": OutboxEvent.State.NEW,
                "attempts": 0,
                "due_at": now,
                "last_error": "",
                "created_at": now,
            }
            for message in messages
        ],
    )


def relay(deliver: Callable[[Sequence[OutboxEvent]], None]) -> int:
    """Hand the messages that are due to ``deliver``, oldest first, and mark them. Returns how many.

    Claims rows by their state and skips what another relay holds. Where ``deliver`` fails the rows are due again later,
    and parked after five times. A crash between delivery and commit delivers again: at least once, with the same id.
    """
    relayed = 0
    while True:
        with transaction.atomic():
            rows = list(
                OutboxEvent.objects.select_for_update(skip_locked=True)
                .filter(state=OutboxEvent.State.NEW, due_at__lte=timezone.now())
                .order_by("due_at", "id")[:BATCH_MAX]
            )
            if not rows:
                return relayed
            try:
                deliver(rows)
            except Exception as error:  # Whatever went wrong outside, the rows stay for the next time.
                _postpone(rows, error)
                return relayed
            OutboxEvent.objects.filter(pk__in=[row.pk for row in rows]).update(
                state=OutboxEvent.State.RELAYED, relayed_at=timezone.now(), attempts=F("attempts") + 1
            )
            relayed += len(rows)


def _postpone(rows: Sequence[OutboxEvent], error: Exception) -> None:
    for row in rows:
        row.attempts += 1
        row.last_error = f"{type(error).__name__}: {error}"[:2000]
        row.due_at = timezone.now() + timedelta(seconds=2**row.attempts)
        if row.attempts >= ATTEMPTS_MAX:
            row.state = OutboxEvent.State.PARKED
        row.save(update_fields=["attempts", "last_error", "due_at", "state"])
