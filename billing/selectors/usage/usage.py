"""What was used and what it came to, summed by time and by what it was used for."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection

from billing.engine.money import ZERO
from billing.errors import InvalidRequest
from billing.selectors.usage import rollups
from billing.selectors.usage.rollups import Mark, Member

GRANULARITIES = ("hour", "day", "month")
METER = "meter"
API_KEY = rollups.API_KEY
ORDERS = {"name": "1", "amount": "2", "events": "3"}
"""What groups can be ordered by, and its column."""
_DIMENSION = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")
_GROUPS_MAX = 4


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One period of one group. ``group`` has a value for each name in ``group_by``, None where usage bore none.

    ``quantity`` is in the meter's unit and means something only where the rows are grouped by, or limited to, one
    meter; ``events`` counts each event once, and none that was reversed. What was reversed or refunded is off.
    """

    period_start: datetime
    group: tuple[str | None, ...]
    asset: str
    quantity: Decimal
    amount: Decimal
    events: int


@dataclass(frozen=True, slots=True)
class GroupRow:
    """All that one group came to in one asset. ``value`` is None for usage that bore none."""

    value: str | None
    amount: Decimal
    events: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """A page of groups, and of all groups how many there are and what they come to."""

    rows: list[GroupRow]
    groups: int
    amount: Decimal


def rows(
    *,
    customer_id: UUID | None,
    start: datetime,
    end: datetime,
    granularity: str = "day",
    group_by: Sequence[str] = (),
    meter: str | None = None,
    timezone: tzinfo | None = None,
    where: Mapping[str, str | None] | None = None,
    groups: Collection[str | None] | None = None,
    mark: Mark | None = None,
    limit: int | None = None,
) -> list[UsageRow]:
    """Charges that occurred in [``start``, ``end``), by period, group and asset, oldest first.

    From sums by the hour and the charges that are not in them yet: exact, and current to the second.

    ``group_by`` names ``meter``, ``api_key`` or any dimension; a meter is given by its code, a key by its id. ``where``
    takes of those only what has these values, None standing for none; ``groups`` those values of the first name in
    ``group_by``. Periods begin where they begin in ``timezone``, a
    ``ZoneInfo`` (default UTC). Without ``customer_id``: all customers. ``mark``: the rollups', where it is known.
    No more than ``limit`` rows.
    """
    if granularity not in GRANULARITIES:
        raise InvalidRequest.field("granularity", f"One of {', '.join(GRANULARITIES)}.")
    counted, values = _counted(
        customer_id=customer_id,
        start=start,
        end=end,
        granularity=granularity,
        group_by=group_by,
        meter=meter,
        timezone=timezone,
        where=where,
        groups=groups,
        mark=mark,
    )
    period = "date_trunc(%(granularity)s::text, at, %(zone)s::text)"
    return _summed(counted, values, group_by, period=period, limit=limit)


def totals(
    *,
    customer_id: UUID,
    start: datetime,
    end: datetime,
    group_by: Sequence[str] = (),
    meter: str | None = None,
    where: Mapping[str, str | None] | None = None,
    groups: Collection[str | None] | None = None,
    member: Member | None = None,
    mark: Mark | None = None,
) -> list[UsageRow]:
    """The same over the whole of [``start``, ``end``): one row for each group and asset, from ``start``. With
    ``member`` of their usage alone."""
    counted, values = _counted(
        customer_id=customer_id,
        start=start,
        end=end,
        group_by=group_by,
        meter=meter,
        where=where,
        groups=groups,
        member=member,
        mark=mark,
    )
    return _summed(counted, values, group_by, period="%(start)s::timestamptz")


