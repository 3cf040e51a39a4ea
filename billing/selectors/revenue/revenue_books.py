"""The invariants of the closed days, for ``books``: each a statement, and a query for what breaks it."""

from collections.abc import Iterator

from billing.models import RevenueDay
from billing.selectors.ledger.differences import Difference
from billing.selectors.revenue import revenue_files

_FINAL = """(SELECT DISTINCT ON (date) * FROM billing_revenueday WHERE state = 'closed' ORDER BY date, version DESC)"""
_LAST = f"(SELECT * FROM {_FINAL} f ORDER BY date DESC LIMIT 1)"
_LATEST = """
    SELECT DISTINCT ON (COALESCE(o.grant_id, o.fee_id), o.currency_id) o.*
      FROM billing_obligation o WHERE {within}
     ORDER BY COALESCE(o.grant_id, o.fee_id), o.currency_id, o.date DESC, o.id DESC
"""

INVARIANTS: dict[str, tuple[str, str]] = {
    "revenue-sums": (
        "A closed day's sums are its lines.",
        f"""
        SELECT d.date, d.version, t.movement, t.currency_id AS currency, t.amount, l.amount AS lines
          FROM (SELECT day_id, movement, debit, credit, currency_id, product, occurred_on, SUM(amount) AS amount
                  FROM billing_revenuetotal GROUP BY 1, 2, 3, 4, 5, 6, 7) t
          FULL JOIN (SELECT day_id, movement, debit, credit, currency_id, product, occurred_on, SUM(amount) AS amount
                       FROM billing_recognition GROUP BY 1, 2, 3, 4, 5, 6, 7) l
               USING (day_id, movement, debit, credit, currency_id, product, occurred_on)
          LEFT JOIN {_FINAL} d ON d.id = day_id
         WHERE COALESCE(t.amount, 0) <> COALESCE(l.amount, 0)
        """,
    ),
    "revenue-days": (
        "The days follow each other without a gap, and each day's sums go on from the day before.",
        f"""
        SELECT d.date, d.before, k.movement, k.closing, k.expected
          FROM (SELECT d.*, LAG(d.date) OVER w AS before, LAG(d."end") OVER w AS ended, LAG(d.id) OVER w AS before_id
                  FROM {_FINAL} d WINDOW w AS (ORDER BY date)) d
          LEFT JOIN LATERAL (
               SELECT t.movement, MAX(t.closing) FILTER (WHERE t.last) AS closing, SUM(t.amount)
                      + COALESCE((SELECT p.closing FROM billing_revenuetotal p
                                   WHERE p.day_id = d.before_id AND (p.movement, p.debit, p.credit, p.currency_id,
                                         p.product) = (t.movement, t.debit, t.credit, t.currency_id, t.product)
                                   ORDER BY p.number DESC LIMIT 1), 0) AS expected
                 FROM (SELECT t.*, LEAD(t.number) OVER (PARTITION BY t.movement, t.debit, t.credit, t.currency_id,
                              t.product ORDER BY t.number) IS NULL AS last
                         FROM billing_revenuetotal t WHERE t.day_id = d.id) t
                GROUP BY t.movement, t.debit, t.credit, t.currency_id, t.product) k ON k.closing <> k.expected
         WHERE k.movement IS NOT NULL OR d.before + 1 <> d.date OR d.ended <> d."start"
        """,
    ),
    "revenue-liability": (
        "The contract liability is what grants and fees still have to be rendered for, by currency.",
        f"""
        SELECT currency_id AS currency, o.amount AS obligations, t.amount AS liability
          FROM (SELECT currency_id, SUM(value - booked - ahead) AS amount FROM ({_LATEST.format(within="true")}) o
                 GROUP BY currency_id) o
          FULL JOIN (SELECT k.currency_id,
                            SUM(k.closing * ((credit IN ('deferred_revenue', 'deferred_fees'))::int
                                             - (debit IN ('deferred_revenue', 'deferred_fees'))::int)) AS amount
                       FROM (SELECT DISTINCT ON (movement, debit, credit, currency_id, product) *
                               FROM billing_revenuetotal WHERE day_id = (SELECT id FROM {_LAST} l)
                              ORDER BY movement, debit, credit, currency_id, product, number DESC) k
                      GROUP BY 1) t USING (currency_id)
         WHERE COALESCE(o.amount, 0) <> COALESCE(t.amount, 0)
        """,
    ),
    "revenue-grants": (
        "Of each grant that was paid for, the closed days have rendered what the ledger says had gone by then.",
        f"""
        SELECT g.id AS "grant", o.total, o.done, o.value, e.granted, e.gone, g.paid_amount
          FROM billing_grant g
          LEFT JOIN ({_LATEST.format(within="WITHIN(o)")}) o ON o.grant_id = g.id AND o.customer_id = g.customer_id
          LEFT JOIN (
               SELECT e.grant_id,
                      SUM(e.amount) FILTER (WHERE e.credit = 'wallet_available'
                          AND e.kind IN ('top_up', 'grant', 'adjustment', 'reinstatement', 'fee')) AS granted,
                      SUM(e.amount * ((e.debit = 'wallet_available')::int - (e.credit = 'wallet_available')::int))
                      FILTER (WHERE NOT (e.credit = 'wallet_available'
                          AND e.kind IN ('top_up', 'grant', 'adjustment', 'reinstatement', 'fee'))) AS gone
                 FROM billing_ledgerentry e
                 JOIN {_LAST} d ON (e.posted_at < d."end" OR EXISTS (
                      SELECT 1 FROM {_FINAL} r
                       WHERE r.version > 1 AND e.posted_at < r.cut_at AND e.occurred_at < r."end"))
                WHERE e.grant_id IS NOT NULL AND e.kind NOT IN ('hold', 'release') AND WITHIN(e)
                  AND NOT EXISTS (SELECT 1 FROM billing_ledgertransaction t
                                   WHERE t.id = e.transaction_id AND d.numbered AND t.written_in >= d.written_before
                                     AND t.posted_at >= d."start")
                GROUP BY e.grant_id) e ON e.grant_id = g.id
         WHERE WITHIN(g) AND g.paid_amount > 0
           AND ((COALESCE(o.total, 0), COALESCE(o.done, 0))
                IS DISTINCT FROM (COALESCE(e.granted, 0), COALESCE(e.gone, 0))
                OR (g.replaces_id IS NULL AND o.value <> g.paid_amount))
        """,
    ),
}

FILES = "The file of each closed day is, byte for byte, what it was when the day was closed."


def changed_files(days: list[RevenueDay] | None = None) -> Iterator[Difference]:
    """The first closed day, of any version, whose files are not what they were. To be read within a
    transaction."""
    rows = days or RevenueDay.objects.filter(state=RevenueDay.State.CLOSED).order_by("date", "version")
    for day in rows:
        now = revenue_files.measured(day)
        for format, then in day.files.items():
            if now.get(format) != then or (format == "jsonl" and then["sha256"] != day.sha256):
                found = {"date": day.date, "version": day.version, "format": format, "closed_as": then["sha256"]}
                yield Difference("revenue-files", FILES, found | {"is": now.get(format, {}).get("sha256")})
                return
