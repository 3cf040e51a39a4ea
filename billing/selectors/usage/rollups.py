"""Sums kept by the hour and by the day, and the charges that are not in them yet: together exactly what the charges
come to.

A charge is in the rollups if the database transaction that wrote it has a lower number than the mark. Rollups, mark and
the charges beyond it are read by one statement, so in one snapshot: none is missing and none is counted twice.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from billing.models import UsageDaySum, UsageRollup

API_KEY = "api_key"
"""What is asked for like a dimension, and is the key that the event came with. Kept by the grain of work."""

GRAINS: dict[str, tuple[str, ...]] = {
    UsageRollup.Grain.MODEL: ("model",),
    UsageRollup.Grain.WORK: ("model", "user", "project", "feature"),
    UsageRollup.Grain.SESSION: ("session",),
}
"""The dimensions of each grain, the coarsest first. Any other dimension is read from the charges."""

DAY_GRAINS: dict[str, tuple[str, ...]] = {
    UsageDaySum.Grain.MODEL: ("model",),
    UsageDaySum.Grain.USER: ("user",),
    UsageDaySum.Grain.PROJECT: ("project",),
    UsageDaySum.Grain.FEATURE: ("feature",),
    UsageDaySum.Grain.API_KEY: (API_KEY,),
    UsageDaySum.Grain.WORK: ("model", "user", "project", "feature", API_KEY),
}
"""The same of the sums by day: what most questions name alone has lines of its own, which are few."""

HOUR_GRAINS: dict[str, tuple[str, ...]] = {
    UsageRollup.Grain.USER: ("user",),
    UsageRollup.Grain.PROJECT: ("project",),
    UsageRollup.Grain.FEATURE: ("feature",),
    UsageRollup.Grain.API_KEY: (API_KEY,),
}
"""The same of the hours of made days, beside those of ``GRAINS``, which every hour has."""

EVENTS_SQL = "(CASE WHEN c.reverses_id IS NOT NULL THEN -1 WHEN c.refunds_id IS NOT NULL THEN 0 ELSE 1 END)"
"""What the charge called ``c`` does to the number of events: each of an event's charges says the same."""

_CLUSTER = "(SELECT system_identifier::text FROM pg_control_system())"
_MARK = f"SELECT written_before, restored_until FROM billing_rollupmark WHERE cluster = {_CLUSTER}"
_HOUR, _TICK = "interval '1 hour'", "interval '1 microsecond'"
_SUMS = "c.meter_id, c.asset_id, c.dimensions, c.api_key_id, c.quantity, c.amount, c.events"
_VALUE = "COALESCE(c.api_key_id::text, c.dimensions ->> c.grain)"
"""The value of the one dimension that lines of ``HOUR_GRAINS``, or of the same by day, keep apart, as it is indexed."""
_BEYOND = "c.written_in >= (SELECT written_before FROM billing_rollupmark)"


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the rollups were a moment ago. They may be further by now, never less far.

    ``written_before`` is None while there are no rollups to go by: before the first, and after the database was
    restored elsewhere.
    """

    written_before: int | None = None
    restored_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """Whose usage is asked for: what names ``email`` (in small letters) as its user, or counts for one of ``keys``."""

    email: str
    keys: tuple[UUID, ...]

    @property
    def dimensions(self) -> tuple[str, ...]:
        return ("user", API_KEY) if self.keys else ("user",)


def mark() -> Mark:
    """The mark as it is. Whoever asks several questions at once asks for it once, and hands it on."""
    with connection.cursor() as cursor:
        cursor.execute(_MARK)
        return Mark(*(cursor.fetchone() or ()))


def grain(dimensions: Collection[str]) -> str | None:
    """The coarsest grain that keeps these dimensions apart, if there is any."""
    return next((str(name) for name in GRAINS if set(dimensions) <= _kept(name)), None)


def value_sql(row: str, name: str, parameter: str) -> str:
    """The value of a dimension in a row of ``source``, or of the API key; the parameter is the dimension's name."""
    return f"{row}.api_key_id::text" if name == API_KEY else f"{row}.dimensions ->> %({parameter})s::text"


