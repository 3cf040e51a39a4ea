"""In which billing period usage counts."""

from datetime import datetime, timedelta

from django.db.models import Max, QuerySet

from billing.models import Charge, SubscriptionPeriod, UsageCounter

EARLY_MAX = timedelta(hours=48)
"""Events may lie at most 24 hours ahead: nothing that occurred at t was booked before t less this."""


def counted_at(charge: Charge) -> datetime:
    """A moment of the period that the charge counts in: late usage counts in the one that was open when it came."""
    if not charge.late:
        return charge.occurred_at
    settled = SubscriptionPeriod.objects.filter(
        customer_id=charge.customer_id, subscription_id=charge.subscription_id, settled_at__lte=charge.posted_at
    )
    found: datetime = settled.aggregate(end=Max("end"))["end"]
    return found


def counters(charge: Charge) -> QuerySet[UsageCounter]:
    """The counter that the charge moved; none where its price needs none."""
    moment = counted_at(charge)
    return UsageCounter.objects.filter(
        customer_id=charge.customer_id,
        subscription_id=charge.subscription_id,
        price_id=charge.price_id,
        period_start__lte=moment,
        period_end__gt=moment,
    )
