"""How what has come in for invoices is shared among them, as SQL: the oldest of a balance first.

The shares of the amounts and of their taxes are two things: ``net`` is what pays the debt in the wallet, ``tax`` what
is owed beside it. Credit notes pay like money, and so does what is to be on the next one; but for those that void an
invoice: the two are no part of it, nor is what other credit notes had given back of it before.
"""

SETTLED = """
COALESCE((SELECT SUM(e.amount * ((e.credit = 'receivable')::int - (e.debit = 'receivable')::int))
            FROM billing_ledgerentry e
           WHERE e.balance_id = b.id AND e.kind IN ('settlement', 'reinstatement')
             AND 'receivable' IN (e.debit, e.credit)), 0)"""
"""All that has come in for debts of the balance ``b``."""

GIVEN_BACK = f"""
GREATEST(0, COALESCE((SELECT i.owed_after FROM billing_invoice i WHERE i.balance_id = b.id
                       ORDER BY i.first_seq DESC LIMIT 1), 0) - b.owed - {SETTLED})"""
"""What was given back of the balance ``b`` since its last invoice, beyond what was used: the next is a credit note."""

TAX_RECEIVED = """
COALESCE((SELECT SUM(t.invoiced_tax) FROM billing_topup t
           WHERE t.customer_id = b.customer_id AND t.currency_id = b.asset_id), 0)
+ COALESCE((SELECT SUM(p.tax) FROM billing_invoicepayment p
              JOIN billing_invoice i ON i.id = p.invoice_id WHERE i.balance_id = b.id), 0)
- COALESCE((SELECT SUM(i.tax_given) FROM billing_invoice i WHERE i.balance_id = b.id), 0)"""
"""What has come in for taxes on its invoices, less what was given back of it."""


def _void(column: str) -> str:
    """By how much invoices of the balance ``b`` that are void were for more than what voids them."""
    return f"""COALESCE((SELECT SUM(v.{column} + n.{column}) FROM billing_invoice n
                        JOIN billing_invoice v ON v.id = n.voids_id WHERE n.balance_id = b.id), 0)"""


def paid(balances: str) -> str:
    """Each invoice that is not void of the balances that the query ``balances`` gives, with what of its amount
    (``net_paid``) and of its tax (``tax_paid``) is paid."""
    return f"""
SELECT c.id, c.balance_id, c.customer_id, c.due_on, c.due, c.tax,
       LEAST(c.due, GREATEST(0, b.settled + c.credited - c.net_before)) AS net_paid,
       LEAST(c.tax, GREATEST(0, b.tax_received + c.tax_credited - c.tax_before)) AS tax_paid
  FROM (SELECT i.*,
               COALESCE(SUM(i.due) FILTER (WHERE i.due > 0) OVER w, 0) - GREATEST(i.due, 0) AS net_before,
               COALESCE(SUM(-i.due) FILTER (WHERE i.due < 0) OVER (PARTITION BY i.balance_id), 0) AS credited,
               COALESCE(SUM(i.tax) FILTER (WHERE i.tax > 0) OVER w, 0) - GREATEST(i.tax, 0) AS tax_before,
               COALESCE(SUM(-i.tax) FILTER (WHERE i.tax < 0) OVER (PARTITION BY i.balance_id), 0) AS tax_credited
          FROM billing_invoice i
         WHERE i.balance_id IN ({balances}) AND i.voids_id IS NULL
           AND NOT EXISTS (SELECT FROM billing_invoice v WHERE v.voids_id = i.id)
        WINDOW w AS (PARTITION BY i.balance_id ORDER BY i.first_seq)) c
  JOIN (SELECT b.id, {SETTLED} + {GIVEN_BACK} - {_void("due")} AS settled,
               {TAX_RECEIVED} - {_void("tax")} AS tax_received
          FROM billing_balance b WHERE b.id IN ({balances})) b ON b.id = c.balance_id
 WHERE c.due > 0"""
