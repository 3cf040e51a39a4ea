"""What an invoice is made of, from the ledger, and what of it is paid."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Sum

from billing.engine.currencies import WITHOUT_CENTS, places
from billing.engine.invoicing import Item, paid_of
from billing.engine.money import EXACT, ZERO, exact_sum, round_half_even
from billing.models import Collection as Collecting
from billing.models import Invoice


@dataclass(frozen=True, slots=True)
class Owed:
    """The items of a run of entries, what of them was taken beyond the wallet, and what of a debt that had been written
    off was taken up again, for it is none; all exact."""

    items: list[Item]
    owed: Decimal
    taken_up: Decimal


def owed(balance_id: UUID, *, after: int, upto: int) -> Owed:
    """What the entries of a balance with ``after`` < seq <= ``upto`` come to. The balance must be locked.

    Usage by meter, and by what ``INVOICE_LINE_KEYS`` names of the events, at list price; discounts; each fee; and what
    else was taken beyond the wallet. What grants paid is in the items as well: it is shown as paid. A meter's quantity
    is that of its charges.
    """
    values: dict[str, Any] = {
        **{"balance": balance_id, "after": after, "upto": upto},
        "keys": settings.INVOICE_LINE_KEYS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ITEMS, values)
        items = [
            Item(kind, product, description, exact, quantity, unit, json.loads(metadata))
            for kind, product, description, exact, quantity, unit, metadata in cursor
            if exact != 0
        ]
        cursor.execute(_OWED, values)
        return Owed(items, *cursor.fetchone())


@dataclass(frozen=True, slots=True)
class Paid:
    """What has come in for an invoice: of what is due, and of its tax. Exact."""

    net: Decimal = ZERO
    tax: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return EXACT.add(self.net, self.tax)


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


def paid(invoices: Collection[Invoice]) -> dict[UUID, Paid]:
    """How much of each of these is paid, the oldest of a balance first. Credit notes pay like money."""
    balances = {invoice.balance_id for invoice in invoices}
    net, tax = settled(balances), _tax_received(balances)
    with connection.cursor() as cursor:
        cursor.execute(_CLAIMS, [list(balances)])
        claims = {row[0]: row[1:] for row in cursor}
    found = {}
    for invoice in invoices:
        due_before, credited, tax_before, tax_credited = claims[invoice.pk]
        found[invoice.pk] = Paid(
            paid_of(
                invoice.due,
                due_before=due_before,
                settled=EXACT.add(net.get(invoice.balance_id, ZERO), credited),
            ),
            paid_of(
                invoice.tax,
                due_before=tax_before,
                settled=EXACT.add(tax.get(invoice.balance_id, ZERO), tax_credited),
            ),
        )
    return found


def unpaid_of(balance_id: UUID, due: Decimal) -> Decimal:
    """What would be unpaid of a further invoice over ``due``: what has come in beyond the earlier ones pays of it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT COALESCE(SUM(due), 0) FROM billing_invoice WHERE balance_id = %s", [balance_id])
        before = cursor.fetchone()[0]
    came_in = settled({balance_id}).get(balance_id, ZERO)
    return EXACT.subtract(due, paid_of(due, due_before=before, settled=came_in))


def open_tax(customer_id: UUID, currency: str) -> Decimal:
    """What the customer owes of taxes on invoices in the currency."""
    owed = Invoice.objects.filter(customer_id=customer_id, currency_id=currency).values("balance_id")
    for row in owed.annotate(tax=Sum("tax")).order_by():
        received = _tax_received({row["balance_id"]})[row["balance_id"]]
        return max(ZERO, EXACT.subtract(row["tax"], received))
    return ZERO


def tax_given(customer_id: UUID, currency: str, *, since: datetime) -> Decimal:
    """What credit notes have put into the wallet since, of taxes that had been paid."""
    notes = Invoice.objects.filter(customer_id=customer_id, currency_id=currency, issued_at__gte=since)
    return notes.aggregate(tax=Sum("tax_given"))["tax"] or ZERO


def tax_disputed(balance_id: UUID) -> Decimal:
    """What paid taxes on invoices of the balance, and went back to the payers in disputes that are lost."""
    with connection.cursor() as cursor:
        cursor.execute(_TAX_DISPUTED, [balance_id])
        found: Decimal = cursor.fetchone()[0]
        return found


def _tax_received(balance_ids: Collection[UUID]) -> dict[UUID, Decimal]:
    """What has come in for taxes on invoices of these balances, less what was given back of it."""
    with connection.cursor() as cursor:
        cursor.execute(_TAX_RECEIVED, {"balances": list(balance_ids)})
        return dict(cursor.fetchall())


