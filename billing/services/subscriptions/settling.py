"""Settling a period: what is missing to the least that a price asks for, and to the minimum commitment, is charged, and
late usage counts from now on for the next period."""

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from django.db.models import Q, Sum

from billing.engine.money import EXACT, ZERO, amount_string, round_half_even
from billing.engine.proration import share
from billing.models import Charge, Fee, Subscription, SubscriptionPeriod
from billing.selectors.invoicing import minimums
from billing.selectors.usage import levels
from billing.services.ledger.posting import Journal
from billing.services.subscriptions import fees, overage, periods


def settle_next(subscription_id: UUID, journal: Journal) -> int:
    """Settle the subscription's oldest open period if it is over. The grace is the caller's to keep.

    Levels over time come first (``usage.levels``): where one is not charged up to its end, the period waits.
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
    used, committed = usage(subscription, period, until=journal.now), commitment(subscription, period)
    # What a price asks for at least counts towards the commitment like usage.
    missing = max(minimums_due(subscription, period), EXACT.subtract(committed, used))
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
    own = Q(late=False, occurred_at__gte=period.start, occurred_at__lt=period.end)
    return EXACT.add(_charged(subscription, period, own), late_usage(subscription, period, until=until))


def late_usage(subscription: Subscription, period: SubscriptionPeriod, *, until: datetime) -> Decimal:
    """The part of ``usage`` that is from before the period."""
    before = subscription.periods.filter(number=period.number - 1).values_list("settled_at", flat=True).first()
    late = Q(late=True, posted_at__gte=before or period.start, posted_at__lt=until)
    return _charged(subscription, period, late)


def _charged(subscription: Subscription, period: SubscriptionPeriod, which: Q) -> Decimal:
    """What these charges of the subscription come to, in the plan's currency."""
    charges = Charge.objects.filter(which, customer_id=subscription.customer_id, subscription=subscription)
    of_plan = charges.filter(asset_id=period.plan_version.plan.currency_id)
    total: Decimal | None = of_plan.aggregate(total=Sum("amount"))["total"]
    return total or ZERO


def minimums_due(subscription: Subscription, period: SubscriptionPeriod) -> Decimal:
    """What is missing to the least that each price asks for, of each version for as long as it was in force."""
    total = ZERO
    for phase in subscription.phases.filter(starts_at__lt=period.end).select_related("plan_version"):
        start = max(phase.starts_at, period.start)
        end = period.end if phase.ends_at is None else min(phase.ends_at, period.end)
        if start >= end:
            continue
        version = phase.plan_version
        whole = periods.bounds(start, version=version, anchor=phase.anchor, zone=subscription.timezone)
        for due in minimums.due(
            customer_id=subscription.customer_id,
            subscription_id=subscription.pk,
            version=version,
            start=start,
            end=end,
            share=share(start, end, of=whole),
        ):
            assert due.asset == period.plan_version.plan.currency_id, "Refused when the plan is published"
            total = EXACT.add(total, due.amount)
    return total


def commitment(subscription: Subscription, period: SubscriptionPeriod) -> Decimal:
    """What the period's usage must come to: each version's commitment for as long as it was in force."""
    total = Fraction(0)
    for phase in subscription.phases.filter(starts_at__lt=period.end).select_related("plan_version"):
        start = max(phase.starts_at, period.start)
        end = period.end if phase.ends_at is None else min(phase.ends_at, period.end)
        committed = phase.plan_version.minimum_commitment
        if start >= end or committed == 0:
            continue
        whole = periods.bounds(start, version=phase.plan_version, anchor=phase.anchor, zone=subscription.timezone)
        total += Fraction(committed) * share(start, end, of=whole)
    return round_half_even(total, precision=period.plan_version.plan.currency.precision)


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
