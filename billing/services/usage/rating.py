"""From events to lines: the customer's plan at the event's time, the meters it feeds, the price of each."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from billing import pipeline
from billing.engine.metering import BadQuantity
from billing.engine.money import ZERO
from billing.engine.periods import period
from billing.engine.prices import FromCatalogue
from billing.errors import InvalidRequest, PermissionDenied, UnpricedUsage
from billing.models import Customer
from billing.selectors.catalog import costs
from billing.selectors.catalog.catalog import CompiledPlan, CompiledPrice, compiled_plan
from billing.services.usage.events import IncomingEvent

PRICING_SCOPE = "events:price"
"""What a key needs whose events say themselves what they cost."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription in one of its phases, as rating needs it."""

    id: UUID
    plan_version_id: UUID
    starts_at: datetime
    ends_at: datetime | None
    anchor: datetime
    timezone: ZoneInfo
    settled_until: datetime

    def covers(self, moment: datetime) -> bool:
        return self.starts_at <= moment and (self.ends_at is None or moment < self.ends_at)

    def is_late(self, moment: datetime) -> bool:
        """Whether the period that holds ``moment`` is settled already."""
        return moment < self.settled_until

    def period_for(self, moment: datetime, interval: str) -> tuple[datetime, datetime]:
        """The period that usage of ``moment`` counts for: its own or, once that is settled, the oldest one that is
        not."""
        counted = max(moment, self.settled_until)
        asked = (self.id, self.anchor, interval, self.timezone)
        found = _periods.get(asked)
        if found is None or not found[0] <= counted < found[1]:
            found = period(counted, anchor=self.anchor, interval=interval, zone=self.timezone)
            if len(_periods) >= _PERIODS_MAX:
                _periods.clear()
            _periods[asked] = found
        return found


_PERIODS_MAX = 100_000
_periods: dict[tuple[UUID, datetime, str, ZoneInfo], tuple[datetime, datetime]] = {}
"""The period last worked out for each subscription: usage is reported when it happens, so it is mostly that again."""


@dataclass(slots=True)
class Payer:
    """A customer as recording usage needs it, with its subscriptions, the latest first."""

    id: UUID
    organization_id: UUID
    external_id: str
    currency: str
    timezone: ZoneInfo
    overdraft: bool
    subscriptions: list[Subscribed]
    budgeted: bool = False
    """Whether it has budgets."""
    renews_at: datetime | None = None
    """When the first of its subscriptions has a new period."""
    origin_key: UUID | None = None
    """What the addresses that report its usage are hashed with; None of a customer who was erased."""

    def phases(self, subscription: Subscribed) -> list[Subscribed]:
        """All phases of the subscription on this version of the plan."""
        of_both = (subscription.id, subscription.plan_version_id)
        return [each for each in self.subscriptions if (each.id, each.plan_version_id) == of_both]

    def begins_period(self, moment: datetime) -> bool:
        """Whether a billing period has begun by ``moment`` that is not open yet."""
        return self.renews_at is not None and self.renews_at <= moment


@dataclass(slots=True)
class Line:
    """A metered quantity and the price that holds for it. What it costs depends on what came before in the period."""

    meter_id: UUID
    meter: str
    quantity: Decimal
    price: CompiledPrice
    groups: Mapping[str, str]
    subscription_id: UUID
    plan: CompiledPlan
    period_start: datetime
    period_end: datetime

    occurred_at: datetime
    basis: Decimal
    """What the price counts: the quantity, the event itself, or an amount."""
    aggregation: str = "sum"
    digest: bytes = b""
    """Of the value, for a meter that counts different ones."""
    field: str | None = None
    """The field of the data that the quantity is, where it is just that."""
    late: bool = False
    """Its own period is settled: it counts for the one that is open."""

    leading_field: str | None = None
    """The first field that the quantity is made from: what was paid to a provider for it belongs to this line."""

    waived: Decimal | None = None
    """What was used and is not charged, for the run failed; the quantity is zero then."""

    phases: Sequence[Subscribed] = ()
    """All times of the subscription with the price, for a level over time: it ends with the one it was reported in."""

    @property
    def follows_cost(self) -> bool:
        """Whether it is charged by its part of what the provider takes, which is its basis then."""
        return isinstance(self.price.measure, FromCatalogue)

    @property
    def additive(self) -> bool:
        """Whether it simply adds to the period's quantity."""
        return self.aggregation in _SUMS

    @property
    def may_give_back(self) -> bool:
        """Whether more of it may cost less in all."""
        return self.price.may_give_back(self.aggregation)

    def level_end(self, since: datetime) -> datetime | None:
        """When a level that was reported at ``since`` ended with its time on the plan; None where that goes on."""
        return next((phase.ends_at for phase in self.phases if phase.covers(since)), None)

    @property
    def counter(self) -> tuple[UUID, UUID, datetime]:
        """What its running quantity is kept under."""
        return self.subscription_id, self.price.id, self.period_start


