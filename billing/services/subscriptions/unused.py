"""The part of a paid fee that is for time not used: as a line to be looked at, and given back."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from billing.engine.money import EXACT
from billing.engine.proration import part, share
from billing.models import Asset, Fee, Subscription, SubscriptionPeriod
from billing.services.ledger.posting import Journal
from billing.services.subscriptions import fees, periods


@dataclass(frozen=True, slots=True)
class FeeLine:
    """A line of the statement: a ``credit`` for unused time, or the ``change`` fee for the rest of the period.

    Of a credit ``amount`` is what the customer gets, or owes less, and ``list_amount`` what was charged for that time:
    the rest was owed and given up.
    """

    kind: str
    description: str
    asset: Asset
    list_amount: Decimal
    amount: Decimal
    start: datetime
    end: datetime


def credit(
    journal: Journal, subscription: Subscription, period: SubscriptionPeriod | None, at: datetime
) -> FeeLine | None:
    """The part of the period's last fee that is for the time after ``at``; None where nothing was charged for it."""
    paid = _last_fee(period)
    if paid is None or at >= paid.end:
        return None
    left = share(max(at, paid.start), paid.end, of=(paid.start, paid.end))
    taken = fees.Taken.of(paid)
    unused = part(taken.amount, left, precision=paid.asset.precision)
    if unused == 0:
        return None
    amount = EXACT.subtract(unused, fees.let_off(journal, paid, taken, unused))
    name = f"Unused: {subscription.plan.name}, {periods.span(at, paid.end, subscription.timezone)}"
    return FeeLine(Fee.Kind.CREDIT, name, paid.asset, unused, amount, at, paid.end)


def post_credit(journal: Journal, subscription: Subscription, period: SubscriptionPeriod | None, line: FeeLine) -> None:
    """Give the unused part back."""
    paid = _last_fee(period)
    assert paid is not None
    assert period is not None
    fee = raise_line(journal, subscription, period, replace(line, amount=line.list_amount))
    fees.give_back(journal, fee, fees.Taken.of(paid))


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
