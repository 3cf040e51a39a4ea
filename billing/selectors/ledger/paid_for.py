"""What paid for one price in one billing period and did not come back: no more than that can ever be given back."""

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from accounts.ids import first_id
from billing import pipeline
from billing.engine.money import EXACT, ZERO
from billing.selectors.usage.counting import EARLY_MAX

_CHUNK = 200
"""Of how many charges is read at a time what paid for them."""


class Counted(NamedTuple):
    """The charges of a customer that count for one price in the period [``start``, ``end``)."""

    customer_id: UUID
    subscription_id: UUID
    price_id: UUID
    start: datetime
    end: datetime


class Payment(NamedTuple):
    """``amount`` that a grant paid of a charge; where ``grant_id`` is None it went beyond the grants."""

    charge_id: UUID
    grant_id: UUID | None
    amount: Decimal


class PaidFor:
    """The payments for a price in a period, read from the last one back. What a charge gave back that made the period
    cheaper is taken off the ones before it, the last first."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted
        self._payments: deque[Payment] = deque()
        self._total = ZERO
        self._given = ZERO
        """What came back of payments that are not read yet."""
        self._known: list[UUID] = []
        """The charges of this transaction, some of which may be written already."""
        self._before: UUID | None = None
        """The oldest charge that was read."""
        self._whole = False
        """Whether all of the period was read."""

    def note(self, charge_id: UUID, draws: Iterable[tuple[UUID | None, Decimal]]) -> None:
        """A charge is made now, and these grants pay for it."""
        self._known.append(charge_id)
        for grant_id, amount in draws:
            self._payments.append(Payment(charge_id, grant_id, amount))
            self._total = EXACT.add(self._total, amount)

    def up_to(self, amount: Decimal) -> Decimal:
        """``amount``, or what stands paid where that is less."""
        while self._total < amount and not self._whole:
            self._read_more()
        return min(amount, self._total)

    def take(self, amount: Decimal) -> list[Payment]:
        """What paid last, ``amount`` of it in all: it stands no more. No more than ``up_to`` says."""
        taken: list[Payment] = []
        self._total = EXACT.subtract(self._total, amount)
        while amount > 0:
            last = self._payments.pop()
            part = last._replace(amount=min(last.amount, amount))
            if part.amount < last.amount:
                self._payments.append(last._replace(amount=EXACT.subtract(last.amount, part.amount)))
            amount = EXACT.subtract(amount, part.amount)
            taken.append(part)
        return taken

    def by_charge(self) -> dict[tuple[UUID, UUID | None], Decimal]:
        """All that stands, by charge and grant."""
        while not self._whole:
            self._read_more()
        return {(charge_id, grant_id): amount for charge_id, grant_id, amount in self._payments}

    def _read_more(self) -> None:
        customer_id, subscription_id, price_id, start, end = self._counted
        query = pipeline.Query(
            _PAID,
            [
                *(customer_id, price_id, first_id(start - EARLY_MAX), self._before, self._before, subscription_id),
                *(start, end, start, end, self._known, _CHUNK),
            ],
        )
        pipeline.run([query])
        for charge_id, grant_id, amount in query.rows:
            self._before = charge_id
            if amount is None:
                continue
            left = EXACT.subtract(amount, self._given)
            self._given = max(ZERO, EXACT.minus(left))
            if left > 0:
                self._payments.appendleft(Payment(charge_id, grant_id, left))
                self._total = EXACT.add(self._total, left)
        self._whole = len({row[0] for row in query.rows}) < _CHUNK


# By the index of the charges that were counted. What was corrected since is less by that; what was owed and fell away
# with its invoice was never paid. What came into the grant that collects credits had been owed.
_PAID = """
WITH counted AS (
    SELECT id, customer_id, event_id FROM billing_charge c
     WHERE customer_id = %s AND price_id = %s AND quantity_before IS NOT NULL
       AND id >= %s AND (%s::uuid IS NULL OR id < %s)
       AND subscription_id = %s
       AND CASE WHEN late THEN (
               SELECT max(p."end") FROM billing_subscriptionperiod p
                WHERE p.subscription_id = c.subscription_id AND p.settled_at <= c.posted_at) >= %s
               AND (SELECT max(p."end") FROM billing_subscriptionperiod p
                WHERE p.subscription_id = c.subscription_id AND p.settled_at <= c.posted_at) < %s
           ELSE occurred_at >= %s AND occurred_at < %s END
       AND id <> ALL(%s)
     ORDER BY id DESC LIMIT %s)
SELECT c.id, e.grant_id, e.amount
  FROM counted c
  LEFT JOIN LATERAL (
       SELECT CASE WHEN e.kind = 'reinstatement' THEN g.replaces_id WHEN e.kind = 'adjustment' THEN NULL
                   ELSE e.grant_id END AS grant_id,
              SUM(e.amount * ((e.credit = 'usage')::int - (e.debit = 'usage')::int)) AS amount,
              max(e.seq) FILTER (WHERE e.transaction_id = c.event_id) AS seq
         FROM (SELECT c.event_id AS transaction_id, c.id AS charge_id
               UNION ALL
               SELECT k.correction_id, k.id FROM billing_charge k
                WHERE k.event_id = c.event_id AND k.customer_id = c.customer_id
                  AND c.id IN (k.reverses_id, k.refunds_id)) t
         JOIN billing_ledgerentry e
              ON e.transaction_id = t.transaction_id AND e.customer_id = c.customer_id AND e.charge_id = t.charge_id
         LEFT JOIN billing_grant g ON g.id = e.grant_id AND g.customer_id = e.customer_id
        WHERE e.grant_id IS NOT NULL OR NOT EXISTS (
              SELECT FROM billing_ledgerentry o
                JOIN billing_invoice i ON i.balance_id = o.balance_id AND o.seq BETWEEN i.first_seq AND i.last_seq
                JOIN billing_invoice v ON v.voids_id = i.id
               WHERE o.transaction_id = c.event_id AND o.customer_id = c.customer_id AND o.charge_id = c.id
                 AND o.grant_id IS NULL)
        GROUP BY 1) e ON true
 ORDER BY c.id DESC, e.seq DESC
"""
