"""Are the books right? One query for each invariant; each gives the rows for which it does not hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection


@dataclass(frozen=True, slots=True)
class Difference:
    """The first row for which an invariant does not hold. ``invariant`` is its name in ``INVARIANTS``."""

    invariant: str
    statement: str
    row: dict[str, Any]

    def __str__(self) -> str:
        found = ", ".join(f"{name} {value}" for name, value in self.row.items())
        return f"{self.invariant}: {self.statement} Not so for {found}."


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must hold, in words, and a query for what breaks it."""

    statement: str
    sql: str


_TO_AVAILABLE = (
    "((credit IN ('wallet_available', 'receivable'))::int - (debit IN ('wallet_available', 'receivable'))::int)"
)
_TO_HELD = "((credit = 'wallet_held')::int - (debit = 'wallet_held')::int)"

INVARIANTS: dict[str, Invariant] = {
    "balance-entries": Invariant(
        "A balance is the sum of its entries.",
        f"""
        SELECT b.id AS balance, b.available, b.held, b.owed, e.available AS entries_available, e.held AS entries_held,
               e.owed AS entries_owed
          FROM billing_balance b
          LEFT JOIN LATERAL (
               SELECT COALESCE(SUM(amount * {_TO_AVAILABLE}), 0)
                          AS available,
                      COALESCE(SUM(amount * {_TO_HELD}), 0) AS held,
                      COALESCE(SUM(amount * ((debit = 'receivable')::int - (credit = 'receivable')::int)), 0) AS owed
                 FROM billing_ledgerentry e WHERE e.balance_id = b.id
               ) e ON TRUE
         WHERE (b.available, b.held, b.owed) IS DISTINCT FROM (e.available, e.held, e.owed)
        """,
    ),
    "balance-grants": Invariant(
        "A balance is what its grants still hold, less what is owed.",
        """
        SELECT b.id AS balance, b.available, b.held, b.owed, g.remaining AS grants_remaining, g.held AS grants_held
          FROM billing_balance b
          LEFT JOIN LATERAL (
               SELECT COALESCE(SUM(remaining), 0) AS remaining, COALESCE(SUM(held), 0) AS held
                 FROM billing_grant g WHERE g.balance_id = b.id AND g.posted
               ) g ON TRUE
         WHERE b.available <> g.remaining - b.owed OR b.held <> g.held
        """,
    ),
    "sequence": Invariant(
        "The entries of a balance are numbered from 1 to its seq, without a gap.",
        """
        SELECT b.id AS balance, b.seq, e.entries, e.last
          FROM billing_balance b
          LEFT JOIN LATERAL (
               SELECT COUNT(*) AS entries, COALESCE(MAX(seq), 0) AS last, COALESCE(MIN(seq), 1) AS first
                 FROM billing_ledgerentry e WHERE e.balance_id = b.id
               ) e ON TRUE
         WHERE b.seq <> e.entries OR b.seq <> e.last OR e.first <> 1
        """,
    ),
    "running-balance": Invariant(
        "Each entry says what the balance was after it: the one before, and its own amount.",
        f"""
        SELECT id AS entry, balance_id AS balance, seq, available_after, held_after, expected_available, expected_held
          FROM (SELECT id, balance_id, seq, available_after, held_after,
                       SUM(amount * {_TO_AVAILABLE})
                           OVER entries AS expected_available,
                       SUM(amount * {_TO_HELD})
                           OVER entries AS expected_held
                  FROM billing_ledgerentry WHERE balance_id IS NOT NULL
                WINDOW entries AS (PARTITION BY balance_id ORDER BY seq)) e
         WHERE available_after <> expected_available OR held_after <> expected_held
         ORDER BY balance_id, seq
        """,
    ),
    "grant-units": Invariant(
        "A grant's entries say what was drawn from it, expired and voided.",
        """
        SELECT g.id AS "grant", g.amount, g.drawn, g.expired, g.voided, e.granted AS entries_granted,
               e.drawn AS entries_drawn, e.expired AS entries_expired, e.voided AS entries_voided
          FROM billing_grant g
          LEFT JOIN LATERAL (
               SELECT COALESCE(SUM(amount) FILTER (
                          WHERE t.template LIKE 'grant.%%' AND e.credit = 'wallet_available'), 0) AS granted,
                      COALESCE(SUM(amount) FILTER (WHERE e.kind IN ('usage', 'settlement')), 0) AS drawn,
                      COALESCE(SUM(amount) FILTER (WHERE e.kind = 'expiry'), 0) AS expired,
                      COALESCE(SUM(amount) FILTER (WHERE e.kind = 'void'), 0) AS voided
                 FROM billing_ledgerentry e
                 JOIN billing_ledgertransaction t ON t.id = e.transaction_id
                WHERE e.grant_id = g.id AND e.customer_id = g.customer_id
               ) e ON TRUE
         WHERE (g.drawn, g.expired, g.voided) IS DISTINCT FROM (e.drawn, e.expired, e.voided)
            OR e.granted <> CASE WHEN g.posted THEN g.amount ELSE 0 END
        """,
    ),
    "charge-entries": Invariant(
        "A charge is paid to the last digit by its entries.",
        """
        SELECT c.id AS charge, c.event_id AS event, c.amount, e.paid
          FROM billing_charge c
          LEFT JOIN (SELECT charge_id, SUM(amount) AS paid FROM billing_ledgerentry
                      WHERE charge_id IS NOT NULL GROUP BY charge_id) e ON e.charge_id = c.id
         WHERE c.amount <> COALESCE(e.paid, 0)
        """,
    ),
    "references": Invariant(
        "Every entry has its transaction, balance and grant, of the same customer and asset.",
        """
        SELECT e.id AS entry, e.transaction_id AS transaction, e.balance_id AS balance, e.grant_id AS "grant"
          FROM billing_ledgerentry e
          LEFT JOIN billing_ledgertransaction t ON t.id = e.transaction_id AND t.customer_id = e.customer_id
          LEFT JOIN billing_balance b
                 ON b.id = e.balance_id AND b.customer_id = e.customer_id AND b.asset_id = e.asset_id
          LEFT JOIN billing_grant g ON g.id = e.grant_id AND g.balance_id = e.balance_id
          LEFT JOIN billing_charge c ON c.id = e.charge_id AND c.customer_id = e.customer_id
         WHERE t.id IS NULL OR (e.balance_id IS NOT NULL AND b.id IS NULL) OR (e.grant_id IS NOT NULL AND g.id IS NULL)
            OR (e.charge_id IS NOT NULL AND c.id IS NULL)
        """,
    ),
    "charged-events": Invariant(
        "An event has charges exactly if it was charged, and each charge has its event.",
        """
        SELECT u.id AS event, c.event_id AS charged_event, u.status
          FROM billing_usageevent u
          FULL JOIN (SELECT DISTINCT event_id, customer_id FROM billing_charge) c
               ON c.event_id = u.id AND c.customer_id = u.customer_id
         WHERE u.id IS NULL OR (u.status = 'charged') <> (c.event_id IS NOT NULL)
        """,
    ),
    "floor": Invariant(
        "No balance is below what its overdraft allows.",
        "SELECT id AS balance, available, overdraft_limit FROM billing_balance WHERE available < -overdraft_limit",
    ),
}


def differences(only: str | None = None) -> Iterator[Difference]:
    """The first difference of each invariant that does not hold, or of the one called ``only``."""
    for name, invariant in INVARIANTS.items():
        if only is not None and name != only:
            continue
        with connection.cursor() as cursor:
            # One row is enough to know, and to start looking.
            cursor.execute(f"SELECT * FROM ({invariant.sql}) found LIMIT 1", [])
            row = cursor.fetchone()
            if row is not None:
                names = [column.name for column in cursor.description]
                yield Difference(name, invariant.statement, dict(zip(names, row, strict=True)))


def freeze() -> None:
    """Let every query of this transaction see the same moment, however long they take. The first thing to do in it."""
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")
