"""What usage was charged, what it cost the operator, and what is left of it.

Charged is the value of the usage at its prices. Where a promotional grant paid, no cash came in for it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from accounts.ids import first_id, uuid7
from billing.engine.costs import CURRENCY
from billing.engine.money import EXACT, exact_sum
from billing.errors import InvalidRequest
from billing.selectors.usage.events import BOOKED_BEFORE_MAX

CUSTOMER, METER, DAY = "customer", "meter", "day"
GROUPS_MAX = 4
ROWS_MAX = 10_000
CHUNK = 2_000
_DIMENSION = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")
_SHARE = Context(prec=12)


@dataclass(frozen=True, slots=True)
class MarginRow:
    """What one group came to in one asset. ``group`` has a value for each name asked for, None where there was none.

    ``charged`` is all of it; ``charged_with_cost`` that part of it whose cost is known, which is ``cost``, in US
    dollars. ``events`` and ``events_without_cost`` count each event once.
    """

    group: tuple[str | None, ...]
    asset: str
    charged: Decimal
    charged_with_cost: Decimal
    cost: Decimal
    events: int
    events_without_cost: int

    @property
    def margin(self) -> Decimal | None:
        """What is left of what was charged, where the cost is known; None where it was not charged in dollars."""
        return EXACT.subtract(self.charged_with_cost, self.cost) if self.asset == CURRENCY else None

    @property
    def share(self) -> Decimal | None:
        """The margin as a share of what was charged, to 12 digits; None where nothing was charged."""
        margin = self.margin
        return None if margin is None or self.charged_with_cost <= 0 else _SHARE.divide(margin, self.charged_with_cost)

    def below(self, floor: Decimal) -> bool:
        """Whether less than ``floor`` is left. What cost something and brought nothing is below any."""
        margin, share = self.margin, self.share
        if margin is None:
            return False
        return margin < 0 if share is None else share < floor


def rows(
    *,
    start: datetime,
    end: datetime,
    group_by: Sequence[str] = (),
    customer_id: UUID | None = None,
    meter: str | None = None,
    model: str | None = None,
    timezone: ZoneInfo | None = None,
) -> list[MarginRow]:
    """Usage that occurred in [``start``, ``end``), by group and asset, in the order of the groups. One statement.

    ``group_by`` names ``customer``, ``meter``, ``day`` (in ``timezone``, default UTC) or any dimension. Raises
    ``InvalidRequest``, also where there would be more than 10,000 rows.
    """
    statement, values = _statement(start, end, group_by, customer_id, meter, model, timezone, limit=ROWS_MAX + 1)
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found = [MarginRow(tuple(row[:-6]), *row[-6:]) for row in cursor.fetchall()]
    if len(found) > ROWS_MAX:
        raise InvalidRequest.field("group_by", f"gives more than {ROWS_MAX:,} rows; ask for fewer groups or less time")
    return found


def stream(*, start: datetime, end: datetime, group_by: Sequence[str]) -> Iterator[MarginRow]:
    """As ``rows``, however many: from a cursor of the server's. Raises ``InvalidRequest`` before the first."""
    return _stream(*_statement(start, end, group_by, None, None, None, None, limit=None))


def _stream(statement: str, values: dict[str, Any]) -> Iterator[MarginRow]:
    with transaction.atomic(), connection.connection.cursor(name=f"margins-{uuid7().hex}") as cursor:
        cursor.itersize = CHUNK
        cursor.execute(statement, values)
        while found := cursor.fetchmany(CHUNK):
            yield from (MarginRow(tuple(row[:-6]), *row[-6:]) for row in found)


def _statement(
    start: datetime,
    end: datetime,
    group_by: Sequence[str],
    customer_id: UUID | None,
    meter: str | None,
    model: str | None,
    timezone: ZoneInfo | None,
    *,
    limit: int | None,
) -> tuple[str, dict[str, Any]]:
    if (
        len(group_by) > GROUPS_MAX
        or len(set(group_by)) < len(group_by)
        or any(not _DIMENSION.match(n) for n in group_by)
    ):
        raise InvalidRequest.field("group_by", f"At most {GROUPS_MAX} names of dimensions, or customer, meter, day.")
    values: dict[str, Any] = {
        "start": start,
        "end": end,
        "first": first_id(start - BOOKED_BEFORE_MAX),
        "zone": timezone.key if timezone else "UTC",
        "limit": limit,
    }
    conditions = ["c.id >= %(first)s", "c.occurred_at >= %(start)s", "c.occurred_at < %(end)s"]
    for condition, name, value in (
        ("c.customer_id = %(customer)s", "customer", customer_id),
        ("m.code = %(meter)s", "meter", meter),
        ("c.dimensions ->> 'model' = %(model)s", "model", model),
    ):
        if value is not None:
            conditions.append(condition)
            values[name] = value
    groups = []
    for position, name in enumerate(group_by):
        known = {
            CUSTOMER: "u.external_id",
            METER: "m.code",
            DAY: "((c.occurred_at AT TIME ZONE %(zone)s::text)::date)::text",
        }
        groups.append(known.get(name, f"c.dimensions ->> %(group{position})s::text"))
        values[f"group{position}"] = name
    columns = [*groups, "c.asset_id"]
    by = ", ".join(str(position + 1) for position in range(len(columns)))
    return (
        f"""
        SELECT {", ".join(columns)}, SUM(c.amount),
               COALESCE(SUM(c.amount) FILTER (WHERE c.cost IS NOT NULL), 0), COALESCE(SUM(c.cost), 0),
               COUNT(DISTINCT c.event_id), COUNT(DISTINCT c.event_id) FILTER (WHERE c.cost IS NULL)
          FROM billing_charge c
          JOIN billing_meter m ON m.id = c.meter_id
          JOIN billing_customer u ON u.id = c.customer_id
         WHERE {" AND ".join(conditions)}
         GROUP BY {by} ORDER BY {by} LIMIT %(limit)s
    """,
        values,
    )


def total(found: Sequence[MarginRow]) -> MarginRow:
    """What the dollar rows come to together. Events are counted once in each of the rows."""
    return _together(CURRENCY, found)


def apart(found: Sequence[MarginRow]) -> list[MarginRow]:
    """The same for each other asset, by its code: what has a cost that is in no margin."""
    return [_together(asset, found) for asset in sorted({row.asset for row in found} - {CURRENCY})]


def _together(asset: str, found: Sequence[MarginRow]) -> MarginRow:
    rows = [row for row in found if row.asset == asset]
    return MarginRow(
        (),
        asset,
        exact_sum(row.charged for row in rows),
        exact_sum(row.charged_with_cost for row in rows),
        exact_sum(row.cost for row in rows),
        sum(row.events for row in rows),
        sum(row.events_without_cost for row in rows),
    )
