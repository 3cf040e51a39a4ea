"""What a run of ledger entries comes to on paper: usage by meter and price, tier by tier, fees, discounts, the rest."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from billing.engine.currencies import places
from billing.engine.invoicing import Item, Step, by_tier, merged
from billing.models import Balance

TITLE_MAX = 120
"""Characters of what a line is for, before its tier."""
Group = tuple[UUID | None, str, bool]
"""A price, what lines have of the events as JSON, and whether a part of a charge was given back."""


@dataclass(frozen=True, slots=True)
class Owed:
    """The items of a run of entries, what of them was taken beyond the wallet, and what of a debt that had been written
    off was taken up again, for it is none; all exact."""

    items: list[Item]
    owed: Decimal
    taken_up: Decimal


def owed(balance: Balance, *, after: int, upto: int) -> Owed:
    """What the entries of a balance with ``after`` < seq <= ``upto`` come to. The balance must be locked.

    Usage by meter and price, and by what ``INVOICE_LINE_KEYS`` names of the events, at list price, each tier for
    itself; discounts; each fee; and what else was taken beyond the wallet. What grants paid is in the items as well: it
    is shown as paid. A meter's quantity is that of its charges.
    """
    values: dict[str, Any] = {
        **{"balance": balance.pk, "after": after, "upto": upto},
        "keys": settings.INVOICE_LINE_KEYS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_STEPS, values)
        steps: dict[Group, list[Step]] = {}
        for price, metadata, refund, *numbers in cursor:
            steps.setdefault((price, metadata, refund), []).append(Step(*numbers))
        cursor.execute(_USED, values)
        items = list(merged(item for row in cursor for item in _used(row, steps, places(balance.asset_id))))
        cursor.execute(_OTHERS, values)
        items += [Item(*row) for row in cursor]
        cursor.execute(_OWED, values)
        return Owed([item for item in items if item.exact != 0], *cursor.fetchone())


def _used(row: tuple[Any, ...], steps: Mapping[Group, list[Step]], coins: int) -> Iterator[Item]:
    price, metadata, refund, product, name, unit, exact, quantity, unit_amount, per, match = row
    shown = json.loads(metadata)
    only = [", ".join(values) for key, values in sorted(json.loads(match).items()) if key not in shown]
    title = ", ".join([name, *only])[:TITLE_MAX]
    whole = Item(
        *("usage", product, f"{title}, given back" if refund else title, exact),
        quantity=quantity or None,
        unit=unit,
        metadata=shown,
        unit_amount=unit_amount,
        per=per,
    )
    found = by_tier(whole, steps.get((price, metadata, refund), []), places=coins)
    yield from found or [whole]


_RUN = "e.balance_id = %(balance)s AND e.seq > %(after)s AND e.seq <= %(upto)s"
_CHARGED = f"""
WITH run AS (SELECT e.* FROM billing_ledgerentry e WHERE {_RUN}),
charged AS (
    SELECT c.id, c.meter_id, c.price_id, c.refunds_id IS NOT NULL AS refund, c.quantity,
           -- Which units of the period they are. What is reversed were the units of the charge that it takes back.
           CASE WHEN c.reverses_id IS NULL THEN COALESCE(c.quantity_before, 0)
                ELSE COALESCE(o.quantity_before, 0) + o.quantity END AS from_unit,
           CASE WHEN c.reverses_id IS NULL THEN COALESCE(c.quantity_before, 0) + c.quantity
                ELSE COALESCE(o.quantity_before, 0) END AS to_unit,
           CASE WHEN c.asset_id = b.asset_id THEN COALESCE(c.list_amount - c.amount, 0) ELSE 0 END AS discount,
           COALESCE((SELECT jsonb_object_agg(k, c.dimensions -> k) FROM unnest(%(keys)s::text[]) k
                      WHERE c.dimensions ? k), '{{}}') AS metadata
      FROM billing_charge c
      JOIN billing_balance b ON b.id = %(balance)s
      LEFT JOIN billing_charge o ON o.id = c.reverses_id AND o.customer_id = c.customer_id
     WHERE c.id IN (SELECT charge_id FROM run WHERE 'usage' IN (debit, credit))
)
"""
_USED = f"""
{_CHARGED}
SELECT r.price_id, r.metadata::text, r.refund, COALESCE(m.code, ''), COALESCE(m.name, 'Usage'), COALESCE(m.unit, ''),
       r.amount + COALESCE(q.discount, 0), q.quantity, p.unit_amount,
       CASE WHEN p.unit_amount IS NOT NULL THEN p.per END, COALESCE(a.match, '{{}}')::text
  FROM (SELECT c.meter_id, c.price_id, COALESCE(c.metadata, '{{}}') AS metadata, COALESCE(c.refund, false) AS refund,
               SUM(r.amount * ((r.credit = 'usage')::int - (r.debit = 'usage')::int)) AS amount
          FROM run r LEFT JOIN charged c ON c.id = r.charge_id
         WHERE 'usage' IN (r.debit, r.credit) GROUP BY 1, 2, 3, 4) r
  LEFT JOIN billing_meter m ON m.id = r.meter_id
  LEFT JOIN billing_price a ON a.id = r.price_id
  LEFT JOIN billing_price p ON p.id = r.price_id AND p.model = 'per_unit' AND NOT r.refund
  LEFT JOIN (SELECT price_id, metadata, refund, SUM(quantity) AS quantity, SUM(discount) AS discount
               FROM charged GROUP BY 1, 2, 3) q
         ON q.price_id = r.price_id AND q.metadata = r.metadata AND q.refund = r.refund
 ORDER BY m.name, m.code, r.metadata, r.refund, a.match, r.price_id
