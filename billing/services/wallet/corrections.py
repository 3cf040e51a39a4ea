"""What the operator puts right afterwards: a charge taken back, a part of one refunded, a wallet adjusted by hand.

Nothing is changed or deleted. A correction is a row of its own with its reason, further charges that point at the
first ones, and a ledger transaction that points at the one it takes back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.ids import uuid7
from accounts.services import audit
from billing import pipeline
from billing.engine import burndown
from billing.engine.budgets import Use
from billing.engine.money import EXACT, ZERO, amount_string, amount_strings, decimals
from billing.errors import InsufficientFunds, InvalidRequest, InvalidState
from billing.models import (
    Approval,
    Asset,
    Balance,
    Charge,
    Correction,
    Customer,
    Grant,
    LedgerTransaction,
    Meter,
    UnpaidUsage,
)
from billing.models import UsageEvent as Event
from billing.selectors.catalog.catalog import compile_price
from billing.selectors.ledger import corrections as selector
from billing.selectors.usage import counting, events, receipts
from billing.services import budgets, four_eyes, outbox
from billing.services.ledger import bulk
from billing.services.ledger.giving_back import Part, give_back
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried
from billing.services.usage import fair_use
from billing.services.wallet import grants
from billing.services.wallet.wallets import ensure_balances


@dataclass(frozen=True, slots=True)
class Corrected:
    """A correction that was made: what it gave back, and what the wallet has available since, by asset.

    ``transaction_id`` is None where nothing was booked, because there was nothing to give back.
    """

    correction: Correction
    amounts: Mapping[str, Decimal]
    balance: Mapping[str, Decimal]
    transaction_id: UUID | None


@retried
def reverse(*, actor: audit.Actor, event: Event, reason: str, approval: Approval | None = None) -> Corrected:
    """Take back all that is left of what the event was charged, as if it had not happened.

    The units go back to exactly the grants that paid (``giving_back``), and the period's running quantities go
    down, so that the same usage under a new id costs the same again. An event that cost nothing, or was kept as unpaid,
    counts as reversed as well. Raises ``InvalidState`` where it was reversed before, or never charged, and
    ``ApprovalRequired`` (``four_eyes``).
    """
    with transaction.atomic():
        journal = Journal.open([event.customer_id])
        standing = _standing(event, or_unpaid=True)
        if standing.void:
            raise InvalidState(
                "What was owed for this event fell away with its invoice. What was paid can be refunded."
            )
        forgiven = selector.unpaid(event)
        UnpaidUsage.objects.filter(customer_id=event.customer_id, event=event, open=True).update(open=False)
        return _book(
            journal,
            event,
            standing.charges[::-1],
            standing.payments[::-1],
            Correction(kind=Correction.Kind.REVERSAL, reason=reason),
            actor,
            approval,
            forgiven,
        )


@retried
def refund(
    *,
    actor: audit.Actor,
    event: Event,
    asset: Asset,
    amount: Decimal,
    reason: str,
    approval: Approval | None = None,
) -> Corrected:
    """Give back ``amount`` of what the event was charged in ``asset``, as if it had cost that much less.

    What was taken last comes back first. The quantity stays used. Raises ``InvalidRequest`` for an amount that is not
    positive or finer than the asset, ``InvalidState`` where less than that is left of the charge, and
    ``ApprovalRequired`` (``four_eyes``).
    """
    if amount <= 0:
        raise InvalidRequest.field("amount", "must be greater than zero")
    _check_precision(asset, amount)
    with transaction.atomic():
        journal = Journal.open([event.customer_id])
        standing = _standing(event, or_unpaid=False)
        left = standing.left.get(asset.pk, ZERO)
        if amount > left:
            raise InvalidState(
                f"Of what this event was charged, {amount_string(left)} {asset.code} can still be given back.",
                asset=asset.code,
                left=left,
            )
        given: list[selector.Payment] = []
        missing = amount
        for payment in reversed(standing.payments):
            if payment.charge.asset_id == asset.pk and missing > 0:
                part = min(payment.amount, missing)
                missing = EXACT.subtract(missing, part)
                given.append(selector.Payment(payment.charge, payment.grant_id, part))
        charges = list({payment.charge.pk: payment.charge for payment in given}.values())
        return _book(
            journal,
            event,
            charges,
            given,
            Correction(kind=Correction.Kind.REFUND, asset=asset, amount=amount, reason=reason),
            actor,
            approval,
        )


def _standing(event: Event, *, or_unpaid: bool) -> selector.Standing:
    """What stands of the event's charges. Under the lock."""
    status = events.status(Event.objects.get(pk=event.pk, customer_id=event.customer_id))
    if status == events.REVERSED:
        raise InvalidState("This event was reversed already: nothing of it is left to give back.", status=status)
    if status != Event.Status.CHARGED and not (or_unpaid and status == Event.Status.UNPAID):
        raise InvalidState(f"This event was not charged, it is {status}: there is nothing to give back.", status=status)
    standing = selector.standing(event)
    if any(payment.amount < 0 for payment in standing.payments):
        raise InvalidState(
            "This event reached a cheaper tier and was given something back itself. Adjust the wallet instead.",
            status=status,
        )
    return standing


