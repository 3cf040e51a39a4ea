"""What of invoices is paid, from the ledger, and the invariants of what is put on paper."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, Sum
from django.utils import timezone

from billing.engine.currencies import UNUSUAL_PLACES, places
from billing.engine.invoicing import paid_of
from billing.engine.money import EXACT, ZERO, exact_sum, round_half_even
from billing.models import Balance, Invoice
from billing.models import Collection as Collecting
from billing.selectors.invoicing import allocation


@dataclass(frozen=True, slots=True)
class Paid:
    """What has come in for an invoice: of what is due, and of its tax. Exact."""

    net: Decimal = ZERO
    tax: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return EXACT.add(self.net, self.tax)


def paid(invoices: Collection[Invoice]) -> dict[UUID, Paid]:
    """How much of each of these is paid, the oldest of a balance first (``allocation``)."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, net_paid, tax_paid FROM ({_PAID}) p",
            {"balances": list({invoice.balance_id for invoice in invoices})},
        )
        found = {row[0]: Paid(*row[1:]) for row in cursor}
    return {invoice.pk: found.get(invoice.pk, Paid()) for invoice in invoices}


def unpaid_of(balance_id: UUID, due: Decimal) -> Decimal:
    """What would be unpaid of a further invoice over ``due``: what has come in beyond the earlier ones pays of it."""
    before, came_in, _, _ = _sums(balance_id)
    return EXACT.subtract(due, paid_of(due, due_before=before, settled=came_in))


def open_tax(customer_id: UUID, currency: str) -> Decimal:
    """What the customer owes of taxes on invoices in the currency."""
    for balance_id in Balance.objects.filter(customer_id=customer_id, asset_id=currency).values_list("pk", flat=True):
        _, _, asked, received = _sums(balance_id)
        return max(ZERO, EXACT.subtract(asked, received))
    return ZERO


def tax_given(customer_id: UUID, currency: str, *, since: datetime) -> Decimal:
    """What credit notes have put into the wallet since, of taxes that had been paid."""
    notes = Invoice.objects.filter(customer_id=customer_id, currency_id=currency, issued_at__gte=since)
    return notes.aggregate(tax=Sum("tax_given"))["tax"] or ZERO


def tax_withheld(customer_id: UUID, currency: str) -> Decimal:
    """What credit notes did not give back of taxes, because payers' banks had taken them back then."""
    notes = Invoice.objects.filter(customer_id=customer_id, currency_id=currency, tax_withheld__gt=0)
    return notes.aggregate(tax=Sum("tax_withheld"))["tax"] or ZERO


def tax_disputed(balance_id: UUID) -> Decimal:
    """What paid taxes on invoices of the balance, and went back to the payers in disputes that are lost."""
    with connection.cursor() as cursor:
        cursor.execute(_TAX_DISPUTED, [balance_id])
        found: Decimal = cursor.fetchone()[0]
        return found


def is_void() -> Exists:
    """Whether the invoice that a ledger entry is in is void: what was owed for the entry fell away with it."""
    return Exists(
        Invoice.objects.filter(
            balance=OuterRef("balance_id"),
            first_seq__lte=OuterRef("seq"),
            last_seq__gte=OuterRef("seq"),
            voided_by__isnull=False,
        )
    )


def given_back(invoice: Invoice) -> Decimal:
    """What of the invoice's debt was forgiven since it was issued: its usage was reversed or refunded, or the time of
    its fees was not used."""
    with connection.cursor() as cursor:
        cursor.execute(
            _GIVEN_BACK,
            {"balance": invoice.balance_id, "first": invoice.first_seq, "last": invoice.last_seq},
        )
        found: Decimal = cursor.fetchone()[0]
        return found


def to_credit(invoice: Invoice) -> Decimal:
    """What a credit note for the invoice's balance would be for by now, in coins: what was given back since the last
    one, beyond what was used. Zero where that comes to no coin."""
    last = Invoice.objects.filter(balance=invoice.balance_id).order_by("-first_seq")[:1].get()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {allocation.GIVEN_BACK} FROM billing_balance b WHERE b.id = %s", [invoice.balance_id])
        found: Decimal = cursor.fetchone()[0]
    coins = places(invoice.currency_id)
    left = round_half_even(EXACT.subtract(last.owed_after, found), precision=coins)
    return EXACT.subtract(round_half_even(last.owed_after, precision=coins), left)


def settled(balance_id: UUID) -> Decimal:
    """All that has come in for debts of the balance, and was not given back."""
    return _sums(balance_id)[1]


