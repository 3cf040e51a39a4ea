"""A customer's wallet as its own accountants book it: what was paid in, and what became an expense on which day.

By when it was booked, so that a day that was taken over does not change afterwards; all lines of an asset together are
the change of its balance.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from accounts.ids import uuid7

CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Expense:
    """What a day's movements of one kind come to. ``amount`` of ``asset`` is positive where it came into the wallet.

    A payment or a refund stands alone, with what was ``paid``, ``fee`` and ``tax`` among it, in ``currency``.
    """

    on: date
    kind: str
    product: str
    asset: str
    amount: Decimal
    paid: Decimal | None
    fee: Decimal | None
    tax: Decimal | None
    currency: str
    reference: str


def lines(
    *, customer_id: UUID, start: datetime | None, end: datetime | None, asset: str | None, zone: ZoneInfo
) -> Iterator[Expense]:
    """Those that were booked in [``start``, ``end``), by day of ``zone``. From a cursor of the server's."""
    parameters = {"customer": customer_id, "start": start, "end": end, "asset": asset, "zone": str(zone)}
    with transaction.atomic(), connection.connection.cursor(name=f"expenses-{uuid7().hex}") as cursor:
        cursor.itersize = CHUNK
        cursor.execute(_LINES, parameters)
        while rows := cursor.fetchmany(CHUNK):
            for row in rows:
                yield Expense(*row)


# What is held and let go changes nothing that anybody owns, and neither does a debt that the wallet pays.
_OWN = "('wallet_available', 'wallet_held', 'receivable')"
_LINES = f"""
WITH moved AS (
    SELECT (e.posted_at AT TIME ZONE %(zone)s)::date AS "on", e.kind, COALESCE(m.code, l.code, '') AS product,
           e.asset_id,
           e.amount * ((e.credit IN {_OWN})::int - (e.debit IN {_OWN})::int) AS amount,
           CASE WHEN e.kind = 'top_up' THEN e.grant_id END AS grant_id,
           CASE WHEN e.kind = 'refund' THEN e.transaction_id END AS refunded_by
      FROM billing_ledgerentry e
      LEFT JOIN billing_charge c ON c.id = e.charge_id AND c.customer_id = e.customer_id
      LEFT JOIN billing_meter m ON m.id = c.meter_id
      LEFT JOIN billing_fee f ON e.kind = 'fee' AND f.id = e.transaction_id AND f.customer_id = e.customer_id
      LEFT JOIN billing_subscription s ON s.id = f.subscription_id AND s.customer_id = e.customer_id
      LEFT JOIN billing_plan l ON l.id = s.plan_id
     WHERE e.customer_id = %(customer)s AND e.balance_id IS NOT NULL AND e.kind NOT IN ('hold', 'release')
       AND (%(asset)s::text IS NULL OR e.asset_id = %(asset)s)
       AND (%(start)s::timestamptz IS NULL OR e.posted_at >= %(start)s)
       AND (%(end)s::timestamptz IS NULL OR e.posted_at < %(end)s)
), lines AS (
    SELECT "on", kind, product, asset_id, grant_id, refunded_by, SUM(amount) AS amount
      FROM moved GROUP BY 1, 2, 3, 4, 5, 6 HAVING SUM(amount) <> 0
)
SELECT i."on", i.kind, i.product, i.asset_id, i.amount, COALESCE(t.amount + t.fee + t.tax, -(r.amount + r.tax)), t.fee,
       COALESCE(t.tax, -r.tax), COALESCE(t.currency_id, r.currency_id, ''), COALESCE(t.id::text, r.id::text, '')
  FROM lines i
  LEFT JOIN billing_topup t ON t.grant_id = i.grant_id AND t.customer_id = %(customer)s
  LEFT JOIN billing_ledgertransaction x
         ON x.id = i.refunded_by AND x.customer_id = %(customer)s AND x.template = 'top_up.refunded'
  LEFT JOIN billing_refund r ON r.id = split_part(x.reference, ':', 2)::uuid AND r.customer_id = %(customer)s
 ORDER BY 1, 2, 3, 4, 10
"""
