"""Are the books right? One query for each invariant; each gives the rows for which it does not hold.

``WITHIN(x)`` in a query stands for the customers that are looked at, in the table or alias ``x``.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from uuid import UUID

from django.db import connection

from billing.selectors.invoicing import invoices
from billing.selectors.ledger import correction_books
from billing.selectors.ledger.differences import Difference
from billing.selectors.revenue import revenue_books


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must hold, in words, and a query for what breaks it. A ``quick`` one reads no table that grows for ever."""

    statement: str
    sql: str
    quick: bool = False


Slice = tuple[UUID | None, UUID | None]
"""The customers whose id is above the first and at most the second; None is no bound."""
ENTRIES_A_SLICE = 1_000_000
SLICES_MAX = 16
"""Since the entries of a few customers lie scattered over the whole table, every slice may cost a pass over it."""


_TO_AVAILABLE = (
    "((credit IN ('wallet_available', 'receivable'))::int - (debit IN ('wallet_available', 'receivable'))::int)"
)
_TO_HELD = "((credit = 'wallet_held')::int - (debit = 'wallet_held')::int)"

INVARIANTS: dict[str, Invariant] = {
    "balance-entries": Invariant(
        "A balance is the sum of its entries.",
        f"""
        SELECT b.id AS balance, b.available, b.held, b.owed, b.overdraft_held, e.available AS entries_available,
               e.held AS entries_held, e.receivable AS entries_receivable
          FROM billing_balance b
          LEFT JOIN (
               SELECT balance_id, SUM(amount * {_TO_AVAILABLE}) AS available, SUM(amount * {_TO_HELD}) AS held,
                      SUM(amount * ((debit = 'receivable')::int - (credit = 'receivable')::int)) AS receivable
                 FROM billing_ledgerentry e WHERE balance_id IS NOT NULL AND WITHIN(e) GROUP BY balance_id
               ) e ON e.balance_id = b.id
         WHERE WITHIN(b) AND (b.available, b.held, b.owed + b.overdraft_held)
               IS DISTINCT FROM (COALESCE(e.available, 0), COALESCE(e.held, 0), COALESCE(e.receivable, 0))
        """,
    ),
    "balance-grants": Invariant(
        "A balance is what its grants still hold, less what is owed or held on the overdraft.",
        """
        SELECT b.id AS balance, b.available, b.held, b.overdraft_held, b.owed, g.remaining AS grants_remaining,
               g.held AS grants_held
          FROM billing_balance b
          LEFT JOIN (
               SELECT balance_id, SUM(remaining) AS remaining, SUM(held) AS held
                 FROM billing_grant g WHERE posted AND WITHIN(g) GROUP BY balance_id
               ) g ON g.balance_id = b.id
         WHERE WITHIN(b) AND (b.available <> COALESCE(g.remaining, 0) - b.owed - b.overdraft_held
            OR b.held <> COALESCE(g.held, 0) + b.overdraft_held)
        """,
        quick=True,
    ),
    "sequence": Invariant(
        "The entries of a balance are numbered from 1 to its seq, without a gap.",
        """
        SELECT b.id AS balance, b.seq, e.entries, e.first, e.last
          FROM billing_balance b
          LEFT JOIN (
               SELECT balance_id, COUNT(*) AS entries, MIN(seq) AS first, MAX(seq) AS last
                 FROM billing_ledgerentry e WHERE balance_id IS NOT NULL AND WITHIN(e) GROUP BY balance_id
               ) e ON e.balance_id = b.id
         WHERE WITHIN(b)
           AND (b.seq, b.seq, 1) IS DISTINCT FROM (COALESCE(e.entries, 0), COALESCE(e.last, 0), COALESCE(e.first, 1))
        """,
    ),
    "last-entry": Invariant(
        "A balance is what its last entry says.",
        """
        SELECT b.id AS balance, b.seq, b.available, b.held, e.id AS entry, e.seq AS last,
               e.available_after, e.held_after
          FROM billing_balance b
          LEFT JOIN LATERAL (SELECT id, seq, available_after, held_after FROM billing_ledgerentry e
                              WHERE e.balance_id = b.id ORDER BY e.seq DESC LIMIT 1) e ON true
         WHERE WITHIN(b) AND (b.seq, b.available, b.held) IS DISTINCT FROM
               (COALESCE(e.seq, 0), COALESCE(e.available_after, 0), COALESCE(e.held_after, 0))
        """,
        quick=True,
    ),
    "running-balance": Invariant(
        "Each entry says what the balance was after it: the one before, and its own amount.",
        f"""
        SELECT id AS entry, balance_id AS balance, seq, available_after, held_after, expected_available, expected_held
          FROM (SELECT id, balance_id, seq, available_after, held_after,
                       SUM(amount * {_TO_AVAILABLE}) OVER entries AS expected_available,
                       SUM(amount * {_TO_HELD}) OVER entries AS expected_held
                  FROM billing_ledgerentry e WHERE balance_id IS NOT NULL AND WITHIN(e)
                WINDOW entries AS (PARTITION BY balance_id ORDER BY seq)) e
         WHERE available_after <> expected_available OR held_after <> expected_held
         ORDER BY balance_id, seq
        """,
    ),
    "grant-units": Invariant(
        "A grant's entries say what came in with it, and what was drawn, held, expired and voided; one that was "
        "voided before it started has none.",
        f"""
        SELECT g.id AS "grant", g.amount, g.drawn, g.held, g.expired, g.voided, e.granted AS entries_granted,
               e.drawn AS entries_drawn, e.held AS entries_held, e.expired AS entries_expired,
               e.voided AS entries_voided
          FROM billing_grant g
          LEFT JOIN (
               SELECT grant_id,
                      SUM(amount) FILTER (WHERE kind IN ('top_up', 'grant', 'adjustment', 'reinstatement', 'fee')
                                            AND credit = 'wallet_available') AS granted,
                      SUM(amount * ((debit = 'wallet_available')::int - (credit = 'wallet_available')::int))
                      FILTER (WHERE kind IN ('usage', 'settlement', 'reversal', 'chargeback')
                                 OR (kind IN ('adjustment', 'fee') AND debit = 'wallet_available')) AS drawn,
                      SUM(amount * {_TO_HELD}) AS held,
                      SUM(amount) FILTER (WHERE kind = 'expiry') AS expired,
                      SUM(amount * -{_TO_AVAILABLE}) FILTER (WHERE kind IN ('void', 'refund', 'dispute')) AS voided
                 FROM billing_ledgerentry e WHERE grant_id IS NOT NULL AND WITHIN(e) GROUP BY grant_id
               ) e ON e.grant_id = g.id
         WHERE WITHIN(g) AND (CASE WHEN g.posted THEN g.amount ELSE 0 END, g.drawn, g.held, g.expired,
                CASE WHEN g.posted THEN g.voided ELSE 0 END)
               IS DISTINCT FROM (COALESCE(e.granted, 0), COALESCE(e.drawn, 0), COALESCE(e.held, 0),
                                 COALESCE(e.expired, 0), COALESCE(e.voided, 0))
        """,
    ),
    "holds": Invariant(
        "What is held of a balance is what open authorizations hold of it, and closed ones hold nothing.",
        """
        SELECT b.id AS balance, b.held, b.overdraft_held, h.held AS holds, h.overdraft_held AS overdraft_holds,
               h.closed AS held_by_closed
          FROM billing_balance b
          LEFT JOIN (
               SELECT h.balance_id, SUM(h.outstanding) AS held,
                      SUM(h.outstanding) FILTER (WHERE h.grant_id IS NULL) AS overdraft_held,
                      SUM(h.outstanding) FILTER (WHERE a.status <> 'open') AS closed
                 FROM billing_hold h JOIN billing_authorization a ON a.id = h.authorization_id WHERE WITHIN(h)
                GROUP BY h.balance_id
               ) h ON h.balance_id = b.id
         WHERE WITHIN(b) AND (b.held, b.overdraft_held, 0::numeric)
               IS DISTINCT FROM (COALESCE(h.held, 0), COALESCE(h.overdraft_held, 0), COALESCE(h.closed, 0))
        """,
        quick=True,
    ),
    "top-ups": Invariant(
        "A top-up that was paid has its grants, of what was bought and for what was paid; no other has any.",
        """
        SELECT t.id AS top_up, t.status, t.amount, t.credit, t.bonus, g.amount AS granted, g.paid_amount AS paid,
               b.amount AS bonus_granted
          FROM billing_topup t
          LEFT JOIN billing_grant g ON g.id = t.grant_id AND g.customer_id = t.customer_id
          LEFT JOIN billing_grant b ON b.id = t.bonus_grant_id AND b.customer_id = t.customer_id
         WHERE WITHIN(t) AND CASE WHEN t.status = 'succeeded'
                    THEN CASE WHEN t.credit = 0 THEN g.id IS NOT NULL OR b.id IS NOT NULL ELSE
                         (g.amount, g.asset_id, g.paid_amount, g.paid_currency_id, COALESCE(b.amount, 0))
                         IS DISTINCT FROM (t.credit, t.asset_id, t.amount, t.currency_id, t.bonus) END
                    ELSE g.id IS NOT NULL OR b.id IS NOT NULL END
        """,
    ),
    "refunds": Invariant(
        "What went back of a top-up is the sum of its refunds, and its grants gave up what the refunds say.",
        """
        SELECT t.id AS top_up, t.refunded, t.tax_refunded, r.amount AS refunds, r.credit, e.taken
          FROM billing_topup t
          LEFT JOIN (SELECT top_up_id, SUM(amount) AS amount, SUM(tax) AS tax, SUM(credit + bonus) AS credit
                       FROM billing_refund f WHERE status <> 'failed' AND WITHIN(f) GROUP BY top_up_id
                    ) r ON r.top_up_id = t.id
          LEFT JOIN (SELECT u.id, SUM(e.amount * ((e.debit = 'wallet_available')::int
                                                  - (e.credit = 'wallet_available')::int)) AS taken
                       FROM billing_topup u
                       JOIN billing_ledgerentry e ON e.grant_id IN (u.grant_id, u.bonus_grant_id) AND e.kind = 'refund'
                      WHERE WITHIN(u) AND WITHIN(e)
                      GROUP BY u.id) e ON e.id = t.id
         WHERE WITHIN(t) AND (t.refunded, t.tax_refunded, COALESCE(r.credit, 0))
               IS DISTINCT FROM (COALESCE(r.amount, 0), COALESCE(r.tax, 0), COALESCE(e.taken, 0))
        """,
    ),
    "paid-attempts": Invariant(
        "An attempt was paid exactly if its top-up was, for all that was asked.",
        """
        SELECT a.id AS attempt, a.status, t.status AS top_up_status, a.amount, t.amount + t.fee + t.tax AS asked
          FROM billing_paymentattempt a
          JOIN billing_topup t ON t.attempt_id = a.id
         WHERE WITHIN(a) AND WITHIN(t)
           AND ((a.status = 'succeeded') <> (t.status = 'succeeded') OR a.amount <> t.amount + t.fee + t.tax
                OR a.currency_id <> t.currency_id OR a.customer_id <> t.customer_id)
        """,
    ),
    "provider-fees": Invariant(
        "What is booked as kept by the payment provider is what the payment and the dispute say.",
        """
        SELECT p.id AS kept_of, p.fee, e.amount * CASE e.debit WHEN 'provider_fees' THEN 1 ELSE -1 END AS booked
          FROM (SELECT id, customer_id, fee, 'payment:' || id || ':fee' AS reference
                  FROM billing_paymentattempt a WHERE WITHIN(a)) p
          JOIN billing_ledgertransaction t ON t.customer_id = p.customer_id AND t.reference = p.reference
          LEFT JOIN billing_ledgerentry e ON e.transaction_id = t.id AND e.customer_id = t.customer_id
         WHERE WITHIN(t)
           AND p.fee IS DISTINCT FROM e.amount * CASE e.debit WHEN 'provider_fees' THEN 1 ELSE -1 END
         UNION ALL
        SELECT d.id, d.fee, f.booked FROM billing_dispute d
          LEFT JOIN (
               SELECT split_part(t.reference, ':', 2) AS dispute_id,
                      SUM(e.amount * ((e.debit = 'provider_fees')::int - (e.credit = 'provider_fees')::int)) AS booked
                 FROM billing_ledgertransaction t
                 JOIN billing_ledgerentry e ON e.transaction_id = t.id AND e.customer_id = t.customer_id
                WHERE t.template = 'payment.dispute_fee' AND WITHIN(t) AND WITHIN(e)
                GROUP BY 1) f ON f.dispute_id = d.id::text
         WHERE WITHIN(d) AND d.fee <> COALESCE(f.booked, 0)
        """,
    ),
    "disputes": Invariant(
        "What a dispute froze and took is what its entries say; only an open or lost one has any effect.",
        """
        SELECT d.id AS dispute, d.status, d.frozen, d.frozen_bonus, d.recovered, d.recovered_tax, d.withdrawn,
               e.frozen AS entries_frozen, e.recovered AS entries_recovered, e.withdrawn AS entries_withdrawn
          FROM billing_dispute d
          LEFT JOIN (
               SELECT split_part(t.reference, ':', 2) AS dispute_id,
                      SUM(e.amount * ((e.debit = 'wallet_available')::int - (e.credit = 'wallet_available')::int))
                      FILTER (WHERE e.kind = 'dispute' AND e.grant_id IS NOT NULL) AS frozen,
                      SUM(e.amount * ((e.credit = 'disputed')::int - (e.debit = 'disputed')::int))
                      FILTER (WHERE e.balance_id IS NOT NULL AND e.kind IN ('chargeback', 'reinstatement'))
                      AS recovered,
                      SUM(e.amount * ((e.credit = 'cash_clearing')::int - (e.debit = 'cash_clearing')::int))
                      AS withdrawn
                 FROM billing_ledgertransaction t
                 JOIN billing_ledgerentry e ON e.transaction_id = t.id AND e.customer_id = t.customer_id
                WHERE starts_with(t.template, 'dispute.') AND WITHIN(t) AND WITHIN(e)
                GROUP BY 1) e ON e.dispute_id = d.id::text
         WHERE WITHIN(d) AND (d.frozen + d.frozen_bonus, d.recovered + d.recovered_tax, d.withdrawn)
               IS DISTINCT FROM (COALESCE(e.frozen, 0), COALESCE(e.recovered, 0), COALESCE(e.withdrawn, 0))
        """,
    ),
    "charge-entries": Invariant(
        "A charge is paid to the last digit by its entries, or given back by them.",
        """
        SELECT c.id AS charge, c.event_id AS event, c.amount, e.paid
          FROM billing_charge c
          LEFT JOIN (SELECT charge_id, SUM(CASE WHEN debit = 'usage' THEN -amount ELSE amount END) AS paid
                       FROM billing_ledgerentry e
                      WHERE charge_id IS NOT NULL AND WITHIN(e) GROUP BY charge_id) e ON e.charge_id = c.id
         WHERE WITHIN(c) AND c.amount <> COALESCE(e.paid, 0)
        """,
    ),
    "references": Invariant(
        "Every entry has its transaction, balance and grant, of the same customer and asset.",
        """
        SELECT e.id AS entry, e.transaction_id AS transaction, e.balance_id AS balance, e.grant_id AS "grant"
          FROM billing_ledgerentry e
          LEFT JOIN billing_ledgertransaction t
                 ON t.id = e.transaction_id AND t.customer_id = e.customer_id AND WITHIN(t)
          LEFT JOIN billing_balance b
                 ON b.id = e.balance_id AND b.customer_id = e.customer_id AND b.asset_id = e.asset_id
          LEFT JOIN billing_grant g ON g.id = e.grant_id AND g.balance_id = e.balance_id
          LEFT JOIN billing_charge c ON c.id = e.charge_id AND c.customer_id = e.customer_id AND WITHIN(c)
         WHERE WITHIN(e)
           AND (t.id IS NULL OR (e.balance_id IS NOT NULL AND b.id IS NULL)
                OR (e.grant_id IS NOT NULL AND g.id IS NULL) OR (e.charge_id IS NOT NULL AND c.id IS NULL))
        """,
    ),
    "charged-events": Invariant(
        "An event has charges exactly if it was charged, at once or when it could be paid, and each charge has its "
        "event.",
        """
        SELECT u.id AS event, c.event_id AS charged_event, u.status, u.collected_at
          FROM (SELECT u.id, u.customer_id, u.status, p.id AS kept, p.collected_at
                  FROM billing_usageevent u
                  LEFT JOIN billing_unpaidusage p ON p.event_id = u.id AND p.customer_id = u.customer_id
                 WHERE WITHIN(u)) u
          FULL JOIN (SELECT DISTINCT event_id, customer_id FROM billing_charge c WHERE WITHIN(c)) c
               ON c.event_id = u.id AND c.customer_id = u.customer_id
         WHERE u.id IS NULL OR (u.status = 'unpaid') <> (u.kept IS NOT NULL)
            OR (u.status = 'charged' OR u.collected_at IS NOT NULL) <> (c.event_id IS NOT NULL)
        """,
    ),
    "fees": Invariant(
        "A paid fee has its one transaction with entries of just its amount; one that is not paid has none.",
        """
        SELECT f.id AS fee, t.id AS transaction, f.state, f.amount, e.amount AS entries_amount
          FROM billing_fee f
          FULL JOIN (SELECT id, customer_id FROM billing_ledgertransaction WHERE starts_with(template, 'fee.')) t
               ON t.id = f.id AND t.customer_id = f.customer_id
          LEFT JOIN (SELECT transaction_id, SUM(amount) AS amount FROM billing_ledgerentry
                      WHERE kind = 'fee' GROUP BY transaction_id) e ON e.transaction_id = t.id
         WHERE f.id IS NULL OR (f.state = 'paid') <> (t.id IS NOT NULL)
            OR (f.state = 'paid' AND f.amount IS DISTINCT FROM e.amount)
        """,
    ),
    "periods": Invariant(
        "The periods of a subscription are numbered from 1 and follow each other without a gap, up to when the next "
        "is due; those before settled_until are settled.",
        """
        SELECT s.id AS subscription, s.renews_at, s.settled_until, p.number, p.position, p."start", p.expected, p."end"
          FROM billing_subscription s
          LEFT JOIN (
               SELECT subscription_id, number, "start", "end", state,
                      ROW_NUMBER() OVER w AS position, LAG("end") OVER w AS expected, LEAD("end") OVER w AS next
                 FROM billing_subscriptionperiod sp WHERE WITHIN(sp)
               WINDOW w AS (PARTITION BY subscription_id ORDER BY "start")
               ) p ON p.subscription_id = s.id
         WHERE WITHIN(s) AND (p.number <> p.position
            OR p."start" <> COALESCE(p.expected, s.starts_at)
            OR (p.next IS NULL AND s.renews_at <> COALESCE(p."end", s.starts_at))
            OR (p.next IS NULL AND s.renews_at IS NULL AND s.ends_at IS DISTINCT FROM COALESCE(p."end", s.ends_at))
            OR (p.state = 'settled') <> (p."end" <= s.settled_until))
        """,
    ),
    **{name: Invariant(*invariant) for name, invariant in correction_books.INVARIANTS.items()},
    **{name: Invariant(*invariant) for name, invariant in revenue_books.INVARIANTS.items()},
    **{name: Invariant(*invariant) for name, invariant in invoices.INVARIANTS.items()},
    "floor": Invariant(
        "No balance is below what its overdraft and a lost dispute allow.",
        "SELECT id AS balance, available, overdraft_limit, dispute_debt FROM billing_balance b"
        " WHERE WITHIN(b) AND available < -overdraft_limit - dispute_debt",
        quick=True,
    ),
}


