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
from accounts.services import audit
from billing.models import OutboxEvent
from billing.services.ledger import bulk

ATTEMPTS_MAX = 5
BATCH_MAX = 500
LEASE = timedelta(seconds=60)
"""How long a relay that died keeps its messages from others."""
PATIENCE = timedelta(seconds=15)
"""How long to wait before trying again what could not be reached."""


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


class Unreachable(Exception):
    """Whoever should be told cannot be reached at all; it is not the message's fault."""


def relay(deliver: Callable[[Sequence[OutboxEvent]], None]) -> int:
    """Hand the messages that are due to ``deliver``, oldest first, and mark them. Returns how many.

    At least once, with the same id: the rows are leased, delivered outside of any transaction, and then marked, so that
    a crash in between delivers again when the lease is over. Where ``deliver`` raises ``Unreachable`` all of them stay
    due. A message that fails alone is tried again later and later, and parked after five times: it is not lost, and
    ``retry`` makes it due again.
    """
    relayed = 0
    while rows := _lease():
        try:
            deliver(rows)
        except Unreachable as error:
            _stay_due(rows, error)
            return relayed
        except Exception as error:
            if len(rows) == 1:
                _count_failure(rows[0], error)
            else:
                # One of them may be the reason: each is tried for itself.
                relayed += sum(_deliver_alone(deliver, row) for row in rows)
        else:
            _mark_relayed(rows)
            relayed += len(rows)
    return relayed


def retry(*, actor: audit.Actor = audit.SYSTEM) -> int:
    """Make the parked messages due again. Returns how many."""
    with transaction.atomic():
        parked = OutboxEvent.objects.filter(state=OutboxEvent.State.PARKED)
        due = parked.update(state=OutboxEvent.State.NEW, attempts=0, due_at=timezone.now())
        if due:
            audit.record(
                actor=actor, action="outbox.retried", object_type="outbox", object_id="", after={"messages": due}
            )
    return due


def _lease() -> list[OutboxEvent]:
    """Claim the rows that are due, by their state, skipping what another relay holds."""
    now = timezone.now()
    with transaction.atomic():
        rows = list(
            OutboxEvent.objects.select_for_update(skip_locked=True)
            .filter(state=OutboxEvent.State.NEW, due_at__lte=now)
            .order_by("due_at", "id")[:BATCH_MAX]
        )
        OutboxEvent.objects.filter(pk__in=[row.pk for row in rows]).update(due_at=now + LEASE)
    return rows


def _deliver_alone(deliver: Callable[[Sequence[OutboxEvent]], None], row: OutboxEvent) -> bool:
    try:
        deliver([row])
    except Unreachable as error:
        _stay_due([row], error)
        return False
    except Exception as error:
        _count_failure(row, error)
        return False
    _mark_relayed([row])
    return True


def _count_failure(row: OutboxEvent, error: Exception) -> None:
    row.attempts += 1
    row.last_error = _said(error)
    row.due_at = timezone.now() + timedelta(seconds=2**row.attempts)
    if row.attempts >= ATTEMPTS_MAX:
        row.state = OutboxEvent.State.PARKED
    row.save(update_fields=["attempts", "last_error", "due_at", "state"])


def _mark_relayed(rows: Sequence[OutboxEvent]) -> None:
    OutboxEvent.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=OutboxEvent.State.RELAYED, relayed_at=timezone.now(), attempts=F("attempts") + 1
    )


def _stay_due(rows: Sequence[OutboxEvent], error: Exception) -> None:
    OutboxEvent.objects.filter(pk__in=[row.pk for row in rows]).update(
        due_at=timezone.now() + PATIENCE, last_error=_said(error)
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:2000]
