"""Grants: value put into a wallet, and what becomes of it when its time is over."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.ids import uuid7
from accounts.services import audit
from billing.engine.money import EXACT, LIMIT, ZERO, amount_string, decimals, exact_sum
from billing.errors import InvalidRequest, InvalidState
from billing.models import Approval, Asset, Customer, Grant
from billing.services import four_eyes, one_by_one, subscriptions
from billing.services.ledger.posting import Journal
from billing.services.ledger.states import BalanceState
from billing.services.retrying import retried
from billing.services.wallet.wallets import ensure_balances


@retried
def create(
    *,
    actor: audit.Actor,
    customer: Customer,
    asset: Asset,
    amount: Decimal,
    kind: str,
    priority: int = 50,
    effective_at: datetime | None = None,
    expires_at: datetime | None = None,
    applies_to: Mapping[str, Any] | None = None,
    paid_amount: Decimal = ZERO,
    paid_currency: Asset | None = None,
    name: str = "",
    metadata: Mapping[str, Any] | None = None,
    id: UUID | None = None,
    reason: str = "",
    approval: Approval | None = None,
    counted: bool = False,
) -> Grant:
    """Put ``amount`` of ``asset`` into the customer's wallet, at once or, with ``effective_at`` ahead, when that comes.

    What the customer owes in the asset is paid from it first. ``metadata`` is the customer's to read, ``reason`` is for
    the trail. With an ``id`` that was chosen before, a second grant for the same cause is refused by the database.
    Raises ``InvalidRequest`` for an amount that is not positive or finer than the asset, for an expiry that is not
    after the start, or that is over already; and ``ApprovalRequired`` (``four_eyes``), unless it is a part of what the
    caller has asked that for: ``counted``.
    """
    if amount <= 0:
        raise InvalidRequest.field("amount", "must be greater than zero")
    if decimals(amount) > asset.precision:
        raise InvalidRequest.field("amount", f"{asset.code} has at most {asset.precision} decimals")
    with transaction.atomic():
        journal = Journal.open([customer.pk])
        starts_at = effective_at or journal.now
        if expires_at is not None and expires_at <= max(starts_at, journal.now):
            raise InvalidRequest.field("expires_at", "must be in the future, and after effective_at")
        ensure_balances(journal, [(customer.pk, asset.pk)])
        if not counted:
            four_eyes.check(
                actor=actor,
                kind=Approval.Kind.GRANT,
                amounts={asset.pk: amount},
                customer_id=customer.pk,
                approval=approval,
            )
        if EXACT.add(_granted(journal, journal.balances[customer.pk, asset.pk]), amount) >= LIMIT:
            raise InvalidRequest.field("amount", "is more than the wallet can take beside what it has had already")
        grant = Grant(
            id=id or uuid7(),
            customer=customer,
            balance_id=journal.balances[customer.pk, asset.pk].id,
            asset=asset,
            kind=kind,
            name=name,
            amount=amount,
            remaining=amount,
            priority=priority,
            effective_at=starts_at,
            expires_at=expires_at,
            applies_to=dict(applies_to or {}),
            paid_amount=paid_amount,
            paid_currency=paid_currency,
            metadata=dict(metadata or {}),
        )
        state = journal.new_grant(grant)
        if starts_at <= journal.now:
            journal.grant_value(state)
        journal.write()
        audit.record(
            actor=actor,
            action="grant.created",
            object_type="grant",
            object_id=str(grant.pk),
            organization_id=customer.organization_id,
            after={
                "customer": customer.external_id,
                "asset": asset.code,
                "amount": amount_string(amount),
                "kind": kind,
                **({"reason": reason} if reason else {}),
            },
        )
    # What plans are owed is paid as soon as there is something to pay it from.
    subscriptions.collect(customer.pk)
    grant.refresh_from_db()
    return grant


@retried
def void(*, actor: audit.Actor, grant: Grant, reason: str, approval: Approval | None = None) -> Grant:
    """Take back what remains of the grant; what was spent stays spent.

    What is held stays with the work that it was set aside for, and goes out when that gives it back. Raises
    ``InvalidState`` where nothing is left: depleted, expired or voided already; and ``ApprovalRequired``
    (``four_eyes``), for which what is held counts as well.
    """
    with transaction.atomic():
        journal = Journal.open([grant.customer_id])
        state = journal.grants.get(grant.pk)
        lapsed = state is not None and state.source.expires_at is not None and state.source.expires_at <= journal.now
        if state is None or state.voided_at is not None or lapsed:
            grant.refresh_from_db()
            status = grant.status_at(journal.now)
            raise InvalidState(f"The grant is {status} already: there is nothing to take back.", status=status.value)
        voided = journal.void(state)
        four_eyes.check(
            actor=actor,
            kind=Approval.Kind.VOID,
            amounts={grant.asset_id: EXACT.add(voided, state.held)},
            customer_id=grant.customer_id,
            approval=approval,
        )
        journal.write()
        audit.record(
            actor=actor,
            action="grant.voided",
            object_type="grant",
            object_id=str(grant.pk),
            organization_id=grant.customer.organization_id,
            after={"customer": grant.customer.external_id, "voided": amount_string(voided), "reason": reason},
        )
    grant.refresh_from_db()
    return grant


@retried
def extend(
    *,
    actor: audit.Actor,
    grant: Grant,
    expires_at: datetime | None,
    reason: str,
    approval: Approval | None = None,
) -> Grant:
    """Let the grant live longer: until ``expires_at``, or for ever.

    Raises ``InvalidRequest`` where that is not later than now and than its end so far, ``InvalidState`` where it is
    spent, expired or voided, or belongs to a billing period, which ends what it included. What is left of it counts as
    given once more: ``ApprovalRequired`` (``four_eyes``); while that waits it may become less, and not more.
    """
    with transaction.atomic():
        journal = Journal.open([grant.customer_id])
        journal.write()
        grant.refresh_from_db()
        status = grant.status_at(journal.now)
        if status not in {Grant.Status.ACTIVE, Grant.Status.SCHEDULED}:
            raise InvalidState(f"The grant is {status}: there is nothing left to extend.", status=status.value)
        if grant.period_id is not None:
            raise InvalidState("What a plan includes ends with its period.", status=status.value)
        if grant.expires_at is None:
            raise InvalidState("The grant never expires.", status=status.value)
        if expires_at is not None and expires_at <= max(grant.expires_at, journal.now):
            raise InvalidRequest.field("expires_at", "must be later than it is now")
        left = EXACT.add(grant.remaining, grant.held)
        asked = left if approval is None else Decimal(approval.amounts[grant.asset_id])
        four_eyes.check(
            actor=actor,
            kind=Approval.Kind.GRANT,
            amounts={grant.asset_id: max(left, asked)},
            customer_id=grant.customer_id,
            approval=approval,
        )
        before, grant.expires_at = grant.expires_at, expires_at
        grant.save(update_fields=["expires_at"])
        audit.record(
            actor=actor,
            action="grant.extended",
            object_type="grant",
            object_id=str(grant.pk),
            organization_id=grant.customer.organization_id,
            before={"expires_at": before.isoformat()},
            after={"expires_at": expires_at and expires_at.isoformat(), "reason": reason},
        )
    return grant


def _granted(journal: Journal, balance: BalanceState) -> Decimal:
    """All that was ever put into the balance, and what is scheduled for it."""
    scheduled = (s.amount for s in journal.grants.values() if s.balance is balance and not s.posted)
    return exact_sum(scheduled, balance.lifetime_granted)


def settle_due() -> int:
    """Take lapsed grants out of their balances and put started ones in, through the ledger. Returns how many.

    Charging does the same for the wallet it locks, so a lapsed grant never pays; this finds the wallets that nobody
    uses. Safe to run twice and at the same time.
    """
    now = timezone.now()
    due = (
        Grant.objects.filter(open=True)
        .filter(Q(posted=True, expires_at__lte=now, remaining__gt=0) | Q(posted=False, effective_at__lte=now))
        .order_by("customer_id")
        .values_list("customer_id")
        .distinct()
    )
    settled = 0
    for (customer_id,) in one_by_one.in_turn(due, "grants"):
        with one_by_one.apart("expiry of customer", customer_id):
            settled += _settle_due_of(customer_id)
    return settled


@retried
def _settle_due_of(customer_id: UUID) -> int:
    with transaction.atomic():
        journal = Journal.open([customer_id])
        journal.write()
    return journal.settled_due
