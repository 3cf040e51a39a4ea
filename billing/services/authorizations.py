"""Authorise, then capture: value is set aside before work runs, and what was really used is charged after it.

open → captured | voided | expired, once and for all.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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
from billing.errors import BillingError, InsufficientFunds, InvalidRequest, InvalidState, NotFound, WalletBusy
from billing.models import Asset, Authorization, Customer, UsageEvent
from billing.services import bulk, holds
from billing.services.holds import AuthorizationState
from billing.services.ledger import Journal, Wanted
from billing.services.retrying import retried
from billing.services.states import BalanceState
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
        wanted = [Wanted(line.price.asset, line.meter, recording.counters.charge(payer.id, line)) for line in lines]
        return _open(
            recording.journal,
            payer.id,
            payer.currency,
            wanted,
            life=life,
            affordable=_affordable(recording, payer, lines, wanted),
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
            journal,
            customer.pk,
            asset.pk,
            [Wanted(asset.pk, None, amount)],
            life=life,
            affordable={},
            api_key_id=api_key_id,
        )


def _open(
    journal: Journal,
    customer_id: UUID,
    currency: str,
    wanted: Sequence[Wanted],
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
    for each in wanted:
        totals[each.asset] = EXACT.add(totals.get(each.asset, ZERO), each.amount)
    drawn = _draw(journal, customer_id, wanted)
    if drawn is None:
        raise _too_little(journal, customer_id, wanted)
    main = currency if currency in totals else next(iter(totals))
    authorization_id = uuid7()
    head = journal.begin(
        customer_id=customer_id,
        template="authorization.opened",
        reference=f"authorization:{authorization_id}",
        occurred_at=journal.now,
    )
    held: dict[tuple[str, UUID | None], Decimal] = {}
    for each, draws in zip(wanted, drawn, strict=True):
        journal.hold(head, journal.balances[customer_id, each.asset], draws)
        for part in draws:
            key = (each.asset, part.source.id if part.source else None)
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


def _draw(journal: Journal, customer_id: UUID, wanted: Sequence[Wanted]) -> list[list[burndown.Draw]] | None:
    """Take every amount, one after the other. None, and nothing taken, where one cannot be had."""
    drawn: list[list[burndown.Draw]] = []
    rooms: dict[str, Decimal] = {}
    for each in wanted:
        balance = journal.balances[customer_id, each.asset]
        room = rooms.get(each.asset, balance.overdraft_room)
        draws = burndown.draw(balance.sources, each.amount, meter=each.meter, moment=journal.now, overdraft=room)
        if draws is None:
            burndown.put_back(part for taken in drawn for part in taken)
            return None
        drawn.append(draws)
        rooms[each.asset] = EXACT.subtract(room, _beyond(draws))
    return drawn


def _beyond(draws: Sequence[burndown.Draw]) -> Decimal:
    """What of it the grants do not cover."""
    return reduce(EXACT.add, (part.amount for part in draws if part.source is None), ZERO)


def _too_little(journal: Journal, customer_id: UUID, wanted: Sequence[Wanted]) -> InsufficientFunds:
    """The refusal of what ``_draw`` could not take: the first asset that is short, with the figures of all of it."""
    required: dict[str, Decimal] = {}
    beyond: dict[str, Decimal] = {}
    for each in wanted:
        sources = journal.balances[customer_id, each.asset].sources
        draws = burndown.draw(sources, each.amount, meter=each.meter, moment=journal.now, overdraft=each.amount)
        assert draws is not None
        required[each.asset] = EXACT.add(required.get(each.asset, ZERO), each.amount)
        beyond[each.asset] = EXACT.add(beyond.get(each.asset, ZERO), _beyond(draws))
    short = next(a for a in required if beyond[a] > journal.balances[customer_id, a].overdraft_room)
    balance = journal.balances[customer_id, short]
    return _insufficient(balance, required[short], payable=EXACT.subtract(required[short], beyond[short]))


def _insufficient(balance: BalanceState, required: Decimal, *, payable: Decimal) -> InsufficientFunds:
    available = EXACT.subtract(payable, EXACT.add(balance.owed, balance.overdraft_held))
    return InsufficientFunds(
        f"This takes {amount_string(required)} {balance.asset}, and the wallet has {amount_string(available)} "
        "available for it.",
        asset=balance.asset,
        available=available,
        required=required,
    )


def capture_usage(*, authorization: Authorization, event: IncomingEvent, final: bool = True) -> Captured:
    """Charge what was really used, from what was set aside first.

    ``final``: what is left is given back and the authorization is closed; otherwise it stays open with the rest. More
    than was set aside comes out of the free balance; where that does not suffice ``InsufficientFunds`` is raised and
    nothing changes, or, as the customer's policy says, the event is kept as unpaid. The same event again gets its first
    answer again. Raises ``InvalidState`` where the authorization is closed or its time is over.
    """
    if event.subject != authorization.customer.external_id:
        raise InvalidRequest.field("subject", "is not the authorization's customer")
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
        only = None if final else recording.required(event, lines)
        recording.reserved = holds.release(journal, state, only=only)
        (outcome,) = recording.decide()
        if outcome.error is not None:
            raise outcome.error
        if outcome.status == UsageEvent.Status.UNPAID and not final:
            # Kept as if it had come by itself: what is set aside stays so, for the rest of the run.
            recording = Recording.open([event])
            (outcome,) = recording.decide()
            recording.write()
            return Captured(_load(authorization_id), outcome)
        state.captured = EXACT.add(state.captured, outcome.cost.get(state.asset, ZERO))
        holds.retire_rest(journal, recording.reserved)
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
        only = None if final else [Wanted(authorization.asset_id, None, amount)]
        reserved = holds.release(journal, state, only=only)
        draws = burndown.draw_reserved(
            [part for part in reserved if journal.grants[part.source.id].balance is balance], amount, meter=None
        )
        missing = reduce(EXACT.subtract, (part.amount for part in draws), amount)
        more = burndown.draw(balance.sources, missing, meter=None, moment=journal.now, overdraft=balance.overdraft_room)
        if more is None:
            burndown.put_back(draws)
            payable = burndown.payable(balance.sources, meter=None, moment=journal.now)
            raise _insufficient(balance, amount, payable=payable)
        head = journal.begin(
            customer_id=authorization.customer_id,
            template="authorization.captured",
            reference=f"authorization:{authorization.pk}:captured:{amount_string(state.captured)}",
            occurred_at=journal.now,
        )
        journal.draw(head, balance, [*draws, *more], charge_id=None)
        state.captured = EXACT.add(state.captured, amount)
        holds.retire_rest(journal, reserved)
        journal.write(*holds.close(state, status="captured" if final else "open", now=journal.now))
    return Captured(_load(authorization.pk))


def void(*, authorization: Authorization, reason: str = "") -> Authorization:
    """Give everything back. Raises ``InvalidState`` where the authorization is closed or its time is over."""
    if not _end(
        authorization_id=authorization.pk, customer_id=authorization.customer_id, status="voided", reason=reason
    ):
        raise _over(authorization)
    return _load(authorization.pk)


def expire_due() -> int:
    """Give back what authorizations hold whose time is over. Returns how many. Safe to run twice, at the same time."""
    due = Authorization.objects.filter(status="open", expires_at__lte=timezone.now()).order_by("expires_at")
    ended = 0
    for authorization_id, customer_id in list(due.values_list("id", "customer_id")[:SWEEP_MAX]):
        # A wallet that is busy now is for the next run, and no reason to leave the others waiting.
        with suppress(WalletBusy):
            ended += _end(authorization_id=authorization_id, customer_id=customer_id, status="expired")
    return ended


@retried
def _end(*, authorization_id: UUID, customer_id: UUID, status: str, reason: str = "") -> bool:
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
        if reason and not over:
            Authorization.objects.filter(pk=authorization_id).update(reason=reason)
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
    holds.retire_rest(journal, holds.release(journal, state))
    journal.write(*holds.close(state, status=status, now=journal.now))


def _affordable(
    recording: Recording, payer: rating.Payer, lines: Sequence[rating.Line], wanted: Sequence[Wanted]
) -> dict[str, Decimal]:
    """For each field that meters count as it is: the largest whole quantity with which all lines would be set aside.

    ``wanted`` is what the lines cost as announced, and has been counted.
    """
    journal = recording.journal
    before = [max(ZERO, EXACT.subtract(recording.counters.before(line), line.quantity)) for line in lines]
    found: dict[str, Decimal] = {}
    for name in {line.field: None for line in lines if line.field is not None}:
        mine = [position for position, line in enumerate(lines) if line.field == name]

        def carries(quantity: Decimal, mine: Sequence[int] = mine) -> bool:
            varied = list(wanted)
            for position in mine:
                price = lines[position].price
                cost = engine.charge(
                    price.function, before=before[position], quantity=quantity, precision=price.precision
                )
                varied[position] = Wanted(price.asset, lines[position].meter, cost)
            drawn = _draw(journal, payer.id, varied)
            burndown.put_back(part for draws in drawn or () for part in draws)
            return drawn is not None

        bounds: list[tuple[Decimal, Decimal]] = []
        for position in mine:
            line = lines[position]
            balance = journal.balances[payer.id, line.price.asset]
            free = burndown.payable(balance.sources, meter=line.meter, moment=journal.now)
            budget = EXACT.add(balance.overdraft_room, free)
            others = (w.amount for n, w in enumerate(wanted) if n != position and w.asset == balance.asset)
            most, likely = (
                engine.affordable(
                    line.price.function, before=before[position], budget=money, precision=line.price.precision
                )
                for money in (budget, reduce(EXACT.subtract, others, budget))
            )
            if most is not None and likely is not None:
                bounds.append((most, likely))
        if bounds:
            found[name] = _largest(carries, most=min(b[0] for b in bounds), likely=min(b[1] for b in bounds))
    return found


def _largest(carries: Callable[[Decimal], bool], *, most: Decimal, likely: Decimal) -> Decimal:
    """The largest whole number up to ``most`` that ``carries``; zero where none does. ``likely`` is a good guess."""
    good, bad = ZERO, EXACT.add(most, Decimal(1))
    if likely < bad and carries(likely):
        good = likely
        if not carries(EXACT.add(likely, Decimal(1))):
            bad = EXACT.add(likely, Decimal(1))
    while bad - good > 1:
        middle = (good + bad) // 2
        if carries(middle):
            good = middle
        else:
            bad = middle
    return good


def _load(authorization_id: UUID) -> Authorization:
    return Authorization.objects.select_related("customer").get(pk=authorization_id)


def _over(authorization: Authorization) -> InvalidState:
    now = _load(authorization.pk)
    hint = " Record the usage as an event instead." if now.status == "expired" else ""
    return InvalidState(f"The authorization is {now.status} already.{hint}", status=now.status)
