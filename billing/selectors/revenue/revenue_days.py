"""Which ledger entries a day of the books holds, and their sums as the journal takes them.

A day holds what was posted before its end and is in no day before. ``posted_at`` alone would not do: a clock may be set
back, and a row then bears a time that is closed already. The numbers of the database transactions tell: what was
written after a day was cut off is a later day's, whatever time it bears.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Max, OuterRef, QuerySet, Subquery

from accounts.ids import uuid7
from billing.engine.recognition import Group, Obligation, Paid
from billing.models import RevenueDay

CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Moved:
    """The groups of entries of one grant, or of one customer without a grant, on the day."""

    grant: UUID | None
    customer: UUID
    kind: str
    paid: Paid | None
    groups: list[Group]


def final(days: QuerySet[RevenueDay] | None = None) -> QuerySet[RevenueDay]:
    """The closed days, each in its newest closed version, the newest day first."""
    rows = RevenueDay.objects.all() if days is None else days
    newest = RevenueDay.objects.filter(date=OuterRef("date"), state=RevenueDay.State.CLOSED).order_by("-version")
    return rows.filter(pk=Subquery(newest.values("pk")[:1])).order_by("-date")


def closed_until() -> datetime | None:
    """Up to when the books are closed: what was used later is provisional. None before the first day was closed."""
    end: datetime | None = RevenueDay.objects.filter(state=RevenueDay.State.CLOSED).aggregate(end=Max("end"))["end"]
    return end


def provisional_from(start: datetime, end: datetime) -> datetime | None:
    """From when on usage of [``start``, ``end``) is provisional; None where the books of all of it are closed."""
    closed = closed_until()
    first = start if closed is None else max(start, closed)
    return first if first < end else None


def before(day: RevenueDay) -> RevenueDay | None:
    """The closed day just before this one."""
    return final().filter(date__lt=day.date).first()


def holds(day: RevenueDay, *, row: str = "e", key: str = "transaction_id") -> tuple[str, dict[str, Any]]:
    """The condition for rows of the table ``row`` to be the day's, with its parameters. ``key`` is their transaction.

    The day must have been cut off.
    """
    previous = before(day)
    upper = "{row}.posted_at < %(end)s"
    parameters: dict[str, Any] = {"start": day.start, "end": day.end, "cut_at": day.cut_at}
    if day.version > 1:
        upper = "({row}.posted_at < %(end)s OR ({row}.posted_at < %(cut_at)s AND {row}.occurred_at < %(end)s))"
    conditions = [upper]
    if previous is not None:
        lower = "{row}.posted_at >= %(start)s"
        behind = _written_after(previous, posted_before=day.start)
        if behind:
            lower = f"({lower} OR {{row}}.{{key}} = ANY(%(behind)s))"
            parameters["behind"] = behind
        conditions.append(lower)
    too_late = _written_after(day, posted_before=day.cut_at if day.version > 1 else day.end)
    if too_late:
        conditions.append("{row}.{key} <> ALL(%(too_late)s)")
        parameters["too_late"] = too_late
    for number, reopened in enumerate(_reopened(day)):
        end, cut, beyond = f"end_{number}", f"cut_{number}", f"beyond_{number}"
        conditions.append(
            f"NOT ({{row}}.occurred_at < %({end})s AND {{row}}.posted_at < %({cut})s"
            f" AND {{row}}.{{key}} <> ALL(%({beyond})s::uuid[]))"
        )
        parameters |= {
            end: reopened.end,
            cut: reopened.cut_at,
            beyond: _written_after(reopened, posted_before=reopened.cut_at),
        }
    return " AND ".join(conditions).format(row=row, key=key), parameters


def moved(day: RevenueDay) -> Iterator[Moved]:
    """The day's groups, grant by grant, with where each grant stood before. From a cursor: memory stays flat."""
    entries, parameters = holds(day)
    transactions, _ = holds(day, row="t", key="id")
    parameters |= {"zone": day.zone, "date": day.date}
    with connection.cursor() as cursor:
        # A charge is written together with its transaction: that tells where in its long table to look.
        cursor.execute(
            f"SELECT min(written_in), max(written_in) FROM billing_ledgertransaction t WHERE {transactions}", parameters
        )
        parameters["first"], parameters["last"] = cursor.fetchone()
    with connection.connection.cursor(name=f"moved-{uuid7().hex}") as cursor:
        cursor.itersize = CHUNK
        cursor.execute(_MOVED.format(entries=entries, transactions=transactions), parameters)
        found: Moved | None = None
        while rows := cursor.fetchmany(CHUNK):
            for row in rows:
                group = Group(*row[2:14])
                if found is None or (found.grant, found.customer) != row[:2]:
                    if found is not None:
                        yield found
                    found = Moved(row[0], row[1], row[14] or "", _paid(row[15:]), [])
                found.groups.append(group)
    if found is not None:
        yield found


