"""Reports for finance. Revenue is that of the closed days, so that each report sums to the roll-forward.

Recurring and used are told apart by what the customer pays for: fees for a span of time, and metered charges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.conf import settings
from django.db import connection

from billing.engine.currencies import places
from billing.engine.money import EXACT, ZERO, exact_sum, round_half_even
from billing.models import RevenueDay
from billing.selectors.invoicing import allocation
from billing.selectors.revenue import revenue_days

MEAN_MONTH = Fraction(487, 16)
"""Days: 365.25 / 12."""
AGES = (0, 30, 60, 90)
"""Days after which an invoice is in the next column: not due, up to 30 days over, …"""


@dataclass(frozen=True, slots=True)
class Month:
    """``mrr`` is what base fees come to a month at its end, ``fees`` and ``usage`` the revenue recognised in it."""

    month: date
    mrr: Decimal
    fees: Decimal
    usage: Decimal
    subscriptions: int


@dataclass(frozen=True, slots=True)
class Cohort:
    """Customers whose first revenue was in ``month``, and their revenue in each month from that one on."""

    month: date
    customers: int
    revenue: list[Decimal]


@dataclass(slots=True)
class Owed:
    """What a customer owes: on invoices by their age, taxes included, and what no invoice asks for yet."""

    customer: str
    ages: list[Decimal] = field(default_factory=lambda: [ZERO] * (len(AGES) + 1))
    not_invoiced: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return exact_sum([*self.ages, self.not_invoiced])


@dataclass(frozen=True, slots=True)
class Losses:
    """Of a month: what came in beforehand and what of it banks took back; what was used on debt and written off."""

    month: date
    prepaid: Decimal
    taken_back: Decimal
    postpaid: Decimal
    written_off: Decimal


def mrr(currency: str, at: date) -> Decimal:
    """What the base fees that run on that day come to a month: yearly ones by twelve, weekly ones by the mean month."""
    return _mrr(currency, [at])[at][0]


def months(currency: str, *, first: date, last: date) -> list[Month]:
    """Recurring revenue and usage, month by month. ``first`` and ``last`` are days within them."""
    starts = _starts(first, last)
    ends = [_next(start) for start in starts]
    running = _mrr(currency, [date.fromordinal(end.toordinal() - 1) for end in ends])
    earned = _revenue(currency, starts[0], ends[-1])
    found = []
    for start, end in zip(starts, ends, strict=True):
        amount, subscriptions = running[date.fromordinal(end.toordinal() - 1)]
        fees, usage = earned.get(start, (ZERO, ZERO))
        found.append(Month(start, amount, fees, usage, subscriptions))
    return found


def cohorts(currency: str, *, first: date, last: date) -> list[Cohort]:
    """Revenue by the month in which a customer first brought any. Net retention is a month's by the first month's."""
    starts = _starts(first, last)
    rows = _all(
        """
        WITH monthly AS (
            SELECT r.customer_id, date_trunc('month', d.date)::date AS month, SUM(r.amount) AS amount
              FROM billing_recognition r JOIN billing_revenueday d ON d.id = r.day_id
             WHERE r.day_id = ANY(%(days)s) AND r.currency_id = %(currency)s AND r.movement = ANY(%(earned)s)
             GROUP BY 1, 2),
        firsts AS (SELECT customer_id, MIN(month) AS month FROM monthly WHERE amount > 0 GROUP BY 1)
        SELECT f.month, m.month, SUM(m.amount), COUNT(*) FILTER (WHERE m.month = f.month)
          FROM monthly m JOIN firsts f USING (customer_id) WHERE m.month >= f.month GROUP BY 1, 2 ORDER BY 1, 2
        """,
        days=_days(None, _next(starts[-1])),
        currency=currency,
        earned=_EARNED,
    )
    known = {(cohort, month): (amount, count) for cohort, month, amount, count in rows}
    return [
        Cohort(
            cohort,
            known[cohort, cohort][1],
            [known.get((cohort, month), (ZERO, 0))[0] for month in starts if month >= cohort],
        )
        for cohort in starts
        if (cohort, cohort) in known
    ]


def ageing(currency: str, on: date) -> list[Owed]:
    """What each customer owes, the most first. Sums to what the ledger has as receivable."""
    rows = _all(_AGEING, currency=currency, on=on)
    found: dict[str, Owed] = {}
    for customer, days, amount in rows:
        owed = found.setdefault(customer, Owed(customer))
        if days is None:
            owed.not_invoiced = EXACT.add(owed.not_invoiced, amount)
        else:
            column = sum(days > age for age in AGES)
            owed.ages[column] = EXACT.add(owed.ages[column], amount)
    return sorted((row for row in found.values() if row.total), key=lambda row: row.total, reverse=True)


def receivable(currency: str) -> Decimal:
    """What the ledger has as owed by customers, taxes included."""
    amount: Decimal = _all(
        "SELECT COALESCE((SELECT SUM(owed) FROM billing_balance WHERE asset_id = %(currency)s), 0)"
        " + COALESCE((SELECT SUM(amount * ((debit = 'receivable')::int - (credit = 'receivable')::int))"
        "   FROM billing_ledgerentry WHERE balance_id IS NULL AND asset_id = %(currency)s"
        "    AND 'receivable' IN (debit, credit)), 0)",
        currency=currency,
    )[0][0]
    return amount


def losses(currency: str, *, first: date, last: date) -> list[Losses]:
    """What was lost of prepaid and of post-paid business, month by month."""
    starts = _starts(first, last)
    end = _next(starts[-1])
    moved = _all(
        """
        SELECT date_trunc('month', d.date)::date,
               COALESCE(SUM(r.amount) FILTER (WHERE r.movement = 'billed' AND r.debit = 'cash_clearing'), 0),
               COALESCE(SUM(r.amount) FILTER (WHERE r.movement = 'recognised_owed'), 0),
               COALESCE(SUM(r.amount * ((r.credit = 'cash_clearing')::int - (r.debit = 'cash_clearing')::int))
                        FILTER (WHERE 'disputed' IN (r.debit, r.credit)), 0)
          FROM billing_recognition r JOIN billing_revenueday d ON d.id = r.day_id
         WHERE r.day_id = ANY(%(days)s) AND r.currency_id = %(currency)s GROUP BY 1
        """,
        days=_days(starts[0], end),
        currency=currency,
    )
    given_up = dict(
        _all(
            "SELECT date_trunc('month', p.created_at AT TIME ZONE %(zone)s)::date, SUM(p.amount)"
            "  FROM billing_invoicepayment p JOIN billing_invoice i ON i.id = p.invoice_id"
            " WHERE p.kind = 'write_off' AND i.currency_id = %(currency)s GROUP BY 1",
            currency=currency,
            zone=settings.TIME_ZONE,
        )
    )
    known = {month: amounts for month, *amounts in moved}
    return [
        Losses(
            start,
            known.get(start, [ZERO] * 3)[0],
            known.get(start, [ZERO] * 3)[2],
            known.get(start, [ZERO] * 3)[1],
            given_up.get(start, ZERO),
        )
        for start in starts
    ]


_FEES = ["fee_recognised"]
_USED = ["recognised", "recognised_owed"]
_EARNED = _FEES + _USED

_AGEING = f"""
WITH balances AS (
    SELECT b.id, b.customer_id, b.owed FROM billing_balance b
     WHERE b.asset_id = %(currency)s
       AND (b.owed > 0 OR EXISTS (SELECT FROM billing_invoice i WHERE i.balance_id = b.id))
), open AS (
    SELECT p.balance_id, p.customer_id, p.due_on, p.due - p.net_paid AS net, p.tax - p.tax_paid AS tax
      FROM ({allocation.paid("SELECT id FROM balances")}) p
)
SELECT k.external_id, %(on)s::date - o.due_on, o.net + o.tax FROM open o
  JOIN billing_customer k ON k.id = o.customer_id WHERE o.net + o.tax <> 0
