"""Negative charges: what usage gives back where it makes the whole period cheaper.

It first lowers what is owed. The rest goes back to the grants that paid for the same price in the same period, the last
first: what was bought is there again at what was paid for it, and what a plan included still lapses with its period.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid5

from billing.engine.burndown import Draw
from billing.engine.money import EXACT, ZERO, exact_sum
from billing.models import Grant
from billing.selectors.ledger.paid_for import Counted, PaidFor
from billing.services.ledger.book import Transaction
from billing.services.ledger.giving_back import Part, give_back, take_up
from billing.services.ledger.posting import Journal
from billing.services.ledger.states import BalanceState, GrantState
from billing.services.usage.counters import Key
from billing.services.usage.drawing import Piece
from billing.services.usage.rating import Line


class Credits:
    """What the events of one transaction give back."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._paid: dict[Key, PaidFor] = {}

    def limit(self, customer_id: UUID, pieces: Iterable[Piece]) -> None:
        """Let no piece give back more than stands paid for its price in the period: what was refunded since, left out
        or let off does not."""
        for piece in pieces:
            if piece.amount < 0:
                stands = self._paid_for(customer_id, piece.line).up_to(EXACT.minus(piece.amount))
                piece.rated.amount = EXACT.minus(stands)

    def note(self, customer_id: UUID, line: Line, draws: Iterable[Draw], *, charge_id: UUID) -> None:
        """This paid for the line's charge."""
        if line.may_give_back:
            paid = ((None if draw.source is None else draw.source.id, draw.amount) for draw in draws)
            self._paid_for(customer_id, line).note(charge_id, paid)

    def give(
        self, transaction: Transaction, balance: BalanceState, line: Line, amount: Decimal, *, charge_id: UUID
    ) -> None:
        """Give ``amount`` back for the line, by a charge that is negative: no more than ``limit`` let it."""
        taken = self._paid_for(balance.customer_id, line).take(amount)
        rest = self._journal.lower_debt(transaction, balance, amount, charge_id=charge_id)
        # What is owed less came from beyond the grants, as far as any of it did.
        parts = sorted((Part(each.grant_id, each.amount) for each in taken), key=lambda part: part.grant_id is not None)
        left = list(_beyond(parts, EXACT.subtract(amount, rest)))
        back = [part for part in left if part.grant_id is not None]
        give_back(self._journal, transaction, balance, back, charge_id=charge_id, spent=False)
        settled = exact_sum(part.amount for part in left if part.grant_id is None)
        if settled > 0:
            settled = take_up(self._journal, transaction, balance, settled, charge_id=charge_id)
        if settled > 0:
            collecting = self._collecting(balance, line.period_start, settled)
            self._journal.put_in(transaction, collecting, settled, charge_id=charge_id)

    def _paid_for(self, customer_id: UUID, line: Line) -> PaidFor:
        found = self._paid.get(line.counter)
        if found is None:
            counted = Counted(customer_id, line.subscription_id, line.price.id, line.period_start, line.period_end)
            found = self._paid[line.counter] = PaidFor(counted)
        return found

    def _collecting(self, balance: BalanceState, period: datetime, first: Decimal) -> GrantState:
        """The grant that collects what of a period had been owed, and was paid since."""
        number = 0
        while True:
            grant_id = uuid5(balance.id, f"credits:{period.isoformat()}:{number}")
            state = self._journal.load_grant(grant_id)
            if state is None:
                return self._new_collecting(balance, grant_id, period, first)
            if state.voided_at is None:
                return state
            number += 1

    def _new_collecting(self, balance: BalanceState, grant_id: UUID, period: datetime, first: Decimal) -> GrantState:
        # The row is stored with the amount that is about to be put in, and written again with the journal.
        grant = Grant(
            id=grant_id,
            customer_id=balance.customer_id,
            balance_id=balance.id,
            asset_id=balance.asset,
            kind=Grant.Kind.ADJUSTMENT,
            name="Usage credits",
            amount=first,
            remaining=first,
            effective_at=self._journal.now,
            posted=True,
            metadata={"usage_credits_from": period.isoformat()},
        )
        state = self._journal.new_grant(grant)
        state.amount = state.source.remaining = ZERO
        return state


def _beyond(parts: Sequence[Part], lowered: Decimal) -> Iterable[Part]:
    """The parts without the first ``lowered`` of them."""
    for part in parts:
        less = min(part.amount, lowered)
        lowered = EXACT.subtract(lowered, less)
        if less < part.amount:
            yield Part(part.grant_id, EXACT.subtract(part.amount, less))
