"""What the provider reports: taken in at once, worked through afterwards, in any order and as often as it comes.

A message only says where to look. What is true is read from the provider, so that an old message, a second one and one
in the wrong order all lead to the same end.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts.services import audit
from billing.errors import BillingError
from billing.gateways import wakeups
from billing.gateways.payments import About, Refused, Unreachable
from billing.models import PaymentAttempt, PaymentProfile, ProviderEvent
from billing.services.funding import attempts, disputes, methods, profiles, refunds

logger = logging.getLogger(__name__)

TASK = "billing.process_payment_events"
BATCH_MAX = 20
LEASE = timedelta(seconds=30)
ATTEMPTS_MAX = 16
DELAY_MAX = timedelta(hours=1)


class NotOurs(Exception):
    """About something that this installation knows nothing of."""


def receive(body: bytes, headers: Mapping[str, str]) -> bool:
    """Check and store a message of the provider's; False for one that is there already. Raises ``Forged``."""
    gateway = profiles.payments()
    event = gateway.read_event(body, headers.get(gateway.signature_header, ""))
    now = timezone.now()
    profile = PaymentProfile.objects.filter(provider_id=event.related.get("customer", ""), mode=gateway.mode).first()
    _, new = ProviderEvent.objects.get_or_create(
        event_id=event.id[:255],
        defaults={
            "customer_id": profile.customer_id if profile is not None else None,
            "type": event.type[:100],
            "about": event.about or "",
            "object_id": event.object_id[:255],
            "related": dict(event.related),
            "live": event.live,
            "happened_at": event.created_at,
            "received_at": now,
            "due_at": now,
        },
    )
    transaction.on_commit(lambda: wakeups.wake(TASK))
    return new


def work() -> int:
    """Work through the messages that are due, oldest first. Returns how many are done with."""
    done = 0
    while rows := _lease():
        for row in rows:
            done += _work_one(row)
    return done


def retry(event: ProviderEvent, *, actor: audit.Actor) -> None:
    """Let a message be worked through again, whatever became of it."""
    with transaction.atomic():
        ProviderEvent.objects.filter(pk=event.pk).update(
            state=ProviderEvent.State.NEW, attempts=0, due_at=timezone.now(), note="", done_at=None
        )
        audit.record(
            actor=actor,
            action="payment_event.retried",
            object_type="payment_event",
            object_id=str(event.pk),
            before={"state": event.state, "note": event.note},
        )
        transaction.on_commit(lambda: wakeups.wake(TASK))


def _lease() -> list[ProviderEvent]:
    now = timezone.now()
    with transaction.atomic():
        rows = list(
            ProviderEvent.objects.select_for_update(skip_locked=True)
            .filter(state=ProviderEvent.State.NEW, due_at__lte=now)
            .order_by("due_at", "id")[:BATCH_MAX]
        )
        ProviderEvent.objects.filter(pk__in=[row.pk for row in rows]).update(due_at=now + LEASE)
    return rows


def _work_one(row: ProviderEvent) -> bool:
    try:
        _handle(row)
    except NotOurs as reason:
        _park(row, str(reason))
    except (Refused, attempts.Mismatch) as error:
        logger.error("Provider event %s (%s): %s", row.event_id, row.type, error)
        _park(row, f"{type(error).__name__}: {error}")
    except (Unreachable, BillingError) as error:
        _later(row, f"{type(error).__name__}: {error}")
        return False
    except Exception as error:
        logger.exception("Provider event %s (%s) could not be worked through", row.event_id, row.type)
        _later(row, f"{type(error).__name__}: {error}")
        return False
    else:
        ProviderEvent.objects.filter(pk=row.pk).update(
            state=ProviderEvent.State.DONE, done_at=timezone.now(), attempts=row.attempts + 1, note=""
        )
    return True


def _park(row: ProviderEvent, note: str) -> None:
    ProviderEvent.objects.filter(pk=row.pk).update(
        state=ProviderEvent.State.PARKED, done_at=timezone.now(), attempts=row.attempts + 1, note=note[:500]
    )


def _later(row: ProviderEvent, note: str) -> None:
    if row.attempts + 1 >= ATTEMPTS_MAX:
        _park(row, note)
        return
    delay = min(DELAY_MAX, timedelta(seconds=2**row.attempts))
    ProviderEvent.objects.filter(pk=row.pk).update(
        attempts=row.attempts + 1, due_at=timezone.now() + delay, note=note[:500]
    )


def _handle(row: ProviderEvent) -> None:
    gateway = profiles.payments()
    if row.live != gateway.live:
        raise NotOurs(f"A {'live' if row.live else 'test'} event, and the key is for {gateway.mode}.")
    handler = _HANDLERS.get(row.about)
    if handler is None:
        raise NotOurs("Nothing here depends on it.")
    handler(row)


def _checkout(row: ProviderEvent) -> None:
    payment = profiles.payments().session(row.object_id)
    if payment.reference:
        _look_up(payment.reference)
    else:
        _methods(row)


def _payment(row: ProviderEvent) -> None:
    known = PaymentAttempt.objects.filter(payment_id=row.object_id).values_list("pk", flat=True).first()
    _look_up(str(known) if known is not None else profiles.payments().payment(row.object_id).reference)


def _charge(row: ProviderEvent) -> None:
    payment = profiles.payments().payment_of_charge(row.object_id)
    _look_up(payment.reference if payment is not None else "")


def _look_up(reference: str) -> None:
    attempt = attempts.by_reference(reference).first()
    if attempt is None:
        raise NotOurs("A payment that was not asked for here.")
    attempts.look_up(attempt.pk)


def _refund(row: ProviderEvent) -> None:
    found = profiles.payments().refund_by_id(row.object_id)
    refund = refunds.by_reference(found.reference).first()
    if refund is None:
        raise NotOurs("A refund that was made at the provider: the wallet still holds what was paid back.")
    refunds.look_up(refund.pk)


def _dispute(row: ProviderEvent) -> None:
    try:
        disputes.look_up(row.object_id)
    except disputes.NotOurs as reason:
        raise NotOurs(str(reason)) from reason


def _methods(row: ProviderEvent) -> None:
    profile = PaymentProfile.objects.filter(
        provider_id=row.related.get("customer", ""), mode=profiles.payments().mode
    ).first()
    if profile is None:
        raise NotOurs("A customer of the provider's who is none here.")
    methods.sync(profile.pk)


_HANDLERS: Mapping[str, Callable[[ProviderEvent], None]] = {
    About.SESSION: _checkout,
    About.PAYMENT: _payment,
    About.CHARGE: _charge,
    About.DISPUTE: _dispute,
    About.REFUND: _refund,
    About.METHOD: _methods,
}
