"""Getting paid, and never twice.

The row is committed before the provider is asked. What the provider says is applied under the row's lock, and only if
nobody else changed the row since the provider was asked. Where nothing is known, nothing more is tried until a look at
the provider has said what became of it.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from billing import locks, pipeline
from billing.errors import InvalidState, PaymentsUnavailable
from billing.gateways.payments import Outcome, Payment, Refused, Unreachable
from billing.models import Asset, Customer, PaymentAttempt, PaymentMethod, TopUp
from billing.services import one_by_one
from billing.services.funding import asking, crediting, profiles, provider_fees, rules
from billing.services.retrying import retried

logger = logging.getLogger(__name__)

Status = PaymentAttempt.Status

SILENCE = timedelta(seconds=30)
"""How long the provider's answer may be on its way. Requests are given up before."""
NEVER_ARRIVED = timedelta(minutes=10)
"""When a charge that the provider does not know of is sent again no more: it never reached it."""
SUPERSEDES_AFTER = timedelta(seconds=3)
"""A copy of a request must not cancel what its twin has just begun."""
SESSION_LIFE = timedelta(hours=23)
CONFIRM_LIFE = timedelta(hours=1)
"""How long the payer has to answer the bank when a kept method was charged."""
LOOKS_MAX = 5
_OF_OUTCOME = {
    Outcome.REQUIRES_ACTION: Status.REQUIRES_ACTION,
    Outcome.PROCESSING: Status.PROCESSING,
    Outcome.SUCCEEDED: Status.SUCCEEDED,
    Outcome.FAILED: Status.FAILED,
    Outcome.CANCELED: Status.CANCELED,
    Outcome.EXPIRED: Status.EXPIRED,
}
_NEXT_LOOK = {
    Status.SENT: [30],
    Status.UNKNOWN: [30, 60],
    Status.REQUIRES_ACTION: [120, 300, 900, 3600],
    Status.PROCESSING: [300, 3600, 6 * 3600],
}
"""Seconds until the next look, the first, second, … time: for reports that never come."""


class Mismatch(Exception):
    """The provider's payment is not the one that was asked for: nothing is credited, staff must look."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a payment is to be made."""

    way: str
    purpose: str = PaymentAttempt.Purpose.TOP_UP
    method: PaymentMethod | None = None
    keep_method: bool = False
    return_url: str = ""
    cancel_url: str = ""


def make_way(customer: Customer, purpose: str) -> None:
    """Close what stands in the way of a new payment, if that can be done. Not to be called in a transaction.

    A page that nobody has paid on is closed. Raises ``InvalidState`` where an earlier payment's outcome is not known,
    or was found out just now and is that it was paid: whoever tries again did not mean to pay twice.
    """
    found = PaymentAttempt.objects.filter(
        customer=customer, purpose=purpose, status__in=PaymentAttempt.BLOCKING
    ).first()
    if found is None:
        return
    if timezone.now() - found.created_at < SUPERSEDES_AFTER:
        raise InvalidState("Another payment has just been started. Wait a moment.")
    if found.status == Status.REQUIRES_ACTION:
        _give_up(found)
    else:
        settle(found.pk)
    found.refresh_from_db()
    if found.status == Status.SUCCEEDED:
        raise InvalidState("Your earlier payment has just come through. Look at the balance before you pay again.")
    if found.status in PaymentAttempt.BLOCKING:
        raise InvalidState("What became of an earlier payment is not known yet. Try again in a minute.")


def begin(*, customer: Customer, total: Decimal, currency: Asset, plan: Plan) -> PaymentAttempt:
    """The row of a new attempt, in the caller's transaction. The database lets only one be under way."""
    now = timezone.now()
    try:
        with transaction.atomic():
            return PaymentAttempt.objects.create(
                customer=customer,
                purpose=plan.purpose,
                way=plan.way,
                mode=profiles.payments().mode,
                amount=total,
                currency=currency,
                method=plan.method,
                keep_method=plan.keep_method,
                return_url=plan.return_url,
                cancel_url=plan.cancel_url,
                check_at=now + SILENCE,
            )
    except IntegrityError as error:
        raise InvalidState("Another payment is under way. Wait until it is through.") from error


