"""Sums by the hour, kept by a worker: what is recorded pays nothing for them.

As with the seals, PostgreSQL's own numbers of transactions say what is new: every transaction below the lowest one that
still runs has ended, so a step takes the charges from the mark up to there and moves the mark, in one transaction.
A charge that is committed late has a number above it and belongs to a later step, whenever it occurred.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max

from billing import locks
from billing.models import Charge, RollupMark, UsageRollup
from billing.selectors.ledger import seals
from billing.selectors.usage.rollups import EVENTS_SQL, GRAINS

logger = logging.getLogger(__name__)

WORK = "usage rollups"
STEP = 100_000
"""How many transactions' charges at once, so that a step is short even where much is behind."""
IDLE_STEP = 10_000
"""Where nothing was used, the mark moves only after so many transactions."""


def roll_up() -> int:
    """Add what was committed since the last time. Returns how many rows changed. Does nothing while another does it."""
    changed, step = 0, STEP
    while True:
        with transaction.atomic():
            if not locks.only_one(WORK):
                return changed
            mark, ended = _mark(), seals.ended_before()
            if not _ours(mark):
                logger.warning(
                    "The database was restored: run manage.py rebuild_rollups. Until then usage reads slowly."
                )
                return changed
            until = min(ended, mark.written_before + step)
            which = "c.written_in >= %(since)s AND c.written_in < %(until)s"
            if mark.restored_until is not None:
                which += " AND c.posted_at > %(restored)s"
            rows = _add(which, since=mark.written_before, until=until, restored=mark.restored_until)
            if rows or until < ended or until - mark.written_before >= IDLE_STEP or not mark.cluster:
                mark.cluster, mark.written_before = seals.cluster(), until
                mark.save()
        changed += rows
        step = STEP if rows else step * 2
        if until == ended:
            return changed


def rebuild(*, done: Callable[[int], None] = lambda charges: None) -> None:
    """Make all rollups anew, customer by customer, while they are read and added to. ``done`` is told of charges.

    After a restore into another PostgreSQL the numbers of before mean nothing: what is there when this begins is told
    from what comes later by its time, so nothing may be recorded at that moment.
    """
    roll_up()
    with transaction.atomic():
        locks.wait_for_turn(WORK)
        mark = _mark()
        if not _ours(mark):
            UsageRollup.objects.all().delete()
            mark.cluster, mark.written_before = "", seals.ended_before()
            mark.restored_until = Charge.objects.aggregate(latest=Max("posted_at"))["latest"]
            mark.save()
    for customer_id in _customers():
        with transaction.atomic():
            locks.wait_for_turn(WORK)
            mark = _mark()
            UsageRollup.objects.filter(customer=customer_id).delete()
            which = "c.customer_id = %(customer)s AND (c.written_in < %(until)s OR c.posted_at <= %(restored)s)"
            _add(which, customer=customer_id, until=mark.written_before, restored=mark.restored_until)
            held = Charge.objects.filter(customer=customer_id).count()
        done(held)
    RollupMark.objects.filter(only=True).update(cluster=seals.cluster())


def _mark() -> RollupMark:
    return RollupMark.objects.get_or_create(only=True)[0]


def _ours(mark: RollupMark) -> bool:
    """Whether the mark and the charges beyond it are numbered by the PostgreSQL that we have."""
    if mark.cluster:
        return mark.cluster == seals.cluster()
    return mark.restored_until is None and not _numbered_elsewhere()


def _customers() -> list[UUID]:
    with connection.cursor() as cursor:
        # Those of customers that have charges, each found by the index instead of among all charges.
        cursor.execute(
            "SELECT id FROM billing_customer k"
            " WHERE EXISTS (SELECT 1 FROM billing_charge c WHERE c.customer_id = k.id) ORDER BY id"
        )
        return [row[0] for row in cursor]


def _numbered_elsewhere() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM billing_charge"
            " WHERE written_in >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)"
        )
        return bool(cursor.fetchone()[0])


def _add(which: str, **values: UUID | int | datetime | None) -> int:
    """Add the charges for which ``which`` holds to the rollups. Returns how many rows that made or changed."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = off")
        cursor.execute("SET LOCAL work_mem = '64MB'")
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(_ADD.replace("WHICH", which), values)
        return int(cursor.rowcount)


def _kept(names: tuple[str, ...]) -> str:
    pairs = ", ".join(f"'{name}', c.dimensions -> '{name}'" for name in names)
    return f"jsonb_strip_nulls(jsonb_build_object({pairs}))"


def _digest(text: str) -> str:
    return f"encode(substr(sha256(convert_to({text}, 'UTF8')), 1, 16), 'hex')::uuid"


_KEPT = " ".join(f"WHEN '{grain}' THEN {_kept(names)}" for grain, names in GRAINS.items())
_ADD = f"""
WITH fresh AS MATERIALIZED (
    SELECT c.customer_id, g.grain, date_trunc('hour', c.occurred_at, 'UTC') AS hour, c.event_id, {EVENTS_SQL} AS events,
           c.meter_id, c.asset_id, CASE g.grain {_KEPT} END AS dimensions,
           CASE g.grain WHEN 'work' THEN e.api_key_id END AS api_key_id, c.quantity, c.amount
      FROM billing_charge c
      JOIN billing_usageevent e ON e.id = c.event_id AND e.customer_id = c.customer_id
     CROSS JOIN unnest(ARRAY{list(map(str, GRAINS))}) g(grain)
     WHERE WHICH
), lines AS (
    SELECT customer_id, grain, hour, event_id, events, meter_id, asset_id, dimensions, api_key_id,
           {_digest("concat_ws(' ', meter_id, asset_id, api_key_id, dimensions)")} AS line,
           SUM(quantity) AS quantity, SUM(amount) AS amount
      FROM fresh GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
), shapes AS (
    SELECT customer_id, grain, event_id, events, {_digest("string_agg(line::text, ' ' ORDER BY line)")} AS shape
      FROM lines GROUP BY 1, 2, 3, 4
)
INSERT INTO billing_usagerollup AS r (customer_id, grain, hour, shape, line, meter_id, asset_id, dimensions, api_key_id,
                                      quantity, amount, events)
SELECT customer_id, grain, hour, shape, line, meter_id, asset_id, dimensions, api_key_id,
       SUM(quantity), SUM(amount), SUM(events)
  FROM lines JOIN shapes USING (customer_id, grain, event_id, events)
 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
    ON CONFLICT (customer_id, grain, hour, shape, line) DO UPDATE
   SET quantity = r.quantity + EXCLUDED.quantity, amount = r.amount + EXCLUDED.amount,
       events = r.events + EXCLUDED.events
"""  # noqa: S608 - names of ours
