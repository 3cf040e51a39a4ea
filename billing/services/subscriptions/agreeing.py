"""What agreed terms are worth, as far as that can be known beforehand: so that what is worth much takes two people."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from billing.engine.money import EXACT, ZERO, round_half_even
from billing.engine.proration import discounted
from billing.models import PlanVersion, Subscription
from billing.selectors.usage import usage
from billing.services.catalog import plans

LOOK_BACK = timedelta(days=30)
MONTHS = {"day": Decimal(365) / 12, "week": Decimal(365) / 84, "month": Decimal(1)}
_YEAR = {"quarter": 3, "year": 12}


def given_away(
    *,
    subscription: Subscription,
    version: PlanVersion,
    commitment: Decimal | None,
    total: Decimal,
    now: datetime,
) -> Mapping[str, Decimal]:
    """By asset: what a change of terms gives the customer that they did not have. Nothing is below zero.

    A month's fee and the usage of the last 30 days at the additional discount, beyond what was agreed before and what
    the plan itself has for the commitment; what is committed to no longer; and what comes back into the wallet now
    (``total`` below zero).
    """
    currency = version.plan.currency_id
    found = max(ZERO, total.copy_negate())
    published = plans.discount_of(version, version.minimum_commitment)
    more = EXACT.subtract(version.discount, max(published, subscription.discount))
    if more > 0:
        fees = EXACT.add(monthly(version, ZERO), _used(subscription, currency, now))
        found = EXACT.add(found, round_half_even(more * fees, precision=6))
    less = EXACT.subtract(subscription.minimum_commitment or ZERO, commitment or ZERO)
    return {currency: EXACT.add(found, max(ZERO, less))}


def _used(subscription: Subscription, currency: str, now: datetime) -> Decimal:
    rows = usage.totals(customer_id=subscription.customer_id, start=now - LOOK_BACK, end=now)
    return next((row.amount for row in rows if row.asset == currency), ZERO)


def monthly(version: PlanVersion, discount: Decimal) -> Decimal:
    """The version's fee as it recurs in a month, less ``discount``; at six decimals where it does not divide."""
    fee = discounted(version.base_fee, discount, precision=version.plan.currency.precision)
    if version.interval in _YEAR:
        return (fee / _YEAR[version.interval]).quantize(Decimal("0.000001"))
    return (fee * MONTHS[version.interval]).quantize(Decimal("0.000001")) if version.interval != "month" else fee
