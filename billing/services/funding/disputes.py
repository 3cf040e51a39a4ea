"""Payments that their payers' banks want back: frozen while it is open, taken back when lost, given back when won.

A message only says which dispute to look at. What it is *now* says what is to be in effect; what is in effect already
is in its row; the difference is booked. So the order of the messages, and how often they come, changes nothing.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from accounts.services.audit import SYSTEM
from accounts.services.audit import record as record_audit
from billing import locks, pipeline
from billing.engine import burndown
from billing.engine.currencies import places
from billing.engine.money import EXACT, ZERO, amount_string, round_half_even
from billing.engine.postings import TEMPLATES
from billing.errors import BillingError, PaymentsUnavailable
from billing.gateways import payments
from billing.gateways.payments import Refused, Unreachable
from billing.models import Dispute, LedgerEntry, Refund, TopUp
from billing.services import outbox
from billing.services.funding import attempts, profiles, rules
from billing.services.ledger.giving_back import Part
from billing.services.ledger.posting import Journal, Transaction
from billing.services.ledger.states import BalanceState
from billing.services.retrying import retried

logger = logging.getLogger(__name__)

Status = Dispute.Status

LOOKS_MAX = 5
SWEEP_MAX = 100
LOOK_EVERY = timedelta(hours=6)
"""For reports that never come."""


class NotOurs(Exception):
    """A dispute about a payment that this installation knows nothing of."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a dispute is about, of its top-up: of the amount, the fee and the tax, and the units that came in for it."""

    amount: Decimal
    fee: Decimal
    tax: Decimal
    credit: Decimal
    bonus: Decimal


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
    if not settings.STRIPE_SECRET_KEY:
        return 0
    due = Dispute.objects.filter(check_at__lte=timezone.now(), mode=profiles.payments().mode).order_by("check_at")
    ids = list(due.values_list("provider_id", flat=True)[:SWEEP_MAX])
    for provider_id in ids:
        Dispute.objects.filter(provider_id=provider_id).update(check_at=timezone.now() + LOOK_EVERY)
        with suppress(BillingError, Unreachable, Refused, NotOurs):
            look_up(provider_id)
    return len(ids)


@retried
def apply(top_up_id: UUID, found: payments.Dispute, *, revision: int | None) -> Dispute | None:
    """Note what the provider says and book what follows, in one transaction.

    None, and nothing done, where the row is not at ``revision`` any more (None: there was no row): what the provider
    said may be older than what is known.
    """
    with transaction.atomic():
        top_up = TopUp.objects.select_related("customer", "asset", "attempt").get(pk=top_up_id)
        pipeline.run([locks.payment_attempt(top_up.attempt_id)])
        top_up.refresh_from_db(fields=["status", "refunded", "tax_refunded"])
        dispute = Dispute.objects.filter(provider_id=found.id).first()
        if (None if dispute is None else dispute.revision) != revision:
            return None
        new = dispute is None
        dispute = dispute or _first_seen(top_up, found)
        before = dispute.status
        dispute.status, dispute.reason = Status(found.standing), found.reason[:100]
        dispute.answer_by = found.answer_by
        _book(dispute, top_up)
        if new or dispute.status != before:
            _tell(dispute, before="" if new else before)
        if dispute.status not in Dispute.HARMLESS and (new or before in Dispute.HARMLESS):
            # Whoever disputes a payment must not be charged by a standing order meanwhile.
            rules.suspend_all(top_up.customer, "dispute", timezone.now())
        dispute.revision += 1
        ended = dispute.status in {Status.WON, Status.LOST, Status.CLOSED}
        dispute.closed_at = (dispute.closed_at or timezone.now()) if ended else None
        dispute.check_at = None if ended else timezone.now() + LOOK_EVERY
        dispute.save()
        if dispute.status in Dispute.HARMLESS and not new and before not in Dispute.HARMLESS:
            follow(top_up)
    return dispute


def follow(top_up: TopUp) -> None:
    """Take what has been put back as far as it is disputed still: by a refund that failed, or by another dispute that
    was won. A part of the transaction that does so.

    The payment's attempt is locked, and what put it back is noted.
    """
    for dispute in top_up.disputes.exclude(status__in=Dispute.HARMLESS).order_by("pk"):
        _book(dispute, top_up)
        dispute.revision += 1
        dispute.save()


def stands_in_the_way(top_up: TopUp) -> bool:
    """Whether the payment is wanted back by its payer's bank, so that nothing else of it may be paid back."""
    return Dispute.objects.filter(top_up=top_up).exclude(status__in=Dispute.HARMLESS).exists()


