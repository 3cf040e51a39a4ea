"""Payments that their payers' banks want back: frozen while it is open, taken back when lost, given back when won.

A message only says which dispute to look at. What it is *now* says what is to be in effect (``dispute_books``). So the
order of the messages, and how often they come, changes nothing.
"""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.services.audit import SYSTEM
from accounts.services.audit import record as record_audit
from billing import locks, pipeline
from billing.engine.money import amount_string
from billing.errors import BillingError, PaymentsUnavailable
from billing.gateways import payments
from billing.gateways.payments import Refused, Unreachable
from billing.models import Dispute, TopUp
from billing.services import one_by_one, outbox
from billing.services.funding import attempts, dispute_books, profiles, provider_fees, rules
from billing.services.retrying import retried

Status = Dispute.Status
_ENDED = frozenset({Status.WON, Status.LOST, Status.CLOSED})

LOOKS_MAX = 5
LOOK_EVERY = timedelta(hours=6)
"""For reports that never come."""
WANTED_BACK = Dispute.objects.exclude(status__in=Dispute.HARMLESS)
"""Those in which the payer's bank has the money, or is about to take it."""


class NotOurs(Exception):
    """A dispute about a payment that this installation knows nothing of."""


def look_up(provider_id: str) -> Dispute:
    """Ask the provider about the dispute and bring the books to what it says. Not in a transaction.

    Raises ``NotOurs``, and ``Unreachable`` or ``Refused``; nothing is changed then.
    """
    gateway = profiles.payments()
    for _ in range(LOOKS_MAX):
        seen = Dispute.objects.filter(provider_id=provider_id).values_list("revision", flat=True).first()
        found = gateway.dispute(provider_id)
        top_up = _top_up_of(found)
        dispute = apply(top_up.pk, found, revision=seen)
        if dispute is not None:
            return dispute
    raise Unreachable("The dispute changes faster than it can be looked at.")


def look_again(dispute: Dispute) -> Dispute:
    """``look_up`` for somebody who waits: raises ``PaymentsUnavailable`` where the provider cannot be asked."""
    try:
        return look_up(dispute.provider_id)
    except (Unreachable, Refused, NotOurs) as trouble:
        raise PaymentsUnavailable(f"The dispute could not be looked up: {trouble}") from trouble


def settle_due() -> int:
    """Look at the provider for every open dispute that was not heard of for long. Returns how many."""
    if not profiles.payable():
        return 0
    due = Dispute.objects.filter(check_at__lte=timezone.now(), mode=profiles.payments().mode).order_by("check_at", "id")
    rows = one_by_one.in_turn(due.values_list("check_at", "id", "provider_id"), "disputes")
    ids = (provider_id for *_, provider_id in rows)
    return one_by_one.each(ids, _look_in_turn, what="dispute", expected=(BillingError, Unreachable, Refused, NotOurs))


def _look_in_turn(provider_id: str) -> None:
    """``look_up``, and whatever comes of it, not again before the others had their turn."""
    Dispute.objects.filter(provider_id=provider_id).update(check_at=timezone.now() + LOOK_EVERY)
    look_up(provider_id)


