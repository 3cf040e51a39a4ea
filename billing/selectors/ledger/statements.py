"""The customer's statement: ledger entries as the customer's balance sees them, newest first."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from django.db import connection

from accounts.ids import first_id
from billing.engine.postings import change_of_available

_LATE = timedelta(hours=48)
"""Events may lie at most 24 hours ahead of the clock, so nothing that occurred at t was booked before t less this."""

_BATCH = 1000


class Movement(Protocol):
    """What the sign of an entry depends on."""

    @property
    def debit(self) -> str: ...
    @property
    def credit(self) -> str: ...
    @property
    def amount(self) -> Decimal: ...


def signed_amount(entry: Movement) -> Decimal:
    """By how much the entry changed ``available``: the difference between the balance after it and before it."""
    return change_of_available(debit=entry.debit, credit=entry.credit, amount=entry.amount)


SIGNED_AMOUNT_SQL = (
    "e.amount * ((e.credit IN ('wallet_available', 'receivable'))::int"
    " - (e.debit IN ('wallet_available', 'receivable'))::int)"
)
"""``signed_amount`` for SQL, of a ledger entry called ``e``."""


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One entry. ``event`` is the sender's id of the usage event that it paid for, or gave back for."""

    id: UUID
    transaction_id: UUID
    kind: str
    amount: Decimal
    balance_after: Decimal
    asset: str
    grant_id: UUID | None
    grant: str | None
    event: str | None
    meter: str | None
    model: str | None
    description: str
    occurred_at: datetime
    posted_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Rows and where to go on: ``next_cursor`` is ``before`` of the next page, None on the last."""

    rows: list[StatementRow]
    next_cursor: UUID | None


# The inner query finds the entries of one page along the index; only those are joined to what explains them. It asks
# for any of one customer, ordered by customer first, so that only the index of (customer, id) fits. Asked with "=", the
# planner may walk all customers' entries from the newest on, which for a customer who has been idle is a long way.
_PAGE = """
SELECT e.id, e.transaction_id, e.kind, {signed}, e.available_after, e.asset_id,
       e.grant_id, COALESCE(NULLIF(g.name, ''), g.kind), u.event_id, m.name, c.dimensions ->> 'model',
       t.description, e.occurred_at, e.posted_at
  FROM (SELECT * FROM billing_ledgerentry e
         WHERE e.customer_id = ANY(%(customers)s) AND e.balance_id IS NOT NULL {conditions}
         ORDER BY {order} LIMIT %(limit)s) e
  LEFT JOIN billing_ledgertransaction t ON t.id = e.transaction_id AND t.customer_id = e.customer_id
  LEFT JOIN billing_charge c ON c.id = e.charge_id AND c.customer_id = e.customer_id
  LEFT JOIN billing_usageevent u
         ON u.id = COALESCE(c.event_id, e.transaction_id) AND u.customer_id = e.customer_id
  LEFT JOIN billing_meter m ON m.id = c.meter_id
  LEFT JOIN billing_grant g ON g.id = e.grant_id AND g.customer_id = e.customer_id
 ORDER BY {order}
"""
# Both ways along the same index, which has the latest first.
_LATEST_FIRST = "e.customer_id, e.id DESC"
_OLDEST_FIRST = "e.customer_id DESC, e.id"

# A usage event's transaction bears the event's id; those that correct it point at that.
_FIND_EVENT = """
  WITH events AS (SELECT id FROM billing_usageevent WHERE event_id = %(search)s AND customer_id = %(customer)s)
SELECT id FROM events
 UNION ALL
SELECT t.id FROM billing_ledgertransaction t JOIN events e ON e.id = t.reverses_id AND t.customer_id = %(customer)s
"""


def page(
    *,
    customer_id: UUID,
    asset: str | None = None,
    kind: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    search: str | None = None,
    before: UUID | None = None,
    oldest_first: bool = False,
    limit: int = 50,
) -> Page:
    """At most ``limit`` entries that touched the customer's balances, the latest booked first, or the oldest.

    ``before`` is the last row of the page before.

    ``start`` and ``end`` bound ``occurred_at``, half-open. ``search`` is an event's id, whole, or a transaction's.
    """
    assert limit > 0
    conditions: list[str] = []
    values: dict[str, Any] = {"customers": [customer_id], "limit": limit + 1}

    def only(condition: str, **value: Any) -> None:
        conditions.append(f"AND {condition}")
        values.update(value)

    if asset:
        only("e.asset_id = %(asset)s", asset=asset)
    if kind:
        only("e.kind = %(kind)s", kind=kind)
    if before is not None:
        only("e.id > %(before)s" if oldest_first else "e.id < %(before)s", before=before)
    if start is not None:
        # Ids grow with time: the second condition lets the index stop where nothing can follow.
        only("e.occurred_at >= %(start)s", start=start)
        only("e.id >= %(start_id)s", start_id=first_id(start - _LATE))
    if end is not None:
        only("e.occurred_at < %(end)s", end=end)
    with connection.cursor() as cursor:
        if search:
            only("e.transaction_id = ANY(%(transactions)s)", transactions=_transactions(cursor, customer_id, search))
        order = _OLDEST_FIRST if oldest_first else _LATEST_FIRST
        cursor.execute(_PAGE.format(signed=SIGNED_AMOUNT_SQL, conditions=" ".join(conditions), order=order), values)
        rows = [StatementRow(*row) for row in cursor.fetchall()]
    return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)


def everything(**filters: Any) -> Iterator[StatementRow]:
    """All rows for ``page``'s filters, read a page at a time: memory stays flat, no transaction stays open."""
    before: UUID | None = None
    while True:
        part = page(**filters, before=before, limit=_BATCH)
        yield from part.rows
        if part.next_cursor is None:
            return
        before = part.next_cursor


def _transactions(cursor: Any, customer_id: UUID, search: str) -> list[UUID]:
    cursor.execute(_FIND_EVENT, {"customer": customer_id, "search": search})
    found = [row[0] for row in cursor.fetchall()]
    with suppress(ValueError):
        found.append(UUID(search))
    return found
