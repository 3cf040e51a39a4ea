"""Opening a period: its fee, and what the plan includes."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from billing.engine.money import amount_string, exact_sum
from billing.engine.periods import period as period_at
from billing.engine.proration import discounted, part, share
from billing.models import Asset, Fee, Grant, PlanVersion, Subscription, SubscriptionPeriod, SubscriptionPhase
from billing.services import outbox
from billing.services.ledger.posting import Journal
from billing.services.subscriptions import fees, overage
from billing.services.wallet import issuing
from billing.services.wallet.wallets import ensure_balances

ALLOWANCE_PRIORITY = 40
"""What the plan includes is used before what was bought, whatever expires first."""


def message(kind: str, subscription: Subscription, **more: object) -> outbox.Message:
    payload: Mapping[str, object] = {"subscription": subscription.pk, "plan": subscription.plan.code, **more}
    return outbox.Message(kind, subscription.customer_id, payload)


def bounds(moment: datetime, *, version: PlanVersion, anchor: datetime, zone: str) -> tuple[datetime, datetime]:
    """The whole period that holds ``moment``."""
    return period_at(moment, anchor=anchor, interval=version.interval, zone=ZoneInfo(zone))


def base_fee(version: PlanVersion, of: Fraction) -> tuple[Decimal, Decimal]:
    """The share ``of`` the version's fee, before and after its discount."""
    precision = version.plan.currency.precision
    whole = part(version.base_fee, of, precision=precision)
    return whole, discounted(whole, version.discount, precision=precision)


def span(start: datetime, end: datetime, zone: str) -> str:
    """Both moments as the customer's calendar has them."""
    first, last = (moment.astimezone(ZoneInfo(zone)) for moment in (start, end))
    return f"{first:%-d %b %Y} to {last:%-d %b %Y}"


def open_due(journal: Journal, subscription: Subscription) -> None:
    """Open every period whose time has come, so that nothing happens on yesterday's terms."""
    while subscription.renews_at is not None and subscription.renews_at <= journal.now:
        open_next(journal, subscription)


def open_next(journal: Journal, subscription: Subscription) -> SubscriptionPeriod | None:
    """Open the period that starts at ``renews_at``, which has come; None where the subscription ends there.

    Its fee is charged and its allowances are granted. Where the wallet has too little for the fee, the subscription is
    past due and the allowances wait.
    """
    start = subscription.renews_at
    assert start is not None
    assert start <= journal.now
    last = subscription.periods.order_by("-number").first()
    _lapse(journal, subscription, last)
    if subscription.ends_at is not None and subscription.ends_at <= start:
        subscription.renews_at = None
        subscription.save(update_fields=["renews_at", "past_due_since"])
        overage.follow(journal, subscription)
        return None
    if subscription.next_version is not None:
        _enter_next(journal, subscription, subscription.next_version, start)
    version = subscription.plan_version
    trial = subscription.trial_ends_at is not None and start < subscription.trial_ends_at
    if trial:
        assert subscription.trial_ends_at is not None
        whole = (start, subscription.trial_ends_at)
    else:
        whole = bounds(start, version=version, anchor=subscription.anchor, zone=subscription.timezone)
    end = whole[1] if subscription.ends_at is None else min(whole[1], subscription.ends_at)
    opened = SubscriptionPeriod.objects.create(
        customer_id=subscription.customer_id,
        subscription=subscription,
        plan_version=version,
        number=1 if last is None else last.number + 1,
        start=start,
        end=end,
        trial=trial,
        opened_at=journal.now,
    )
    paid = trial or _charge(journal, subscription, opened, share(start, end, of=whole))
    if paid and not trial:
        grant_allowances(journal, subscription, opened, share(start, end, of=whole))
    subscription.renews_at = end
    subscription.save()
    overage.follow(journal, subscription)
    kind = "subscription.started" if last is None else "subscription.renewed"
    journal.messages.append(message(kind, subscription, period=opened.pk, number=opened.number, start=start, end=end))
    return opened


def collect(journal: Journal, subscription: Subscription) -> None:
    """Pay what is due, the oldest first, as far as the wallet goes; a period whose fee is paid gets its allowances."""
    for fee in Fee.objects.filter(subscription=subscription, state=Fee.State.DUE).order_by("id"):
        ensure_balances(journal, [(fee.customer_id, fee.asset_id)])
        if not fees.pay(journal, fee):
            return
        if fee.kind == Fee.Kind.BASE:
            period = fee.period
            whole = bounds(
                period.start, version=period.plan_version, anchor=subscription.anchor, zone=subscription.timezone
            )
            grant_allowances(journal, subscription, period, share(period.start, period.end, of=whole))
    subscription.past_due_since = None
    subscription.save(update_fields=["past_due_since"])
    overage.follow(journal, subscription)
    journal.messages.append(message("subscription.recovered", subscription))


