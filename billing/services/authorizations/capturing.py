"""Charging what was really used, from what was set aside first."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial, reduce
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.ids import uuid7
from billing.engine import burndown
from billing.engine.budgets import Use
from billing.engine.money import EXACT, ZERO, amount_string, decimals
from billing.errors import BillingError, InvalidRequest
from billing.models import Authorization, Customer, UsageEvent
from billing.services import budgets
from billing.services.authorizations import ending, funds
from billing.services.budgets import Budgets
from billing.services.ledger import holds
from billing.services.ledger.holds import AuthorizationState
from billing.services.ledger.posting import Journal, Wanted
from billing.services.retrying import retried
from billing.services.usage import IncomingEvent, Outcome
from billing.services.usage.answers import stored_refusal
from billing.services.usage.deciding import frozen_since
from billing.services.usage.recording import Recording
from billing.services.usage.renewing import reading_due, refuse_due, renewed_first


@dataclass(frozen=True, slots=True)
class Captured:
    """What a capture came to. ``outcome`` is the usage event's, where there was one; ``refused`` what budgets left out
    of a plain amount, with the code and figures of why."""

    authorization: Authorization
    outcome: Outcome | None = None
    refused: Mapping[str, Any] | None = None


def capture_usage(*, authorization: Authorization, event: IncomingEvent, final: bool = True) -> Captured:
    """Charge what was really used, from what was set aside first.

    ``final``: what is left is given back and the authorization is closed; otherwise it stays open with the rest. More
    than was set aside comes out of the free balance; where that does not suffice ``InsufficientFunds`` is raised and
    nothing changes, or, as the customer's policy says, the event is kept as unpaid. The same event again gets its first
    answer again, and where it is the final one, the authorization is closed all the same.

    A wallet that was frozen since pays no more than what was set aside: the rest is left out of the charge
    (``Outcome.refused``), and ``WalletFrozen`` is raised where nothing is set aside any more.

    What was set aside is charged whatever the budgets say by now. What is beyond it and a budget refuses is left out
    as well, or, where the customer's policy is that work counts as done, charged all the same; ``BudgetExceeded`` or
    ``RateLimited`` is raised where nothing else is left to charge. Where a budget that counts events has no room for
    another one, the capture is the final one.

    What comes when the authorization's time is over is recorded by itself, for the work was done: what was set aside
    has gone back, so it needs funds of its own. Raises ``InvalidState`` where the authorization is captured or voided.
    """
    if event.subject != authorization.customer.external_id:
        raise InvalidRequest.field("subject", "is not the authorization's customer")
    if event.named_key_id not in {None, authorization.api_key_id}:
        raise InvalidRequest.field("api_key", "is not the authorization's")
    work = retried(partial(_capture_usage, authorization_id=authorization.pk, event=event, final=final))
    captured = renewed_first(work)
    if captured is None:
        raise ending.over(authorization)
    if isinstance(captured, BillingError):
        captured.stands = True
        raise captured
    return captured


def _capture_usage(
    renewing: bool, *, authorization_id: UUID, event: IncomingEvent, final: bool
) -> Captured | BillingError | None:
    """None where the authorization is closed; a refusal that is returned leaves what was given back given back."""
    with transaction.atomic():
        read = holds.reading([authorization_id])
        recording = Recording.open([event], read, renewing=renewing)
        journal = recording.journal
        state = holds.states(read.rows, journal)[authorization_id]
        if recording.known or state.is_late(journal.now):
            return _record_apart(recording, state, final=final)
        if state.status != "open":
            return None
        lines = recording.lines(event)
        if isinstance(lines, BillingError):
            raise lines
        recording.ensure_balances(event, lines)
        only = None
        if not final:
            wanted = recording.wanted(event, lines, set_aside=holds.of_grants(journal, state))
            only = [each for line in wanted for each in line]
        recording.set_aside = state.left()
        recording.reserved = holds.release(journal, state, only=only)
        recording.budgets.release(state.customer_id, state.id, state.left())
        recording.budgets.enforced = not recording.payers[event.subject].overdraft
        recording.in_part = True
        recording.fair_use.enforced = False  # It was let pass before the work began.
        (outcome,) = recording.decide()
        if outcome.error is not None:
            raise outcome.error
        if outcome.status == UsageEvent.Status.UNPAID and not final:
            # Kept as if it had come by itself: what is set aside stays so, for the rest of the run.
            recording = Recording.open([event])
            recording.budgets.enforced = recording.fair_use.enforced = False
            (outcome,) = recording.decide()
            recording.write()
            return Captured(ending.load(authorization_id), outcome)
        # Usage that makes the whole period cheaper gives back, also what other runs were charged.
        state.captured = max(ZERO, EXACT.add(state.captured, outcome.cost.get(state.asset, ZERO)))
        state.note({str(line.meter_id): line.quantity for line in lines})
        if not final and recording.budgets.full(state.customer_id, event.use):
            final = True
            recording.reserved = [*recording.reserved, *holds.release(journal, state)]
        holds.settle_rest(journal, state, recording.reserved)
        recording.write(*holds.close(state, status="captured" if final else "open", now=journal.now))
    return Captured(ending.load(authorization_id), outcome)


def _record_apart(recording: Recording, state: AuthorizationState, *, final: bool) -> Captured | BillingError:
    """Record what was recorded before, or comes too late, as if it had come by itself. Nothing stays set aside for a
    run that is over."""
    journal = recording.journal
    late = state.is_late(journal.now)
    # Before the decision: what goes back may be what pays.
    writes = ending.end(journal, state, status="expired") if late else []
    if late:
        recording.budgets.release(state.customer_id, state.id, {}, late=True)
        recording.fair_use.release(state.id)
    (outcome,) = recording.decide()
    if outcome.error is not None:
        if writes:
            journal.write(*writes)
        return outcome.error
    if final and not late:
        writes = ending.end(journal, state, status="captured")
    recording.write(*writes)
    return Captured(ending.load(state.id), outcome)


def capture_amount(*, authorization: Authorization, amount: Decimal, final: bool = True) -> Captured:
    """The same for a plain amount of the authorization's asset, without a usage event.

    Nothing would keep an amount that comes too late from being charged twice: it is refused like one after the end.
    """
    if amount <= 0:
        raise InvalidRequest.field("amount", "must be greater than zero; void what is not used at all")
    if decimals(amount) > authorization.asset.precision:
        raise InvalidRequest.field(
            "amount", f"{authorization.asset_id} has at most {authorization.asset.precision} decimals"
        )
    captured = renewed_first(retried(partial(_capture_amount, authorization=authorization, amount=amount, final=final)))
    if captured is None:
        raise ending.over(authorization)
    return captured


def _capture_amount(renewing: bool, *, authorization: Authorization, amount: Decimal, final: bool) -> Captured | None:
    with transaction.atomic():
        read = holds.reading([authorization.pk])
        due = reading_due(authorization.customer_id)
        use = Use(authorization.type, authorization.data, authorization.api_key_id)
        limits = budgets.Reading([authorization.customer_id], lambda: [use], surely=True)
        journal = Journal.open([authorization.customer_id], read, due, *limits.queries)
        if renewing:
            refuse_due(due, journal.now)
        spending = limits.load(journal)
        state = holds.states(read.rows, journal)[authorization.pk]
        if state.status != "open":
            return None
        if state.is_late(journal.now):
            journal.write(*ending.end(journal, state, status="expired"))
            return None
        balance = journal.balances[authorization.customer_id, authorization.asset_id]
        only = None if final else [Wanted(authorization.asset_id, None, amount)]
        at_most = state.outstanding if state.customer_id in journal.frozen else amount
        reserved = holds.release(journal, state, only=only)
        spending.release(state.customer_id, state.id, state.left())
        spending.enforced = authorization.customer.on_insufficient_funds == Customer.FundsPolicy.REJECT
        amount, refused = _let_pass(spending, authorization, use, amount, at_most)
        draws = burndown.draw_reserved(
            [part for part in reserved if journal.grants[part.source.id].balance is balance], amount, meter=None
        )
        missing = reduce(EXACT.subtract, (part.amount for part in draws), amount)
        more = burndown.draw(balance.sources, missing, meter=None, moment=journal.now, overdraft=balance.overdraft_room)
        if more is None:
            burndown.put_back(draws)
            payable = burndown.payable(balance.sources, meter=None, moment=journal.now)
            raise funds.insufficient(balance, amount, payable=payable)
        capture_id = uuid7()
        head = journal.begin(
            customer_id=authorization.customer_id,
            template="authorization.captured",
            reference=f"capture:{capture_id}",
            occurred_at=journal.now,
            transaction_id=capture_id,
        )
        journal.draw(head, balance, [*draws, *more], charge_id=None)
        state.captured = EXACT.add(state.captured, amount)
        holds.settle_rest(journal, state, reserved)
        journal.write(*holds.close(state, status="captured" if final else "open", now=journal.now), *spending.writes())
    return Captured(ending.load(authorization.pk), refused=refused)


def _let_pass(
    spending: Budgets, authorization: Authorization, use: Use, amount: Decimal, at_most: Decimal
) -> tuple[Decimal, Mapping[str, Any] | None]:
    """What of the amount may be charged, which budgets count, and, where that is less, why.

    ``at_most`` is what a frozen wallet pays.
    """
    customer_id, asset = authorization.customer_id, authorization.asset_id
    passes, refusal = amount, None
    if at_most < amount:
        passes, refusal = at_most, frozen_since(authorization.customer.external_id)
        if not passes:
            raise refusal
    over = spending.admit(customer_id, use, {asset: passes}, events=0)
    if over is not None:
        passes = spending.room(customer_id, use, {asset: passes})[asset]
        if passes <= 0:
            raise over
        spending.admit(customer_id, use, {asset: passes}, events=0)
    left_out: BillingError | None = over or refusal
    if left_out is None:
        return amount, None
    left_out.figures["refused"] = {asset: amount_string(EXACT.subtract(amount, passes))}
    return passes, stored_refusal(left_out)
