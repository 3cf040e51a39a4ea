"""What a period still lacks of the least that each of its prices asks for: due when the period ends."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from django.db.models import Sum

from billing.engine.money import EXACT, ZERO, round_half_even
from billing.models import Charge, PlanVersion


@dataclass(frozen=True, slots=True)
class MinimumDue:
    """What one price lacks, in its asset."""

    price_id: UUID
    meter: str
    asset: str
    amount: Decimal


def due(
    *, customer_id: UUID, subscription_id: UUID, version: PlanVersion, start: datetime, end: datetime, share: Fraction
) -> list[MinimumDue]:
    """For each price with a ``minimum_amount`` what the charges of [``start``, ``end``) are short of it.

    That is ``share`` of a whole period, and so much of the minimum is asked for. The customer's discount is off the
    minimum as it is off the charges.
    """
    found = []
    rest = share * Fraction(EXACT.subtract(Decimal(1), version.discount))
    for price in version.prices.filter(minimum_amount__gt=0).select_related("meter", "asset").order_by("position"):
        charged = Charge.objects.filter(
            customer_id=customer_id,
            subscription_id=subscription_id,
            price=price,
            asset_id=price.asset_id,
            late=False,
            occurred_at__gte=start,
            occurred_at__lt=end,
        ).aggregate(total=Sum("amount"))["total"]
        assert price.minimum_amount is not None
        least = round_half_even(Fraction(price.minimum_amount) * rest, precision=price.asset.precision)
        missing = EXACT.subtract(least, charged or ZERO)
        if missing > 0:
            found.append(MinimumDue(price.id, price.meter.code, price.asset_id, missing))
    return found
