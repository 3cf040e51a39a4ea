"""The one place that locks money rows: in primary-key order, once per transaction, before anything is read.

What was read before the lock is stale. The order everywhere: idempotency row, approval, payment attempt, balances by
id, grants, standing orders to top up, authorization, and last what one of the staff may move.
"""

from collections.abc import Collection
from uuid import UUID

from django.db import connection

from billing.pipeline import Query

_BALANCES = """
SELECT id, customer_id, asset_id, available, held, overdraft_held, owed, overdraft_limit, seq,
       lifetime_granted, lifetime_spent, dispute_debt, refill_below, frozen
  FROM billing_balance
 WHERE customer_id = ANY(%s)
 ORDER BY id
   FOR UPDATE
"""
_ALL = "SELECT customer_id, COUNT(*) FROM billing_balance WHERE customer_id = ANY(%s) GROUP BY customer_id"


def balances(customer_ids: Collection[UUID], *, skip_locked: bool = False) -> Query:
    """Lock every balance of these customers and read them as they are now.

    Whoever moves value for a customer, or decides whether an event of theirs is new, holds these locks. Each customer
    has at least one balance, so holding them means being alone with the customer. With ``skip_locked`` nobody is waited
    for: only customers whose rows all came, as ``how_many`` counts them, are locked.
    """
    return Query(f"{_BALANCES} SKIP LOCKED" if skip_locked else _BALANCES, [list(customer_ids)])


def payment_attempt(attempt_id: UUID) -> Query:
    """Lock a payment attempt, before any balance. Whoever changes it, its top-up or a refund of it holds this lock."""
    return Query("SELECT id FROM billing_paymentattempt WHERE id = %s FOR UPDATE", [attempt_id])


def approval(approval_id: UUID) -> Query:
    """Lock what one of the staff asks for. Whoever decides on it, or does what was approved, holds this lock."""
    return Query("SELECT id FROM billing_approval WHERE id = %s FOR UPDATE", [approval_id])


def manual_movements(person_id: UUID) -> Query:
    """Be alone with what this person moves by hand, so that a day's sum is what it was when it was compared."""
    return Query("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"ante manual movements {person_id}"])


def auto_top_ups(customer_id: UUID) -> Query:
    """Lock the customer's standing orders to top up, after the balances. Whoever changes one, or begins a payment for
    it, holds both."""
    return Query("SELECT id FROM billing_autotopup WHERE customer_id = %s ORDER BY id FOR UPDATE", [customer_id])


def invoice_series(code: str) -> Query:
    """Lock the series of numbers and read the last one given. After the balance whose invoice gets the next."""
    return Query("SELECT last FROM billing_invoiceseries WHERE code = %s FOR UPDATE", [code])


def how_many(customer_ids: Collection[UUID]) -> Query:
    """How many balances each of these customers has."""
    return Query(_ALL, [list(customer_ids)])


def ledger_time() -> Query:
    """The database's clock, to be read after the lock, so that ``posted_at`` follows the order of the books."""
    return Query("SELECT clock_timestamp()")


def only_one(work: str) -> bool:
    """Whether nobody else does this work now; then nobody else will, until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"ante {work}"])
        return bool(cursor.fetchone()[0])


def wait_for_turn(work: str) -> None:
    """As ``only_one``, but wait for whoever does this work now, however long that takes; and so may what follows."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = 0")
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"ante {work}"])
