"""Paying back: the value leaves the wallet first, then the provider pays; what it does not pay comes back.

Never more than is unspent; staff who decide otherwise give back the charges that spent it first, so that it is unspent
again. What was given on top goes back in the same proportion.
"""

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.services import audit
from billing import locks, pipeline
from billing.engine.money import EXACT, ZERO, amount_string
from billing.errors import InvalidState, PaymentsUnavailable
from billing.gateways import payments
from billing.gateways.payments import Outcome, Refused, Unreachable
from billing.models import Approval, Refund, TopUp
from billing.services import four_eyes, one_by_one, outbox
from billing.services.funding import disputes, profiles, takings
from billing.services.funding import refund_amounts as amounts
from billing.services.ledger.posting import Journal
from billing.services.ledger.states import GrantState
from billing.services.retrying import retried

logger = logging.getLogger(__name__)

Status = Refund.Status

SILENCE = timedelta(seconds=30)
"""How long the provider's answer may be on its way. Requests are given up before."""
NEVER_ARRIVED = timedelta(minutes=10)
"""When a refund that the provider does not know of is sent again no more: it never reached it."""
_NEXT_LOOK = (30, 60, 300, 3600, 6 * 3600)
_OF_OUTCOME = {Outcome.SUCCEEDED: Status.SUCCEEDED, Outcome.PROCESSING: Status.PROCESSING}


@retried
def create(
    *,
    actor: audit.Actor,
    top_up: TopUp,
    amount: Decimal | None = None,
    paid_back: Decimal | None = None,
    reason: str = "",
    approval: Approval | None = None,
) -> Refund:
    """Take what the refund is for out of the wallet and note that it is to be paid: ``start`` does that.

    ``amount`` is of what was paid without fee and tax; all that can go back where it is None. ``paid_back`` is how much
    was paid back already when somebody decided on this: of two clicks on the same page the second is refused. Raises
    ``InvalidState`` where it is another sum by now, where the top-up was not paid, or too much of it is spent or held,
    and ``ApprovalRequired`` (``four_eyes``).
    """
    with transaction.atomic():
        pipeline.run([locks.payment_attempt(top_up.attempt_id)])
        top_up = TopUp.objects.select_related("customer", "asset", "attempt").get(pk=top_up.pk)
        if top_up.status != TopUp.Status.SUCCEEDED:
            raise InvalidState("Only a top-up that was paid can be paid back.", status=top_up.status)
        if paid_back is not None and top_up.refunded != paid_back:
            raise InvalidState("What is paid back of it has changed meanwhile. Look again, and decide anew.")
        if disputes.stands_in_the_way(top_up):
            raise InvalidState("The payer's bank wants this payment back: paid back as well, it would go twice.")
        if not top_up.credit:
            raise InvalidState("It paid the tax of an invoice, which a credit note gives back.", refundable=ZERO)
        journal = Journal.open([top_up.customer_id])
        paid, bonus = journal.load_grant(top_up.grant_id), journal.load_grant(top_up.bonus_grant_id)
        assert paid is not None
        given = takings.given(top_up, paid, bonus)
        asked = amounts.wanted(top_up, amount, at_most=amounts.most(top_up, given, paid, bonus))
        share = amounts.share(top_up, asked, given, paid, bonus)
        four_eyes.check(
            actor=actor,
            kind=Approval.Kind.REFUND,
            amounts={top_up.currency_id: EXACT.add(share.amount, share.tax)},
            customer_id=top_up.customer_id,
            approval=approval,
        )
        refund = Refund.objects.create(
            customer=top_up.customer,
            top_up=top_up,
            amount=share.amount,
            tax=share.tax,
            currency_id=top_up.currency_id,
            credit=share.credit,
            recovered=share.recovered,
            bonus=share.bonus,
            reason=reason,
            check_at=timezone.now() + SILENCE,
        )
        _book(journal, refund, top_up, "top_up.refunded", paid, bonus)
        top_up.refunded = EXACT.add(top_up.refunded, share.amount)
        top_up.tax_refunded = EXACT.add(top_up.tax_refunded, share.tax)
        top_up.save(update_fields=["refunded", "tax_refunded"])
        audit.record(
            actor=actor,
            action="top_up.refunded",
            object_type="top_up",
            object_id=str(top_up.pk),
            organization_id=top_up.customer.organization_id,
            after={
                "refund": str(refund.pk),
                "amount": amount_string(EXACT.add(share.amount, share.tax)),
                "currency": top_up.currency_id.upper(),
                "reason": reason,
            },
        )
    return refund


