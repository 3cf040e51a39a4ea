"""Authorise, then capture: value is set aside before work runs, and what was really used is charged after it.

open → captured | voided | expired, once and for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import reduce
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.ids import uuid7
from billing.engine import burndown
from billing.engine import rating as engine
from billing.engine.money import EXACT, ZERO, amount_string, decimals
from billing.errors import BillingError, InsufficientFunds, InvalidRequest, InvalidState, NotFound
from billing.models import Asset, Authorization, Customer
from billing.services import bulk, holds
from billing.services.holds import AuthorizationState
from billing.services.ledger import Journal
from billing.services.retrying import retried
from billing.services.usage import IncomingEvent, Outcome, rating
from billing.services.usage.recording import Recording
from billing.services.wallets import ensure_balances

LIFE_DEFAULT = timedelta(minutes=10)
LIFE_MAX = timedelta(days=7)
SWEEP_MAX = 500


@dataclass(frozen=True, slots=True)
class Opened:
    """An authorization that was opened. ``affordable`` is how far wallet and prices would carry each metered field."""

    authorization: Authorization
    holds: Mapping[str, Decimal]
    affordable: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Captured:
    """What a capture came to. ``outcome`` is the usage event's, where there was one."""

    authorization: Authorization
    outcome: Outcome | None = None


@retried
def open_for_usage(*, event: IncomingEvent, life: timedelta = LIFE_DEFAULT) -> Opened:
    """Set aside what the announced usage would cost. ``event`` has no id yet; its data is the most that is expected.

    Raises ``InsufficientFunds`` where the wallet does not suffice, and what rating raises.
    """
    with transaction.atomic():
        recording = Recording.open([event])
        payer = recording.payers.get(event.subject)
        if payer is None or event.organization_id not in {None, payer.organization_id}:
            raise NotFound(f"There is no customer {event.subject}.")
        lines = recording.lines(event)
        if isinstance(lines, BillingError):
            raise lines
        recording.ensure_balances(event, lines)
        affordable = _affordable(recording, payer, lines)
        amounts = [(line.price.asset, line.meter, recording.counters.charge(payer.id, line)) for line in lines]
        return _open(
            recording.journal,
            payer.id,
            payer.currency,
            amounts,
            life=life,
            affordable=affordable,
            type=event.type,
            data=event.data,
            api_key_id=event.api_key_id,
        )


@retried
def open_amount(
    *, customer: Customer, asset: Asset, amount: Decimal, life: timedelta = LIFE_DEFAULT, api_key_id: UUID | None = None
) -> Opened:
    """Set aside ``amount``. Only grants without restriction serve, for nobody knows yet what it is for."""
    if amount <= 0:
        raise InvalidRequest.field("amount", "must be greater than zero")
    if decimals(amount) > asset.precision:
        raise InvalidRequest.field("amount", f"{asset.code} has at most {asset.precision} decimals")
    with transaction.atomic():
        journal = Journal.open([customer.pk])
        ensure_balances(journal, [(customer.pk, asset.pk)])
        return _open(
            journal, customer.pk, asset.pk, [(asset.pk, None, amount)], life=life, affordable={}, api_key_id=api_key_id
        )


def _open(
    journal: Journal,
    customer_id: UUID,
    currency: str,
    amounts: Sequence[tuple[str, str | None, Decimal]],
    *,
    life: timedelta,
    affordable: Mapping[str, Decimal],
    type: str = "",
    data: Mapping[str, Any] | None = None,
    api_key_id: UUID | None = None,
) -> Opened:
    if not timedelta(seconds=1) <= life <= LIFE_MAX:
        raise InvalidRequest.field("expires_in", f"must be from 1 to {int(LIFE_MAX.total_seconds())} seconds")
    totals: dict[str, Decimal] = {}
    for asset, _, amount in amounts:
        totals[asset] = EXACT.add(totals.get(asset, ZERO), amount)
    main = currency if currency in totals else next(iter(totals))
    authorization_id = uuid7()
    head = journal.begin(
        customer_id=customer_id,
        template="authorization.opened",
        reference=f"authorization:{authorization_id}",
        occurred_at=journal.now,
    )
    held: dict[tuple[str, UUID | None], Decimal] = {}
    for asset, meter, amount in amounts:
        balance = journal.balances[customer_id, asset]
        draws = burndown.draw(
            balance.sources, amount, meter=meter, moment=journal.now, overdraft=balance.overdraft_room
        )
        if draws is None:
            raise InsufficientFunds(
                f"This needs {amount_string(totals[asset])} {asset}; {amount_string(balance.available)} is available.",
                asset=asset,
                available=balance.available,
                required=totals[asset],
            )
        journal.hold(head, balance, draws)
        for part in draws:
            key = (asset, part.source.id if part.source else None)
            held[key] = EXACT.add(held.get(key, ZERO), part.amount)
    row = {
        "id": authorization_id,
        "customer_id": customer_id,
        "status": Authorization.Status.OPEN,
        "asset_id": main,
        "amount": totals[main],
        "captured": ZERO,
        "type": type,
        "data": data or {},
        "api_key_id": api_key_id,
        "reason": "",
        "created_at": journal.now,
        "expires_at": journal.now + life,
    }
    hold_rows = [
        {
            "id": uuid7(),
            "customer_id": customer_id,
            "authorization_id": authorization_id,
            "balance_id": journal.balances[customer_id, asset].id,
            "asset_id": asset,
            "grant_id": grant_id,
            "amount": amount,
            "outstanding": amount,
        }
        for (asset, grant_id), amount in held.items()
    ]
    journal.write(
        bulk.insertion("billing_authorization", [row], exact_numbers=True), bulk.insertion("billing_hold", hold_rows)
    )
    return Opened(Authorization.objects.get(pk=authorization_id), totals, affordable)