def _sums(balance_id: UUID) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """What all invoices of a balance ask for and what has come in for it; the same of their taxes."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT COALESCE((SELECT SUM(due) FROM billing_invoice WHERE balance_id = b.id), 0), {allocation.SETTLED},"
            f" COALESCE((SELECT SUM(tax) FROM billing_invoice WHERE balance_id = b.id), 0), {allocation.TAX_RECEIVED}"
            f" FROM billing_balance b WHERE b.id = %s",
            [balance_id],
        )
        found: tuple[Decimal, Decimal, Decimal, Decimal] = cursor.fetchone()
    return found


def outstanding(invoice: Invoice, paid: Paid) -> Decimal:
    """What is open of it, in coins: what is due was cut to coins, so that less than one may stay for the next."""
    return exact_sum(open_parts(invoice, paid))


def open_parts(invoice: Invoice, paid: Paid) -> tuple[Decimal, Decimal]:
    """What is open of what is due, and of its tax, in coins. Of a void invoice nothing is."""
    if invoice.kind == Invoice.Kind.INVOICE and invoice.collection.state == Collecting.State.VOIDED:
        return ZERO, ZERO
    coins = places(invoice.currency_id)
    return (
        round_half_even(EXACT.subtract(invoice.due, paid.net), precision=coins),
        round_half_even(EXACT.subtract(invoice.tax, paid.tax), precision=coins),
    )


def status(invoice: Invoice, paid: Paid) -> str:
    """``issued`` for a credit note; ``open``, ``partly_paid``, ``paid``, ``uncollectible``, ``voiding`` or ``void`` for
    an invoice."""
    if invoice.kind == Invoice.Kind.CREDIT_NOTE:
        return "issued"
    ended = _ENDED.get(invoice.collection.state)
    if ended is not None:
        return ended
    if outstanding(invoice, paid) <= 0:
        return "paid"
    return "partly_paid" if paid.total > 0 else "open"


_ENDED = {
    Collecting.State.UNCOLLECTIBLE.value: "uncollectible",
    Collecting.State.VOIDING.value: "voiding",
    Collecting.State.VOIDED.value: "void",
}


def overdue(invoice: Invoice, paid: Paid) -> bool:
    """Whether something of it is still open after the day on which it was due, in the operator's time zone."""
    return status(invoice, paid) in {"open", "partly_paid"} and invoice.due_on < timezone.localdate()


# A credit for unused time is for the period's last fee before it, and takes first what that fee had owed: also where
# usage that became cheaper had lowered the debt since, so that it came into the wallet.
_GIVEN_BACK = """
SELECT COALESCE(SUM(g.amount), 0)
  FROM (SELECT e.amount FROM billing_ledgerentry e
          JOIN billing_charge c ON c.id = e.charge_id AND c.customer_id = e.customer_id
         WHERE e.balance_id = %(balance)s AND e.seq > %(last)s
           AND e.kind = 'reversal' AND e.debit = 'usage' AND e.credit = 'receivable'
           AND EXISTS (SELECT FROM billing_ledgerentry o
                        WHERE o.balance_id = e.balance_id AND o.seq BETWEEN %(first)s AND %(last)s
                          AND o.charge_id = COALESCE(c.reverses_id, c.refunds_id) AND o.debit = 'receivable')
         UNION ALL
        SELECT LEAST(f.amount, o.amount) FROM billing_ledgerentry o
          JOIN billing_fee p ON p.id = o.transaction_id AND p.customer_id = o.customer_id
          JOIN billing_fee f ON f.period_id = p.period_id AND f.kind = 'credit' AND f.id > p.id
         WHERE o.balance_id = %(balance)s AND o.seq BETWEEN %(first)s AND %(last)s AND o.debit = 'receivable'
           AND o.kind = 'fee' AND p.kind IN ('base', 'change')
           AND NOT EXISTS (SELECT FROM billing_fee l
                            WHERE l.period_id = p.period_id AND l.kind IN ('base', 'change') AND l.state = 'paid'
                              AND l.id > p.id AND l.id < f.id)
           AND EXISTS (SELECT FROM billing_ledgerentry e
                        WHERE e.balance_id = o.balance_id AND e.transaction_id = f.id AND e.seq > %(last)s)) g
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
_PAID = allocation.paid("SELECT unnest(%(balances)s::uuid[])")
_UNUSUAL_COINS = " ".join(f"WHEN '{code}' THEN 1e-{count}" for code, count in UNUSUAL_PLACES.items())
_COIN = f"CASE i.currency_id {_UNUSUAL_COINS} ELSE 0.01 END"

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