def _paid(row: tuple[Any, ...]) -> Paid | None:
    price, currency, units, lapses, *stood = row
    if not price:
        return None
    return Paid(currency, price, units, Obligation(*stood) if stood[0] is not None else Obligation(), lapses)


def _reopened(day: RevenueDay) -> QuerySet[RevenueDay]:
    """The days before that were closed again, if that was so late that they took something from this one's time."""
    return final().filter(date__lt=day.date, version__gt=1, cut_at__gt=day.start)


def _written_after(day: RevenueDay, *, posted_before: datetime | None) -> list[UUID]:
    """Transactions with a time before that one which were written after the day was cut off: a clock was set back.

    After a restore from a dump the numbers begin anew: what was there before bears any, and is left out.
    """
    if not day.numbered:
        return []
    anew = RevenueDay.objects.filter(cluster=day.cluster, numbered=False).order_by("date").first()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM billing_ledgertransaction WHERE written_in >= %s AND posted_at < %s AND posted_at >= %s",
            [day.written_before, posted_before, anew.cut_at if anew and anew.cut_at else datetime(1, 1, 2, tzinfo=UTC)],
        )
        return [row[0] for row in cursor]


_MOVED = """
WITH moved AS (
    SELECT e.customer_id, e.asset_id, e.balance_id IS NULL AS beside, e.grant_id,
           CASE WHEN e.kind = 'fee' AND 'fees' IN (e.debit, e.credit) THEN e.transaction_id END AS fee_id,
           e.kind, e.debit, e.credit, c.meter_id, (e.occurred_at AT TIME ZONE %(zone)s)::date AS occurred_on,
           SUM(e.amount) AS units, COUNT(*) AS entries
      FROM billing_ledgerentry e
      LEFT JOIN billing_charge c
             ON c.id = e.charge_id AND c.customer_id = e.customer_id
            AND c.written_in BETWEEN %(first)s AND %(last)s
     WHERE e.kind NOT IN ('hold', 'release') AND {entries}
     GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    UNION ALL
    SELECT t.customer_id, f.currency_id, false, u.grant_id, NULL, 'money', 'wallet_available', 'refunds', NULL,
           (t.occurred_at AT TIME ZONE %(zone)s)::date,
           SUM(CASE t.template WHEN 'top_up.refunded' THEN f.amount ELSE -f.amount END), 0
      FROM billing_ledgertransaction t
      JOIN billing_refund f ON f.id = split_part(t.reference, ':', 2)::uuid AND f.customer_id = t.customer_id
      JOIN billing_topup u ON u.id = f.top_up_id AND u.customer_id = t.customer_id
     WHERE t.template IN ('top_up.refunded', 'top_up.refund_failed') AND {transactions}
     GROUP BY 1, 2, 4, 10
)
SELECT m.grant_id, m.customer_id,
       m.customer_id, m.asset_id, a.kind = 'currency', m.beside, m.fee_id, m.kind, m.debit, m.credit,
       COALESCE(k.code, l.code, ''), m.occurred_on, m.units, m.entries,
       g.kind, COALESCE(o.paid_amount, g.paid_amount), g.paid_currency_id, COALESCE(o.amount, g.amount),
       g.expires_at IS NOT NULL, s.value, s.total, s.done, s.booked, s.used, s.ahead
  FROM moved m
  JOIN billing_asset a ON a.code = m.asset_id
  LEFT JOIN billing_meter k ON k.id = m.meter_id
  LEFT JOIN billing_fee f ON f.id = m.fee_id AND f.customer_id = m.customer_id
  LEFT JOIN billing_subscription b ON b.id = f.subscription_id AND b.customer_id = m.customer_id
  LEFT JOIN billing_plan l ON l.id = b.plan_id
  LEFT JOIN billing_grant g ON g.id = m.grant_id AND g.customer_id = m.customer_id
  LEFT JOIN billing_grant o ON o.id = g.replaces_id AND o.customer_id = m.customer_id
  LEFT JOIN LATERAL (
       SELECT value, total, done, booked, used, ahead FROM billing_obligation
        WHERE grant_id = m.grant_id AND customer_id = m.customer_id AND date < %(date)s
        ORDER BY id DESC LIMIT 1) s ON g.paid_amount > 0
 ORDER BY m.grant_id NULLS FIRST, m.customer_id, m.kind COLLATE "C", m.debit COLLATE "C", m.credit COLLATE "C",
          COALESCE(k.code, l.code, '') COLLATE "C", m.occurred_on, m.asset_id COLLATE "C", m.fee_id NULLS FIRST,
          m.beside
"""

