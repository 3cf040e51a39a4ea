"""What a person's usage came to."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.selectors.usage import rollups


def spent(
    *, customer_id: UUID, email: str, keys: Collection[UUID], start: datetime, end: datetime
) -> list[tuple[str, Decimal]]:
    """Asset and amount of what occurred in [``start``, ``end``) with the person's address as its ``user``, or counts
    for one of these API keys."""
    dimensions = ["user", *([rollups.API_KEY] if keys else [])]
    source, values = rollups.source(
        customer_id=customer_id, start=start, end=end, dimensions=dimensions, granularity=None, zone="UTC"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT asset_id, SUM(amount) FROM ({source}) used"
            " WHERE LOWER(dimensions ->> 'user') = %(email)s OR api_key_id = ANY(%(keys)s::uuid[])"
            " GROUP BY 1 ORDER BY 1",
            values | {"email": email.lower(), "keys": list(keys)},
        )
        return list(cursor.fetchall())