def refundable(top_up: TopUp) -> Decimal:
    """How much of the top-up's amount could go back now."""
    if top_up.status != TopUp.Status.SUCCEEDED:
        return ZERO
    with transaction.atomic():
        journal = Journal.open([top_up.customer_id])
        paid, bonus = journal.load_grant(top_up.grant_id), journal.load_grant(top_up.bonus_grant_id)
        journal.write()
        return ZERO if paid is None else amounts.most(top_up, takings.given(top_up, paid, bonus), paid, bonus)


def start(refund_id: UUID) -> Refund:
    """Ask the provider to pay, once, and return the refund as it is then. Not to be called in a transaction."""
    refund = Refund.objects.select_related("top_up__attempt").get(pk=refund_id)
    if refund.status != Status.CREATED:
        if refund.check_at is not None and refund.check_at <= timezone.now():
            settle(refund_id)
    elif _move(refund_id, Status.SENT, only_from=(Status.CREATED,)):
        try:
            found = _ask(refund)
        except Refused as refusal:
            _fail(refund_id, str(refusal))
        except Unreachable as trouble:
            logger.warning("The outcome of refund %s is not known: %s", refund_id, trouble)
            _move(refund_id, Status.UNKNOWN, only_from=(Status.SENT,))
        else:
            _apply(refund_id, found)
    return Refund.objects.select_related("top_up").get(pk=refund_id)


def look_up(refund_id: UUID) -> None:
    """Ask the provider what has become of the refund, and note it. Raises ``Unreachable`` and ``Refused``."""
    refund = Refund.objects.select_related("top_up__attempt").get(pk=refund_id)
    gateway = profiles.payments()
    if refund.top_up.attempt.mode != gateway.mode:
        return
    if refund.provider_id:
        _apply(refund_id, gateway.refund_by_id(refund.provider_id))
        return
    found = gateway.find_refund(reference=str(refund.pk), payment_id=refund.top_up.attempt.payment_id)
    if found is not None:
        _apply(refund_id, found)
        return
    age = timezone.now() - (refund.sent_at or refund.created_at)
    if refund.status not in {Status.SENT, Status.UNKNOWN} or age < SILENCE:
        _look_later(refund_id)
    elif age < NEVER_ARRIVED:
        _send_again(refund)
    else:
        _fail(refund_id, "The payment provider never received it.")


def _ask(refund: Refund) -> payments.Refund:
    """The request under the refund's own key, so that the provider does it once, however often it is asked."""
    return profiles.payments().refund(
        reference=str(refund.pk),
        key=f"refund-{refund.pk}",
        payment_id=refund.top_up.attempt.payment_id,
        amount=EXACT.add(refund.amount, refund.tax),
        currency=refund.currency_id,
    )


def _send_again(refund: Refund) -> None:
    """The same request under the same key, where nothing is known of the first."""
    try:
        found = _ask(refund)
    except (Unreachable, Refused) as trouble:
        # A refusal is of this request alone, and says nothing of the first.
        logger.warning("The outcome of refund %s is still not known: %s", refund.pk, trouble)
        _move(refund.pk, Status.UNKNOWN, only_from=(Status.SENT,))
        _look_later(refund.pk)
    else:
        _apply(refund.pk, found)


def by_reference(reference: str) -> QuerySet[Refund]:
    """The refund whose id the provider gives as our reference; none where that is no id."""
    try:
        return Refund.objects.filter(pk=UUID(reference))
    except ValueError:
        return Refund.objects.none()


