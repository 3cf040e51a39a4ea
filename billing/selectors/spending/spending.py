"""What hours came to, for all of a customer's usage, an API key or a feature: from the sums by the hour."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.engine.anomalies import WEEKS
from billing.models import SpendAnomaly
from billing.selectors.usage import usage

_NOW = """
SELECT r.customer_id, r.asset_id, r.api_key_id, r.dimensions ->> 'feature', SUM(r.amount)
  FROM billing_usagerollup r JOIN billing_asset a ON a.code = r.asset_id AND a.kind = 'currency'
 WHERE r.grain = 'work' AND r.hour = %(hour)s
 GROUP BY 1, 2, 3, 4
"""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose spending: ``kind`` and ``value`` as ``SpendAnomaly.scope`` and ``value`` have them."""

    customer_id: UUID
    asset: str
    kind: str
    value: str


def in_hour(hour: datetime) -> dict[Scope, Decimal]:
    """What everybody spent in that hour so far, in currencies: whole, by API key and by feature."""
    spent: dict[Scope, Decimal] = {}
    with connection.cursor() as cursor:
        cursor.execute(_NOW, {"hour": hour})
        for customer_id, asset, api_key, feature, amount in cursor.fetchall():
            scopes = [Scope(customer_id, asset, "customer", "")]
            scopes += [Scope(customer_id, asset, "api_key", str(api_key))] if api_key else []
            scopes += [Scope(customer_id, asset, "feature", feature)] if feature else []
            for scope in scopes:
                spent[scope] = spent.get(scope, Decimal(0)) + amount
    return spent


def before(scope: Scope, hour: datetime) -> dict[datetime, Decimal]:
    """What each of the hours before came to, as far back as a baseline looks."""
    where = {} if scope.kind == SpendAnomaly.Scope.CUSTOMER else {scope.kind: scope.value}
    since = hour - timedelta(weeks=WEEKS, hours=1)
    found = usage.rows(customer_id=scope.customer_id, start=since, end=hour, granularity="hour", where=where)
    return {row.period_start: row.amount for row in found if row.asset == scope.asset}