def ranking(
    *,
    customer_id: UUID,
    start: datetime,
    end: datetime,
    group_by: str,
    asset: str,
    meter: str | None = None,
    where: Mapping[str, str | None] | None = None,
    mark: Mark | None = None,
    order: str = "amount",
    descending: bool = True,
    offset: int = 0,
    limit: int = 100,
) -> Ranking:
    """The groups of ``totals`` in one asset, from the ``offset``-th on, sorted by the database.

    ``order`` is one of ``ORDERS``. Groups without a value come last among equals.
    """
    counted, values = _counted(
        customer_id=customer_id,
        start=start,
        end=end,
        group_by=(group_by,),
        meter=meter,
        where=where,
        mark=mark,
    )
    values |= {"asset": asset, "offset": offset, "limit": limit}
    direction = "DESC" if descending else "ASC"
    statement = f"""
        SELECT group_0, SUM(amount), SUM(events)::bigint, COUNT(*) OVER (), SUM(SUM(amount)) OVER ()
          FROM ({counted}) counted WHERE asset_id = %(asset)s
         GROUP BY 1
         ORDER BY {ORDERS[order]} {direction} NULLS LAST, 1 NULLS LAST
        OFFSET %(offset)s LIMIT %(limit)s
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found = cursor.fetchall()
    if not found:
        return Ranking([], 0, ZERO)
    return Ranking([GroupRow(*row[:3]) for row in found], found[0][3], found[0][4])


def _counted(
    *,
    customer_id: UUID | None,
    start: datetime,
    end: datetime,
    granularity: str | None = None,
    group_by: Sequence[str],
    meter: str | None,
    timezone: tzinfo | None = None,
    where: Mapping[str, str | None] | None,
    groups: Collection[str | None] | None = None,
    member: Member | None = None,
    mark: Mark | None,
) -> tuple[str, dict[str, Any]]:
    """What the same events have of a group, so that they are counted once: a query, and its parameters.

    Columns: ``at``, ``work``, ``events``, ``group_0`` and so on, ``asset_id``, ``quantity``, ``amount``.
    """
    where = where or {}
    if len(group_by) > _GROUPS_MAX or any(not _DIMENSION.match(name) for name in (*group_by, *where)):
        raise InvalidRequest.field("group_by", f"At most {_GROUPS_MAX} names of dimensions, or meter.")
    zone = _zone_name(timezone)
    source, values = rollups.source(
        customer_id=customer_id,
        start=start,
        end=end,
        dimensions=[*(name for name in group_by if name != METER), *(member.dimensions if member else ())],
        granularity=granularity,
        zone=zone,
        where=where,
        found=mark,
    )
    wanted, more = rollups.where_sql("u", where)
    values |= {"granularity": granularity, "zone": zone, "meter": meter, **more}
    if member:
        theirs, more = rollups.member_sql("u", member)
        wanted, values = f"{wanted} AND {theirs}", values | more
    if meter:
        wanted += " AND m.code = %(meter)s"
    listed = []
    for position, name in enumerate(group_by):
        values[f"group{position}"] = name
        listed.append("m.code" if name == METER else rollups.value_sql("u", name, f"group{position}"))
    if groups is not None:
        values["groups"] = [value for value in groups if value is not None]
        wanted += f" AND ({listed[0]} = ANY(%(groups)s){f' OR {listed[0]} IS NULL' if None in groups else ''})"
    columns = ", ".join([*(f"{value} AS group_{position}" for position, value in enumerate(listed)), "u.asset_id"])
    return (
        f"""SELECT at, work, events, {columns}, SUM(u.quantity) AS quantity, SUM(u.amount) AS amount
              FROM ({source}) u JOIN billing_meter m ON m.id = u.meter_id
             WHERE {wanted}
             GROUP BY {_numbers(4 + len(group_by))}""",
        values,
    )


def _summed(
    counted: str, values: Mapping[str, Any], group_by: Sequence[str], *, period: str, limit: int | None = None
) -> list[UsageRow]:
    """What ``_counted`` found, by ``period`` (SQL over its columns), group and asset."""
    names = [*(f"group_{position}" for position in range(len(group_by))), "asset_id"]
    statement = f"""
        SELECT {period}, {", ".join(names)}, SUM(quantity), SUM(amount), SUM(events)::bigint
          FROM ({counted}) counted
         GROUP BY {_numbers(1 + len(names))}
         ORDER BY {_numbers(1 + len(names))}
         LIMIT %(limit)s::bigint
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, {**values, "limit": limit})
        return [UsageRow(row[0], tuple(row[1:-4]), *row[-4:]) for row in cursor.fetchall()]


def _numbers(columns: int) -> str:
    # By position: the same parameter bound twice would make two expressions of one.
    return ", ".join(str(number + 1) for number in range(columns))


def _zone_name(timezone: tzinfo | None) -> str:
    return timezone.key if isinstance(timezone, ZoneInfo) else "UTC"