def stands_as(refund: Refund, outcome: Outcome) -> bool:
    """Whether the refund is here what it is at the provider."""
    if outcome is Outcome.FAILED:
        return refund.status == Status.FAILED
    return refund.status == _OF_OUTCOME[outcome]


def settle(refund_id: UUID) -> None:
    """Go on with a refund that has lain. Trouble is for the next time."""
    try:
        if Refund.objects.filter(pk=refund_id, status=Status.CREATED).exists():
            # The value has left the wallet and nothing was sent yet: send it.
            Refund.objects.filter(pk=refund_id).update(check_at=timezone.now() + SILENCE)
            start(refund_id)
        else:
            look_up(refund_id)
    except (Unreachable, Refused, PaymentsUnavailable) as trouble:
        logger.warning("Refund %s could not be looked up: %s", refund_id, trouble)
        _look_later(refund_id)


def settle_due() -> int:
    """Go on with every refund whose time has come. Returns how many."""
    if not profiles.payable():
        return 0
    mode = profiles.payments().mode
    due = Refund.objects.filter(check_at__lte=timezone.now(), top_up__attempt__mode=mode).order_by("check_at", "id")
    ids = (id for _, id in one_by_one.in_turn(due.values_list("check_at", "id"), "refunds"))
    return one_by_one.each(ids, settle, what="refund")


# --- The row and the books --------------------------------------------------------------------------------------------


def _book(
    journal: Journal, refund: Refund, top_up: TopUp, template: str, paid: GrantState, bonus: GrantState | None
) -> None:
    head = journal.begin(
        customer_id=refund.customer_id,
        template=template,
        reference=f"refund:{refund.pk}" if template == "top_up.refunded" else f"refund:{refund.pk}:failed",
        occurred_at=journal.now,
    )
    move = journal.refund if template == "top_up.refunded" else journal.put_back
    for_bonus, for_credit = max(ZERO, refund.recovered), max(ZERO, refund.recovered.copy_negate())
    parts = (
        (paid, "purchase", EXACT.subtract(refund.credit, for_bonus)),
        (paid, "promotional", for_bonus),
        (bonus, "promotional", EXACT.subtract(refund.bonus, for_credit)),
        (bonus, "purchase", for_credit),
    )
    for state, name, units in parts:
        if units:
            assert state is not None
            move(head, state, units, name=name)
    if refund.tax:
        journal.post_beside(head, refund.customer_id, refund.currency_id, "tax", refund.tax)
    journal.messages.append(
        outbox.Message(
            template,
            refund.customer_id,
            {
                "top_up": top_up.pk,
                "refund": refund.pk,
                "amount": amount_string(EXACT.add(refund.amount, refund.tax)),
                "currency": refund.currency_id.upper(),
            },
        )
    )
    journal.write()


def _book_paid(refund: Refund, top_up: TopUp) -> None:
    """The money has left: what the wallet gave up was exchanged back into what was paid, and that is gone."""
    journal = Journal.open([refund.customer_id])
    head = journal.begin(
        customer_id=refund.customer_id,
        template="top_up.refund_paid",
        reference=f"refund:{refund.pk}:paid",
        occurred_at=journal.now,
    )
    if top_up.asset_id != top_up.currency_id:
        own = EXACT.subtract(refund.credit, refund.recovered)
        if own:
            journal.post_beside(head, refund.customer_id, top_up.asset_id, "exchanged", own)
        journal.post_beside(head, refund.customer_id, refund.currency_id, "credited", refund.amount)
    out = EXACT.add(refund.amount, refund.tax)
    journal.post_beside(head, refund.customer_id, refund.currency_id, "paid", out)
    journal.write()


def _locked(refund_id: UUID) -> Refund:
    attempt_id = Refund.objects.values_list("top_up__attempt_id", flat=True).get(pk=refund_id)
    pipeline.run([locks.payment_attempt(attempt_id)])
    return Refund.objects.select_related("top_up__asset").get(pk=refund_id)


@retried
def _move(refund_id: UUID, status: str, *, only_from: tuple[str, ...]) -> bool:
    with transaction.atomic():
        refund = _locked(refund_id)
        if refund.status not in only_from:
            return False
        refund.status = status
        refund.check_at = _next_look(refund)
        if status == Status.SENT:
            refund.sent_at = timezone.now()
        refund.save()
    return True


