"""Charges that a customer disputes with us: the case is kept, staff decide, and what was wrong goes back."""

from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.services import audit
from billing.errors import ApprovalRequired, InvalidRequest, InvalidState
from billing.models import ChargeDispute, Customer, DisputedEvent, UsageEvent
from billing.selectors.usage import events as selector
from billing.services import outbox
from billing.services.retrying import retried
from billing.services.wallet import corrections

EVENTS_MAX = 100
Status = ChargeDispute.Status


@retried
def lodge(*, actor: audit.Actor, customer: Customer, events: Sequence[UsageEvent], reason: str) -> ChargeDispute:
    """Open a case about the customer's ``events``, each of which was charged, 1 to 100 of them.

    Raises ``InvalidRequest`` for an event that was not charged, or was taken back, and ``InvalidState`` where one is in
    an open case already.
    """
    if not 1 <= len(events) <= EVENTS_MAX:
        raise InvalidRequest.field("events", f"1 to {EVENTS_MAX} events can be disputed together")
    if not reason.strip():
        raise InvalidRequest.field("reason", "must not be empty", code="blank")
    for event in events:
        if selector.status(event) != UsageEvent.Status.CHARGED:
            raise InvalidRequest.field("events", f"{event.event_id} is not charged: there is nothing to dispute")
    with transaction.atomic():
        dispute = ChargeDispute.objects.create(customer=customer, reason=reason.strip())
        lines = [DisputedEvent(customer=customer, dispute=dispute, event=event) for event in events]
        try:
            with transaction.atomic():
                DisputedEvent.objects.bulk_create(lines)
        except IntegrityError:
            raise InvalidState("One of these events is in an open dispute already.") from None
        _tell(actor, dispute, "opened")
    return dispute


@retried
def accept(*, actor: audit.Actor, dispute: ChargeDispute, answer: str) -> ChargeDispute:
    """Agree: what is left of the charges goes back, in one transaction with the answer.

    Raises ``InvalidState`` where the case is closed, and where more would go back than one person may decide on: the
    charges are reversed one by one then, with a second person, and the case is accepted afterwards.
    """
    with transaction.atomic():
        _close(dispute, Status.ACCEPTED, answer)
        for line in dispute.lines.select_related("event__customer"):
            if selector.status(line.event) == selector.REVERSED:
                continue
            try:
                corrections.reverse(actor=actor, event=line.event, reason=f"Disputed: {answer}"[:500])
            except ApprovalRequired as needed:
                raise InvalidState(
                    f"{needed.detail} Reverse the charges on their own pages first, then accept the dispute."
                ) from needed
        _tell(actor, dispute, "closed")
    return dispute


@retried
def decline(*, actor: audit.Actor, dispute: ChargeDispute, answer: str) -> ChargeDispute:
    """Let the charges stand, and say why. Raises ``InvalidState`` where the case is closed."""
    with transaction.atomic():
        _close(dispute, Status.DECLINED, answer)
        _tell(actor, dispute, "closed")
    return dispute


@retried
def withdraw(*, actor: audit.Actor, dispute: ChargeDispute) -> ChargeDispute:
    """The customer asks for it no longer. Raises ``InvalidState`` where the case is closed."""
    with transaction.atomic():
        _close(dispute, Status.WITHDRAWN, "")
        _tell(actor, dispute, "closed")
    return dispute


def _close(dispute: ChargeDispute, status: str, answer: str) -> None:
    """Bring an open case to its end; of two who decide at once the second finds it closed."""
    if status != Status.WITHDRAWN and not answer.strip():
        raise InvalidRequest.field("answer", "must not be empty", code="blank")
    now = timezone.now()
    found = ChargeDispute.objects.filter(pk=dispute.pk, status=Status.OPEN)
    if not found.update(status=status, answer=answer.strip(), closed_at=now):
        raise InvalidState("This dispute was decided on already.")
    dispute.lines.update(open=False)
    dispute.status, dispute.answer, dispute.closed_at = status, answer.strip(), now


def _tell(actor: audit.Actor, dispute: ChargeDispute, what: str) -> None:
    """Say it to endpoints and write it into the trail. What was said in words stays in the case."""
    facts = {"dispute": str(dispute.pk), "status": dispute.status, "events": dispute.lines.count()}
    outbox.publish([outbox.Message(f"charge_dispute.{what}", dispute.customer_id, facts)], now=timezone.now())
    audit.record(
        actor=actor,
        action=f"charge_dispute.{what}",
        object_type="charge_dispute",
        object_id=str(dispute.pk),
        organization_id=dispute.customer.organization_id,
        after={"customer": dispute.customer.external_id, **facts},
    )