def share(dispute: Dispute, top_up: TopUp) -> Share:
    """What the dispute is about. What was paid back before, or is in another dispute, is not in it a second time.

    Nor are the fee and the tax that another one has taken: together they take no more than the payment.
    """
    part = Fraction(dispute.amount) / Fraction(top_up.attempt.amount)
    coins = places(dispute.currency_id)
    taken = _taken_beside(top_up, but=dispute)
    left_of_tax = EXACT.subtract(top_up.tax, EXACT.add(top_up.tax_refunded, taken["tax"]))
    fee = min(round_half_even(Fraction(top_up.fee) * part, precision=coins), EXACT.subtract(top_up.fee, taken["fee"]))
    tax = max(ZERO, min(round_half_even(Fraction(top_up.tax) * part, precision=coins), left_of_tax))
    amount = EXACT.subtract(dispute.amount, EXACT.add(fee, tax))
    amount = min(amount, EXACT.subtract(top_up.amount, taken["credited"]))
    of_amount = Fraction(amount) / Fraction(top_up.amount) if top_up.amount else Fraction(0)
    refunds = top_up.refunds.exclude(status=Refund.Status.FAILED).aggregate(credit=Sum("credit"), bonus=Sum("bonus"))
    others = top_up.disputes.exclude(pk=dispute.pk).aggregate(
        credit=Sum("frozen"), bonus=Sum("frozen_bonus"), more=Sum("recovered")
    )
    gone = EXACT.add(refunds["credit"] or ZERO, EXACT.add(others["credit"] or ZERO, others["more"] or ZERO))
    gone_bonus = EXACT.add(refunds["bonus"] or ZERO, others["bonus"] or ZERO)
    return Share(
        amount=amount,
        fee=fee,
        tax=tax,
        credit=_units(top_up.credit, of_amount, gone, top_up.asset.precision),
        bonus=_units(top_up.bonus, of_amount, gone_bonus, top_up.asset.precision),
    )


def _units(whole: Decimal, part: Fraction, gone: Decimal, precision: int) -> Decimal:
    left = max(ZERO, EXACT.subtract(whole, gone))
    return min(left, round_half_even(Fraction(whole) * part, precision=precision))


def _taken_beside(top_up: TopUp, *, but: Dispute) -> dict[str, Decimal]:
    """What the other disputes of it that are lost have taken that was not the wallet's: by the name of the posting."""
    losses = top_up.disputes.exclude(pk=but.pk).exclude(loss_id=None).values("loss_id")
    taken = dict.fromkeys(TEMPLATES["dispute.lost"].postings, ZERO)
    names = _names_of_a_loss()
    for entry in LedgerEntry.objects.filter(customer_id=top_up.customer_id, transaction_id__in=losses, balance_id=None):
        name = names[entry.debit, entry.credit]
        taken[name] = EXACT.add(taken[name], entry.amount)
    return taken


def _names_of_a_loss() -> dict[tuple[str, str], str]:
    return {(each.debit, each.credit): name for name, each in TEMPLATES["dispute.lost"].postings.items()}


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


# --- The books --------------------------------------------------------------------------------------------------------


def _book(dispute: Dispute, top_up: TopUp) -> None:
    """Bring what is in effect to what the status asks for. The payment's attempt is locked."""
    journal = Journal.open([dispute.customer_id])
    if dispute.loss_id is not None and (dispute.status != Status.LOST or _is_short(dispute, top_up)):
        _undo_loss(journal, dispute, top_up)
    if dispute.status in Dispute.HARMLESS:
        _release(journal, dispute, top_up)
    else:
        wanted = share(dispute, top_up)
        if dispute.loss_id is None:
            _freeze(journal, dispute, top_up, wanted)
        if dispute.status == Status.LOST and dispute.loss_id is None:
            _book_loss(journal, dispute, top_up, wanted)
    _move_money(journal, dispute, ZERO if dispute.status in Dispute.HARMLESS else dispute.amount)
    journal.write()


def _is_short(dispute: Dispute, top_up: TopUp) -> bool:
    """Whether it has taken less than is lost, because some of that was on its way back to the payer then."""
    wanted = share(dispute, top_up)
    taken = EXACT.add(EXACT.add(dispute.frozen, dispute.frozen_bonus), dispute.recovered)
    return EXACT.add(wanted.credit, wanted.bonus) > taken


def _begin(journal: Journal, dispute: Dispute, template: str) -> Transaction:
    return journal.begin(
        customer_id=dispute.customer_id,
        template=template,
        reference=f"dispute:{dispute.pk}:{dispute.revision}:{template.partition('.')[2]}",
        occurred_at=journal.now,
    )


def _freeze(journal: Journal, dispute: Dispute, top_up: TopUp, wanted: Share) -> None:
    """Set aside what is left of the payment's own grants, up to what is disputed. What is held stays."""
    paid, bonus = journal.load_grant(top_up.grant_id), journal.load_grant(top_up.bonus_grant_id)
    if paid is None:
        return  # It paid the tax of an invoice alone.
    own = min(paid.source.remaining, max(ZERO, EXACT.subtract(wanted.credit, dispute.frozen)))
    extra = ZERO
    if bonus is not None:
        extra = min(bonus.source.remaining, max(ZERO, EXACT.subtract(wanted.bonus, dispute.frozen_bonus)))
    if not own and not extra:
        return
    head = _begin(journal, dispute, "dispute.frozen")
    if own:
        journal.refund(head, paid, own)
    if extra:
        assert bonus is not None
        journal.refund(head, bonus, extra)
    dispute.frozen = EXACT.add(dispute.frozen, own)
    dispute.frozen_bonus = EXACT.add(dispute.frozen_bonus, extra)