@retried
def apply(top_up_id: UUID, found: payments.Dispute, *, revision: int | None) -> Dispute | None:
    """Note what the provider says and book what follows, in one transaction.

    None, and nothing done, where the row is not at ``revision`` any more (None: there was no row): what the provider
    said may be older than what is known.
    """
    with transaction.atomic():
        top_up = TopUp.objects.select_related("customer", "asset", "attempt").get(pk=top_up_id)
        pipeline.run([locks.payment_attempt(top_up.attempt_id)])
        top_up.refresh_from_db(fields=["status", "refunded", "tax_refunded", "invoiced_tax"])
        dispute = Dispute.objects.filter(provider_id=found.id).first()
        if (None if dispute is None else dispute.revision) != revision:
            return None
        new = dispute is None
        dispute = dispute or _first_seen(top_up, found)
        before, changed = dispute.status, dispute.amount != found.amount
        less, facts = found.amount < dispute.amount, {"status": before, "amount": amount_string(dispute.amount)}
        dispute.status, dispute.reason = Status(found.standing), found.reason[:100]
        dispute.amount, dispute.answer_by = found.amount, found.answer_by
        dispute_books.book(dispute, top_up, changed=changed)
        provider_fees.book_of_dispute(dispute, found.fee, found.fee_currency)
        if new or changed or dispute.status != before:
            _tell(dispute, before=None if new else facts)
        if dispute.status not in Dispute.HARMLESS and (new or before in Dispute.HARMLESS):
            # Whoever disputes a payment must not be charged by a standing order meanwhile.
            rules.suspend_all(top_up.customer, "dispute", timezone.now())
        dispute.revision += 1
        ended = dispute.status in _ENDED
        dispute.closed_at = (dispute.closed_at or timezone.now()) if ended else None
        dispute.check_at = None if ended else timezone.now() + LOOK_EVERY
        dispute.save()
        if before not in Dispute.HARMLESS and (less or (dispute.status in Dispute.HARMLESS and not new)):
            follow(top_up, but=dispute)
    return dispute


def follow(top_up: TopUp, *, but: Dispute | None = None) -> None:
    """Take what has been put back as far as it is disputed still: by a refund that failed, or by another dispute
    (``but``) that was won or is over less. A part of the transaction that does so.

    The payment's attempt is locked, and what put it back is noted.
    """
    others = top_up.disputes.exclude(status__in=Dispute.HARMLESS)
    if but is not None:
        others = others.exclude(pk=but.pk)
    for dispute in others.order_by("pk"):
        dispute_books.book(dispute, top_up)
        dispute.revision += 1
        dispute.save()


def stands_in_the_way(top_up: TopUp) -> bool:
    """Whether the payment is wanted back by its payer's bank, so that nothing else of it may be paid back."""
    return WANTED_BACK.filter(top_up=top_up).exists()


def _top_up_of(found: payments.Dispute) -> TopUp:
    """The top-up that was paid with it. One whose payment was not heard of yet is looked up first."""
    top_up = TopUp.objects.filter(attempt__payment_id=found.payment_id).first() if found.payment_id else None
    if top_up is None:
        reference = profiles.payments().payment(found.payment_id).reference if found.payment_id else ""
        top_up = TopUp.objects.filter(attempt__in=attempts.by_reference(reference)).first()
    if top_up is None:
        raise NotOurs("A dispute about a payment that was not asked for here.")
    if top_up.status != TopUp.Status.SUCCEEDED:
        attempts.look_up(top_up.attempt_id)
        top_up.refresh_from_db()
        if top_up.status != TopUp.Status.SUCCEEDED:
            raise Unreachable("The payment that is disputed is not known to be paid yet.")
    return top_up


def _first_seen(top_up: TopUp, found: payments.Dispute) -> Dispute:
    return Dispute(
        customer=top_up.customer,
        top_up=top_up,
        mode=top_up.attempt.mode,
        provider_id=found.id,
        status=found.standing,
        amount=found.amount,
        currency_id=found.currency,
        opened_at=found.opened_at,
    )


def _tell(dispute: Dispute, *, before: dict[str, str] | None) -> None:
    """Say that a dispute has come up, or is something else or about another amount now."""
    facts = {
        "dispute": str(dispute.pk),
        "top_up": str(dispute.top_up_id),
        "status": dispute.status,
        "amount": amount_string(dispute.amount),
        "currency": dispute.currency_id.upper(),
        "reason": dispute.reason,
    }
    if before is None:
        kind = "dispute.opened"
    elif dispute.status in _ENDED and dispute.status != before["status"]:
        kind = "dispute.closed"
    else:
        kind = "dispute.updated"
    outbox.publish([outbox.Message(kind, dispute.customer_id, facts)], now=timezone.now())
    record_audit(
        actor=SYSTEM,
        action=kind,
        object_type="dispute",
        object_id=str(dispute.pk),
        organization_id=dispute.customer.organization_id,
        before=before,
        after={**facts, "customer": dispute.customer.external_id},
    )