def send(attempt_id: UUID) -> None:
    """Ask the provider to take the payment, once. Afterwards the row says what is known. Not in a transaction."""
    attempt = PaymentAttempt.objects.select_related("customer", "method").get(pk=attempt_id)
    if attempt.status != Status.CREATED:
        if attempt.check_at is not None and attempt.check_at <= timezone.now():
            settle(attempt_id)
        return
    profile = profiles.ensure(attempt.customer)
    if not _claim(attempt_id, profile.provider_id):
        return
    attempt.refresh_from_db()
    try:
        payment = asking.ask(attempt)
    except Refused as refusal:
        _close(attempt_id, Status.FAILED, code=refusal.code, failure=str(refusal), unless_changed=attempt.revision)
    except Unreachable as trouble:
        logger.warning("The outcome of payment %s is not known: %s", attempt_id, trouble)
        _mark_unknown(attempt_id, attempt.revision)
    else:
        # Where somebody else has learned more meanwhile, what was said to us is old.
        if not apply(attempt_id, payment, revision=attempt.revision):
            look_up(attempt_id)


def look_up(attempt_id: UUID) -> None:
    """Ask the provider what has become of the payment, by our reference, and note it. Not in a transaction.

    Raises ``Unreachable``, ``Refused`` and ``Mismatch``; the row is unchanged then.
    """
    gateway = profiles.payments()
    for _ in range(LOOKS_MAX):
        attempt = PaymentAttempt.objects.select_related("method").get(pk=attempt_id)
        if attempt.mode != gateway.mode or attempt.status == Status.CREATED:
            return
        if attempt.session_id:
            payment: Payment | None = gateway.session(attempt.session_id)
        elif attempt.payment_id:
            payment = gateway.payment(attempt.payment_id)
        else:
            payment = gateway.find(
                reference=str(attempt.pk), customer_id=attempt.provider_customer_id, since=attempt.created_at
            )
        if payment is None:
            _not_there(attempt)
            return
        if apply(attempt_id, payment, revision=attempt.revision):
            return
    raise Unreachable("The payment changes faster than it can be looked at.")


def by_reference(reference: str) -> QuerySet[PaymentAttempt]:
    """The attempt whose id the provider gives as our reference; none where that is no id."""
    try:
        return PaymentAttempt.objects.filter(pk=UUID(reference))
    except ValueError:
        return PaymentAttempt.objects.none()


def settle(attempt_id: UUID) -> None:
    """Look the payment up, and give up what the payer has left lying too long. Trouble is for the next time."""
    attempt = PaymentAttempt.objects.get(pk=attempt_id)
    now = timezone.now()
    try:
        if attempt.status == Status.CREATED:
            if now - attempt.created_at >= SILENCE:
                _close(attempt_id, Status.FAILED, code="never_sent", failure="It was never sent.", unless_changed=0)
            return
        look_up(attempt_id)
        attempt.refresh_from_db()
        if attempt.status == Status.REQUIRES_ACTION and attempt.expires_at is not None and attempt.expires_at <= now:
            _give_up(attempt)
    except (Unreachable, Refused, PaymentsUnavailable, Mismatch) as trouble:
        logger.warning("Payment %s could not be looked up: %s", attempt_id, trouble)
        _look_later(attempt)


def settle_due() -> int:
    """Look at the provider for every payment whose time has come and that was not reported. Returns how many."""
    if not profiles.payable():
        return 0
    mode = profiles.payments().mode
    due = PaymentAttempt.objects.filter(check_at__lte=timezone.now(), mode=mode).order_by("check_at", "id")
    ids = (id for _, id in one_by_one.in_turn(due.values_list("check_at", "id"), "payments"))
    return one_by_one.each(ids, settle, what="payment")


