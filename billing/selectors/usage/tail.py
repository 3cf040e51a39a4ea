"""The latest usage events of customers, as they come in: what became of each at once, refused ones too."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from billing.engine.money import EXACT, ZERO

LATEST = 50


@dataclass(frozen=True, slots=True)
class TailEvent:
    """An event as it was answered: what it came to by asset, or in words why it was refused."""

    customer_id: UUID
    id: UUID
    event_id: str
    type: str
    status: str
    refusal: str
    received_at: datetime
    amounts: Mapping[str, Decimal]
    dimensions: Mapping[str, str]


_LATEST = """
SELECT k.id, e.id, e.event_id, e.type, e.status, COALESCE(e.refusal ->> 'detail', ''), e.received_at, c.charges
  FROM unnest(%(customers)s::uuid[]) AS k(id)
 CROSS JOIN LATERAL (
       SELECT * FROM billing_usageevent WHERE customer_id = k.id ORDER BY id DESC LIMIT %(latest)s) e
  LEFT JOIN LATERAL (
       SELECT jsonb_agg(jsonb_build_array(asset_id, amount::text, dimensions) ORDER BY id) AS charges
         FROM billing_charge
        WHERE event_id = e.id AND customer_id = k.id AND correction_id IS NULL) c ON TRUE
 ORDER BY k.id, e.id DESC
"""


def latest(customer_ids: Iterable[UUID]) -> list[TailEvent]:
    """The latest 50 events of each customer, the newest first, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(_LATEST, {"customers": list(customer_ids), "latest": LATEST})
        return [_event(*row) for row in cursor.fetchall()]


def _event(
    customer_id: UUID, id: UUID, event_id: str, type: str, status: str, refusal: str, at: datetime, charges: Any
) -> TailEvent:
    amounts: dict[str, Decimal] = {}
    dimensions: dict[str, str] = {}
    for asset, amount, its in json.loads(charges or "[]"):
        amounts[asset] = EXACT.add(amounts.get(asset, ZERO), Decimal(amount))
        dimensions |= its
    return TailEvent(customer_id, id, event_id, type, status, refusal, at, amounts, dimensions)