def _book(
    journal: Journal,
    event: Event,
    charges: Sequence[Charge],
    payments: Sequence[selector.Payment],
    correction: Correction,
    actor: audit.Actor,
    approval: Approval | None,
    forgiven: Mapping[str, Decimal] | None = None,
) -> Corrected:
    """Write ``correction``, which gives ``payments`` back, with its charges, entries, trail and message.

    Both lists begin with what was taken last, so that debts are lowered before grants pay for them. What is
    ``forgiven``, by asset, was never paid: nothing is booked of it, but it is given away like what was.
    """
    reversal = correction.kind == Correction.Kind.REVERSAL
    amounts: dict[str, Decimal] = {}
    for payment in payments:
        amounts[payment.charge.asset_id] = EXACT.add(amounts.get(payment.charge.asset_id, ZERO), payment.amount)
    four_eyes.check(
        actor=actor,
        kind=Approval.Kind.REVERSAL if reversal else Approval.Kind.CHARGE_REFUND,
        amounts={**(forgiven or {}), **amounts},
        customer_id=event.customer_id,
        approval=approval,
    )
    template = "usage.reversed" if reversal else "usage.refunded"
    head = None
    if payments:
        head = journal.begin(
            customer_id=event.customer_id,
            template=template,
            reference=f"event:{event.pk}:reversed" if reversal else f"correction:{correction.pk}",
            occurred_at=journal.now,
            transaction_id=correction.pk,
            reverses=event.pk,
        )
    rows: list[dict[str, Any]] = []
    given: list[tuple[str, Decimal, datetime]] = []
    for charge in charges:
        row = _opposite(charge, journal, correction.pk, reversal)
        rows.append(row)
        parts = [Part(each.grant_id, each.amount) for each in payments if each.charge.pk == charge.pk]
        if parts:
            assert head is not None
            balance = journal.balances[event.customer_id, charge.asset_id]
            give_back(journal, head, balance, parts, charge_id=row["id"])
        for part in parts:
            row["amount"] = EXACT.subtract(row["amount"], part.amount)
        given.append((charge.asset_id, EXACT.minus(row["amount"]), charge.posted_at))
        if reversal:
            _count_down(charge, event)
    if charges:
        fair_use.give_back(charges, [amount for _, amount, _ in given], reversal=reversal)
    correction.customer_id, correction.event_id = event.customer_id, event.pk
    correction.actor, correction.created_at = actor.label[:200] or actor.kind, journal.now
    correction.save(force_insert=True)
    facts = {
        "customer": event.customer.external_id,
        "event": event.event_id,
        "source": event.source,
        "amounts": amount_strings(amounts),
    }
    journal.messages.append(outbox.Message(template, event.customer_id, {**facts, "correction": correction.pk}))
    journal.write(bulk.insertion("billing_charge", rows), *_out_of_budgets(journal, event, given, reversal))
    audit.record(
        actor=actor,
        action=template,
        object_type="usage_event",
        object_id=str(event.pk),
        organization_id=event.customer.organization_id,
        after={**facts, "correction": str(correction.pk), "reason": correction.reason},
    )
    left = {asset: journal.balances[event.customer_id, asset].available for asset in amounts}
    return Corrected(correction, amounts, left, correction.pk if head is not None else None)


def _out_of_budgets(
    journal: Journal, event: Event, given: Sequence[tuple[str, Decimal, datetime]], reversal: bool
) -> list[bulk.Write | None]:
    """What came back, (asset, amount, when it was debited) each, no longer counts against budgets."""
    use = Use(event.type, event.data, event.api_key_id)
    limits = budgets.Reading([event.customer_id], lambda: [use], surely=True)
    pipeline.run(limits.queries)
    spending = limits.load(journal)
    spending.give_back(event.customer_id, use, given, events=1 if reversal else 0)
    return spending.writes()


def _opposite(charge: Charge, journal: Journal, correction_id: UUID, reversal: bool) -> dict[str, Any]:
    """The row that takes the charge back. It occurred when the charge did, so that the usage of that time is right.

    What the provider took, it does not give back: the cost stays with the charge.
    """
    return {
        "id": uuid7(),
        "customer_id": charge.customer_id,
        "event_id": charge.event_id,
        "subscription_id": charge.subscription_id,
        "plan_version_id": charge.plan_version_id,
        "price_id": charge.price_id,
        "meter_id": charge.meter_id,
        "asset_id": charge.asset_id,
        "quantity": EXACT.subtract(ZERO, charge.quantity) if reversal else ZERO,
        "amount": ZERO,
        "list_amount": EXACT.minus(charge.list_amount) if reversal and charge.list_amount is not None else None,
        "waived": charge.waived if reversal else None,
        "price_given": charge.price_given,
        "cost": None if charge.cost is None else ZERO,
        "dimensions": charge.dimensions,
        "late": charge.late,
        "occurred_at": charge.occurred_at,
        "posted_at": journal.now,
        "correction_id": correction_id,
        "reverses_id": charge.pk if reversal else None,
        "refunds_id": None if reversal else charge.pk,
    }