def _lapse(journal: Journal, subscription: Subscription, period: SubscriptionPeriod | None) -> None:
    """A period that ended before its fee was paid is not charged any more: nothing of it was given."""
    if period is None:
        return
    for fee in Fee.objects.filter(period=period, kind=Fee.Kind.BASE, state=Fee.State.DUE):
        fees.close(journal, fee, Fee.State.LAPSED)
    if not Fee.objects.filter(subscription=subscription, state=Fee.State.DUE).exists():
        subscription.past_due_since = None


def _charge(journal: Journal, subscription: Subscription, opened: SubscriptionPeriod, of: Fraction) -> bool:
    version = subscription.plan_version
    list_amount, amount = base_fee(version, of)
    if amount == 0:
        return True
    fee = fees.raise_fee(
        journal,
        subscription,
        opened,
        kind=Fee.Kind.BASE,
        asset=version.plan.currency,
        list_amount=list_amount,
        amount=amount,
        start=opened.start,
        end=opened.end,
        description=f"{version.plan.name}, {span(opened.start, opened.end, subscription.timezone)}",
    )
    # What is owed from before comes first.
    if subscription.past_due_since is None and fees.pay(journal, fee):
        return True
    if subscription.past_due_since is None:
        subscription.past_due_since = journal.now
    journal.messages.append(
        message("subscription.past_due", subscription, fee=fee.pk, amount=amount_string(amount), asset=fee.asset_id)
    )
    return False


def grant_allowances(journal: Journal, subscription: Subscription, period: SubscriptionPeriod, of: Fraction) -> None:
    """What the plan includes for the period, and, up to its limit, what was left of the period before."""
    previous = subscription.periods.filter(number=period.number - 1).first()
    for allowance in period.plan_version.allowances.select_related("asset"):
        amount = part(allowance.amount, of, precision=allowance.asset.precision)
        grant(journal, subscription, period, allowance.asset, amount, name=subscription.plan.name)
        if previous is not None and allowance.rollover_limit > 0:
            carried = min(_left_over(journal, previous, allowance.asset), allowance.rollover_limit)
            grant(
                journal, subscription, period, allowance.asset, carried, kind=Grant.Kind.ROLLOVER, name="Carried over"
            )
    period.granted = True
    period.save(update_fields=["granted"])


def _left_over(journal: Journal, period: SubscriptionPeriod, asset: Asset) -> Decimal:
    """What of the period's allowance expired unused, and what was carried into it. What is held stays where it is."""
    found = Grant.objects.filter(period=period, asset=asset).values_list("id", "expired")
    expired = (journal.grants[id_].expired if id_ in journal.grants else stored for id_, stored in found)
    return exact_sum(expired)


def grant(
    journal: Journal,
    subscription: Subscription,
    period: SubscriptionPeriod,
    asset: Asset,
    amount: Decimal,
    *,
    kind: str = Grant.Kind.ALLOWANCE,
    name: str,
    effective_at: datetime | None = None,
) -> None:
    """Put an included amount into the wallet until the period ends. In a period that is over it lapses at once."""
    if amount <= 0:
        return
    issuing.issue(
        journal,
        customer_id=subscription.customer_id,
        asset=asset,
        amount=amount,
        kind=kind,
        name=name,
        priority=ALLOWANCE_PRIORITY,
        effective_at=effective_at or period.start,
        expires_at=period.end,
        period=period,
    )


def _enter_next(journal: Journal, subscription: Subscription, version: PlanVersion, at: datetime) -> None:
    """The plan that was chosen for this period. One with another interval counts its periods from here."""
    before = subscription.plan_version
    anchor = subscription.anchor if version.interval == before.interval else at
    enter(subscription, version, at=at, anchor=anchor)
    subscription.next_version = None
    journal.messages.append(
        message("subscription.changed", subscription, version=version.number, previous=before.plan.code)
    )


def enter(subscription: Subscription, version: PlanVersion, *, at: datetime, anchor: datetime) -> None:
    """From ``at`` on, ``version`` rates the usage."""
    SubscriptionPhase.objects.filter(subscription=subscription, starts_at__gte=at).delete()
    SubscriptionPhase.objects.filter(subscription=subscription, starts_at__lt=at, ends_at__isnull=True).update(
        ends_at=at
    )
    SubscriptionPhase.objects.create(
        customer_id=subscription.customer_id,
        subscription=subscription,
        plan_version=version,
        anchor=anchor,
        starts_at=at,
    )
    subscription.plan, subscription.plan_version, subscription.anchor = version.plan, version, anchor