"""
_STEPS = f"""
{_CHARGED},
tiers AS (
    SELECT t.price_id, t.number, t.up_to, t.unit_amount, t.flat_amount, p.per, p.free_units,
           COALESCE(LAG(t.up_to) OVER (PARTITION BY t.price_id ORDER BY t.number), 0) AS beyond
      FROM billing_tier t JOIN billing_price p ON p.id = t.price_id AND p.model = 'graduated'
     WHERE t.price_id IN (SELECT price_id FROM charged)
)
SELECT c.price_id, c.metadata::text, c.refund, t.beyond, t.up_to, t.unit_amount, t.per,
       SUM(LEAST(GREATEST(c.to_unit - t.free_units, t.beyond), COALESCE(t.up_to, 'infinity'))
           - LEAST(GREATEST(c.from_unit - t.free_units, t.beyond), COALESCE(t.up_to, 'infinity'))) AS quantity,
       t.flat_amount * SUM((c.to_unit - t.free_units > t.beyond)::int - (c.from_unit - t.free_units > t.beyond)::int)
  FROM charged c JOIN tiers t ON t.price_id = c.price_id
 GROUP BY c.price_id, c.metadata, c.refund, t.number, t.beyond, t.up_to, t.unit_amount, t.flat_amount, t.per
 ORDER BY c.price_id, c.metadata, c.refund, t.number
"""
_OTHERS = f"""
{_CHARGED}
SELECT 'fee', COALESCE(l.code, ''), t.description,
       SUM(r.amount * ((r.credit = 'fees')::int - (r.debit = 'fees')::int))
       + CASE WHEN f.kind <> 'credit' THEN f.list_amount - f.amount ELSE 0 END
  FROM run r
  JOIN billing_ledgertransaction t ON t.id = r.transaction_id AND t.customer_id = r.customer_id
  LEFT JOIN billing_fee f ON f.id = r.transaction_id AND f.customer_id = r.customer_id
  LEFT JOIN billing_subscription s ON s.id = f.subscription_id
  LEFT JOIN billing_plan l ON l.id = s.plan_id
 WHERE 'fees' IN (r.debit, r.credit) GROUP BY t.id, t.description, l.code, f.id
UNION ALL
SELECT 'discount', '', 'Discount', -SUM(d.discount)
  FROM (SELECT discount FROM charged
        UNION ALL
        SELECT f.list_amount - f.amount FROM billing_fee f
         WHERE f.kind <> 'credit' AND f.id IN (SELECT transaction_id FROM run WHERE 'fees' IN (debit, credit))) d
HAVING SUM(d.discount) <> 0
UNION ALL
SELECT CASE k.account WHEN 'adjustment' THEN 'adjustment' ELSE 'chargeback' END, '',
       CASE k.account WHEN 'adjustment' THEN 'Adjustments' ELSE 'Payments taken back by the bank' END,
       SUM(r.amount * ((r.debit = 'receivable')::int - (r.credit = 'receivable')::int))
  FROM run r JOIN (VALUES ('adjustment'), ('disputed')) k(account) ON k.account IN (r.debit, r.credit)
 WHERE 'receivable' IN (r.debit, r.credit) GROUP BY k.account
 ORDER BY 1 DESC, 3, 2
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
