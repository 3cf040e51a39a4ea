"""What usage that names a person came to."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.selectors.usage import rollups


def spent(*, customer_id: UUID, email: str, start: datetime, end: datetime) -> list[tuple[str, Decimal]]:
    """Asset and amount of what occurred in [``start``, ``end``) with the person's address as its ``user``."""
    source, values = rollups.source(
        customer_id=customer_id, start=start, end=end, dimensions=["user"], granularity=None, zone="UTC"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT asset_id, SUM(amount) FROM ({source}) used WHERE LOWER(dimensions ->> 'user') = %(email)s"
            " GROUP BY 1 ORDER BY 1",
            values | {"email": email.lower()},
        )
        return list(cursor.fetchall())
