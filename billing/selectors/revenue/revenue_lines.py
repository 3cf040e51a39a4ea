"""From a figure of the roll-forward to the lines it sums, and from a line to its ledger entries."""

from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from billing.engine.recognition import COLUMNS, LIABILITY, MOVEMENTS
from billing.models import LedgerEntry, Recognition, RevenueDay
from billing.selectors.revenue import revenue_days
from billing.selectors.revenue.revenue import REVENUE


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of a day's lines: of a column of the roll-forward, an account, a movement, a currency; empty is any."""

    currency: str = ""
    column: str = ""
    account: str = ""
    movement: str = ""


def lines(day: RevenueDay, wanted: Wanted) -> QuerySet[Recognition]:
    """The day's lines that a figure is the sum of, the largest customers' in no special order: by number."""
    rows = Recognition.objects.filter(day=day)
    if wanted.currency:
        rows = rows.filter(currency=wanted.currency)
    if wanted.movement:
        rows = rows.filter(movement=wanted.movement)
    if wanted.account:
        rows = rows.filter(Q(debit=wanted.account) | Q(credit=wanted.account))
    if wanted.column in COLUMNS:
        of_column = [code for code, (column, _) in MOVEMENTS.items() if column == wanted.column]
        held = Q(debit__in=LIABILITY) | Q(credit__in=LIABILITY)
        rows = rows.filter(held, movement__in=of_column)
    elif wanted.column == "revenue":
        rows = rows.filter(Q(debit__in=REVENUE) | Q(credit__in=REVENUE)).exclude(
            movement__in=["promotional", "included"]
        )
    return rows.order_by("number")


def entries(line: Recognition) -> QuerySet[LedgerEntry]:
    """The ledger entries that the line sums, in the order in which they were posted; none for a fee's time."""
    if not line.entry_kind:
        return LedgerEntry.objects.none()
    return LedgerEntry.objects.filter(pk__in=_entry_ids(line)).order_by("posted_at", "seq", "id")


def of_entry(entry: LedgerEntry) -> list[Recognition]:
    """The lines of closed days that sum this entry: one in each version of its day, and none before that is closed."""
    alike = Recognition.objects.filter(
        customer_id=entry.customer_id,
        asset_id=entry.asset_id,
        grant=entry.grant_id,
        entry_kind=entry.kind,
        entry_debit=entry.debit,
        entry_credit=entry.credit,
        day__cut_at__gt=entry.posted_at,
    )
    lines = alike.select_related("day").order_by("day__date", "day__version", "number")[:LINES_TRIED_MAX]
    return [line for line in lines if _entry_ids(line, entry.pk)]


def _entry_ids(line: Recognition, only: UUID | None = None) -> list[UUID]:
    which, parameters = revenue_days.holds(line.day)
    with connection.cursor() as cursor:
        cursor.execute(
            _ENTRIES.format(which=which),
            parameters
            | {
                "customer": line.customer_id,
                "asset": line.asset_id,
                "grant": line.grant_id,
                "fee": line.fee_id,
                "kind": line.entry_kind,
                "debit": line.entry_debit,
                "credit": line.entry_credit,
                "product": "" if line.fee_id else line.product,
                "zone": line.day.zone,
                "on": line.occurred_on,
                "most": ENTRIES_MAX,
                "only": only,
            },
        )
        return [row[0] for row in cursor]


ENTRIES_MAX = 500
LINES_TRIED_MAX = 50
"""Lines that are alike, by day, among which an entry's own is looked for."""
_ENTRIES = """
SELECT e.id
  FROM billing_ledgerentry e
  LEFT JOIN billing_charge c ON c.id = e.charge_id AND c.customer_id = e.customer_id
  LEFT JOIN billing_meter m ON m.id = c.meter_id
 WHERE e.customer_id = %(customer)s AND e.asset_id = %(asset)s AND (%(only)s::uuid IS NULL OR e.id = %(only)s)
   AND e.grant_id IS NOT DISTINCT FROM %(grant)s
   AND (%(fee)s::uuid IS NULL OR e.transaction_id = %(fee)s)
   AND (e.kind, e.debit, e.credit) = (%(kind)s, %(debit)s, %(credit)s) AND COALESCE(m.code, '') = %(product)s
   AND (e.occurred_at AT TIME ZONE %(zone)s)::date = %(on)s AND {which}
 ORDER BY e.posted_at, e.seq, e.id
 LIMIT %(most)s
"""
