"""What wallets held at a past moment, from the ledger."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.selectors.ledger.balances import BalanceNow

# The last entry by then is found by halving: a balance's entries are numbered without gaps in the order in which they
# were posted, so some twenty steps along the index of (balance, seq) are enough for millions of them. What came in and
# went out other than by usage and its reversal has an index of its own; what was spent is what that leaves. As in
# balances.current, a grant counts from its start and no longer than it lives, however late a worker booked either; one
# whose value came otherwise than by its own transaction was booked when it was made. Overdraft limits are not in the
# ledger: the trail has what each was before it was changed. When each grant was booked is looked up once, however many
# moments are asked for.
_BOOKED = """
  WITH booked AS MATERIALIZED (
       SELECT g.*, came.posted_at AS came_at, went.posted_at AS went_at
         FROM billing_grant g
         LEFT JOIN billing_ledgertransaction came
                ON came.customer_id = g.customer_id AND came.reference = 'grant:' || g.id
         LEFT JOIN billing_ledgertransaction went
                ON went.customer_id = g.customer_id AND went.reference = 'grant:' || g.id || ':expired:0'
        WHERE g.customer_id = ANY(%(customers)s)
       )
"""

_AVAILABLE = "COALESCE(e.available_after, 0) + COALESCE(g.started, 0) - COALESCE(g.lapsed, 0)"

# Of a balance ``b`` at the moment ``t.at``.
_STANDING = """
 CROSS JOIN LATERAL (
       WITH RECURSIVE halving AS (
            SELECT 0::bigint AS low, b.seq AS high
             UNION ALL
            SELECT CASE WHEN m.posted_at <= t.at THEN m.seq ELSE h.low END,
                   CASE WHEN m.posted_at <= t.at THEN h.high ELSE m.seq - 1 END
              FROM halving h
              JOIN billing_ledgerentry m ON m.balance_id = b.id AND m.seq = (h.low + h.high + 1) / 2
             WHERE h.low < h.high
            )
       SELECT low AS seq FROM halving WHERE low = high
       ) s
  LEFT JOIN billing_ledgerentry e ON e.balance_id = b.id AND e.seq = s.seq
  LEFT JOIN LATERAL (
       SELECT SUM(w.amount) FILTER (WHERE w.expires_at IS NULL OR w.expires_at > t.at) AS started,
              SUM(w.remaining) FILTER (WHERE w.expires_at <= t.at) AS lapsed
         FROM (SELECT g.amount, g.expires_at, (
                      SELECT SUM(d.amount * ((d.credit = 'wallet_available')::int
                                             - (d.debit = 'wallet_available')::int))
                        FROM billing_ledgerentry d
                       WHERE d.grant_id = g.id AND d.seq <= s.seq AND g.expires_at <= t.at) AS remaining
                 FROM booked g
                WHERE g.customer_id = b.customer_id AND g.balance_id = b.id
                  AND g.created_at <= t.at AND g.effective_at <= t.at
                  AND CASE WHEN g.expires_at <= t.at
                           THEN (g.came_at <= t.at OR (g.came_at IS NULL AND g.posted))
                                AND (g.went_at > t.at
                                     OR (g.went_at IS NULL AND g.open AND g.remaining > 0))
                           ELSE (g.came_at > t.at OR (g.came_at IS NULL AND NOT g.posted))
                                AND (g.voided_at IS NULL OR g.voided_at > t.at) END
              ) w
       ) g ON TRUE
"""

_AT = f"""
{_BOOKED}
SELECT b.customer_id, b.asset_id, {_AVAILABLE},
       COALESCE(e.held_after, 0), COALESCE(o.overdraft_limit, b.overdraft_limit), COALESCE(v.granted, 0),
       COALESCE(v.net, 0) - COALESCE(e.available_after, 0) - COALESCE(e.held_after, 0), s.seq
  FROM billing_balance b
  JOIN billing_customer c ON c.id = b.customer_id
 CROSS JOIN (SELECT %(at)s::timestamptz AS at) t
{_STANDING}
  LEFT JOIN LATERAL (
       SELECT SUM(r.amount * ((r.credit IN ('wallet_available', 'receivable'))::int
                              - (r.debit IN ('wallet_available', 'receivable'))::int))
              FILTER (WHERE r.credit <> 'fees' AND r.debit <> 'usage'
                        AND (r.debit, r.credit) <> ('fees', 'receivable')) AS net,
              SUM(r.amount) FILTER (WHERE r.kind IN ('top_up', 'grant', 'adjustment', 'fee')
                                      AND r.credit = 'wallet_available' AND r.debit <> 'usage') AS granted
         FROM billing_ledgerentry r
        WHERE r.balance_id = b.id AND r.seq <= s.seq
          AND NOT (r.kind IN ('usage', 'hold', 'release', 'settlement', 'reversal', 'reinstatement'))
       ) v ON TRUE
  LEFT JOIN LATERAL (
       SELECT (a.before ->> 'overdraft_limit')::numeric AS overdraft_limit
         FROM accounts_auditevent a
        WHERE a.object_type = 'customer' AND a.object_id = c.external_id AND a.created_at > t.at
          AND a.action = 'wallet.overdraft_limit_changed' AND a.before ->> 'asset' = b.asset_id
        ORDER BY a.id LIMIT 1
       ) o ON TRUE
 WHERE b.customer_id = ANY(%(customers)s)
 ORDER BY b.customer_id, b.asset_id
"""

_OVER_TIME = f"""
{_BOOKED}
SELECT {_AVAILABLE}
  FROM billing_balance b
 CROSS JOIN unnest(%(moments)s::timestamptz[]) WITH ORDINALITY t (at, number)
{_STANDING}
 WHERE b.customer_id = ANY(%(customers)s) AND b.asset_id = %(asset)s
 ORDER BY t.number
"""


def balances(customer_ids: Iterable[UUID], *, at: datetime) -> list[BalanceNow]:
    """The balances of these customers as ``balances.current`` gave them at ``at``. One statement.

    One row for each asset that the wallet holds today; zeros for what it did not hold yet. ``seq`` is the last entry's
    that had been posted by then. Entries are taken to be posted in the order of the database's clock.
    """
    with connection.cursor() as cursor:
        cursor.execute(_AT, {"at": at, "customers": list(customer_ids)})
        return [BalanceNow(*row) for row in cursor.fetchall()]


def available(customer_id: UUID, asset: str, *, at: Sequence[datetime]) -> list[Decimal]:
    """What was available of the asset at each of these moments, as ``balances`` has it. One statement.

    Nothing where the wallet has no balance of the asset.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OVER_TIME, {"customers": [customer_id], "asset": asset, "moments": list(at)})
        return [row[0] for row in cursor.fetchall()]