def where_sql(row: str, where: Mapping[str, str | None], parameters: str = "where") -> tuple[str, dict[str, Any]]:
    """The condition that a row of ``source`` has just these values, None standing for none, and its parameters."""
    conditions: list[str] = ["TRUE"]
    values: dict[str, Any] = {}
    for position, (name, value) in enumerate(where.items()):
        parameter = f"{parameters}{position}"
        values |= {parameter: name, f"{parameter}_is": value}
        told = "IS NULL" if value is None else f"= %({parameter}_is)s"
        conditions.append(f"{value_sql(row, name, parameter)} {told}")
    return " AND ".join(conditions), values


def member_sql(row: str, member: Member) -> tuple[str, dict[str, Any]]:
    """The condition that a row of ``source`` is this member's, and its parameters."""
    theirs = f"LOWER({row}.dimensions ->> 'user') = %(email)s"
    if member.keys:
        theirs = f"({theirs} OR {row}.api_key_id = ANY(%(keys)s::uuid[]))"
    return theirs, {"email": member.email, "keys": list(member.keys)}


def _kept(name: str) -> set[str]:
    return {*GRAINS[name], API_KEY} if name == UsageRollup.Grain.WORK else set(GRAINS[name])


def _narrowing(where: Mapping[str, str | None]) -> str | None:
    """The grain that tells of most of these, the finest of several; None where none does."""
    counted = [(len(_kept(name) & set(where)), position, str(name)) for position, name in enumerate(GRAINS)]
    told, _, name = max(counted)
    return name if told else None


def source(
    *,
    customer_id: UUID | None,
    start: datetime,
    end: datetime,
    dimensions: Collection[str],
    granularity: str | None,
    zone: str,
    where: Mapping[str, str | None] | None = None,
    found: Mark | None = None,
) -> tuple[str, dict[str, Any]]:
    """A query, and its parameters, for what occurred in [``start``, ``end``): rollups, and single charges.

    Its columns: ``at``, a time in the right period of that granularity in that zone (None: there is only one period);
    ``work``, an event, or all events of one shape in an hour or a day; ``meter_id``, ``asset_id``, ``dimensions``,
    ``api_key_id`` (only where it is asked for), ``quantity``, ``amount`` and ``events``. Rows with the same ``at``,
    ``work`` and ``events`` are of the same events. An hour that is not wholly in the interval, or in which a period
    ends, is read from its charges.

    ``where`` says which rows are wanted, and the caller still has to leave out the others: where no rollups keep apart
    what is asked for, they tell at least in which hours to look. ``found`` is the mark, if it was asked for before.
    """
    values: dict[str, Any] = {"start": start, "end": end, "customer": customer_id}
    whose = "TRUE" if customer_id is None else "c.customer_id = %(customer)s"
    where = where or {}
    needed = {*dimensions, *where}
    found, kept = found or mark(), grain(needed)
    key = "NULL::uuid"
    if API_KEY in needed:
        key = "(SELECT e.api_key_id FROM billing_usageevent e WHERE e.id = c.event_id)"
    charges = f"""
        SELECT c.occurred_at AS at, c.event_id AS work, c.meter_id, c.asset_id, c.dimensions, {key} AS api_key_id,
               c.quantity, c.amount, {EVENTS_SQL} AS events
          FROM billing_charge c
         WHERE {whose} AND c.occurred_at >= %(start)s AND c.occurred_at < %(end)s"""
    read = kept or _narrowing(where)
    if found.written_before is None or read is None:
        return charges, values
    values |= {"grain": read, "mark": found.written_before, "restored": found.restored_until}
    # The mark as it was is a number that the planner can judge by; the one that counts is read in the statement.
    beyond = f"c.written_in >= %(mark)s AND {_BEYOND}"
    if found.restored_until is not None:
        beyond += " AND c.posted_at > %(restored)s"
    whole = f"c.hour >= %(start)s AND c.hour <= %(end)s::timestamptz - {_HOUR}"
    if granularity is not None:
        values |= {"granularity": granularity, "zone": zone}
    if granularity is not None and zone != "UTC":
        begins = "date_trunc(%(granularity)s::text, {}, %(zone)s::text)"
        whole += f" AND {begins.format('c.hour')} = {begins.format(f'c.hour + {_HOUR} - {_TICK}')}"
    known = dict(where)
    if kept is None:
        # Every hour that has any of it is read from its charges.
        whole, known = "FALSE", {name: value for name, value in where.items() if name in _kept(read)}
    told, more = where_sql("c", known, "told")
    values |= more
    rolled = f"billing_usagerollup c WHERE {whose} AND c.grain = %(grain)s AND {told}"
    if customer_id is None and read == UsageRollup.Grain.MODEL:
        rolled = f"billing_usagetotal c WHERE {told}"
    days = sums_by_day = ""
    if customer_id is not None:
        by_day = None if kept is None or granularity == "hour" else _fewest(DAY_GRAINS, needed)
        by_hour = _fewest(HOUR_GRAINS, needed if kept else known) if read == UsageRollup.Grain.WORK else None
        if by_day or by_hour:
            days = _days(granularity, by_day, by_hour)
            rolled = _day_by_day(rolled, by_hour, told, known)
        if by_day:
            sums_by_day = f"""
        SELECT c.start AS at, c.shape AS work, {_SUMS}
          FROM made JOIN billing_usagedaysum c
            ON c.customer_id = %(customer)s AND c.grain = '{by_day}' AND c.start = made.start
         WHERE made.whole AND {_told_in(by_day, told, known)}
        UNION ALL"""
    hours = f"FROM {rolled} AND c.hour > %(start)s::timestamptz - {_HOUR} AND c.hour < %(end)s"
    parted = f"{hours} AND NOT ({whole})"
    # Charges of one customer are found hour by hour. Those of all are read once through, if there is any such hour.
    apart = f"AND (SELECT EXISTS (SELECT {parted}))" if customer_id is None else "OFFSET 0"
    query = f"""{days}{sums_by_day}
        SELECT c.hour AS at, c.shape AS work, {_SUMS}
        {hours} AND {whole}
        UNION ALL
        {charges} AND {beyond}
        UNION ALL
        SELECT rolled.* FROM (SELECT DISTINCT c.hour {parted}) parted CROSS JOIN LATERAL (
               {charges} AND c.occurred_at >= parted.hour AND c.occurred_at < parted.hour + {_HOUR} AND NOT ({beyond})
               {apart}) rolled"""
    return query, values


