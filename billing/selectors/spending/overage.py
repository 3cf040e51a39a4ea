"""What customers' plans allow below zero."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import DecimalField, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce, Greatest

from billing.engine.money import ZERO
from billing.models import Balance, Subscription


def allowed(customer_id: UUID, currency: str, *, now: datetime) -> Decimal:
    """How far below zero the plans that run now let usage take the balance. One that is past due allows nothing."""
    running = _running(now).filter(customer_id=customer_id, plan__currency_id=currency)
    total: Decimal | None = running.aggregate(total=Sum("plan_version__overage_limit"))["total"]
    return total or ZERO


def left_standing(now: datetime) -> QuerySet[Balance]:
    """Balances whose plans allow less than they have, where that was owed once and is not any more."""
    amount: DecimalField[Decimal, Decimal] = DecimalField()
    ours = _running(now).filter(customer_id=OuterRef("customer_id"), plan__currency_id=OuterRef("asset_id"))
    sums = ours.order_by().values("customer_id").annotate(total=Sum("plan_version__overage_limit")).values("total")
    owed = F("owed") + F("overdraft_held") - F("dispute_debt")
    return (
        Balance.objects.filter(plan_overdraft__gt=0)
        .annotate(
            by_plans=Coalesce(Subquery(sums, output_field=amount), Value(ZERO), output_field=amount),
            used=Greatest(owed, -F("available") - F("dispute_debt"), output_field=amount),
        )
        .filter(Q(plan_overdraft__gt=F("by_plans")) | Q(plan_overdraft__gt=F("plan_overdraft_cap")))
        .filter(overdraft_limit__gt=F("used"))
    )


def _running(now: datetime) -> QuerySet[Subscription]:
    running = Subscription.objects.filter(starts_at__lte=now, past_due_since__isnull=True)
    return running.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now))