def differences(
    only: str | None = None, *, slices: list[Slice] | None = None, done: Callable[[], None] = lambda: None
) -> Iterator[Difference]:
    """The first difference of each invariant that does not hold, or of the one called ``only``.

    With ``slices`` one query for each, after which ``done`` is called.
    """
    for name, invariant in INVARIANTS.items():
        if only is not None and name != only:
            continue
        # What is about all customers together is looked at once.
        for part in (slices if "WITHIN(" in invariant.sql else None) or [(None, None)]:
            difference = _first(name, invariant, part)
            done()
            if difference is not None:
                yield difference
                break


def slices() -> list[Slice]:
    """All customers in parts of about a million entries, but never more than a few parts."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT COALESCE(sum(seq), 0) FROM billing_balance")
        size = max(ENTRIES_A_SLICE, int(cursor.fetchone()[0]) // SLICES_MAX + 1)
        cursor.execute(
            "SELECT customer_id FROM (SELECT customer_id, part, lead(part) OVER (ORDER BY customer_id) AS next"
            "  FROM (SELECT customer_id, div(sum(sum(seq)) OVER (ORDER BY customer_id), %s) AS part"
            "          FROM billing_balance GROUP BY customer_id) parts) ends WHERE part <> next ORDER BY customer_id",
            [size],
        )
        return list(pairwise([None, *(row[0] for row in cursor), None]))


def _first(name: str, invariant: Invariant, part: Slice) -> Difference | None:
    low, high = part
    sql = re.sub(r"WITHIN\((\w+)\)", partial(_within, part), invariant.sql)
    with connection.cursor() as cursor:
        # One row is enough to know, and to start looking.
        cursor.execute(f"SELECT * FROM ({sql}) found LIMIT 1", {"low": low, "high": high})
        row = cursor.fetchone()
        if row is None:
            return None
        names = [column.name for column in cursor.description]
        return Difference(name, invariant.statement, dict(zip(names, row, strict=True)))


def _within(part: Slice, match: re.Match[str]) -> str:
    low, high = part
    bounds = [
        *([f"{match[1]}.customer_id > %(low)s"] if low else []),
        *([f"{match[1]}.customer_id <= %(high)s"] if high else []),
    ]
    return f"({' AND '.join(bounds)})" if bounds else "true"


def freeze() -> None:
    """Let every query of this transaction see the same moment, however long they take. The first thing to do in it."""
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")
        # Without a time-out the server must notice by itself that nobody waits for the answer any more.
        cursor.execute("SET LOCAL client_connection_check_interval = '5s'")
        cursor.execute("SET LOCAL work_mem = '256MB'")
        # Every query here reads whole tables: a plan that looks rows up one by one is never the right one.
        cursor.execute("SET LOCAL enable_nestloop = off")
