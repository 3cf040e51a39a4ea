"""How far the commitments of periods that run are used."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Q, QuerySet

from billing.engine.money import EXACT, ZERO, exact_sum
from billing.models import Subscription, SubscriptionPeriod
from billing.selectors.usage import usage
from billing.services.subscriptions import settling


@dataclass(frozen=True, slots=True)
class CommitmentNow:
    """What usage of a period has come to, in the plan's currency, beside what it must come to: above zero."""

    period: SubscriptionPeriod
    used: Decimal
    committed: Decimal

    @property
    def missing(self) -> Decimal:
        """What is charged at the end of the period if nothing more is used."""
        return max(ZERO, EXACT.subtract(self.committed, self.used))

    @property
    def share(self) -> Decimal:
        """Of the commitment, what is used."""
        return self.used / self.committed


def commitments_now(customer_id: UUID, now: datetime) -> list[CommitmentNow]:
    """Where the customer's commitments stand: by what periods are settled by, read from the sums by the hour."""
    running = SubscriptionPeriod.objects.filter(customer=customer_id, start__lte=now, end__gt=now)
    running = running.filter(Q(subscription__ends_at=None) | Q(subscription__ends_at__gt=now))
    running = running.filter(subscription__phases__plan_version__minimum_commitment__gt=0).distinct()
    found = []
    for period in running.select_related("subscription__plan", "plan_version__plan__currency").order_by("start", "id"):
        committed = settling.commitment(period.subscription, period)
        if committed > 0:
            found.append(CommitmentNow(period, _used(period, now), committed))
    return found


def _used(period: SubscriptionPeriod, now: datetime) -> Decimal:
    """What ``settling.usage`` sums. Sums by the hour do not tell subscriptions apart: they serve where there is one."""
    if _others(period).exists():
        return settling.usage(period.subscription, period, until=now)
    asset = period.plan_version.plan.currency_id
    own = usage.totals(customer_id=period.customer_id, start=period.start, end=period.end)
    late = settling.late_usage(period.subscription, period, until=now)
    return EXACT.add(exact_sum(row.amount for row in own if row.asset == asset), late)


def _others(period: SubscriptionPeriod) -> QuerySet[Subscription]:
    """The customer's other subscriptions that usage of the period may have been charged on."""
    meanwhile = Subscription.objects.filter(customer=period.customer_id, starts_at__lt=period.end)
    return meanwhile.filter(Q(ends_at=None) | Q(ends_at__gt=period.start)).exclude(pk=period.subscription_id)