_SUMS = frozenset({"sum", "count"})
_PAYERS = """
SELECT c.id, c.organization_id, c.external_id, c.currency_id, c.timezone, c.on_insufficient_funds, c.has_budgets,
       c.origin_key, s.renews_at,
       s.id, p.plan_version_id, p.starts_at, LEAST(p.ends_at, s.ends_at), p.anchor, s.timezone, s.settled_until
  FROM billing_customer c
  LEFT JOIN billing_subscription s ON s.customer_id = c.id
  LEFT JOIN billing_subscriptionphase p ON p.subscription_id = s.id AND p.customer_id = c.id
 WHERE c.id = ANY(%s)
 ORDER BY c.id, s.starts_at DESC, s.id DESC, p.starts_at DESC
"""


def reading(customer_ids: Collection[UUID]) -> pipeline.Query:
    """These customers and their subscriptions, for ``payers``. Under their locks, so that a change of plan counts."""
    return pipeline.Query(_PAYERS, [list(customer_ids)])


def payers(rows: Sequence[tuple[Any, ...]]) -> dict[str, Payer]:
    """The customers that ``reading`` found, by external id."""
    found: dict[str, Payer] = {}
    for id_, organization_id, external_id, currency, timezone, policy, budgeted, key, renews_at, *subscription in rows:
        payer = found.get(external_id)
        if payer is None:
            overdraft = policy == Customer.FundsPolicy.OVERDRAFT
            payer = Payer(id_, organization_id, external_id, currency, ZoneInfo(timezone), overdraft, [], budgeted)
            payer.origin_key = key
            found[external_id] = payer
        if subscription[0] is not None:
            *phase, zone, settled_until = subscription
            if renews_at is not None:
                payer.renews_at = min(renews_at, payer.renews_at or renews_at)
            payer.subscriptions.append(Subscribed(*phase, ZoneInfo(zone), settled_until))  # type: ignore[call-arg]
    return found


def lines(event: IncomingEvent, payer: Payer, *, occurred_at: datetime) -> list[Line]:
    """What the event is to be charged for.

    Of several subscriptions that are running, the latest one that meters this type of event counts. Raises
    ``UnpricedUsage`` where none does, or where a metered quantity has no price for its dimensions; ``InvalidRequest``
    where the data does not give a quantity; ``PermissionDenied`` where the event would name its own price and may not.
    """
    if event.is_own:
        return [_held(event, payer, occurred_at)]
    for subscription in payer.subscriptions:
        if not subscription.covers(occurred_at):
            continue
        plan = compiled_plan(subscription.plan_version_id)
        if event.type in plan.meters:
            found = _lines_of(event, payer, subscription, plan, occurred_at)
            if found:
                return found
    raise UnpricedUsage(
        f"No plan of {payer.external_id} has a price for {event.type} with this data at that time.", type=event.type
    )