def capture_usage(*, authorization: Authorization, event: IncomingEvent, final: bool = True) -> Captured:
    """Charge what was really used, from what was set aside first.

    ``final``: what is left is given back and the authorization is closed; otherwise it stays open with the rest. More
    than was set aside comes out of the free balance; where that does not suffice ``InsufficientFunds`` is raised and
    nothing changes, or, as the customer's policy says, the event is kept as unpaid. The same event again gets its first
    answer again. Raises ``InvalidState`` where the authorization is closed or its time is over.
    """
    if event.subject != authorization.customer.external_id:
        raise InvalidRequest.field("event.subject", "is not the authorization's customer")
    captured = _capture_usage(authorization_id=authorization.pk, event=event, final=final)
    if captured is None:
        raise _over(authorization)
    return captured


@retried
def _capture_usage(*, authorization_id: UUID, event: IncomingEvent, final: bool) -> Captured | None:
    with transaction.atomic():
        read = holds.reading([authorization_id])
        recording = Recording.open([event], read)
        if recording.known:
            (outcome,) = recording.decide()
            if outcome.error is not None:
                raise outcome.error
            return Captured(_load(authorization_id), outcome)
        journal = recording.journal
        state = holds.states(read.rows, journal)[authorization_id]
        if _must_end(journal, state):
            return None
        lines = recording.lines(event)
        if isinstance(lines, BillingError):
            raise lines
        recording.ensure_balances(event, lines)
        at_most = None if final else {a: max(v, ZERO) for a, v in recording.required(event, lines).items()}
        recording.reserved = holds.release(journal, state, at_most=at_most)
        (outcome,) = recording.decide()
        if outcome.error is not None:
            raise outcome.error
        state.captured = EXACT.add(state.captured, outcome.cost.get(state.asset, ZERO))
        if final:
            holds.expire_rest(journal, recording.reserved)
        recording.write(*holds.close(state, status="captured" if final else "open", now=journal.now))
    return Captured(_load(authorization_id), outcome)


def capture_amount(*, authorization: Authorization, amount: Decimal, final: bool = True) -> Captured:
    """The same for a plain amount of the authorization's asset, without a usage event."""
    if amount <= 0:
        raise InvalidRequest.field("amount", "must be greater than zero; void what is not used at all")
    if decimals(amount) > authorization.asset.precision:
        raise InvalidRequest.field(
            "amount", f"{authorization.asset_id} has at most {authorization.asset.precision} decimals"
        )
    captured = _capture_amount(authorization=authorization, amount=amount, final=final)
    if captured is None:
        raise _over(authorization)
    return captured