_FEES = """
SELECT k.fee_id, k.customer_id, k.currency_id, f.asset_id, l.code, f."start", f."end", k.added,
       s.value, s.total, s.done, s.booked
  FROM (SELECT fee_id, customer_id, currency_id, SUM(added) AS added
          FROM (SELECT fee_id, customer_id, currency_id, amount AS added FROM billing_recognition
                 WHERE day_id = %(day)s AND movement IN ('fee_deferred', 'fee_billed')
                UNION ALL
                SELECT o.fee_id, o.customer_id, o.currency_id, 0
                  FROM billing_fee f
                  JOIN billing_obligation o ON o.fee_id = f.id AND o.customer_id = f.customer_id
                 WHERE f."end" > %(start)s AND f.state = 'paid' AND o.date < %(date)s) x
         GROUP BY 1, 2, 3) k
  JOIN billing_fee f ON f.id = k.fee_id AND f.customer_id = k.customer_id
  JOIN billing_subscription b ON b.id = f.subscription_id AND b.customer_id = k.customer_id
  JOIN billing_plan l ON l.id = b.plan_id
  LEFT JOIN LATERAL (
       SELECT value, total, done, booked FROM billing_obligation
        WHERE fee_id = k.fee_id AND currency_id = k.currency_id AND customer_id = k.customer_id AND date < %(date)s
        ORDER BY id DESC LIMIT 1) s ON true
 ORDER BY k.fee_id, k.currency_id
"""


@dataclass(frozen=True, slots=True)
class RunningFee:
    """A fee whose time has not gone by, or that was paid today: ``added`` came to its value today."""

    fee: UUID
    customer: UUID
    currency: str
    asset: str
    plan: str
    start: datetime
    end: datetime
    added: Decimal
    obligation: Obligation


def running_fees(day: RevenueDay) -> Iterator[RunningFee]:
    """The fees that are recognised by time, after the day's other lines were written."""
    with connection.connection.cursor(name=f"fees-{uuid7().hex}") as cursor:
        cursor.itersize = CHUNK
        cursor.execute(_FEES, {"day": day.pk, "start": day.start, "date": day.date})
        while rows := cursor.fetchmany(CHUNK):
            for row in rows:
                fee, customer, currency, asset, plan, start, end, added, *stood = row
                found = Obligation(*stood) if stood[0] is not None else Obligation()
                yield RunningFee(fee, customer, currency, asset, plan, start, end, added, found)


Kind = tuple[str, str, str, str, str]
"""Movement, debit, credit, currency, product."""
_KIND = "movement, debit, credit, currency_id, product"


def closing_sums(day: RevenueDay | None) -> dict[Kind, Decimal]:
    """What all lines of each kind had come to by the end of that day; nothing before the first."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT ON ({_KIND}) {_KIND}, closing FROM billing_revenuetotal WHERE day_id = %s"
            f" ORDER BY {_KIND}, number DESC",
            [day.pk if day else None],
        )
        return {row[:5]: row[5] for row in cursor}


def sums_of_lines(day: RevenueDay) -> list[tuple[Kind, date, Decimal, int]]:
    """What the day's lines come to, by kind and by when they occurred, and how many there are."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_KIND}, occurred_on, sum(amount), count(*) FROM billing_recognition WHERE day_id = %s"
            f" GROUP BY {_KIND}, occurred_on",
            [day.pk],
        )
        return [(row[:5], *row[5:]) for row in cursor]
