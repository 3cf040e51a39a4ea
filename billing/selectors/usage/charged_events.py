"""The single events behind a figure: those that were charged, the latest or the oldest first, a page at a time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from accounts.ids import uuid7
from billing.models import UsageEvent
from billing.selectors.usage import rollups, usage
from billing.selectors.usage.rollups import Member

CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class ChargedEvent:
    """An event and what it comes to in one asset, less what was taken back. ``dimensions``: of one of its charges."""

    id: UUID
    event_id: str
    type: str
    occurred_at: datetime
    amount: Decimal
    dimensions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EventPage:
    """``next_before`` is the event that the next page begins after, None on the last one."""

    rows: list[ChargedEvent]
    next_before: UUID | None


def page(
    *,
    customer_id: UUID,
    start: datetime,
    end: datetime,
    asset: str,
    meter: str | None = None,
    where: Mapping[str, str | None] | None = None,
    member: Member | None = None,
    before: UUID | None = None,
    oldest_first: bool = False,
    limit: int = 50,
) -> EventPage:
    """Events of [``start``, ``end``) with a charge in this asset that has these values, as in ``usage.totals``.

    The sums by the hour tell in which hours to look, so that a rare one is found among millions as quickly as a common
    one. ``before`` is the last event of the page before; one that is not the customer's begins anew.
    """
    after = UsageEvent.objects.filter(pk=before, customer_id=customer_id).first() if before else None
    if after is not None and oldest_first:
        start = max(start, after.occurred_at)
    elif after is not None:
        end = min(end, after.occurred_at + timedelta(microseconds=1))
    shown = None if after is None else after.occurred_at.replace(minute=0, second=0, microsecond=0)
    hours = _hours(customer_id, start, end, asset, meter, where, member, limit + 1, shown, oldest_first=oldest_first)
    asked: dict[str, Any] = {
        "customer": customer_id,
        "start": start,
        "end": end,
        "asset": asset,
        "hours": hours,
        "limit": limit + 1,
    }
    if after is not None:
        asked |= {"last": after.occurred_at, "after": after.pk}
    statement, values = _statement(asked, meter, where, member, oldest_first=oldest_first)
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows = [_event(row) for row in cursor.fetchall()]
    return EventPage(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)


def every(
    *,
    customer_id: UUID,
    start: datetime,
    end: datetime,
    asset: str,
    meter: str | None = None,
    where: Mapping[str, str | None] | None = None,
    member: Member | None = None,
) -> Iterator[ChargedEvent]:
    """All of them, in one pass of a cursor of the server's."""
    hours = _hours(customer_id, start, end, asset, meter, where, member, None)
    asked: dict[str, Any] = {"customer": customer_id, "start": start, "end": end, "asset": asset, "hours": hours}
    statement, values = _statement(asked, meter, where, member)
    with transaction.atomic(), connection.connection.cursor(name=f"events-{uuid7().hex}") as cursor:
        cursor.itersize = CHUNK
        cursor.execute(statement, values)
        while rows := cursor.fetchmany(CHUNK):
            yield from map(_event, rows)


