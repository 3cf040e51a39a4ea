"""What an invoice is made of, from the ledger, and what of it is paid."""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.engine.invoicing import Item, paid_of
from billing.engine.money import EXACT, ZERO
from billing.models import Invoice


@dataclass(frozen=True, slots=True)
class Owed:
    """The items of a run of entries, and what of them was taken beyond the wallet; both exact."""

    items: list[Item]
    owed: Decimal


def owed(balance_id: UUID, *, after: int, upto: int) -> Owed:
    """What the entries of a balance with ``after`` < seq <= ``upto`` come to. The balance must be locked.

    Usage by meter, each fee, and what else was taken beyond the wallet. What grants paid is in the items as well: it
    is shown as paid. A meter's quantity is that of its charges.
    """
    values: dict[str, UUID | int] = {"balance": balance_id, "after": after, "upto": upto}
    with connection.cursor() as cursor:
        cursor.execute(_ITEMS, values)
        items = [Item(*row) for row in cursor if row[3] != 0]
        cursor.execute(_OWED, values)
        return Owed(items, cursor.fetchone()[0])


def settled(balance_ids: Collection[UUID]) -> dict[UUID, Decimal]:
    """All that has come in for debts of these balances so far."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT balance_id, sum(amount * ((credit = 'receivable')::int - (debit = 'receivable')::int))"
            "  FROM billing_ledgerentry WHERE balance_id = ANY(%s) AND kind IN ('settlement', 'reinstatement')"
            "   AND 'receivable' IN (debit, credit) GROUP BY balance_id",
            [list(balance_ids)],
        )
        return dict(cursor.fetchall())


def paid(invoices: Collection[Invoice]) -> dict[UUID, Decimal]:
    """How much of each of these is paid, the oldest of a balance first."""
    came_in = settled({invoice.balance_id for invoice in invoices})
    return {
        invoice.pk: paid_of(invoice.due, due_before=invoice.due_before, settled=came_in.get(invoice.balance_id, ZERO))
        for invoice in invoices
    }


def status(invoice: Invoice, paid: Decimal) -> str:
    """``issued`` for a credit note; ``open``, ``partly_paid`` or ``paid`` for an invoice."""
    if invoice.kind == Invoice.Kind.CREDIT_NOTE:
        return "issued"
    if EXACT.subtract(invoice.due, paid) <= 0:
        return "paid"
    return "partly_paid" if paid > 0 else "open"


_RUN = "e.balance_id = %(balance)s AND e.seq > %(after)s AND e.seq <= %(upto)s"
_ITEMS = f"""
WITH run AS (SELECT e.* FROM billing_ledgerentry e WHERE {_RUN})
SELECT 'usage', COALESCE(m.code, ''), COALESCE(m.name, 'Usage'), r.amount, q.quantity, COALESCE(m.unit, '')
  FROM (SELECT c.meter_id, SUM(r.amount * ((r.credit = 'usage')::int - (r.debit = 'usage')::int)) AS amount
          FROM run r LEFT JOIN billing_charge c ON c.id = r.charge_id AND c.customer_id = r.customer_id
         WHERE 'usage' IN (r.debit, r.credit) GROUP BY c.meter_id) r
  LEFT JOIN billing_meter m ON m.id = r.meter_id
  LEFT JOIN (SELECT c.meter_id, SUM(c.quantity) AS quantity FROM billing_charge c
              WHERE c.id IN (SELECT charge_id FROM run WHERE 'usage' IN (debit, credit)) GROUP BY c.meter_id) q
         ON q.meter_id = r.meter_id
UNION ALL
SELECT 'fee', COALESCE(l.code, ''), t.description,
       SUM(r.amount * ((r.credit = 'fees')::int - (r.debit = 'fees')::int)), NULL, ''
  FROM run r
  JOIN billing_ledgertransaction t ON t.id = r.transaction_id AND t.customer_id = r.customer_id
  LEFT JOIN billing_fee f ON f.id = r.transaction_id AND f.customer_id = r.customer_id
  LEFT JOIN billing_subscription s ON s.id = f.subscription_id
  LEFT JOIN billing_plan l ON l.id = s.plan_id
 WHERE 'fees' IN (r.debit, r.credit) GROUP BY t.id, t.description, l.code
UNION ALL
SELECT CASE k.account WHEN 'adjustment' THEN 'adjustment' ELSE 'chargeback' END, '',
       CASE k.account WHEN 'adjustment' THEN 'Adjustments' ELSE 'Payments taken back by the bank' END,
       SUM(r.amount * ((r.debit = 'receivable')::int - (r.credit = 'receivable')::int)), NULL, ''
  FROM run r JOIN (VALUES ('adjustment'), ('disputed')) k(account) ON k.account IN (r.debit, r.credit)
 WHERE 'receivable' IN (r.debit, r.credit) GROUP BY k.account
 ORDER BY 1 DESC, 3, 2
"""
_OWED = f"""
SELECT COALESCE(SUM(e.amount * ((e.debit = 'receivable')::int - (e.credit = 'receivable')::int)), 0)
  FROM billing_ledgerentry e
 WHERE {_RUN} AND e.kind NOT IN ('settlement', 'reinstatement', 'hold', 'release')
"""

INVARIANTS: dict[str, tuple[str, str]] = {
    "invoice-numbers": (
        "The numbers of a series of invoices have no gap.",
        """
        SELECT COALESCE(s.code, i.series) AS series, s.last, i.count, i.highest FROM billing_invoiceseries s
          FULL JOIN (SELECT series, COUNT(*) AS count, MAX(sequence) AS highest FROM billing_invoice GROUP BY series) i
               ON i.series = s.code
         WHERE s.last IS NULL OR (s.last, s.last) <> (COALESCE(i.count, 0), COALESCE(i.highest, 0))
        """,
    ),
    "invoices": (
        "An invoice is the sum of its lines, and is what the ledger says was owed for its entries; no entry is in two.",
        """
        SELECT i.number, i.total, l.amount AS lines, i.first_seq, i.expected_seq, i.due, e.owed,
               i.due_before, i.expected_before
          FROM (SELECT i.*, LAG(i.last_seq, 1, 0) OVER w + 1 AS expected_seq,
                       LAG(i.owed_after, 1, 0) OVER w AS owed_before,
                       LAG(i.due_before + i.due, 1, 0) OVER w AS expected_before
                  FROM billing_invoice i WHERE WITHIN(i) WINDOW w AS (PARTITION BY i.balance_id ORDER BY i.first_seq)
               ) i
          LEFT JOIN (SELECT invoice_id, SUM(amount) AS amount FROM billing_invoiceline l WHERE WITHIN(l)
                      GROUP BY invoice_id) l ON l.invoice_id = i.id
          LEFT JOIN LATERAL (
               SELECT COALESCE(SUM(e.amount * ((e.debit = 'receivable')::int - (e.credit = 'receivable')::int)), 0)
                      AS owed
                 FROM billing_ledgerentry e
                WHERE e.balance_id = i.balance_id AND e.seq BETWEEN i.first_seq AND i.last_seq
                  AND e.kind NOT IN ('settlement', 'reinstatement', 'hold', 'release')) e ON true
         WHERE i.total <> COALESCE(l.amount, 0) OR i.first_seq <> i.expected_seq
            OR i.owed_after <> i.owed_before + e.owed OR i.due_before <> i.expected_before OR abs(i.due - e.owed) > 0.01
        """,
    ),
}