def _held(event: IncomingEvent, payer: Payer, occurred_at: datetime) -> Line:
    """What a level came to between its last report and its end (``levels``): so many unit-hours at the price that it
    was reported for."""
    held = event.data["held"]
    for subscription in payer.subscriptions:
        if str(subscription.id) == held["subscription"] and subscription.covers(occurred_at):
            plan = compiled_plan(subscription.plan_version_id)
            with suppress(KeyError):
                meter, price = plan.price(UUID(held["price"]))
                quantity = Decimal(held["unit_hours"])
                start, end = subscription.period_for(occurred_at, plan.interval)
                return Line(
                    meter_id=meter.id,
                    meter=meter.rule.code,
                    quantity=quantity,
                    price=price,
                    groups=held["dimensions"],
                    subscription_id=subscription.id,
                    plan=plan,
                    period_start=start,
                    period_end=end,
                    occurred_at=occurred_at,
                    basis=quantity,
                    late=subscription.is_late(occurred_at),
                )
    raise UnpricedUsage(f"No plan of {payer.external_id} has the price of this level any more.", type=event.type)


def _lines_of(
    event: IncomingEvent, payer: Payer, subscription: Subscribed, plan: CompiledPlan, occurred_at: datetime
) -> list[Line]:
    found: list[Line] = []
    by_dimensions: dict[tuple[str, ...], Mapping[str, str]] = {}
    start, end = subscription.period_for(occurred_at, plan.interval)
    for meter in plan.meters[event.type]:
        try:
            quantity = meter.rule.quantity(event.data)
        except BadQuantity as bad:
            raise InvalidRequest.field(bad.field, bad.detail, code="invalid_quantity") from bad
        if quantity is None:
            continue
        groups = by_dimensions.get(meter.rule.dimensions)
        if groups is None:
            groups = by_dimensions[meter.rule.dimensions] = meter.rule.groups(event.data)
        prices = meter.prices_for(groups, occurred_at)
        if not prices:
            named = ", ".join(f"{field} {value}" for field, value in groups.items()) or "no dimensions"
            raise UnpricedUsage(
                f"The plan {plan.plan} has no price for {meter.rule.code} with {named}.",
                type=event.type,
                meter=meter.rule.code,
            )
        for price in prices:
            waived = event.failed and not price.charges_failed_runs
            found.append(
                Line(
                    meter_id=meter.id,
                    meter=meter.rule.code,
                    quantity=ZERO if waived else quantity,
                    waived=quantity if waived else None,
                    price=price,
                    groups=groups,
                    subscription_id=subscription.id,
                    plan=plan,
                    period_start=start,
                    period_end=end,
                    occurred_at=occurred_at,
                    basis=quantity if price.measure is None else _measured(price, quantity, event),
                    aggregation=meter.rule.aggregation,
                    digest=_digest(meter.rule.distinct(event.data)) if meter.rule.aggregation == "unique" else b"",
                    field=meter.rule.field,
                    leading_field=meter.rule.leading_field,
                    late=subscription.is_late(occurred_at),
                    phases=payer.phases(subscription) if meter.rule.aggregation == "time_weighted" else (),
                )
            )
    if any(line.follows_cost for line in found):
        return _at_cost(found, event, occurred_at)
    return found


def _at_cost(lines: Sequence[Line], event: IncomingEvent, occurred_at: datetime) -> list[Line]:
    """The same, with the part of the event's cost in those that are charged by it."""
    parts = costs.shares(event.data, occurred_at, [line.leading_field for line in lines])
    found = []
    for line, part in zip(lines, parts, strict=True):
        if line.follows_cost:
            if part is None:
                raise UnpricedUsage(
                    f"{line.meter} is charged by the provider's cost, and the cost catalogue has none for this usage.",
                    type=event.type,
                    meter=line.meter,
                )
            found.append(replace(line, basis=part))
        else:
            found.append(line)
    return found


def _measured(price: CompiledPrice, quantity: Decimal, event: IncomingEvent) -> Decimal:
    assert price.measure is not None
    if price.given and not event.may_price:
        raise PermissionDenied("This key may not say what an event costs.", scope=PRICING_SCOPE)
    try:
        return price.measure.of(quantity, event.data)
    except BadQuantity as bad:
        raise InvalidRequest.field(bad.field, bad.detail, code="invalid_amount") from bad


def _digest(value: str) -> bytes:
    return hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).digest()
