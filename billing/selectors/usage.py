"""What was used and what it came to, summed by time and by what it was used for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection

from billing.errors import InvalidRequest

GRANULARITIES = ("hour", "day", "month")
METER = "meter"
_DIMENSION = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")
_GROUPS_MAX = 4

EVENTS_SQL = "COUNT(DISTINCT c.event_id) - COUNT(DISTINCT c.event_id) FILTER (WHERE c.reverses_id IS NOT NULL)"
"""How many events the charges called ``c`` are of. A reversal occurred when its charge did, and stands beside it."""


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


def rows(
    *,
    customer_id: UUID | None,
    start: datetime,
    end: datetime,
    granularity: str = "day",
    group_by: Sequence[str] = (),
    meter: str | None = None,
    timezone: tzinfo | None = None,
) -> list[UsageRow]:
    """Charges that occurred in [``start``, ``end``), by period, group and asset, oldest first. One statement.

    ``group_by`` names ``meter`` or any dimension; a meter is given by its code. Periods begin where they begin in
    ``timezone``, a ``ZoneInfo`` (default UTC). Without ``customer_id``: all customers.
    """
    return _rows(
        customer_id=customer_id,
        start=start,
        end=end,
        granularity=granularity,
        group_by=group_by,
        meter=meter,
        timezone=timezone,
    )


def totals(
    *, customer_id: UUID, start: datetime, end: datetime, group_by: Sequence[str] = (), meter: str | None = None
) -> list[UsageRow]:
    """The same over the whole of [``start``, ``end``): one row for each group and asset, from ``start``."""
    return _rows(
        customer_id=customer_id, start=start, end=end, granularity=None, group_by=group_by, meter=meter, timezone=None
    )


def _rows(
    *,
    customer_id: UUID | None,
    start: datetime,
    end: datetime,
    granularity: str | None,
    group_by: Sequence[str],
    meter: str | None,
    timezone: tzinfo | None,
) -> list[UsageRow]:
    if granularity is not None and granularity not in GRANULARITIES:
        raise InvalidRequest.field("granularity", f"One of {', '.join(GRANULARITIES)}.")
    if len(group_by) > _GROUPS_MAX or any(not _DIMENSION.match(name) for name in group_by):
        raise InvalidRequest.field("group_by", f"At most {_GROUPS_MAX} names of dimensions, or meter.")
    values: dict[str, Any] = {"start": start, "end": end, "granularity": granularity, "zone": _zone_name(timezone)}
    conditions = ["c.occurred_at >= %(start)s", "c.occurred_at < %(end)s"]
    if customer_id is not None:
        conditions.append("c.customer_id = %(customer)s")
        values["customer"] = customer_id
    if meter:
        conditions.append("m.code = %(meter)s")
        values["meter"] = meter
    groups = []
    for position, name in enumerate(group_by):
        if name == METER:
            groups.append("m.code")
        else:
            groups.append(f"c.dimensions ->> %(group{position})s::text")
            values[f"group{position}"] = name
    period = "%(start)s::timestamptz"
    if granularity is not None:
        period = "date_trunc(%(granularity)s::text, c.occurred_at, %(zone)s::text)"
    columns = [period, *groups, "c.asset_id"]
    # Grouped by position: the same parameter bound twice would make two expressions of one.
    statement = f"""
        SELECT {", ".join(columns)}, SUM(c.quantity), SUM(c.amount), {EVENTS_SQL}
          FROM billing_charge c JOIN billing_meter m ON m.id = c.meter_id
         WHERE {" AND ".join(conditions)}
         GROUP BY {", ".join(str(n + 1) for n in range(len(columns)))}
         ORDER BY {", ".join(str(n + 1) for n in range(len(columns)))}
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [UsageRow(row[0], tuple(row[1:-4]), *row[-4:]) for row in cursor.fetchall()]


def _zone_name(timezone: tzinfo | None) -> str:
    return timezone.key if isinstance(timezone, ZoneInfo) else "UTC"