def outstanding(invoice: Invoice, paid: Paid) -> Decimal:
    """What is open of it, in coins: what is due was cut to coins, so that less than one may stay for the next."""
    return exact_sum(open_parts(invoice, paid))


def open_parts(invoice: Invoice, paid: Paid) -> tuple[Decimal, Decimal]:
    """What is open of what is due, and of its tax, in coins."""
    coins = places(invoice.currency_id)
    return (
        round_half_even(EXACT.subtract(invoice.due, paid.net), precision=coins),
        round_half_even(EXACT.subtract(invoice.tax, paid.tax), precision=coins),
    )


def status(invoice: Invoice, paid: Paid) -> str:
    """``issued`` for a credit note; ``open``, ``partly_paid``, ``paid`` or ``uncollectible`` for an invoice."""
    if invoice.kind == Invoice.Kind.CREDIT_NOTE:
        return "issued"
    if invoice.collection.state == Collecting.State.UNCOLLECTIBLE:
        return "uncollectible"
    if outstanding(invoice, paid) <= 0:
        return "paid"
    return "partly_paid" if paid.total > 0 else "open"


_CLAIMS = """
SELECT id, COALESCE(SUM(due) FILTER (WHERE due > 0) OVER w, 0) - GREATEST(due, 0),
       COALESCE(SUM(-due) FILTER (WHERE due < 0) OVER (PARTITION BY balance_id), 0),
       COALESCE(SUM(tax) FILTER (WHERE tax > 0) OVER w, 0) - GREATEST(tax, 0),
       COALESCE(SUM(-tax) FILTER (WHERE tax < 0) OVER (PARTITION BY balance_id), 0)
  FROM billing_invoice WHERE balance_id = ANY(%s) WINDOW w AS (PARTITION BY balance_id ORDER BY first_seq)
"""
_TAX_RECEIVED = """
SELECT b.id, COALESCE((SELECT SUM(t.invoiced_tax) FROM billing_topup t
                        WHERE t.customer_id = b.customer_id AND t.currency_id = b.asset_id), 0)
             + COALESCE((SELECT SUM(p.tax) FROM billing_invoicepayment p
                           JOIN billing_invoice i ON i.id = p.invoice_id WHERE i.balance_id = b.id), 0)
             - COALESCE((SELECT SUM(i.tax_given) FROM billing_invoice i WHERE i.balance_id = b.id), 0)
  FROM billing_balance b WHERE b.id = ANY(%(balances)s)
"""
# Of a top-up's tax, what no invoice had asked for falls away first.
_TAX_DISPUTED = """
SELECT COALESCE(SUM(GREATEST(0, l.tax - (t.tax - t.invoiced_tax - t.tax_refunded))), 0)
  FROM billing_balance b
  JOIN billing_topup t ON t.customer_id = b.customer_id AND t.currency_id = b.asset_id AND t.invoiced_tax > 0
  JOIN LATERAL (SELECT SUM(e.amount) AS tax FROM billing_dispute d
                  JOIN billing_ledgerentry e ON e.transaction_id = d.loss_id AND e.customer_id = d.customer_id
                 WHERE d.top_up_id = t.id AND e.debit = 'tax_payable') l ON true
 WHERE b.id = %s
"""

