"""Plans as customers see them: what they say, what of one is left, and which others may be chosen."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from billing.engine.money import ZERO
from billing.engine.prices import words
from billing.models import (
    Allowance,
    Customer,
    FairUse,
    FairUseCounter,
    Grant,
    Plan,
    PlanVersion,
    Price,
    Subscription,
    SubscriptionPeriod,
)
from billing.selectors.catalog.catalog import price_terms
from billing.selectors.usage import levels
from billing.selectors.usage.levels import Accrued
from billing.services.catalog.plans import CommitmentDiscount, commitment_discounts
from billing.services.subscriptions import CommitmentNow, commitments_now
from portal import amounts
from portal.templatetags.portal_parts import per_unit


@dataclass(frozen=True, slots=True)
class PriceLine:
    """A price; ``words`` say what it is where that is more than an amount for so many units."""

    price: Price
    words: str


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices of several meters for the same things, such as models: a row for each, a column for each meter."""

    meters: list[tuple[str, str]]
    """The name of each, and what its prices are for: ``per 1M tokens``."""
    rows: list[tuple[str, list[Price | None]]]


@dataclass(frozen=True, slots=True)
class PriceList:
    """A plan's prices as they are shown: what makes a table as one, and the others one by one."""

    table: PriceTable | None
    lines: list[PriceLine]


@dataclass(frozen=True, slots=True)
class Included:
    """An allowance of the period that runs, with what was carried over, and what is left of it."""

    asset: str
    given: Decimal
    left: Decimal

    @property
    def share_left(self) -> float:
        return float(self.left / self.given)


@dataclass(frozen=True, slots=True)
class Limited:
    """What the plan lets a period have at most, and how much of it the one that runs has used."""

    limit: FairUse
    used: Decimal

    @property
    def share_used(self) -> float:
        return min(1.0, float(self.used / self.limit.limit))


@dataclass(frozen=True, slots=True)
class Running:
    """A subscription that runs or is to start."""

    subscription: Subscription
    status: Subscription.Status
    included: list[Included]
    limited: list[Limited]
    commitment: CommitmentNow | None
    accrued: list[Accrued]

    @property
    def prices(self) -> PriceList:
        """What usage costs on it."""
        return price_list(self.subscription.plan_version)

    @property
    def period(self) -> SubscriptionPeriod | None:
        """The one that is open now."""
        now = timezone.now()
        return self.subscription.periods.filter(start__lte=now, end__gt=now).first()

    @property
    def ends(self) -> datetime | None:
        """When its period is over."""
        return self.subscription.ends_at or self.subscription.renews_at

    @property
    def started(self) -> bool:
        return self.status != Subscription.Status.SCHEDULED

    @property
    def past_due(self) -> bool:
        return self.status == Subscription.Status.PAST_DUE

    @property
    def trial(self) -> bool:
        return self.status == Subscription.Status.TRIALING

    @property
    def may_change(self) -> bool:
        """Whether the customer may leave it: what was agreed with them alone is not changed by a click."""
        return self.subscription.plan.offered and not self.subscription.has_agreed_terms


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan that anybody may choose, in its latest version."""

    version: PlanVersion
    prices: PriceList

    allowances: list[Allowance]
    limits: list[FairUse]

    @property
    def plan(self) -> Plan:
        return self.version.plan

    @property
    def committed(self) -> list[CommitmentDiscount]:
        """What is off from which commitment on."""
        return commitment_discounts(self.version)


def running(customer: Customer, now: datetime) -> list[Running]:
    """The customer's subscriptions that have not ended, the oldest first."""
    found = (
        Subscription.objects.filter(customer=customer)
        .filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now))
        .select_related("plan", "plan_version__plan", "next_version__plan")
        .order_by("starts_at")
    )
    committed = {each.period.subscription_id: each for each in commitments_now(customer.pk, now)}
    accrued = levels.accrued_by_subscription([customer.pk], moment=now)
    return [
        Running(
            subscription=one,
            status=one.status_at(now),
            included=_included(one, now),
            limited=_limited(one, now),
            commitment=committed.get(one.pk),
            accrued=accrued.get(one.pk, []),
        )
        for one in found
    ]


def offers(currency: str | None = None) -> list[Offer]:
    """The plans that anybody may choose, by currency, the cheapest fee first; with ``currency`` those of it alone."""
    plans = Plan.objects.filter(offered=True)
    if currency is not None:
        plans = plans.filter(currency=currency)
    latest = [version for plan in plans.order_by("code") if (version := plan.latest()) is not None]
    latest.sort(key=lambda one: (one.plan.currency_id, one.base_fee))
    return [
        Offer(version, price_list(version), list(version.allowances.all()), list(_limits(version)))
        for version in latest
    ]


def price_list(version: PlanVersion) -> PriceList:
    """The version's prices, in their order."""
    prices = list(version.prices.select_related("meter", "asset").prefetch_related("tiers").order_by("position"))
    lines = [PriceLine(price, _in_words(price)) for price in prices]
    table = _table([line.price for line in lines if line.price.match and not line.words])
    shown = {price.pk for _, cells in (table.rows if table else ()) for price in cells if price is not None}
    return PriceList(table, [line for line in lines if line.price.pk not in shown])


def _table(prices: list[Price]) -> PriceTable | None:
    """None where no two things have prices of the same two meters."""
    by_thing: dict[str, dict[Any, Price]] = {}
    for price in prices:
        by_thing.setdefault(_thing(price), {})[price.meter, price.per, price.asset_id] = price
    several = {thing: cells for thing, cells in by_thing.items() if len(cells) > 1}
    if len(several) < 2:
        return None
    columns = list(dict.fromkeys(column for cells in several.values() for column in cells))
    return PriceTable(
        meters=[(meter.name, per_unit(per, meter.unit)) for meter, per, _ in columns],
        rows=[(thing, [cells.get(column) for column in columns]) for thing, cells in several.items()],
    )


def _thing(price: Price) -> str:
    """What the price is for: the values that it asks for."""
    return " · ".join(", ".join(values) for values in price.match.values())


def _in_words(price: Price) -> str:
    if price.model == Price.Model.PER_UNIT and not price.free_units and price.maximum_amount is None:
        return ""
    return words.describe(price_terms(price), price.asset_id, price.meter.unit, amounts.VOICE)


def included_now(customer: Customer, now: datetime) -> list[Included]:
    """All that plans and recurring grants include for the periods that run, by asset: it is used before any money."""
    return _sums(Grant.objects.filter(customer=customer, kind__in=Grant.RENEWED), now)


def _included(subscription: Subscription, now: datetime) -> list[Included]:
    return _sums(Grant.objects.filter(period__subscription=subscription), now)


def _sums(grants: QuerySet[Grant], now: datetime) -> list[Included]:
    rows = grants.filter(effective_at__lte=now, expires_at__gt=now, voided_at__isnull=True)
    sums = rows.values("asset_id").annotate(given=Sum("amount"), left=Sum("remaining")).order_by("asset_id")
    return [Included(row["asset_id"], row["given"], row["left"]) for row in sums]


def _limited(subscription: Subscription, now: datetime) -> list[Limited]:
    counters = FairUseCounter.objects.filter(
        customer_id=subscription.customer_id, subscription=subscription, period_start__lte=now, period_end__gt=now
    )
    used = {each.meter_id or each.asset_id: each.used for each in counters}
    limits = _limits(subscription.plan_version)
    return [Limited(limit, used.get(limit.meter_id or limit.asset_id, ZERO)) for limit in limits]


def _limits(version: PlanVersion) -> QuerySet[FairUse]:
    return version.fair_use.select_related("meter")
