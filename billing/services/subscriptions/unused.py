"""The part of a paid fee that is for time not used: as a line to be looked at, and given back."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from billing.engine.proration import part, share
from billing.models import Asset, Fee, Subscription, SubscriptionPeriod
from billing.services.ledger.posting import Journal
from billing.services.subscriptions import fees, periods


@dataclass(frozen=True, slots=True)
class FeeLine:
    """A line of the statement: a ``credit`` for unused time, or the ``change`` fee for the rest of the period."""

    kind: str
    description: str
    asset: Asset
    list_amount: Decimal
    amount: Decimal
    start: datetime
    end: datetime


def credit(subscription: Subscription, period: SubscriptionPeriod | None, at: datetime) -> FeeLine | None:
    """The part of the period's last fee that is for the time after ``at``; None where nothing was paid for it."""
    paid = _last_fee(period)
    if paid is None or at >= paid.end:
        return None
    left = share(max(at, paid.start), paid.end, of=(paid.start, paid.end))
    amount = part(paid.amount, left, precision=paid.asset.precision)
    if amount == 0:
        return None
    name = f"Unused: {subscription.plan.name}, {periods.span(at, paid.end, subscription.timezone)}"
    return FeeLine(Fee.Kind.CREDIT, name, paid.asset, amount, amount, at, paid.end)


def post_credit(journal: Journal, subscription: Subscription, period: SubscriptionPeriod | None, line: FeeLine) -> None:
    """Give the unused part back."""
    paid = _last_fee(period)
    assert paid is not None
    assert period is not None
    fee = raise_line(journal, subscription, period, line)
    fees.give_back(journal, fee, paid=paid, share=Fraction(line.amount) / Fraction(paid.amount))


def raise_line(journal: Journal, subscription: Subscription, period: SubscriptionPeriod, line: FeeLine) -> Fee:
    return fees.raise_fee(
        journal,
        subscription,
        period,
        kind=line.kind,
        asset=line.asset,
        list_amount=line.list_amount,
        amount=line.amount,
        start=line.start,
        end=line.end,
        description=line.description,
    )


def _last_fee(period: SubscriptionPeriod | None) -> Fee | None:
    """What was paid for the time from the last change, or from the period's start, to its end."""
    kinds = [Fee.Kind.BASE, Fee.Kind.CHANGE]
    found = Fee.objects.filter(period=period, kind__in=kinds, state=Fee.State.PAID).select_related("asset")
    last = found.order_by("-id").first() if period is not None else None
    # A change to a plan without a fee leaves nothing to give back: the credit took it.
    if last is None or Fee.objects.filter(period=period, kind=Fee.Kind.CREDIT, id__gt=last.pk).exists():
        return None
    return last