_RUN = "e.balance_id = %(balance)s AND e.seq > %(after)s AND e.seq <= %(upto)s"
_ITEMS = f"""
WITH run AS (SELECT e.* FROM billing_ledgerentry e WHERE {_RUN}),
charged AS (
    SELECT c.id, c.meter_id, c.quantity,
           CASE WHEN c.asset_id = b.asset_id THEN COALESCE(c.list_amount - c.amount, 0) ELSE 0 END AS discount,
           COALESCE((SELECT jsonb_object_agg(k, c.dimensions -> k) FROM unnest(%(keys)s::text[]) k
                      WHERE c.dimensions ? k), '{{}}') AS metadata
      FROM billing_charge c JOIN billing_balance b ON b.id = %(balance)s
     WHERE c.id IN (SELECT charge_id FROM run WHERE 'usage' IN (debit, credit))
)
SELECT 'usage', COALESCE(m.code, ''), COALESCE(m.name, 'Usage'), r.amount + COALESCE(q.discount, 0), q.quantity,
       COALESCE(m.unit, ''), r.metadata
  FROM (SELECT c.meter_id, COALESCE(c.metadata, '{{}}') AS metadata,
               SUM(r.amount * ((r.credit = 'usage')::int - (r.debit = 'usage')::int)) AS amount
          FROM run r LEFT JOIN charged c ON c.id = r.charge_id
         WHERE 'usage' IN (r.debit, r.credit) GROUP BY 1, 2) r
  LEFT JOIN billing_meter m ON m.id = r.meter_id
  LEFT JOIN (SELECT meter_id, metadata, SUM(quantity) AS quantity, SUM(discount) AS discount
               FROM charged GROUP BY 1, 2) q ON q.meter_id = r.meter_id AND q.metadata = r.metadata
UNION ALL
SELECT 'fee', COALESCE(l.code, ''), t.description,
       SUM(r.amount * ((r.credit = 'fees')::int - (r.debit = 'fees')::int))
       + CASE WHEN f.kind <> 'credit' THEN f.list_amount - f.amount ELSE 0 END, NULL, '', '{{}}'
  FROM run r
  JOIN billing_ledgertransaction t ON t.id = r.transaction_id AND t.customer_id = r.customer_id
  LEFT JOIN billing_fee f ON f.id = r.transaction_id AND f.customer_id = r.customer_id
  LEFT JOIN billing_subscription s ON s.id = f.subscription_id
  LEFT JOIN billing_plan l ON l.id = s.plan_id
 WHERE 'fees' IN (r.debit, r.credit) GROUP BY t.id, t.description, l.code, f.id
UNION ALL
SELECT 'discount', '', 'Discount', -SUM(d.discount), NULL, '', '{{}}'
  FROM (SELECT discount FROM charged
        UNION ALL
        SELECT f.list_amount - f.amount FROM billing_fee f
         WHERE f.kind <> 'credit' AND f.id IN (SELECT transaction_id FROM run WHERE 'fees' IN (debit, credit))) d
HAVING SUM(d.discount) <> 0
UNION ALL
SELECT CASE k.account WHEN 'adjustment' THEN 'adjustment' ELSE 'chargeback' END, '',
       CASE k.account WHEN 'adjustment' THEN 'Adjustments' ELSE 'Payments taken back by the bank' END,
       SUM(r.amount * ((r.debit = 'receivable')::int - (r.credit = 'receivable')::int)), NULL, '', '{{}}'
  FROM run r JOIN (VALUES ('adjustment'), ('disputed')) k(account) ON k.account IN (r.debit, r.credit)
 WHERE 'receivable' IN (r.debit, r.credit) GROUP BY k.account
 ORDER BY 1 DESC, 3, 2, 7
"""
_OWED = f"""
SELECT COALESCE(SUM(e.amount * ((e.debit = 'receivable')::int - (e.credit = 'receivable')::int))
                FILTER (WHERE e.kind NOT IN ('settlement', 'reinstatement', 'hold', 'release')), 0),
       COALESCE(SUM(e.amount) FILTER (WHERE e.kind = 'void' AND e.grant_id IN (
                SELECT p.grant_id FROM billing_invoicepayment p
                 WHERE p.customer_id = e.customer_id AND p.kind = 'write_off')), 0)
  FROM billing_ledgerentry e
 WHERE {_RUN}
"""

_COIN = f"CASE WHEN i.currency_id = ANY('{{{','.join(sorted(WITHOUT_CENTS))}}}') THEN 1 ELSE 0.01 END"

INVARIANTS: dict[str, tuple[str, str]] = {
    "invoice-taxes": (
        "The tax of an invoice is the sum of its taxes, and is in the ledger as owed to the office.",
        """
        SELECT i.number, i.tax, t.amount AS taxes, e.amount AS posted FROM billing_invoice i
          LEFT JOIN LATERAL (SELECT SUM(amount) AS amount FROM billing_invoicetax t WHERE t.invoice_id = i.id) t ON true
          LEFT JOIN LATERAL (
               SELECT SUM(e.amount * ((e.credit = 'tax_payable')::int - (e.debit = 'tax_payable')::int)) AS amount
                 FROM billing_ledgertransaction h
                 JOIN billing_ledgerentry e ON e.transaction_id = h.id
                WHERE h.customer_id = i.customer_id AND h.reference = 'invoice:' || i.id || ':tax') e ON true
         WHERE WITHIN(i) AND (i.tax, i.tax) IS DISTINCT FROM (COALESCE(t.amount, 0), COALESCE(e.amount, 0))
        """,
    ),
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
        f"""
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
            OR i.owed_after <> i.owed_before + e.owed OR i.due_before <> i.expected_before
            OR abs(i.due - e.owed) > {_COIN}
        """,
    ),
}