@retried
def _capture_amount(*, authorization: Authorization, amount: Decimal, final: bool) -> Captured | None:
    with transaction.atomic():
        read = holds.reading([authorization.pk])
        journal = Journal.open([authorization.customer_id], read)
        state = holds.states(read.rows, journal)[authorization.pk]
        if _must_end(journal, state):
            return None
        balance = journal.balances[authorization.customer_id, authorization.asset_id]
        reserved = holds.release(journal, state, at_most=None if final else {authorization.asset_id: amount})
        draws = burndown.draw_reserved(
            [part for part in reserved if journal.grants[part.source.id].balance is balance], amount, meter=None
        )
        missing = reduce(EXACT.subtract, (part.amount for part in draws), amount)
        more = burndown.draw(balance.sources, missing, meter=None, moment=journal.now, overdraft=balance.overdraft_room)
        if more is None:
            raise InsufficientFunds(
                f"This takes {amount_string(amount)} {authorization.asset_id}, more than was set aside and is free.",
                asset=authorization.asset_id,
                available=EXACT.subtract(amount, missing),
                required=amount,
            )
        head = journal.begin(
            customer_id=authorization.customer_id,
            template="authorization.captured",
            reference=f"authorization:{authorization.pk}:captured:{amount_string(state.captured)}",
            occurred_at=journal.now,
        )
        journal.draw(head, balance, [*draws, *more], charge_id=None)
        state.captured = EXACT.add(state.captured, amount)
        if final:
            holds.expire_rest(journal, reserved)
        journal.write(*holds.close(state, status="captured" if final else "open", now=journal.now))
    return Captured(_load(authorization.pk))


def void(*, authorization: Authorization, reason: str = "") -> Authorization:
    """Give everything back. Raises ``InvalidState`` where the authorization is closed or its time is over."""
    if not _end(authorization_id=authorization.pk, customer_id=authorization.customer_id, status="voided"):
        raise _over(authorization)
    if reason:
        Authorization.objects.filter(pk=authorization.pk).update(reason=reason)
    return _load(authorization.pk)


def expire_due() -> int:
    """Give back what authorizations hold whose time is over. Returns how many. Safe to run twice, at the same time."""
    due = Authorization.objects.filter(status="open", expires_at__lte=timezone.now()).order_by("expires_at")
    ended = 0
    for authorization_id, customer_id in list(due.values_list("id", "customer_id")[:SWEEP_MAX]):
        ended += _end(authorization_id=authorization_id, customer_id=customer_id, status="expired")
    return ended


@retried
def _end(*, authorization_id: UUID, customer_id: UUID, status: str) -> bool:
    """Close with ``status``; False where it is closed already, or expires instead."""
    with transaction.atomic():
        read = holds.reading([authorization_id])
        journal = Journal.open([customer_id], read)
        state = holds.states(read.rows, journal)[authorization_id]
        if state.status != "open":
            return False
        over = state.expires_at <= journal.now
        if status == "expired" and not over:
            return False
        _give_back(journal, state, status="expired" if over else status)
        return status == "expired" or not over


def _must_end(journal: Journal, state: AuthorizationState) -> bool:
    """Whether nothing can be captured any more; one whose time is over is closed right here."""
    if state.status != "open":
        return True
    if state.expires_at <= journal.now:
        _give_back(journal, state, status="expired")
        return True
    return False


def _give_back(journal: Journal, state: AuthorizationState, *, status: str) -> None:
    holds.expire_rest(journal, holds.release(journal, state))
    journal.write(*holds.close(state, status=status, now=journal.now))


def _affordable(recording: Recording, payer: rating.Payer, lines: Sequence[rating.Line]) -> dict[str, Decimal]:
    """For each field that a meter counts as it is: how many units the wallet pays for, beside the other lines."""
    found: dict[str, Decimal] = {}
    for line in lines:
        if line.field is None:
            continue
        balance = recording.journal.balances[payer.id, line.price.asset]
        others = [other for other in lines if other is not line and other.price.asset == line.price.asset]
        counted = recording.counters.snapshot(others)
        budget = balance.overdraft_room
        taken: list[burndown.Draw] = []
        for other in others:
            cost = recording.counters.charge(payer.id, other)
            draws = burndown.draw(
                balance.sources, max(cost, ZERO), meter=other.meter, moment=recording.journal.now, overdraft=budget
            )
            taken += draws or []
            beyond = (part.amount for part in draws or [] if part.source is None)
            budget = reduce(EXACT.subtract, beyond, budget) if draws is not None else Decimal(-1)
        for source in balance.sources:
            if source.may_pay(meter=line.meter, moment=recording.journal.now) and budget >= 0:
                budget = EXACT.add(budget, source.remaining)
        burndown.put_back(taken)
        recording.counters.restore(counted)
        quantity = engine.affordable(
            line.price.function,
            before=recording.counters.before(line),
            budget=budget,
            precision=line.price.precision,
        )
        if quantity is not None:
            found[line.field] = min(quantity, found.get(line.field, quantity))
    return found


def _load(authorization_id: UUID) -> Authorization:
    return Authorization.objects.select_related("customer").get(pk=authorization_id)


def _over(authorization: Authorization) -> InvalidState:
    now = _load(authorization.pk)
    hint = " Record the usage as an event instead." if now.status == "expired" else ""
    return InvalidState(f"The authorization is {now.status} already.{hint}", status=now.status)
