"""Published terms as they would be sent to publish them: JSON, decimals as strings. Drafts are kept like this too."""

from decimal import Decimal
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from billing.engine.money import amount_string
from billing.engine.prices import terms
from billing.models import Plan, PlanVersion, Price, Subscription, Tier


def of_version(version: PlanVersion) -> dict[str, Any]:
    """All that the version says."""
    prices = version.prices.select_related("meter", "cached_of").prefetch_related("tiers")
    return {
        "interval": version.interval,
        "base_fee": amount_string(version.base_fee),
        "trial_days": version.trial_days,
        "minimum_commitment": amount_string(version.minimum_commitment),
        "overage_limit": amount_string(version.overage_limit),
        "commitment_discounts": version.commitment_discounts,
        "cached_tokens": version.cached_tokens,
        "allowances": [
            {
                "asset": allowance.asset_id,
                "amount": amount_string(allowance.amount),
                "rollover_limit": amount_string(allowance.rollover_limit),
            }
            for allowance in version.allowances.all()
        ],
        "fair_use": [
            {
                **({"meter": limit.meter.code} if limit.meter else {"asset": limit.asset_id}),
                "limit": amount_string(limit.limit),
            }
            for limit in version.fair_use.select_related("meter")
        ],
        "prices": [of_price(price) for price in prices.order_by("position")],
    }


def of_price(price: Price) -> dict[str, Any]:
    """A stored price, with the fields that its model has. Its meters and tiers should be loaded."""
    return {"meter": price.meter.code, "asset": price.asset_id, **of_numbers(price)}


def of_numbers(price: Price) -> dict[str, Any]:
    """The same without what it is for."""
    fields = terms.FIELDS[price.model]
    own = [*fields.needed, *fields.allowed, *terms.OF_PERIOD]
    shown: dict[str, Any] = {"model": price.model}
    for name in own:
        value = getattr(price, name)
        if name == "tiers":
            shown[name] = [_tier(tier, fields.tier) for tier in value.all()]
        elif value not in (None, "") and not (name == "free_units" and value == 0):
            shown[name] = amount_string(value) if isinstance(value, Decimal) else value
    if price.covered_by_id is not None:
        shown["covered_by"] = price.covered_by_id
    if price.cached_of is not None:
        shown["cached_of"] = price.cached_of.code
    shown["match"] = price.match
    if price.valid:
        shown["valid"] = price.valid
    shown["failure_policy"] = price.failure_policy
    return shown


def _tier(tier: Tier, amount: str) -> dict[str, Any]:
    shown = {
        "up_to": None if tier.up_to is None else amount_string(tier.up_to),
        amount: amount_string(tier.unit_amount),
    }
    return shown | ({"flat_amount": amount_string(tier.flat_amount)} if tier.flat_amount else {})


def running_by_version(plan: Plan) -> dict[int, int]:
    """How many subscriptions of the plan run on each of its versions, by the version's number."""
    rows = (
        Subscription.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=timezone.now()), plan=plan)
        .values("plan_version__number")
        .annotate(running=Count("pk"))
        .order_by("plan_version__number")
    )
    return {row["plan_version__number"]: row["running"] for row in rows}
