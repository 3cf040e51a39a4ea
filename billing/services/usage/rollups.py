"""Sums by the hour, kept by a worker: what is recorded pays nothing for them.

As with the seals, PostgreSQL's own numbers of transactions say what is new: every transaction below the lowest one that
still runs has ended, so a step takes the charges from the mark up to there and moves the mark, in one transaction.
A charge that is committed late has a number above it and belongs to a later step, whenever it occurred.
"""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from billing import locks
from billing.models import Charge, RollupMark, UsageDay, UsageDaySum, UsageRollup, UsageTotal
from billing.selectors.ledger import seals
from billing.selectors.usage.rollups import API_KEY, DAY_GRAINS, EVENTS_SQL, GRAINS, HOUR_GRAINS

logger = logging.getLogger(__name__)

WORK = "usage rollups"
STEP = 1_000
"""How many transactions' charges the first step takes. How many charges that is nobody knows: the next steps are longer
where it took less than ``STEP_SECONDS``, and shorter where it took more, so that each is short even where much is
behind."""
STEP_SECONDS = 2
SETTLED = timedelta(hours=2)
"""So long after its end a day's sums are made, since much that comes late is in by then."""
LINES_MIN = 1_000
"""A day with fewer lines gets no sums of its own."""
DAYS_AT_ONCE = 10
TURN_SECONDS = 1
"""So long days are summed in one transaction, and the one that is begun to its end: nobody else adds meanwhile."""
IDLE_STEP = 10_000
"""Where nothing was used, the mark moves only after so many transactions."""