@retried
def apply(attempt_id: UUID, payment: Payment, *, revision: int) -> bool:
    """Note what the provider says, and credit what was paid, in one transaction. False, and nothing done, if the row
    changed since ``revision``: what the provider said may be older than what is known."""
    with transaction.atomic():
        attempt = _locked(attempt_id)
        if attempt.revision != revision:
            return False
        if attempt.status == Status.SUCCEEDED:
            return True
        _check(attempt, payment)
        status = _OF_OUTCOME[payment.outcome]
        if attempt.status not in PaymentAttempt.OPEN and status != Status.SUCCEEDED:
            return True  # It ended, and what ended otherwise than paid can only turn out to be paid after all.
        if attempt.way == PaymentAttempt.Way.OFF_SESSION and status == Status.REQUIRES_ACTION:
            status = Status.FAILED  # Nobody is there to answer: a decline.
        _note(attempt, payment)
        _move(attempt, status)
        provider_fees.book(attempt)
    return True


@retried
def note_fee(attempt_id: UUID, fee: Decimal | None, currency: str) -> None:
    """Note and book what the provider kept of a payment, where that was not known when it came in."""
    with transaction.atomic():
        attempt = _locked(attempt_id)
        if attempt.fee is None and fee is not None:
            attempt.fee, attempt.fee_currency = fee, currency[:3]
            attempt.save(update_fields=["fee", "fee_currency"])
        provider_fees.book(attempt)


# --- The row, under its lock ------------------------------------------------------------------------------------------


def _locked(attempt_id: UUID) -> PaymentAttempt:
    pipeline.run([locks.payment_attempt(attempt_id)])
    return PaymentAttempt.objects.select_related("customer").get(pk=attempt_id)


@retried
def _claim(attempt_id: UUID, provider_customer_id: str) -> bool:
    """created → sent, for one of all who try."""
    with transaction.atomic():
        attempt = _locked(attempt_id)
        if attempt.status != Status.CREATED:
            return False
        now = timezone.now()
        life = SESSION_LIFE if attempt.way == PaymentAttempt.Way.CHECKOUT else CONFIRM_LIFE
        attempt.provider_customer_id = provider_customer_id
        attempt.sent_at = now
        attempt.expires_at = now + life
        _move(attempt, Status.SENT)
    return True


@retried
def _mark_unknown(attempt_id: UUID, revision: int) -> None:
    with transaction.atomic():
        attempt = _locked(attempt_id)
        if attempt.revision == revision:
            _move(attempt, Status.UNKNOWN)


@retried
def _close(attempt_id: UUID, status: str, *, code: str, failure: str, unless_changed: int) -> None:
    with transaction.atomic():
        attempt = _locked(attempt_id)
        if attempt.revision == unless_changed:
            attempt.failure_code, attempt.failure = code[:100], failure[:300]
            _move(attempt, status)


@retried
def _look_later(seen: PaymentAttempt) -> None:
    with transaction.atomic():
        attempt = _locked(seen.pk)
        if attempt.status in PaymentAttempt.OPEN:
            attempt.looked_up += 1
            attempt.check_at = _next_look(attempt, attempt.status)
            attempt.save(update_fields=["looked_up", "check_at"])


def _not_there(attempt: PaymentAttempt) -> None:
    """The provider knows of no such payment. One that nobody has an address for cannot be paid; a charge is sent again,
    since it might still be on its way."""
    age = timezone.now() - (attempt.sent_at or attempt.created_at)
    patience = SILENCE if attempt.way == PaymentAttempt.Way.CHECKOUT else NEVER_ARRIVED
    if attempt.status not in {Status.SENT, Status.UNKNOWN} or age < SILENCE:
        _look_later(attempt)
    elif age < patience:
        if asking.is_wanted(attempt):
            _send_again(attempt)
        else:
            _mark_unknown(attempt.pk, attempt.revision)
    else:
        words = "The payment provider never received it. Nothing was taken."
        _close(attempt.pk, Status.FAILED, code="never_arrived", failure=words, unless_changed=attempt.revision)


