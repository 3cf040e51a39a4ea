"""Standing orders to top up, as they are at a moment: what they have bought this month, and what they wait for."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, F, Sum, When

from billing.engine import periods
from billing.engine.money import ZERO
from billing.models import AutoTopUp, Customer, PaymentAttempt, TopUp
from billing.models.fields import AmountField

ASKED_FOR = Case(When(tax_included=True, then=F("amount") + F("tax")), default=F("amount"), output_field=AmountField())
"""Of a top-up: what it was to cost, with the tax where that was in it, without a fee and a tax that came on top."""


@dataclass(frozen=True, slots=True)
class Used:
    """What an order has bought in the present month, what is on its way included: ``amount`` as ``ASKED_FOR``."""

    amount: Decimal
    count: int


def used(rule: AutoTopUp, now: datetime) -> Used:
    """What counts towards the order's limits this month: what was paid and what may still be."""
    start, end = month(rule.customer, now)
    counted = TopUp.objects.filter(
        customer_id=rule.customer_id,
        attempt__purpose=rule.purpose,
        created_at__gte=start,
        created_at__lt=end,
        status__in=[TopUp.Status.SUCCEEDED, TopUp.Status.PROCESSING, TopUp.Status.REQUIRES_ACTION],
    )
    total = counted.aggregate(amount=Sum(ASKED_FOR), count=Count("pk"))
    return Used(total["amount"] or ZERO, total["count"])


def month(customer: Customer, now: datetime) -> tuple[datetime, datetime]:
    """The calendar month of the customer's that ``now`` is in."""
    zone = ZoneInfo(customer.timezone)
    first = now.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return periods.period(now, anchor=first, interval="month", zone=zone)


def under_way(rule: AutoTopUp) -> bool:
    """Whether a payment of the order's has not come to its end."""
    return PaymentAttempt.objects.filter(
        customer_id=rule.customer_id, purpose=rule.purpose, status__in=PaymentAttempt.OPEN
    ).exists()


def status(rule: AutoTopUp, now: datetime) -> str:
    """``off``, ``suspended``, ``charging``, ``cooling`` or ``armed``."""
    if not rule.enabled:
        return "off"
    if rule.state == AutoTopUp.State.SUSPENDED:
        return "suspended"
    if under_way(rule):
        return "charging"
    return "cooling" if rule.due_at > now and not rule.every else "armed"
