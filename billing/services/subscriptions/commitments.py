"""How far the commitments of periods that run are used."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Q

from billing.engine.money import EXACT, ZERO
from billing.models import SubscriptionPeriod
from billing.services.subscriptions.settling import commitment, usage


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
    """Where the customer's commitments stand: by the sums that the periods will be settled by."""
    running = SubscriptionPeriod.objects.filter(customer=customer_id, start__lte=now, end__gt=now)
    running = running.filter(Q(subscription__ends_at=None) | Q(subscription__ends_at__gt=now))
    running = running.filter(subscription__phases__plan_version__minimum_commitment__gt=0).distinct()
    found = []
    for period in running.select_related("subscription__plan", "plan_version__plan__currency").order_by("start", "id"):
        committed = commitment(period.subscription, period)
        if committed > 0:
            found.append(CommitmentNow(period, usage(period.subscription, period, until=now), committed))
    return found