def _send_again(attempt: PaymentAttempt) -> None:
    """The same request under the same key: whatever became of the first, the provider does it once."""
    try:
        payment = asking.ask(attempt)
    except (Unreachable, Refused) as trouble:
        # A refusal is of this request alone, and says nothing of the first.
        logger.warning("The outcome of payment %s is still not known: %s", attempt.pk, trouble)
        _mark_unknown(attempt.pk, attempt.revision)
    else:
        apply(attempt.pk, payment, revision=attempt.revision)


def _give_up(attempt: PaymentAttempt) -> None:
    """Close what waits for its payer, at the provider first: what is paid at that moment stays paid."""
    gateway = profiles.payments()
    if attempt.mode != gateway.mode:
        words = "It belongs to another account of the payment provider."
        _close(attempt.pk, Status.CANCELED, code="other_mode", failure=words, unless_changed=attempt.revision)
        return
    try:
        payment = gateway.expire(attempt.session_id) if attempt.session_id else gateway.cancel(attempt.payment_id)
    except (Unreachable, Refused) as trouble:
        raise PaymentsUnavailable(f"The earlier payment could not be closed: {trouble}") from trouble
    if not apply(attempt.pk, payment, revision=attempt.revision):
        look_up(attempt.pk)


def _move(attempt: PaymentAttempt, status: str) -> None:
    """Set the status with all that follows from it, the top-up's and the credit included."""
    now = timezone.now()
    attempt.looked_up = attempt.looked_up + 1 if attempt.status == status else 0
    attempt.status = status
    attempt.revision += 1
    if status in PaymentAttempt.OPEN:
        attempt.check_at = _next_look(attempt, status)
        attempt.finished_at = None
    else:
        attempt.check_at = None
        attempt.checkout_url = ""
        attempt.finished_at = now
    attempt.save()
    top_up = (
        TopUp.objects.select_related("customer", "asset", "currency", "pack", "invoice").filter(attempt=attempt).first()
    )
    if top_up is not None:
        crediting.follow(top_up, attempt, now=now)
    rules.follow(attempt, now)


def _next_look(attempt: PaymentAttempt, status: str) -> datetime:
    steps = _NEXT_LOOK.get(Status(status), [60])
    return timezone.now() + timedelta(seconds=steps[min(attempt.looked_up, len(steps) - 1)])


def _check(attempt: PaymentAttempt, payment: Payment) -> None:
    asked = (str(attempt.pk), attempt.amount, attempt.currency_id, attempt.provider_customer_id)
    found = (payment.reference, payment.amount, payment.currency, payment.customer_id)
    if asked != found:
        raise Mismatch(f"Asked for {asked}, the provider has {found}.")


def _note(attempt: PaymentAttempt, payment: Payment) -> None:
    attempt.session_id = payment.session_id or attempt.session_id
    attempt.payment_id = payment.payment_id or attempt.payment_id
    attempt.charge_id = payment.charge_id or attempt.charge_id
    attempt.checkout_url = payment.url
    if payment.method is not None:
        attempt.method_type = payment.method.type[:32]
        attempt.method_brand = payment.method.brand[:64]
        attempt.method_last4 = payment.method.last4[:4]
    # A page on which one card was declined and the next was not has not failed.
    failed = payment.outcome is not Outcome.SUCCEEDED
    attempt.failure_code = payment.failure_code[:100] if failed else ""
    attempt.failure = payment.failure[:300] if failed else ""
    if payment.fee is not None:
        attempt.fee, attempt.fee_currency = payment.fee, payment.fee_currency
