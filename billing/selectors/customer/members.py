"""What a person's usage came to."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from accounts.models import ApiKey, Membership
from billing.selectors.usage import rollups


def of(member: Membership) -> rollups.Member:
    """Whose usage is this member's: their address, and the keys that they made for the organization."""
    keys = ApiKey.objects.filter(organization_id=member.organization_id, created_by=member.user_id)
    return rollups.Member(member.user.email.lower(), tuple(keys.values_list("pk", flat=True)))


def spent(*, customer_id: UUID, member: rollups.Member, start: datetime, end: datetime) -> list[tuple[str, Decimal]]:
    """Asset and amount of the member's usage that occurred in [``start``, ``end``)."""
    source, values = rollups.source(
        customer_id=customer_id, start=start, end=end, dimensions=member.dimensions, granularity=None, zone="UTC"
    )
    theirs, more = rollups.member_sql("used", member)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT asset_id, SUM(amount) FROM ({source}) used WHERE {theirs} GROUP BY 1 ORDER BY 1", values | more
        )
        return list(cursor.fetchall())