def _release(journal: Journal, dispute: Dispute, top_up: TopUp) -> None:
    """Give back what was frozen, to the grants it came from; what they owe since is paid from it."""
    if not dispute.frozen and not dispute.frozen_bonus:
        return
    head = _begin(journal, dispute, "dispute.released")
    for grant_id, amount in ((top_up.grant_id, dispute.frozen), (top_up.bonus_grant_id, dispute.frozen_bonus)):
        if amount:
            state = journal.load_grant(grant_id)
            assert state is not None
            journal.put_back(head, state, amount)
            journal.settle(head, state, min(amount, state.source.remaining))
    dispute.frozen = dispute.frozen_bonus = ZERO


def _book_loss(journal: Journal, dispute: Dispute, top_up: TopUp, wanted: Share) -> None:
    """Take what was spent of it from whatever else the wallet holds, and have the rest owed. Fee and tax fall away."""
    head = _begin(journal, dispute, "dispute.lost")
    balance = journal.balances[dispute.customer_id, top_up.asset_id]
    units = EXACT.add(wanted.credit, wanted.bonus)
    missing = EXACT.subtract(units, EXACT.add(dispute.frozen, dispute.frozen_bonus))
    if missing:
        payable = burndown.payable(balance.sources, meter=None, moment=journal.now)
        debt = max(ZERO, EXACT.subtract(missing, payable))
        draws = burndown.draw(balance.sources, missing, meter=None, moment=journal.now, overdraft=debt)
        assert draws is not None
        balance.dispute_debt = EXACT.add(balance.dispute_debt, debt)
        journal.draw(head, balance, draws, charge_id=None, spent=False)
    beside = {"fee": wanted.fee, "tax": wanted.tax}
    for name, amount in beside.items():
        if amount:
            journal.post_beside(head, dispute.customer_id, dispute.currency_id, name, amount)
    spent_bonus = EXACT.subtract(wanted.bonus, dispute.frozen_bonus)
    if spent_bonus:
        journal.post_beside(head, dispute.customer_id, top_up.asset_id, "bonus", spent_bonus)
    if top_up.asset_id != dispute.currency_id:
        if wanted.credit:
            journal.post_beside(head, dispute.customer_id, top_up.asset_id, "exchanged", wanted.credit)
        if wanted.amount:
            journal.post_beside(head, dispute.customer_id, dispute.currency_id, "credited", wanted.amount)
    dispute.recovered = missing
    dispute.loss_id = head.id


def _undo_loss(journal: Journal, dispute: Dispute, top_up: TopUp) -> None:
    """Book the loss the other way round: to the very grants that were drawn, and off what is owed."""
    head = _begin(journal, dispute, "dispute.regained")
    balance = journal.balances[dispute.customer_id, top_up.asset_id]
    names = _names_of_a_loss()
    parts = []
    for entry in LedgerEntry.objects.filter(customer_id=dispute.customer_id, transaction_id=dispute.loss_id):
        name = names[entry.debit, entry.credit]
        if entry.balance_id is None:
            journal.post_beside(head, dispute.customer_id, entry.asset_id, name, entry.amount)
        else:
            parts.append(Part(entry.grant_id, entry.amount))
    _forget_debt(balance, parts)
    journal.give_back(head, balance, parts, charge_id=None, spent=False)
    dispute.recovered, dispute.loss_id = ZERO, None


def _forget_debt(balance: BalanceState, parts: list[Part]) -> None:
    owed = reduce(EXACT.add, (part.amount for part in parts if part.grant_id is None), ZERO)
    balance.dispute_debt = max(ZERO, EXACT.subtract(balance.dispute_debt, owed))


def _move_money(journal: Journal, dispute: Dispute, wanted: Decimal) -> None:
    """What the provider took, or gave back."""
    if dispute.withdrawn == wanted:
        return
    out = wanted > dispute.withdrawn
    head = _begin(journal, dispute, "dispute.withdrawn" if out else "dispute.reinstated")
    amount = EXACT.subtract(wanted, dispute.withdrawn).copy_abs()
    journal.post_beside(head, dispute.customer_id, dispute.currency_id, "money", amount)
    dispute.withdrawn = wanted


def _tell(dispute: Dispute, *, before: str) -> None:
    """Say that a dispute has come up, or is something else now."""
    facts = {
        "dispute": str(dispute.pk),
        "top_up": str(dispute.top_up_id),
        "status": dispute.status,
        "amount": amount_string(dispute.amount),
        "currency": dispute.currency_id.upper(),
        "reason": dispute.reason,
    }
    ended = {Status.WON, Status.LOST, Status.CLOSED}
    kind = "dispute.opened" if not before else "dispute.closed" if dispute.status in ended else "dispute.updated"
    outbox.publish([outbox.Message(kind, dispute.customer_id, facts)], now=timezone.now())
    record_audit(
        actor=SYSTEM,
        action=kind,
        object_type="dispute",
        object_id=str(dispute.pk),
        organization_id=dispute.customer.organization_id,
        before={"status": before} if before else None,
        after={**facts, "customer": dispute.customer.external_id},
    )
