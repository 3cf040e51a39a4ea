"""Deciding what becomes of one event: all of it in memory, while its customer is locked."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from accounts.ids import uuid7
from billing.engine import burndown
from billing.engine.money import EXACT, ZERO, amount_string, amount_strings
from billing.errors import (
    BillingError,
    InsufficientFunds,
    InvalidRequest,
    PermissionDenied,
    RateLimited,
    UnpricedUsage,
    WalletFrozen,
)
from billing.models import UsageEvent
from billing.selectors.catalog import costs
from billing.services import budgets
from billing.services.ledger.posting import Journal, Wanted
from billing.services.usage import answers, rating
from billing.services.usage.counters import Counters
from billing.services.usage.credits import Credits
from billing.services.usage.drawing import Drawing, Piece, drawn_beyond
from billing.services.usage.events import ChargeLine, IncomingEvent, Outcome
from billing.services.usage.fair_use import FairUse
from billing.services.usage.rows import Rows
from billing.services.wallet.wallets import ensure_balances

AHEAD_MAX = timedelta(hours=24)
"""How far in the future an event may say it happened."""


class Decisions:
    """What becomes of each event of a transaction: charged, refused, or kept as unpaid. Nothing is written yet."""

    def __init__(
        self,
        events: Sequence[IncomingEvent],
        journal: Journal,
        payers: Mapping[str, rating.Payer],
        known: Mapping[answers.Key, answers.Recorded],
        counters: Counters,
    ) -> None:
        self.events = events
        self.journal = journal
        self.payers = payers
        self.known = known
        self.counters = counters
        self.budgets = budgets.Budgets(journal)
        self.fair_use = FairUse()
        self.credits = Credits(journal)
        self.allowed_before = False
        """Whether the work was allowed when the wallet could still pay: a wallet frozen since pays for it."""
        self.in_part = False
        """Whether budgets leave out what is beyond them, rather than refuse the event: the work was let pass once."""
        self.set_aside: Mapping[str, Decimal] = {}
        """By asset, what an authorization had set aside for the event: as much a wallet frozen since still pays."""
        self.reserved: Sequence[burndown.Reserved] = ()
        """What an authorization set aside for the event, and has given back: it pays first."""
        self.first: dict[answers.Key, tuple[bytes, Outcome]] = {}
        self.rows = Rows(journal.now)
        self.key_owners: Mapping[UUID, UUID] = {}
        """The organizations of keys that events name."""

    def _key(self, event: IncomingEvent) -> answers.Key:
        return self.payers[event.subject].id, event.source, event.id

    def lines(self, event: IncomingEvent) -> "list[rating.Line] | BillingError":
        """What the event is to be charged for, or why it cannot be."""
        payer = self.payers[event.subject]
        if event.named_key_id and self.key_owners.get(event.named_key_id) != payer.organization_id:
            return InvalidRequest.field("api_key", "is the id of no key of this customer", code="not_found")
        occurred_at = event.time or self.journal.now
        if occurred_at > self.journal.now + AHEAD_MAX:
            return InvalidRequest.field("time", "is more than 24 hours ahead", code="too_far_ahead")
        try:
            return rating.lines(event, payer, occurred_at=occurred_at)
        except (UnpricedUsage, InvalidRequest, PermissionDenied) as refusal:
            return refusal

    def ensure_balances(self, event: IncomingEvent, lines: Sequence[rating.Line]) -> None:
        """A wallet can be charged in an asset that it never held."""
        ensure_balances(self.journal, set(self._charged_in(event, lines)))

    def _charged_in(self, event: IncomingEvent, lines: Sequence[rating.Line]) -> Iterator[tuple[UUID, str]]:
        customer_id = self.payers[event.subject].id
        for line in lines:
            yield customer_id, line.price.asset
            if line.price.covered_by:
                yield customer_id, line.price.covered_by

    def wanted(
        self,
        event: IncomingEvent,
        lines: Sequence[rating.Line],
        *,
        set_aside: Sequence[tuple[burndown.Source, Decimal]] = (),
    ) -> list[list[Wanted]]:
        """For each line what it would cost now, after the ones before it. Nothing is charged.

        ``set_aside`` is what an authorization holds for it of grants, and would give back.
        """
        drawing = Drawing(self.journal, self.counters, self.payers[event.subject].id, lines, set_aside=set_aside)
        drawing.take(beyond=True)
        wanted = [
            [
                Wanted(piece.asset, line.meter, max(piece.amount, ZERO))
                for piece in drawing.pieces
                if (piece.line.price.id, piece.line.meter_id) == (line.price.id, line.meter_id)
            ]
            for line in lines
        ]
        drawing.undo()
        return wanted

    def _decide(self, event: IncomingEvent, found: "list[rating.Line] | BillingError") -> Outcome:
        payer = self.payers[event.subject]
        key = self._key(event)
        fingerprint = event.fingerprint()
        if (first := self.first.get(key)) is not None:
            return _repeat(first, fingerprint, event)
        if isinstance(found, InvalidRequest | PermissionDenied):
            return refusal_of(event, found)
        if self._is_frozen(payer) and not self.set_aside:
            outcome = self._reject(event, payer, frozen(payer.external_id))
        elif isinstance(found, BillingError):
            outcome = self._reject(event, payer, found)
        else:
            try:
                outcome = self._charge(event, payer, found)
            except InvalidRequest as refusal:
                return refusal_of(event, refusal)
        self.first[key] = (fingerprint, outcome)
        return outcome

    def _charge(self, event: IncomingEvent, payer: rating.Payer, lines: Sequence[rating.Line]) -> Outcome:
        """Debit all lines of an event, or none of them."""
        drawing = self._drawing(payer, lines)
        if not drawing.take():
            return self._refuse_for_funds(event, payer, lines, drawing)
        self.credits.limit(payer.id, drawing.pieces)
        left_out: BillingError | None = None
        if self._is_frozen(payer) and (room := self._room_of_frozen(drawing)):
            left_out = frozen_since(payer.external_id)
            if not self._leave_out(drawing, room, left_out):
                drawing.undo()
                return self._reject(event, payer, left_out)
        limited = bool(lines[0].plan.fair_use)
        if limited and (beyond := self.fair_use.refusal(payer.id, lines, drawing.amounts())):
            drawing.undo()
            return self._reject(event, payer, beyond)
        refusal = self._admit(event, payer, drawing) if payer.budgeted else None
        if refusal is not None and not (self.in_part and self._limit_to_budgets(event, payer, drawing, refusal)):
            drawing.undo()
            return self._refuse_for_budget(event, payer, refusal)
        if limited:
            self.fair_use.count(payer.id, lines, drawing.amounts())
        return self._book(event, payer, drawing.pieces, refusal or left_out)

    def _is_frozen(self, payer: rating.Payer) -> bool:
        return payer.id in self.journal.frozen and not self.allowed_before

    def _room_of_frozen(self, drawing: Drawing) -> dict[str, Decimal]:
        """Where the lines take more than was set aside for them: how much that was."""
        most = {asset: self.set_aside.get(asset, ZERO) for asset in drawing.amounts()}
        return {asset: most[asset] for asset, amount in drawing.amounts().items() if amount > most[asset]}

    def _admit(self, event: IncomingEvent, payer: rating.Payer, drawing: Drawing) -> BillingError | None:
        """Count the event against the customer's budgets; why it cannot be charged where one of them refuses it."""
        return self.budgets.admit(payer.id, event.use, drawing.amounts(), own_key=event.own_key)

    def _limit_to_budgets(
        self, event: IncomingEvent, payer: rating.Payer, drawing: Drawing, refusal: BillingError
    ) -> bool:
        """Charge only what the budgets let pass. False where that is nothing."""
        if not self._leave_out(drawing, self.budgets.room(payer.id, event.use, drawing.amounts()), refusal):
            return False
        assert self._admit(event, payer, drawing) is None
        return True

    def _leave_out(self, drawing: Drawing, room: Mapping[str, Decimal], refusal: BillingError) -> bool:
        """Charge only what there is ``room`` for, and note the rest with ``refusal``. False where that is nothing."""
        drawing.limit(room)
        if not drawing.left_out or not any(amount > 0 for amount in drawing.amounts().values()):
            return False
        refusal.figures["refused"] = amount_strings(drawing.left_out)
        return True

    def _refuse_for_budget(self, event: IncomingEvent, payer: rating.Payer, refusal: BillingError) -> Outcome:
        """One that may come again later is not kept: the same event is decided anew then."""
        if isinstance(refusal, RateLimited):
            return refusal_of(event, refusal)
        return self._reject(event, payer, refusal)

    def _drawing(self, payer: rating.Payer, lines: Sequence[rating.Line]) -> Drawing:
        return Drawing(self.journal, self.counters, payer.id, lines, self.reserved)

    def _book(
        self,
        event: IncomingEvent,
        payer: rating.Payer,
        pieces: Sequence[Piece],
        refusal: BillingError | None = None,
    ) -> Outcome:
        """Debit the pieces. ``refusal`` is why some of them cost less than they would."""
        event_pk = self._new_pk(event)
        occurred_at = event.time or self.journal.now
        outcome = Outcome(
            event_id=event.id,
            customer=payer.external_id,
            status=UsageEvent.Status.CHARGED,
            currency=payer.currency,
            data=event.data,
        )
        head = None
        for piece, cost in zip(pieces, _costs_of(event, occurred_at, pieces), strict=True):
            charge_id = uuid7()
            line, asset, rated = piece.line, piece.asset, piece.rated
            balance = self.journal.balances[payer.id, asset]
            if piece.draws or rated.amount < 0:
                if head is None:
                    head = self.journal.begin(
                        customer_id=payer.id,
                        template="usage.charged",
                        reference=f"event:{event_pk}",
                        occurred_at=occurred_at,
                        transaction_id=event_pk,
                    )
                self.journal.draw(head, balance, piece.draws, charge_id=charge_id)
                if asset == line.price.asset:
                    self.credits.note(payer.id, line, piece.draws, charge_id=charge_id)
                if rated.amount < 0:
                    self.credits.give(head, balance, line, EXACT.minus(rated.amount), charge_id=charge_id)
            self.rows.charge(charge_id, payer, event_pk, piece, cost=cost, occurred_at=occurred_at)
            outcome.charges.append(
                ChargeLine(
                    line.meter, rated.quantity, asset, rated.amount, line.plan.plan, line.plan.number, line.waived
                )
            )
            outcome.cost[asset] = EXACT.add(outcome.cost.get(asset, ZERO), rated.amount)
            outcome.balance[asset] = balance.available
        outcome.transaction_id = event_pk
        outcome.refused = None if refusal is None else answers.stored_refusal(refusal)
        self.rows.event(event, payer, event_pk, outcome.status, refusal=refusal, balance_after=outcome.balance)
        return outcome

    def _refuse_for_funds(
        self, event: IncomingEvent, payer: rating.Payer, lines: Sequence[rating.Line], drawing: Drawing
    ) -> Outcome:
        """Nothing is charged: refused, or, where the customer's work counts as done, kept as unpaid. What fair use or a
        budget would refuse is refused, with money or without."""
        required: dict[str, Decimal] = {}
        payable: dict[str, Decimal] = {}
        drawing.take(beyond=True)
        for piece in drawing.pieces:
            asset, amount = piece.asset, max(piece.amount, ZERO)
            paid = EXACT.subtract(amount, drawn_beyond([piece], asset))
            required[asset] = EXACT.add(required.get(asset, ZERO), amount)
            payable[asset] = EXACT.add(payable.get(asset, ZERO), paid)
        drawing.undo()
        balances = {asset: self.journal.balances[payer.id, asset] for asset in required}
        short = next(
            asset
            for asset, balance in balances.items()
            if EXACT.add(payable[asset], balance.overdraft_room) < required[asset]
        )
        available = EXACT.subtract(payable[short], balances[short].owed)
        refusal = InsufficientFunds(
            f"This takes {amount_string(required[short])} {short}, and the wallet of {payer.external_id} has "
            f"{amount_string(available)} available for it.",
            asset=short,
            available=available,
            required=required[short],
        )
        if not payer.overdraft or self._is_frozen(payer):
            return self._reject(event, payer, refusal)
        beyond: BillingError | None = self.fair_use.refusal(payer.id, lines, required)
        if beyond is None and payer.budgeted:
            own_key = event.organization_id is not None
            beyond = self.budgets.refusal(payer.id, event.use, required, own_key=own_key)
        if beyond is not None:
            return self._refuse_for_budget(event, payer, beyond)
        return self._keep_unpaid(event, payer, refusal)

    def _new_pk(self, event: IncomingEvent) -> UUID:
        """Our own id for an event that is charged; the transaction bears it too."""
        return uuid7()

    def _keep_unpaid(self, event: IncomingEvent, payer: rating.Payer, refusal: InsufficientFunds) -> Outcome:
        """The work was done: the event waits until the wallet can pay it."""
        event_pk = uuid7()
        amounts = {refusal.figures["asset"]: refusal.figures["required"]}
        now = self.journal.now
        held = budgets.Held(event_pk, event.use, amounts, 1, {}, event.time or now, now)
        self.budgets.hold(payer.id, held)
        self.fair_use.hold(payer.id, held)
        self.rows.unpaid(payer, event_pk, refusal)
        balances = {
            asset: state.available for (owner, asset), state in self.journal.balances.items() if owner == payer.id
        }
        self.rows.event(event, payer, event_pk, UsageEvent.Status.UNPAID, refusal=refusal, balance_after=balances)
        return Outcome(
            event_id=event.id,
            customer=payer.external_id,
            status=UsageEvent.Status.UNPAID,
            balance=balances,
            currency=payer.currency,
            data=event.data,
        )

    def _reject(self, event: IncomingEvent, payer: rating.Payer, refusal: BillingError) -> Outcome:
        """Keep the event with its reason, so that the same event again gets the same answer."""
        self.rows.event(event, payer, uuid7(), UsageEvent.Status.REJECTED, refusal=refusal)
        return refusal_of(event, refusal)