@retried
def _apply(refund_id: UUID, found: payments.Refund) -> None:
    """Note what the provider says. What it says of an end holds; a failure may follow a success, never the reverse."""
    if found.outcome is Outcome.FAILED:
        _fail(refund_id, found.failure, provider_id=found.id)
        return
    with transaction.atomic():
        refund = _locked(refund_id)
        status = _OF_OUTCOME[found.outcome]
        if refund.status in {Status.SUCCEEDED, Status.FAILED}:
            return
        refund.provider_id = found.id
        refund.looked_up = refund.looked_up + 1 if refund.status == status else 0
        refund.status = status
        refund.check_at = _next_look(refund)
        if status == Status.SUCCEEDED:
            refund.check_at, refund.finished_at = None, timezone.now()
            _book_paid(refund, refund.top_up)
        refund.save()


@retried
def _fail(refund_id: UUID, failure: str, *, provider_id: str = "") -> None:
    """The money was not paid, or came back: so does the value."""
    with transaction.atomic():
        refund = _locked(refund_id)
        if refund.status == Status.FAILED:
            return
        came_back = refund.status == Status.SUCCEEDED
        refund.status = Status.FAILED
        refund.provider_id = provider_id or refund.provider_id
        refund.failure = failure[:300]
        refund.check_at, refund.finished_at = None, timezone.now()
        refund.save()
        top_up = refund.top_up
        journal = Journal.open([refund.customer_id])
        paid, bonus = journal.load_grant(top_up.grant_id), journal.load_grant(top_up.bonus_grant_id)
        assert paid is not None
        if came_back:
            _book_returned(journal, refund, top_up)
        _book(journal, refund, top_up, "top_up.refund_failed", paid, bonus)
        top_up.refunded = EXACT.subtract(top_up.refunded, refund.amount)
        top_up.tax_refunded = EXACT.subtract(top_up.tax_refunded, refund.tax)
        top_up.save(update_fields=["refunded", "tax_refunded"])
        # Under a dispute the value is not the customer's to spend: what returns it has it frozen, or gone.
        disputes.follow(top_up)
        _settle_rest(refund, top_up)


def _settle_rest(refund: Refund, top_up: TopUp) -> None:
    """What came back, and is the customer's, pays what was used beyond the wallet meanwhile."""
    journal = Journal.open([refund.customer_id])
    grants = (journal.load_grant(top_up.grant_id), journal.load_grant(top_up.bonus_grant_id))
    journal.settle_rest(
        filter(None, grants),
        customer_id=refund.customer_id,
        template="top_up.refund_settled",
        reference=f"refund:{refund.pk}:settled",
    )
    journal.write()


def _book_returned(journal: Journal, refund: Refund, top_up: TopUp) -> None:
    """The reverse of ``_book_paid``."""
    head = journal.begin(
        customer_id=refund.customer_id,
        template="top_up.refund_returned",
        reference=f"refund:{refund.pk}:returned",
        occurred_at=journal.now,
    )
    if top_up.asset_id != top_up.currency_id:
        own = EXACT.subtract(refund.credit, refund.recovered)
        if own:
            journal.post_beside(head, refund.customer_id, top_up.asset_id, "exchanged", own)
        journal.post_beside(head, refund.customer_id, refund.currency_id, "credited", refund.amount)
    out = EXACT.add(refund.amount, refund.tax)
    journal.post_beside(head, refund.customer_id, refund.currency_id, "returned", out)


def _next_look(refund: Refund) -> datetime:
    return timezone.now() + timedelta(seconds=_NEXT_LOOK[min(refund.looked_up, len(_NEXT_LOOK) - 1)])


@retried
def _look_later(refund_id: UUID) -> None:
    with transaction.atomic():
        refund = _locked(refund_id)
        if refund.status in Refund.OPEN:
            refund.looked_up += 1
            refund.check_at = _next_look(refund)
            refund.save(update_fields=["looked_up", "check_at"])