def _statement(
    values: dict[str, Any],
    meter: str | None,
    where: Mapping[str, str | None] | None,
    member: Member | None,
    *,
    oldest_first: bool = False,
) -> tuple[str, dict[str, Any]]:
    """For the events of ``hours``: at most ``limit``, and those that follow ``after``, where ``values`` have these."""
    direction, beyond = ("ASC", ">") if oldest_first else ("DESC", "<")
    wanted, more = rollups.where_sql("c", where or {})
    values = values | more
    if member is not None:
        theirs, more = rollups.member_sql("c", member)
        wanted, values = f"{wanted} AND {theirs}", values | more
    if "after" in values:
        wanted += f" AND (c.occurred_at, c.event_id) {beyond} (%(last)s, %(after)s)"
    if meter is not None:
        wanted += " AND c.meter_id = (SELECT id FROM billing_meter WHERE code = %(meter)s)"
        values["meter"] = meter
    charges = "billing_charge"
    if rollups.API_KEY in {*(where or {}), *(member.dimensions if member else ())}:
        charges = "(SELECT c.*, e.api_key_id FROM billing_charge c JOIN billing_usageevent e ON e.id = c.event_id)"
    limit = "LIMIT %(limit)s" if "limit" in values else ""
    statement = f"""
        SELECT e.id, e.event_id, e.type, e.occurred_at, found.amount, found.dimensions
          FROM (SELECT c.occurred_at, c.event_id, SUM(c.amount) AS amount,
                       (array_agg(c.dimensions ORDER BY c.id))[1] AS dimensions
                  FROM unnest(%(hours)s::timestamptz[]) AS h(hour)
                  JOIN {charges} c
                    ON c.customer_id = %(customer)s AND c.occurred_at >= h.hour
                   AND c.occurred_at < h.hour + interval '1 hour'
                 WHERE c.occurred_at >= %(start)s AND c.occurred_at < %(end)s AND c.asset_id = %(asset)s AND {wanted}
                 GROUP BY 1, 2 ORDER BY 1 {direction}, 2 {direction} {limit}) found
          JOIN billing_usageevent e ON e.id = found.event_id AND e.customer_id = %(customer)s
         ORDER BY found.occurred_at {direction}, found.event_id {direction}
    """
    return statement, values


def _event(row: tuple[Any, ...]) -> ChargedEvent:
    id, event_id, type, occurred_at, amount, dimensions = row
    # A cursor of the server's reads JSON itself.
    found = dimensions if isinstance(dimensions, dict) else json.loads(dimensions)
    return ChargedEvent(id, event_id, type, occurred_at, amount, found)


def _hours(
    customer_id: UUID,
    start: datetime,
    end: datetime,
    asset: str,
    meter: str | None,
    where: Mapping[str, str | None] | None,
    member: Member | None,
    events: int | None,
    shown: datetime | None = None,
    *,
    oldest_first: bool = False,
) -> Sequence[datetime]:
    """The latest, or oldest, hours that have so many of the events; all hours that have any where it is None.

    Of the hour ``shown`` nobody knows how many were on the pages before: it is among them, and counts for nothing.
    What is a member's by its user may be by its key as well: of an hour's figures the largest is sure.
    """
    sure: dict[datetime, int] = {}
    where = where or {}
    for part in [{}] if member is None else _parts(customer_id, start, end, member):
        if any(where.get(name, value) != value for name, value in part.items()):
            continue
        by_hour = usage.rows(
            customer_id=customer_id,
            start=start,
            end=end,
            granularity="hour",
            meter=meter,
            where={**where, **part},
            timezone=UTC,
        )
        for row in by_hour:
            if row.asset == asset:
                sure[row.period_start] = max(0, row.events, sure.get(row.period_start, 0))
    hours, counted = [], 0
    for hour in sorted(sure, reverse=not oldest_first):
        if events is None or counted < events:
            hours.append(hour)
            counted += sure[hour] if hour != shown else 0
    return hours


def _parts(customer_id: UUID, start: datetime, end: datetime, member: Member) -> list[dict[str, str | None]]:
    """What the member's usage is made of, each part as the sums by the hour are indexed: every spelling of their
    address, and every key of theirs, that there was."""
    source, values = rollups.source(
        customer_id=customer_id, start=start, end=end, dimensions=member.dimensions, granularity=None, zone="UTC"
    )
    theirs, more = rollups.member_sql("used", member)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT dimensions ->> 'user', api_key_id::text FROM ({source}) used WHERE {theirs}",
            values | more,
        )
        found = cursor.fetchall()
    users = {user for user, _ in found if user is not None and user.lower() == member.email}
    keys = {key for _, key in found} & {str(key) for key in member.keys}
    return [*({"user": user} for user in sorted(users)), *({rollups.API_KEY: key} for key in sorted(keys))]