def frozen(customer: str) -> WalletFrozen:
    """The refusal of usage by a customer whose wallet pays for none."""
    return WalletFrozen(f"The wallet of {customer} is frozen. Nothing was charged.")


def frozen_since(customer: str) -> WalletFrozen:
    """The refusal of what is beyond an authorization from before the wallet was frozen."""
    return WalletFrozen(f"The wallet of {customer} is frozen: it pays no more than was set aside.")


def _costs_of(event: IncomingEvent, occurred_at: datetime, pieces: Sequence[Piece]) -> list[Decimal | None]:
    """What the provider takes for each piece of the event, where it is known."""
    parts = costs.shares(event.data, occurred_at, [piece.line.leading_field for piece in pieces])
    return [
        piece.line.basis if piece.line.follows_cost and piece.line.waived is None else part
        for piece, part in zip(pieces, parts, strict=True)
    ]


def _repeat(first: tuple[bytes, Outcome], fingerprint: bytes, event: IncomingEvent) -> Outcome:
    """The second copy of an event in one batch."""
    if first[0] != fingerprint:
        return refusal_of(event, answers.conflict(event))
    outcome = first[1]
    return Outcome(
        event_id=outcome.event_id,
        customer=outcome.customer,
        status=outcome.status,
        charges=outcome.charges,
        cost=outcome.cost,
        balance=outcome.balance,
        transaction_id=outcome.transaction_id,
        currency=outcome.currency,
        data=outcome.data,
        replayed=True,
        error=outcome.error,
    )


def refusal_of(event: IncomingEvent, error: BillingError) -> Outcome:
    return Outcome(
        event_id=event.id, customer=event.subject, status=UsageEvent.Status.REJECTED, data=event.data, error=error
    )
