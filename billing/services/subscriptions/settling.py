"""Settling a period: what is missing to the least that a price asks for, and to the minimum commitment, is charged, and
late usage counts from now on for the next period."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from django.db.models import QuerySet, Sum

from billing.engine.money import EXACT, ZERO, amount_string, exact_sum, round_half_even
from billing.engine.proration import share
from billing.models import Charge, Fee, PlanVersion, Price, Subscription, SubscriptionPeriod, UsageEvent
from billing.selectors.usage import levels
from billing.services.ledger.posting import Journal
from billing.services.subscriptions import fees, overage, periods


def settle_next(subscription_id: UUID, journal: Journal) -> int:
    """Settle the subscription's oldest open period if it is over. The grace is the caller's to keep.

    Levels over time come first (``usage.levels``): where one is not charged up to its end, the period waits. So it does
    where something is missing and usage of before its end is not paid yet: that counts as soon as it is collected.
    """
    subscription = Subscription.objects.select_related("plan").get(pk=subscription_id)
    period = (
        subscription.periods.filter(state=SubscriptionPeriod.State.OPEN)
        .select_related("plan_version__plan__currency")
        .order_by("number")
        .first()
    )
    if period is None or period.end > journal.now:
        return 0
    uncounted = levels.held([subscription.customer_id], ended=period.end)
    if any(level.subscription_id == subscription_id for level in uncounted):
        return 0
    used = usage(subscription, period, until=journal.now)
    # What a price asks for at least counts towards the commitment like usage.
    asked = EXACT.subtract(commitment(subscription, period), used)
    missing = max(minimums_due(subscription, period, until=journal.now), asked)
    if missing > 0 and _unpaid(subscription, period):
        return 0
    if missing > 0:
        _true_up(journal, subscription, period, missing)
    period.state, period.settled_at = SubscriptionPeriod.State.SETTLED, journal.now
    period.save(update_fields=["state", "settled_at"])
    subscription.settled_until = period.end
    subscription.save(update_fields=["settled_until", "past_due_since"])
    if missing > 0:
        overage.follow(journal, subscription)
    journal.messages.append(
        periods.message(
            "period.settled",
            subscription,
            period=period.pk,
            number=period.number,
            usage=amount_string(used),
            true_up=amount_string(max(missing, ZERO)),
        )
    )
    return 1


def usage(subscription: Subscription, period: SubscriptionPeriod, *, until: datetime) -> Decimal:
    """What the period's usage was charged in the plan's currency, after discounts, however it was paid.

    Usage from before that was reported after its own period was settled counts for the one that was open then.
    """
    return exact_sum(_sum(charges) for charges in _counted(subscription, period, until))


def late_usage(subscription: Subscription, period: SubscriptionPeriod, *, until: datetime) -> Decimal:
    """The part of ``usage`` that is from before the period."""
    _, late = _counted(subscription, period, until)
    return _sum(late)


def minimums_due(subscription: Subscription, period: SubscriptionPeriod, *, until: datetime) -> Decimal:
    """What ``usage`` is short of the least that each price asks for, of each version for as long as it was in force.

    The customer's discount is off the least as it is off the charges.
    """
    least: dict[Price, Fraction] = {}
    for version, part in _in_force(subscription, period):
        rest = part * Fraction(EXACT.subtract(Decimal(1), version.discount))
        for price in version.prices.filter(minimum_amount__gt=0).select_related("asset"):
            assert price.minimum_amount is not None
            assert price.asset_id == period.plan_version.plan.currency_id, "Refused when the plan is published"
            least[price] = least.get(price, Fraction(0)) + Fraction(price.minimum_amount) * rest
    counted = _counted(subscription, period, until)
    total = ZERO
    for price, amount in least.items():
        charged = exact_sum(_sum(charges.filter(price=price)) for charges in counted)
        missing = EXACT.subtract(round_half_even(amount, precision=price.asset.precision), charged)
        total = EXACT.add(total, max(ZERO, missing))
    return total


def commitment(subscription: Subscription, period: SubscriptionPeriod) -> Decimal:
    """What the period's usage must come to: each version's commitment for as long as it was in force."""
    total = sum(
        (Fraction(version.minimum_commitment) * part for version, part in _in_force(subscription, period)), Fraction(0)
    )
    return round_half_even(total, precision=period.plan_version.plan.currency.precision)


def _counted(
    subscription: Subscription, period: SubscriptionPeriod, until: datetime
) -> tuple[QuerySet[Charge], QuerySet[Charge]]:
    """The charges that count for the period, in the plan's currency: those of its own usage, and the late ones."""
    before = subscription.periods.filter(number=period.number - 1).values_list("settled_at", flat=True).first()
    charges = Charge.objects.filter(
        customer_id=subscription.customer_id,
        subscription=subscription,
        asset_id=period.plan_version.plan.currency_id,
    )
    return (
        charges.filter(late=False, occurred_at__gte=period.start, occurred_at__lt=period.end),
        charges.filter(late=True, posted_at__gte=before or period.start, posted_at__lt=until),
    )


def _sum(charges: QuerySet[Charge]) -> Decimal:
    total: Decimal | None = charges.aggregate(total=Sum("amount"))["total"]
    return total or ZERO


def _unpaid(subscription: Subscription, period: SubscriptionPeriod) -> bool:
    """Whether usage from the subscription's start to the period's end is still to be collected."""
    return UsageEvent.objects.filter(
        customer_id=subscription.customer_id,
        unpaid__customer_id=subscription.customer_id,
        unpaid__open=True,
        occurred_at__gte=subscription.starts_at,
        occurred_at__lt=period.end,
    ).exists()


def _in_force(subscription: Subscription, period: SubscriptionPeriod) -> Iterator[tuple[PlanVersion, Fraction]]:
    """The versions in force in the period, each with its part of a whole period of its own.

    None in a trial, which may be longer than one and asks for nothing.
    """
    if period.trial:
        return
    for phase in subscription.phases.filter(starts_at__lt=period.end).select_related("plan_version"):
        start = max(phase.starts_at, period.start)
        end = period.end if phase.ends_at is None else min(phase.ends_at, period.end)
        if start < end:
            whole = periods.bounds(start, version=phase.plan_version, anchor=phase.anchor, zone=subscription.timezone)
            yield phase.plan_version, share(start, end, of=whole)


def _true_up(journal: Journal, subscription: Subscription, period: SubscriptionPeriod, missing: Decimal) -> None:
    plan = period.plan_version.plan
    fee = fees.raise_fee(
        journal,
        subscription,
        period,
        kind=Fee.Kind.TRUE_UP,
        asset=plan.currency,
        list_amount=missing,
        amount=missing,
        start=period.start,
        end=period.end,
        description=f"{plan.name}, minimum of {periods.span(period.start, period.end, subscription.timezone)}",
    )
    if subscription.past_due_since is not None or not fees.pay(journal, fee):
        subscription.past_due_since = subscription.past_due_since or journal.now
        journal.messages.append(
            periods.message(
                "subscription.past_due", subscription, fee=fee.pk, amount=amount_string(missing), asset=fee.asset_id
            )
        )