def _count_down(charge: Charge, event: Event) -> None:
    """The period has used that much less. Where there is no counter, it is the sum of the charges.

    A maximum, a level and a set of values seen stay what they are: one of several reports does not make them.
    """
    counted = charge.waived is None and charge.asset_id == charge.price.asset_id
    if not counted or charge.meter.aggregation not in {Meter.Aggregation.SUM, Meter.Aggregation.COUNT}:
        return
    measure = compile_price(charge.price).measure
    counting.counters(charge).update(quantity=F("quantity") - receipts.basis(charge, measure, event))


@dataclass(frozen=True, slots=True)
class Adjusted:
    """An adjustment that was made. ``grant`` is what a positive one put in; ``available`` is what is left since."""

    asset: Asset
    amount: Decimal
    grant: Grant | None
    transaction_id: UUID
    available: Decimal


@retried
def adjust(
    *,
    actor: audit.Actor,
    customer: Customer,
    asset: Asset,
    amount: Decimal,
    reason: str,
    allow_debt: bool = False,
    approval: Approval | None = None,
) -> Adjusted:
    """Put ``amount`` into the wallet by hand, or, where it is negative, take it out.

    What comes in is a grant of kind ``adjustment``. What goes out is taken in burn order from the grants that may pay
    for anything, all or nothing: no more than is available, or, with ``allow_debt``, down to the overdraft limit. It
    does not count as spent. Raises ``InvalidRequest`` for an amount of zero or finer than the asset,
    ``InsufficientFunds`` where the wallet has less, and ``ApprovalRequired`` (``four_eyes``).
    """
    if amount == 0:
        raise InvalidRequest.field("amount", "must not be zero")
    _check_precision(asset, amount)
    with transaction.atomic():
        if amount > 0:
            grant = grants.create(
                actor=actor, customer=customer, asset=asset, amount=amount, kind="adjustment", approval=approval
            )
            transaction_id = LedgerTransaction.objects.values_list("pk", flat=True).get(
                customer=customer, reference=f"grant:{grant.pk}"
            )
            available = Balance.objects.get(customer=customer, asset=asset).available
            adjusted = Adjusted(asset, amount, grant, transaction_id, available)
        else:
            adjusted = _debit(actor, customer, asset, amount, allow_debt, approval)
        facts = {"customer": customer.external_id, "asset": asset.code, "amount": amount_string(amount)}
        outbox.publish([outbox.Message("wallet.adjusted", customer.pk, facts)], now=timezone.now())
        audit.record(
            actor=actor,
            action="wallet.adjusted",
            object_type="customer",
            object_id=customer.external_id,
            organization_id=customer.organization_id,
            after={**facts, "transaction": str(adjusted.transaction_id), "reason": reason},
        )
    return adjusted


def _debit(
    actor: audit.Actor,
    customer: Customer,
    asset: Asset,
    amount: Decimal,
    allow_debt: bool,
    approval: Approval | None,
) -> Adjusted:
    required = amount.copy_negate()
    journal = Journal.open([customer.pk])
    ensure_balances(journal, [(customer.pk, asset.pk)])
    four_eyes.check(
        actor=actor,
        kind=Approval.Kind.ADJUSTMENT,
        amounts={asset.pk: required},
        customer_id=customer.pk,
        approval=approval,
    )
    balance = journal.balances[customer.pk, asset.pk]
    payable = burndown.payable(balance.sources, meter=None, moment=journal.now)
    available = EXACT.add(payable, balance.overdraft_room) if allow_debt else min(payable, balance.available)
    if required > available:
        raise InsufficientFunds(
            f"This takes {amount_string(required)} {asset.code} out of the wallet of {customer.external_id}, which "
            f"has {amount_string(available)} for it.",
            asset=asset.code,
            available=available,
            required=required,
        )
    draws = burndown.draw(
        balance.sources,
        required,
        meter=None,
        moment=journal.now,
        overdraft=max(ZERO, EXACT.subtract(required, payable)),
    )
    assert draws is not None
    adjustment_id = uuid7()
    head = journal.begin(
        customer_id=customer.pk,
        template="adjustment.debited",
        reference=f"adjustment:{adjustment_id}",
        occurred_at=journal.now,
        transaction_id=adjustment_id,
    )
    journal.draw(head, balance, draws, charge_id=None, spent=False)
    journal.write()
    return Adjusted(asset, amount, None, head.id, balance.available)


def _check_precision(asset: Asset, amount: Decimal) -> None:
    if decimals(amount) > asset.precision:
        raise InvalidRequest.field("amount", f"{asset.code} has at most {asset.precision} decimals")