def roll_up() -> int:
    """Add what was committed since the last time. Returns how many rows changed. Does nothing while another does it."""
    changed, step = 0, STEP
    while True:
        began = time.monotonic()
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
            rows = _add(which, since=mark.written_before, until=until, restored=mark.restored_until, is_new=True)
            if rows or until < ended or until - mark.written_before >= IDLE_STEP or not mark.cluster:
                mark.cluster, mark.written_before = seals.cluster(), until
                mark.save()
        changed += rows
        if until == ended:
            return changed
        step = step * 4 if time.monotonic() - began < STEP_SECONDS else max(1, step // 4)


def sum_days() -> int:
    """Make the sums of days that are over and were added to since. Returns how many. Does nothing where the sums by the
    hour are being added to when it begins.

    Days with few lines are left out: their hours are read as quickly. Between the days what was used meanwhile is added
    to the sums by the hour: whoever else would do it mostly finds this at work.
    """
    if not _is_free():
        return 0
    made = 0
    while True:
        with transaction.atomic():
            locks.wait_for_turn(WORK)
            turn_ends = time.monotonic() + TURN_SECONDS
            over = UsageDay.objects.filter(made=False, until__lt=timezone.now() - SETTLED)
            days = list(over.order_by("until", "customer")[:DAYS_AT_ONCE])
            for day in days:
                made += _sum(day)
                if time.monotonic() > turn_ends:
                    break
        if not days:
            return made
        roll_up()


def _is_free() -> bool:
    with transaction.atomic():
        return locks.only_one(WORK)


def _sum(day: UsageDay) -> bool:
    """Make the day's sums, and those of its hours; False where it has few lines."""
    hours = UsageRollup.objects.filter(customer=day.customer_id, hour__gte=day.start, hour__lt=day.until)
    hours.filter(grain__in=HOUR_GRAINS).delete()
    UsageDaySum.objects.filter(customer=day.customer_id, start=day.start).delete()
    # No more are counted than matter.
    if hours.filter(grain=UsageRollup.Grain.WORK)[:LINES_MIN].count() < LINES_MIN:
        UsageDay.objects.filter(pk=day.pk).delete()
        return False
    for statement in (_SUM_DAY, _SUM_HOURS):
        _run(statement, customer=day.customer_id, start=day.start, until=day.until)
    UsageDay.objects.filter(pk=day.pk).update(made=True)
    return True


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
            _forget()
            mark.cluster, mark.written_before = "", seals.ended_before()
            mark.restored_until = Charge.objects.aggregate(latest=Max("posted_at"))["latest"]
            mark.save()
    for customer_id in _customers():
        with transaction.atomic():
            locks.wait_for_turn(WORK)
            mark = _mark()
            _forget(customer=customer_id)
            which = "c.customer_id = %(customer)s AND (c.written_in < %(until)s OR c.posted_at <= %(restored)s)"
            _add(which, customer=customer_id, until=mark.written_before, restored=mark.restored_until, is_new=False)
            held = Charge.objects.filter(customer=customer_id).count()
        done(held)
    with transaction.atomic():
        locks.wait_for_turn(WORK)
        UsageTotal.objects.all().delete()
        _run(_ADD_UP)
        RollupMark.objects.filter(only=True).update(cluster=seals.cluster())


def _forget(**whose: UUID) -> None:
    for model in (UsageRollup, UsageDaySum, UsageDay):
        model._default_manager.filter(**whose).delete()


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
    """Add the charges for which ``which`` holds to the rollups, and note the days that this belongs to. Returns how
    many rows that made or changed. Where ``is_new`` is false they are in the totals of all customers already."""
    return _run(_ADD.replace("WHICH", which), **values)


def _run(statement: str, **values: UUID | int | datetime | None) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = off")
        cursor.execute("SET LOCAL work_mem = '64MB'")
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(statement, values)
        return int(cursor.fetchone()[0])


def _kept(names: tuple[str, ...]) -> str:
    pairs = ", ".join(f"'{name}', c.dimensions -> '{name}'" for name in names if name != API_KEY)
    return f"jsonb_strip_nulls(jsonb_build_object({pairs}))"


def _digest(text: str) -> str:
    return f"encode(substr(sha256(convert_to({text}, 'UTF8')), 1, 16), 'hex')::uuid"


_FOLDED = f"""
lines AS (
    SELECT customer_id, grain, at, work, events, meter_id, asset_id, dimensions, api_key_id,
           {_digest("concat_ws(' ', meter_id, asset_id, api_key_id, dimensions)")} AS line,
           SUM(quantity) AS quantity, SUM(amount) AS amount
      FROM fine GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
), shapes AS (
    SELECT customer_id, grain, at, work, events, {_digest("string_agg(line::text, ' ' ORDER BY line)")} AS shape
      FROM lines GROUP BY 1, 2, 3, 4, 5
), sums AS (
    SELECT customer_id, grain, at, shape, line, meter_id, asset_id, dimensions, api_key_id,
           SUM(quantity) AS quantity, SUM(amount) AS amount, SUM(events) AS events
      FROM lines JOIN shapes USING (customer_id, grain, at, work, events)
     GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
)"""  # noqa: S608 - names of ours


def _dimensions(grains: Mapping[str, tuple[str, ...]]) -> str:
    return " ".join(
        ["CASE g.grain", *(f"WHEN '{grain}' THEN {_kept(names)}" for grain, names in grains.items()), "END"]
    )


_SUMS = "shape, line, meter_id, asset_id, dimensions, api_key_id, quantity, amount, events"
_NEW_DAYS = """
SELECT DISTINCT t.customer_id,
       GREATEST(b.start, (SELECT MAX(o.until) FROM billing_usageday o
                           WHERE o.customer_id = t.customer_id AND o.until <= t.hour)),
       LEAST(b.until, (SELECT MIN(o.start) FROM billing_usageday o
                        WHERE o.customer_id = t.customer_id AND o.start > t.hour)),
       FALSE
  FROM touched t JOIN billing_customer k ON k.id = t.customer_id
 CROSS JOIN LATERAL (
       SELECT CASE WHEN to_char('2026-01-01 00:00Z'::timestamptz AT TIME ZONE k.timezone, 'MI')
                     || to_char('2026-07-01 00:00Z'::timestamptz AT TIME ZONE k.timezone, 'MI') = '0000'
                   THEN k.timezone ELSE 'UTC' END AS zone) z
 CROSS JOIN LATERAL (
       SELECT date_trunc('day', t.hour, z.zone) AS start,
              (date_trunc('day', t.hour AT TIME ZONE z.zone) + interval '1 day') AT TIME ZONE z.zone AS until) b
 WHERE NOT EXISTS (SELECT 1 FROM billing_usageday o
                    WHERE o.customer_id = t.customer_id AND o.start <= t.hour AND o.until > t.hour)
"""
"""Days of the customer's zone, in UTC where that is not whole hours beside it: those that hold an hour that was added
to and is in none yet. Where the zone was another one before, a day begins and ends beside those that are there."""
_ADD = f"""
WITH fine AS MATERIALIZED (
    SELECT c.customer_id, g.grain, date_trunc('hour', c.occurred_at, 'UTC') AS at, c.event_id AS work,
           {EVENTS_SQL} AS events, c.meter_id, c.asset_id, {_dimensions(GRAINS)} AS dimensions,
           CASE g.grain WHEN 'work' THEN e.api_key_id END AS api_key_id, c.quantity, c.amount
      FROM billing_charge c
      JOIN billing_usageevent e ON e.id = c.event_id AND e.customer_id = c.customer_id
     CROSS JOIN unnest(ARRAY{list(map(str, GRAINS))}) g(grain)
     WHERE WHICH
), {_FOLDED}, added AS (
    INSERT INTO billing_usagerollup AS r (customer_id, grain, hour, {_SUMS})
    SELECT customer_id, grain, at, {_SUMS} FROM sums
        ON CONFLICT (customer_id, grain, hour, shape, line) DO UPDATE
       SET quantity = r.quantity + EXCLUDED.quantity, amount = r.amount + EXCLUDED.amount,
           events = r.events + EXCLUDED.events
    RETURNING customer_id, hour
), totals AS (
    INSERT INTO billing_usagetotal AS t (hour, {_SUMS})
    SELECT at, shape, line, meter_id, asset_id, dimensions, api_key_id, SUM(quantity), SUM(amount), SUM(events)
      FROM sums WHERE grain = 'model' AND %(is_new)s GROUP BY 1, 2, 3, 4, 5, 6, 7
        ON CONFLICT (hour, shape, line) DO UPDATE
       SET quantity = t.quantity + EXCLUDED.quantity, amount = t.amount + EXCLUDED.amount,
           events = t.events + EXCLUDED.events
), touched AS (
    SELECT DISTINCT customer_id, hour FROM added
), unmade AS (
    UPDATE billing_usageday d SET made = FALSE FROM touched t
     WHERE d.customer_id = t.customer_id AND d.start <= t.hour AND d.until > t.hour AND d.made
), begun AS (
    INSERT INTO billing_usageday (customer_id, start, until, made) {_NEW_DAYS} ON CONFLICT DO NOTHING
)
SELECT COUNT(*) FROM added
"""  # noqa: S608 - names of ours
_ADD_UP = f"""
WITH made AS (
    INSERT INTO billing_usagetotal (hour, {_SUMS})
    SELECT hour, shape, line, meter_id, asset_id, dimensions, api_key_id, SUM(quantity), SUM(amount), SUM(events)
      FROM billing_usagerollup WHERE grain = 'model' GROUP BY 1, 2, 3, 4, 5, 6, 7
    RETURNING 1
)
SELECT COUNT(*) FROM made
"""  # noqa: S608 - names of ours


def _sum_up(grains: Mapping[str, tuple[str, ...]], at: str, into: str) -> str:
    """Sums of these grains, of a day's lines by the hour: a row for each different ``at``."""
    return f"""
WITH fine AS MATERIALIZED (
    SELECT c.customer_id, g.grain, c.at, c.shape AS work, c.events, c.meter_id, c.asset_id,
           {_dimensions(grains)} AS dimensions,
           CASE WHEN g.grain IN ('work', 'api_key') THEN c.api_key_id END AS api_key_id, c.quantity, c.amount
      FROM (SELECT customer_id, {at} AS at, shape, line, meter_id, asset_id, dimensions, api_key_id,
                   SUM(quantity) AS quantity, SUM(amount) AS amount, SUM(events) AS events
              FROM billing_usagerollup
             WHERE customer_id = %(customer)s AND grain = 'work' AND hour >= %(start)s AND hour < %(until)s
             GROUP BY 1, 2, 3, 4, 5, 6, 7, 8) c
     CROSS JOIN unnest(ARRAY{list(map(str, grains))}) g(grain)
), {_FOLDED}, made AS (
    INSERT INTO {into}
    SELECT customer_id, grain, at, {_SUMS} FROM sums
    RETURNING 1
)
SELECT COUNT(*) FROM made
"""  # noqa: S608 - names of ours


_SUM_DAY = _sum_up(
    DAY_GRAINS, at="%(start)s::timestamptz", into=f"billing_usagedaysum (customer_id, grain, start, {_SUMS})"
)
_SUM_HOURS = _sum_up(HOUR_GRAINS, at="hour", into=f"billing_usagerollup (customer_id, grain, hour, {_SUMS})")