def _fewest(grains: Mapping[str, Collection[str]], dimensions: Collection[str]) -> str | None:
    """Those of these sums with the fewest lines that keep the dimensions apart, if there are any."""
    return next((str(name) for name, kept in grains.items() if set(dimensions) <= set(kept)), None)


def _days(granularity: str | None, by_day: str | None, by_hour: str | None) -> str:
    """The made days in the interval, and the stretches of time between them. ``whole`` are those that can be read by
    day, since they are wholly in the interval and in one period; without sums by the hour there are no others."""
    whole = "FALSE"
    if by_day:
        whole = "d.start >= %(start)s AND d.until <= %(end)s"
    if by_day and granularity is not None:
        begins = "date_trunc(%(granularity)s::text, {}, %(zone)s::text)"
        whole += f" AND {begins.format('d.start')} = {begins.format(f'd.until - {_TICK}')}"
    return f"""
        WITH made AS MATERIALIZED (
            SELECT d.start, d.until, {whole} AS whole FROM billing_usageday d
             WHERE d.customer_id = %(customer)s AND d.made AND d.start < %(end)s AND d.until > %(start)s
               AND {"TRUE" if by_hour else whole}
        ), gaps AS MATERIALIZED (
            SELECT lag(until, 1, %(start)s::timestamptz - {_HOUR}) OVER (ORDER BY start) AS since, start AS until
              FROM (SELECT start, until FROM made UNION ALL SELECT %(end)s::timestamptz, NULL) bounds
        )"""


def _day_by_day(rolled: str, by_hour: str | None, told: str, known: Mapping[str, str | None]) -> str:
    """The hours beside the days, and those of days that cannot be read by day, along the customer's index whatever the
    planner thinks of it."""
    beside = f"""gaps CROSS JOIN LATERAL (
            SELECT * FROM {rolled} AND c.hour >= gaps.since AND c.hour < gaps.until OFFSET 0) c"""
    if not by_hour:
        return f"{beside} WHERE TRUE"
    return f"""(
            SELECT c.* FROM {beside}
             UNION ALL
            SELECT c.* FROM made CROSS JOIN LATERAL (
                SELECT * FROM billing_usagerollup c
                 WHERE c.customer_id = %(customer)s AND c.grain = '{by_hour}' AND {_told_in(by_hour, told, known)}
                   AND c.hour >= made.start AND c.hour < made.until OFFSET 0) c
             WHERE NOT made.whole) c WHERE TRUE"""


