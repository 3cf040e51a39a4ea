"""Writing notices, with the facts that they tell of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.ids import uuid7
from billing.services.ledger import bulk
from billing.services.notices import texts


@dataclass(frozen=True, slots=True)
class Told:
    """Something to tell: a kind that ``texts`` has words for, and its facts, plain values."""

    customer_id: UUID
    kind: str
    facts: Mapping[str, Any]


def publication(told: Sequence[Told], *, now: datetime) -> bulk.Write | None:
    """The write of these notices, to be sent along with others."""
    rows = []
    for each in told:
        title, text = texts.words(each.kind, each.facts)
        rows.append(
            {
                "id": uuid7(),
                "customer_id": each.customer_id,
                "kind": each.kind,
                "title": title[:200],
                "text": text,
                "facts": each.facts,
                "created_at": now,
                "addressed": False,
            }
        )
    return bulk.insertion("billing_notice", rows)
