"""Negative charges: what usage gives back where it makes the whole period cheaper.

It first lowers what is owed. The rest goes back to the grants that paid for the same price in the same period, the last
first: what was bought is there again at what was paid for it, and what a plan included still lapses with its period.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import reduce
from uuid import UUID, uuid5

from accounts.ids import first_id
from billing import pipeline
from billing.engine.burndown import Draw
from billing.engine.money import EXACT, ZERO
from billing.models import Grant
from billing.services.ledger.book import Transaction
from billing.services.ledger.giving_back import Part, give_back
from billing.services.ledger.posting import Journal
from billing.services.ledger.states import BalanceState, GrantState
from billing.services.usage.charged_usage import EARLY_MAX
from billing.services.usage.counters import Key
from billing.services.usage.rating import Line

_CHUNK = 200
"""Of how many charges is read at a time what paid for them."""


@dataclass(slots=True)
class _Paid:
    """What paid for one price in one period and did not come back, the latest last."""

    parts: list[Part] = field(default_factory=list)
    given: dict[UUID | None, Decimal] = field(default_factory=dict)
    """What came back of parts that are not read yet, by grant."""
    known: list[UUID] = field(default_factory=list)
    """The charges of this transaction, some of which may be written already."""
    before: UUID | None = None
    """The oldest charge that was read."""
    whole: bool = False
    """Whether all of the period was read."""


class Credits:
    """What the events of one transaction give back."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._paid: dict[Key, _Paid] = {}

    def note(self, line: Line, draws: Iterable[Draw], *, charge_id: UUID) -> None:
        """This paid for the line's charge."""
        if line.may_give_back:
            paid = self._paid.setdefault(line.counter, _Paid())
            paid.known.append(charge_id)
            paid.parts += [Part(None if draw.source is None else draw.source.id, draw.amount) for draw in draws]

    def give(
        self, transaction: Transaction, balance: BalanceState, line: Line, amount: Decimal, *, charge_id: UUID
    ) -> None:
        """Give ``amount`` back for the line, by a charge that is negative."""
        parts = self._take(balance.customer_id, line, amount)
        rest = self._journal.lower_debt(transaction, balance, amount, charge_id=charge_id)
        # What is owed less came from beyond the grants, as far as any of it did.
        parts.sort(key=lambda part: part.grant_id is not None)
        back = [part for part in _beyond(parts, EXACT.subtract(amount, rest)) if part.grant_id is not None]
        give_back(self._journal, transaction, balance, back, charge_id=charge_id, spent=False)
        unknown = reduce(EXACT.subtract, (part.amount for part in back), rest)
        if unknown > 0:
            collecting = self._collecting(balance, line.period_start, unknown)
            self._journal.put_in(transaction, collecting, unknown, charge_id=charge_id)

    def _take(self, customer_id: UUID, line: Line, amount: Decimal) -> list[Part]:
        """What paid for the line's price last, up to ``amount`` of it: less only where less is known."""
        paid = self._paid.setdefault(line.counter, _Paid())
        found: list[Part] = []
        while amount > 0:
            while not paid.parts and not paid.whole:
                _read_more(paid, customer_id, line)
            if not paid.parts:
                break
            last = paid.parts.pop()
            part = Part(last.grant_id, min(last.amount, amount))
            if part.amount < last.amount:
                paid.parts.append(Part(last.grant_id, EXACT.subtract(last.amount, part.amount)))
            amount = EXACT.subtract(amount, part.amount)
            found.append(part)
        return found

    def _collecting(self, balance: BalanceState, period: datetime, first: Decimal) -> GrantState:
        """The grant that collects what of a period came from nobody knows where: debts that were paid since."""
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


# By the index of the charges that were counted. What was corrected since came back that way.
_PAID = """
SELECT c.id, CASE WHEN e.kind = 'reinstatement' THEN g.replaces_id ELSE e.grant_id END,
       e.amount * ((e.credit = 'usage')::int - (e.debit = 'usage')::int)
  FROM (SELECT id, customer_id, event_id FROM billing_charge
         WHERE customer_id = %s AND price_id = %s AND quantity_before IS NOT NULL
           AND id >= %s AND (%s::uuid IS NULL OR id < %s)
           AND subscription_id = %s
           AND (late OR (occurred_at >= %s AND occurred_at < %s))
           AND id <> ALL(%s)
           AND NOT EXISTS (SELECT FROM billing_correction k
                            WHERE k.customer_id = billing_charge.customer_id AND k.event_id = billing_charge.event_id)
         ORDER BY id DESC LIMIT %s) c
  LEFT JOIN billing_ledgerentry e
         ON e.transaction_id = c.event_id AND e.customer_id = c.customer_id AND e.charge_id = c.id
  LEFT JOIN billing_grant g ON g.id = e.grant_id AND g.customer_id = e.customer_id
 ORDER BY c.id DESC, e.seq DESC
"""


def _read_more(paid: _Paid, customer_id: UUID, line: Line) -> None:
    """Read what paid for the charges before those that were read, less what came back since."""
    subscription_id, price_id, period_start = line.counter
    query = pipeline.Query(
        _PAID,
        [
            customer_id,
            price_id,
            first_id(period_start - EARLY_MAX),
            paid.before,
            paid.before,
            subscription_id,
            period_start,
            line.period_end,
            paid.known,
            _CHUNK,
        ],
    )
    pipeline.run([query])
    for charge_id, grant_id, amount in query.rows:
        paid.before = charge_id
        if amount is None:
            continue
        given = EXACT.subtract(paid.given.get(grant_id, ZERO), amount)
        paid.given[grant_id] = max(given, ZERO)
        if given < 0:
            paid.parts.insert(0, Part(grant_id, EXACT.minus(given)))
    paid.whole = len({row[0] for row in query.rows}) < _CHUNK