def _told_in(name: str, told: str, known: Mapping[str, str | None]) -> str:
    """The same as ``told`` where lines keep one dimension apart, by the index of its values."""
    if name not in HOUR_GRAINS or not known:
        return told
    return f"{_VALUE} IS NULL" if None in known.values() else f"{_VALUE} = %(told0_is)s"


def exact(customer_id: UUID) -> bool:
    """Whether the rollups of every grain are what their charges come to, hour by hour, and those of made days what
    their hours come to."""
    found = mark()
    if found.written_before is None:
        return True
    values = {"customer": customer_id, "restored": found.restored_until}
    with connection.cursor() as cursor:
        for differences in (_INEXACT_HOURS, _INEXACT_DAYS):
            cursor.execute(differences, values)
            if cursor.fetchone() is not None:
                return False
    return True


def exact_totals() -> bool:
    """Whether the sums of all customers are what the customers' own come to."""
    with connection.cursor() as cursor:
        cursor.execute(_INEXACT_TOTALS)
        return cursor.fetchone() is None


_INEXACT_TOTALS = """
WITH summed AS (
    SELECT hour, shape, line, SUM(quantity) AS quantity, SUM(amount) AS amount, SUM(events) AS events
      FROM billing_usagerollup WHERE grain = 'model' GROUP BY 1, 2, 3
)
SELECT 1 FROM summed FULL JOIN billing_usagetotal t USING (hour, shape, line)
 WHERE (COALESCE(summed.quantity, 0), COALESCE(summed.amount, 0), COALESCE(summed.events, 0))
       IS DISTINCT FROM (t.quantity, t.amount, t.events)
 LIMIT 1
"""

_INEXACT_HOURS = f"""
WITH rolled AS (
    SELECT grain, hour, meter_id, asset_id, SUM(quantity) AS quantity, SUM(amount) AS amount
      FROM billing_usagerollup WHERE customer_id = %(customer)s AND grain = ANY(ARRAY{list(map(str, GRAINS))})
     GROUP BY 1, 2, 3, 4
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

_INEXACT_DAYS = f"""
WITH days AS (
    SELECT start, until FROM billing_usageday WHERE customer_id = %(customer)s AND made
), rolled AS (
    SELECT 'day' AS by, grain, start AS at, meter_id, asset_id, SUM(quantity) AS quantity, SUM(amount) AS amount
      FROM billing_usagedaysum WHERE customer_id = %(customer)s GROUP BY 1, 2, 3, 4, 5
     UNION ALL
    SELECT 'hour', grain, hour, meter_id, asset_id, SUM(quantity), SUM(amount)
      FROM days JOIN billing_usagerollup ON hour >= start AND hour < until
     WHERE customer_id = %(customer)s AND grain = ANY(ARRAY{list(map(str, HOUR_GRAINS))})
     GROUP BY 1, 2, 3, 4, 5
), summed AS (
    SELECT g.by, g.grain, CASE g.by WHEN 'day' THEN d.start ELSE r.hour END AS at, r.meter_id, r.asset_id,
           SUM(r.quantity) AS quantity, SUM(r.amount) AS amount
      FROM days d
      JOIN billing_usagerollup r
        ON r.customer_id = %(customer)s AND r.grain = 'work' AND r.hour >= d.start AND r.hour < d.until
     CROSS JOIN (SELECT 'day' AS by, unnest(ARRAY{list(map(str, DAY_GRAINS))}) AS grain
                  UNION ALL SELECT 'hour', unnest(ARRAY{list(map(str, HOUR_GRAINS))})) g
     GROUP BY 1, 2, 3, 4, 5
)
SELECT 1 FROM rolled FULL JOIN summed USING (by, grain, at, meter_id, asset_id)
 WHERE (rolled.quantity, rolled.amount) IS DISTINCT FROM (summed.quantity, summed.amount)
 LIMIT 1
"""
