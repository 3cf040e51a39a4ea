"""What was used and what it came to, summed by time and by what it was used for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection

from billing.errors import InvalidRequest
from billing.selectors import rollups

GRANULARITIES = ("hour", "day", "month")
METER = "meter"
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
    """Charges that occurred in [``start``, ``end``), by period, group and asset, oldest first.

    From sums by the hour and the charges that are not in them yet: exact, and current to the second.

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
    dimensions = [name for name in group_by if name != METER]
    zone = _zone_name(timezone)
    source, values = rollups.source(
        customer_id=customer_id, start=start, end=end, dimensions=dimensions, granularity=granularity, zone=zone
    )
    values |= {"granularity": granularity, "zone": zone, "meter": meter}
    groups = []
    for position, name in enumerate(group_by):
        if name == METER:
            groups.append("m.code")
        else:
            groups.append(f"u.dimensions ->> %(group{position})s::text")
            values[f"group{position}"] = name
    period = "%(start)s::timestamptz"
    if granularity is not None:
        period = "date_trunc(%(granularity)s::text, at, %(zone)s::text)"
    names = [*(f"group_{position}" for position in range(len(group_by))), "asset_id"]
    listed = ", ".join(f"{group} AS {name}" for group, name in zip([*groups, "u.asset_id"], names, strict=True))
    # First what the same events have of a group, so that they are counted once; then all events of it.
    statement = f"""
        SELECT {period}, {", ".join(names)}, SUM(quantity), SUM(amount), SUM(events)::bigint
          FROM (SELECT at, work, events, {listed}, SUM(u.quantity) AS quantity, SUM(u.amount) AS amount
                  FROM ({source}) u JOIN billing_meter m ON m.id = u.meter_id
                 WHERE {"m.code = %(meter)s" if meter else "TRUE"}
                 GROUP BY {_numbers(3 + len(names))}) counted
         GROUP BY {_numbers(1 + len(names))}
         ORDER BY {_numbers(1 + len(names))}
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [UsageRow(row[0], tuple(row[1:-4]), *row[-4:]) for row in cursor.fetchall()]


def _numbers(columns: int) -> str:
    # By position: the same parameter bound twice would make two expressions of one.
    return ", ".join(str(number + 1) for number in range(columns))


def _zone_name(timezone: tzinfo | None) -> str:
    return timezone.key if isinstance(timezone, ZoneInfo) else "UTC"