UNION ALL
SELECT k.external_id, NULL, b.owed - COALESCE((SELECT SUM(o.net) FROM open o WHERE o.balance_id = b.id), 0)
  FROM balances b JOIN billing_customer k ON k.id = b.customer_id
"""


def _revenue(currency: str, first: date, end: date) -> dict[date, tuple[Decimal, Decimal]]:
    rows = _all(
        "SELECT date_trunc('month', d.date)::date,"
        "       COALESCE(SUM(t.amount) FILTER (WHERE t.movement = ANY(%(fees)s)), 0),"
        "       COALESCE(SUM(t.amount) FILTER (WHERE t.movement = ANY(%(used)s)), 0)"
        "  FROM billing_revenuetotal t JOIN billing_revenueday d ON d.id = t.day_id"
        " WHERE t.day_id = ANY(%(days)s) AND t.currency_id = %(currency)s GROUP BY 1",
        days=_days(first, end),
        currency=currency,
        fees=_FEES,
        used=_USED,
    )
    return {month: (fees, used) for month, fees, used in rows}


def _mrr(currency: str, days: Sequence[date]) -> dict[date, tuple[Decimal, int]]:
    """By day: what runs on it a month, and for how many subscriptions. Each fee counts at the pace of its own time, so
    that after a change of plan the first fee and its credit cancel out."""
    coins = places(currency)
    rows = _all(
        """
        SELECT d.day, v.interval, MAX(EXTRACT(EPOCH FROM p."end" - p.start)) / 86400,
               ROUND(SUM(CASE f.kind WHEN 'credit' THEN -f.amount ELSE f.amount END
                         * EXTRACT(EPOCH FROM p."end" - p.start) / EXTRACT(EPOCH FROM f."end" - f.start)),
                     %(coins)s::int)
          FROM unnest(%(days)s::date[]) AS d(day)
          JOIN billing_fee f ON f.asset_id = %(currency)s AND f.kind IN ('base', 'change', 'credit')
           AND f.state <> 'lapsed' AND f.start < d.day + 1 AND f."end" > d.day
          JOIN billing_subscriptionperiod p ON p.id = f.period_id
          JOIN billing_planversion v ON v.id = p.plan_version_id
         GROUP BY d.day, v.interval, f.subscription_id
        """,
        days=list(days),
        currency=currency,
        coins=coins,
    )
    found: dict[date, tuple[Decimal, int]] = dict.fromkeys(days, (ZERO, 0))
    for day, interval, length, amount in rows:
        sum_, count = found[day]
        found[day] = (EXACT.add(sum_, _monthly(amount, interval, length, coins)), count + 1)
    return found


def _monthly(amount: Decimal, interval: str, days: Decimal, coins: int) -> Decimal:
    if interval == "month":
        return amount
    if interval == "year":
        return round_half_even(Fraction(amount) / 12, precision=coins)
    return round_half_even(Fraction(amount) * MEAN_MONTH / Fraction(days), precision=coins)


def _starts(first: date, last: date) -> list[date]:
    start, found = first.replace(day=1), []
    while start <= last:
        found.append(start)
        start = _next(start)
    return found


def _next(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _days(first: date | None, end: date) -> list[Any]:
    closed = revenue_days.final(RevenueDay.objects.all()).filter(date__lt=end)
    return [*(closed if first is None else closed.filter(date__gte=first)).values_list("pk", flat=True)]


def _all(statement: str, **values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[Any] = cursor.fetchall()
        return rows
