"""Usage as it was charged, in the order in which it was: what a replay is fed with."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection

from accounts.ids import first_id
from billing.selectors.usage.counting import EARLY_MAX
from billing.services.usage.events import IncomingEvent

BATCH = 1000
_STATEMENT_SECONDS = 600

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
"""Numbers exactly as they were sent."""

STANDS = (
    "correction_id IS NULL AND NOT EXISTS (SELECT FROM billing_correction k"
    " WHERE k.event_id = billing_charge.event_id AND k.kind = 'reversal')"
)
"""Charges of events that were not reversed, as they were made: what was refunded of them was a decision, no price."""


@dataclass(frozen=True, slots=True)
class Charged:
    """An event that was charged, and when that was; or, with ``reversal``, that its charges were taken back."""

    event: IncomingEvent
    occurred_at: datetime
    posted_at: datetime
    reversal: bool


# Usage counts for the period that was open when it was charged, so that what came in late counts as well: everything
# from the first period's start to the last charge of the window. What was taken back later had been counted until then.
_ORDER = """
SELECT event_id, posted_at, reversal
  FROM (SELECT DISTINCT ON (event_id, reversal) id, event_id, posted_at, reverses_id IS NOT NULL AS reversal
          FROM billing_charge
         WHERE customer_id = %(customer)s AND id >= %(first)s AND refunds_id IS NULL
           AND id <= (SELECT id FROM billing_charge
                       WHERE customer_id = %(customer)s AND occurred_at >= %(start)s AND occurred_at < %(end)s
                       ORDER BY id DESC LIMIT 1)
         ORDER BY event_id, reversal, id) AS charged
 ORDER BY id
"""
_EVENTS = """
SELECT id, source, type, occurred_at, data::text, extensions::text FROM billing_usageevent
 WHERE id = ANY(%s) AND customer_id = %s
"""


def in_order(customer_id: UUID, *, start: datetime, end: datetime, earliest: datetime) -> Iterator[list[Charged]]:
    """The customer's charged events in the order in which they were charged, a batch at a time.

    From ``earliest`` to the last that was charged of what occurred in [``start``, ``end``). In a transaction.
    """
    connection.ensure_connection()
    with connection.cursor() as plain, connection.connection.cursor(name="what_if") as order:
        plain.execute("SELECT set_config('statement_timeout', %s, true)", [f"{_STATEMENT_SECONDS}s"])
        order.itersize = BATCH
        order.execute(
            _ORDER,
            {
                "customer": customer_id,
                "start": start,
                "end": end,
                "first": first_id(earliest - EARLY_MAX),
            },
        )
        while found := order.fetchmany(BATCH):
            plain.execute(_EVENTS, [[event_id for event_id, _, _ in found], customer_id])
            events = {row[0]: row for row in plain.fetchall()}
            yield [
                _as_charged(events[event_id], posted_at, reversal)
                for event_id, posted_at, reversal in found
                if event_id in events
            ]


def _as_charged(row: tuple[Any, ...], posted_at: datetime, reversal: bool) -> Charged:
    id_, source, type_, occurred_at, data, extensions = row
    event = IncomingEvent(
        id=str(id_),
        source=source,
        type=type_,
        subject="",
        time=occurred_at,
        data=_decode(data),
        extensions=_decode(extensions) if extensions else {},
        is_own=not source,
    )
    return Charged(event, occurred_at, posted_at, reversal)
