"""Sums kept by the hour, and the charges that are not in them yet: together exactly what the charges come to.

A charge is in the rollups if the database transaction that wrote it has a lower number than the mark. Rollups, mark and
the charges beyond it are read by one statement, so in one snapshot: none is missing and none is counted twice.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from billing.models import UsageRollup

GRAINS: dict[str, tuple[str, ...]] = {
    UsageRollup.Grain.MODEL: ("model",),
    UsageRollup.Grain.WORK: ("model", "user", "project", "feature"),
    UsageRollup.Grain.SESSION: ("session",),
}
"""The dimensions of each grain, the coarsest first. Any other dimension is read from the charges."""

EVENTS_SQL = "(CASE WHEN c.reverses_id IS NOT NULL THEN -1 WHEN c.refunds_id IS NOT NULL THEN 0 ELSE 1 END)"
"""What the charge called ``c`` does to the number of events: each of an event's charges says the same."""

_CLUSTER = "(SELECT system_identifier::text FROM pg_control_system())"
_MARK = f"SELECT written_before, restored_until FROM billing_rollupmark WHERE cluster = {_CLUSTER}"
_HOUR, _TICK = "interval '1 hour'", "interval '1 microsecond'"
_BEYOND = "c.written_in >= (SELECT written_before FROM billing_rollupmark)"


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the rollups were a moment ago. They may be further by now, never less far."""

    written_before: int
    restored_until: datetime | None


def mark() -> Mark | None:
    """None while there are no rollups to go by: before the first, and after the database was restored elsewhere."""
    with connection.cursor() as cursor:
        cursor.execute(_MARK)
        row = cursor.fetchone()
    return None if row is None else Mark(*row)


def grain(dimensions: Collection[str]) -> str | None:
    """The coarsest grain that keeps these dimensions apart, if there is any."""
    return next((str(name) for name, kept in GRAINS.items() if set(dimensions) <= set(kept)), None)


def source(
    *,
    customer_id: UUID | None,
    start: datetime,
    end: datetime,
    dimensions: Collection[str],
    granularity: str | None,
    zone: str,
) -> tuple[str, dict[str, Any]]:
    """A query, and its parameters, for what occurred in [``start``, ``end``): rollups, and single charges.

    Its columns: ``at``, a time in the right period of that granularity in that zone (None: there is only one period);
    ``work``, an event, or all events of one shape in an hour; ``meter_id``, ``asset_id``, ``dimensions``, ``quantity``,
    ``amount`` and ``events``. Rows with the same ``at``, ``work`` and ``events`` are of the same events. An hour that
    is not wholly in the interval, or in which a period ends, is read from its charges.
    """
    values: dict[str, Any] = {"start": start, "end": end, "customer": customer_id}
    whose = "TRUE" if customer_id is None else "c.customer_id = %(customer)s"
    found, kept = mark(), grain(dimensions)
    charges = f"""
        SELECT c.occurred_at AS at, c.event_id AS work, c.meter_id, c.asset_id, c.dimensions, c.quantity, c.amount,
               {EVENTS_SQL} AS events
          FROM billing_charge c
         WHERE {whose} AND c.occurred_at >= %(start)s AND c.occurred_at < %(end)s"""
    if found is None or kept is None:
        return charges, values
    values |= {"grain": kept, "mark": found.written_before, "restored": found.restored_until}
    # The mark as it was is a number that the planner can judge by; the one that counts is read in the statement.
    beyond = f"c.written_in >= %(mark)s AND {_BEYOND}"
    if found.restored_until is not None:
        beyond += " AND c.posted_at > %(restored)s"
    whole = f"c.hour >= %(start)s AND c.hour <= %(end)s::timestamptz - {_HOUR}"
    if granularity is not None and zone != "UTC":
        values |= {"granularity": granularity, "zone": zone}
        begins = "date_trunc(%(granularity)s::text, {}, %(zone)s::text)"
        whole += f" AND {begins.format('c.hour')} = {begins.format(f'c.hour + {_HOUR} - {_TICK}')}"
    hours = f"""
          FROM billing_usagerollup c
         WHERE {whose} AND c.grain = %(grain)s AND c.hour > %(start)s::timestamptz - {_HOUR} AND c.hour < %(end)s"""
    # Hour by hour along the customer's index, whatever the planner thinks of it.
    apart = "" if customer_id is None else "OFFSET 0"
    query = f"""
        SELECT c.hour AS at, c.shape AS work, c.meter_id, c.asset_id, c.dimensions, c.quantity, c.amount, c.events
        {hours} AND {whole}
        UNION ALL
        {charges} AND {beyond}
        UNION ALL
        SELECT rolled.* FROM (SELECT DISTINCT c.hour {hours} AND NOT ({whole})) parted CROSS JOIN LATERAL (
               {charges} AND c.occurred_at >= parted.hour AND c.occurred_at < parted.hour + {_HOUR} AND NOT ({beyond})
               {apart}) rolled"""
    return query, values


def exact(customer_id: UUID) -> bool:
    """Whether the rollups of every grain and the charges beyond them are what all charges come to, hour by hour."""
    found = mark()
    if found is None:
        return True
    with connection.cursor() as cursor:
        cursor.execute(_INEXACT, {"customer": customer_id, "restored": found.restored_until})
        return cursor.fetchone() is None


_INEXACT = f"""
WITH rolled AS (
    SELECT grain, hour, meter_id, asset_id, SUM(quantity) AS quantity, SUM(amount) AS amount
      FROM billing_usagerollup WHERE customer_id = %(customer)s GROUP BY 1, 2, 3, 4
), summed AS (
    SELECT g.grain, date_trunc('hour', c.occurred_at, 'UTC') AS hour, c.meter_id, c.asset_id,
           SUM(c.quantity) AS quantity, SUM(c.amount) AS amount
      FROM billing_charge c CROSS JOIN unnest(ARRAY{list(map(str, GRAINS))}) g(grain)
     WHERE c.customer_id = %(customer)s
       AND (c.written_in < (SELECT written_before FROM billing_rollupmark)
            OR c.posted_at <= %(restored)s::timestamptz)
     GROUP BY 1, 2, 3, 4
)
SELECT 1 FROM rolled FULL JOIN summed USING (grain, hour, meter_id, asset_id)
 WHERE (rolled.quantity, rolled.amount) IS DISTINCT FROM (summed.quantity, summed.amount)
 LIMIT 1
"""
