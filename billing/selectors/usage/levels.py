"""Levels over time that hold: what was used of them since they were last reported, and is not charged yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.engine import levels
from billing.engine import rating as engine
from billing.models import Meter, Price, Subscription
from billing.selectors.catalog.catalog import compiled_plan


@dataclass(frozen=True, slots=True)
class Held:
    """A level that one price charges for. ``quantity`` unit-hours, and a ``rest``, are counted up to ``since``; it
    holds until its period, or the time of its plan, ends."""

    counter_id: UUID
    customer_id: UUID
    subscription_id: UUID
    price_id: UUID
    period_start: datetime
    period_end: datetime
    quantity: Decimal
    level: Decimal
    since: datetime
    rest: int
    until: datetime

    def unit_hours(self, moment: datetime) -> Decimal:
        """What is not counted of it by ``moment``."""
        return levels.further(self.quantity, self.rest, self.level, min(moment, self.until) - self.since)


@dataclass(frozen=True, slots=True)
class Accrued:
    """What a level has come to since its last report: it is charged when its period is settled."""

    meter: Meter
    level: Decimal
    since: datetime
    until: datetime
    unit_hours: Decimal
    asset: str
    amount: Decimal


_HELD = """
SELECT c.id, c.customer_id, c.subscription_id, c.price_id, c.period_start, c.period_end, c.quantity, c.level,
       c.level_at, c.level_rest, LEAST(c.period_end, p.ends_at, s.ends_at) AS until
  FROM billing_usagecounter c
  JOIN billing_price r ON r.id = c.price_id
  JOIN billing_subscription s ON s.id = c.subscription_id AND s.customer_id = c.customer_id
  LEFT JOIN LATERAL (
       SELECT ends_at FROM billing_subscriptionphase h
        WHERE h.subscription_id = c.subscription_id AND h.customer_id = c.customer_id
          AND h.plan_version_id = r.plan_version_id AND h.starts_at <= c.level_at
        ORDER BY h.starts_at DESC LIMIT 1) p ON true
 WHERE c.level > 0 AND c.level_at < LEAST(c.period_end, p.ends_at, s.ends_at)
   AND (%(customers)s::uuid[] IS NULL OR c.customer_id = ANY(%(customers)s))
   AND (%(ended)s::timestamptz IS NULL OR LEAST(c.period_end, p.ends_at, s.ends_at) <= %(ended)s)
 ORDER BY c.customer_id, until, c.id
"""


def held(customer_ids: Sequence[UUID] = (), *, ended: datetime | None = None) -> list[Held]:
    """The levels of these customers, or of all where none are named, that hold; with ``ended`` those whose time
    was over by then."""
    with connection.cursor() as cursor:
        cursor.execute(_HELD, {"customers": list(customer_ids) or None, "ended": ended})
        return [Held(*row) for row in cursor]


def accrued(subscription: Subscription, *, moment: datetime) -> list[Accrued]:
    """What each level of the subscription would be charged if its period ended at ``moment``."""
    return accrued_by_subscription([subscription.customer_id], moment=moment).get(subscription.pk, [])


def accrued_by_subscription(customer_ids: Sequence[UUID], *, moment: datetime) -> dict[UUID, list[Accrued]]:
    """The same of all these customers' subscriptions that have any, by their ids: as many statements as for one."""
    running = held(customer_ids) if customer_ids else []
    prices = Price.objects.select_related("meter").in_bulk({each.price_id for each in running})
    found: dict[UUID, list[Accrued]] = {}
    for each in running:
        row = prices[each.price_id]
        _, price = compiled_plan(row.plan_version_id).price(row.pk)
        more = each.unit_hours(moment)
        amount = engine.charge(price.net, before=each.quantity, quantity=more, precision=price.precision)
        found.setdefault(each.subscription_id, []).append(
            Accrued(row.meter, each.level, each.since, each.until, more, price.asset, amount)
        )
    return found
