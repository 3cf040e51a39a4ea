"""What if usage had been charged by another plan version, or another model had answered?

Real usage is replayed through the rating that charged it, in the order in which it was charged; nothing is written. The
same plan version gives exactly what was charged. Base fees, allowances and minimum commitments are not usage: they are
left out on both sides, and so is what was taken back or refunded.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from accounts.ids import first_id
from billing import pipeline
from billing.engine import burndown
from billing.engine.costs import BEGINNING, Catalogue
from billing.engine.money import EXACT, ZERO, amount_string, amount_strings
from billing.errors import InvalidRequest, PermissionDenied, UnpricedUsage
from billing.models import Correction, PlanVersion, SubscriptionPeriod
from billing.selectors.catalog import costs
from billing.selectors.catalog.catalog import compiled_plan
from billing.selectors.usage.counting import EARLY_MAX
from billing.services.catalog.what_if_wallets import ReplayedWallet
from billing.services.usage import charged_usage, levels, rating
from billing.services.usage.charged_usage import Charged
from billing.services.usage.counters import Counters
from billing.services.usage.drawing import Piece
from billing.services.usage.events import IncomingEvent


@dataclass(frozen=True, slots=True)
class Scenario:
    """Usage that occurred in [``start``, ``end``), under ``version`` (None: each customer's own plans).

    ``models`` says which model is to have answered in place of which.
    """

    start: datetime
    end: datetime
    version: PlanVersion | None = None
    models: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Result:
    """One customer: what was charged (``now``) and would have been (``then``), by asset; costs in US dollars.

    ``unpriced`` counts the events for which the scenario has no price: they are in ``now`` and not in ``then``.
    ``without_cost`` counts the events that another model was to answer, where the cost of either is not known.
    """

    customer: str
    events: int = 0
    now: dict[str, Decimal] = field(default_factory=dict)
    then: dict[str, Decimal] = field(default_factory=dict)
    cost_now: Decimal = ZERO
    cost_then: Decimal = ZERO
    unpriced: int = 0
    without_cost: int = 0

    def difference(self, asset: str) -> Decimal:
        return EXACT.subtract(self.then.get(asset, ZERO), self.now.get(asset, ZERO))

    def add(self, other: "Result") -> None:
        """Take in another customer's figures."""
        for own, more in ((self.now, other.now), (self.then, other.then)):
            for asset, amount in more.items():
                own[asset] = EXACT.add(own.get(asset, ZERO), amount)
        self.events += other.events
        self.unpriced += other.unpriced
        self.without_cost += other.without_cost
        self.cost_now = EXACT.add(self.cost_now, other.cost_now)
        self.cost_then = EXACT.add(self.cost_then, other.cost_then)

    def as_strings(self) -> dict[str, Any]:
        """The fields by name, amounts as strings that give them exactly."""
        return {
            "customer": self.customer,
            "events": self.events,
            "now": amount_strings(self.now),
            "then": amount_strings(self.then),
            "cost_now": amount_string(self.cost_now),
            "cost_then": amount_string(self.cost_then),
            "unpriced": self.unpriced,
            "without_cost": self.without_cost,
        }


def check(scenario: Scenario) -> None:
    """Raise ``InvalidRequest`` for a scenario that cannot be worked out."""
    if scenario.start >= scenario.end:
        raise InvalidRequest.field("from", "must be before to")
    if scenario.version is None and not scenario.models:
        raise InvalidRequest.field("plan", "is needed, or models to put in the place of others")


def customers(scenario: Scenario, *, only: UUID | None = None) -> list[tuple[UUID, int]]:
    """Who was charged for usage in the scenario's time, in the order of their ids, and for how many events."""
    values: dict[str, Any] = {
        "start": scenario.start,
        "end": scenario.end,
        "first": first_id(scenario.start - EARLY_MAX),
    }
    one = ""
    if only is not None:
        one, values["customer"] = "AND customer_id = %(customer)s", only
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT customer_id, COUNT(DISTINCT event_id) FROM billing_charge
             WHERE id >= %(first)s AND occurred_at >= %(start)s AND occurred_at < %(end)s {one}
               AND {charged_usage.STANDS}
             GROUP BY customer_id ORDER BY customer_id
            """,  # noqa: S608 - put together from constants.
            values,
        )
        return list(cursor.fetchall())


def replay(scenario: Scenario, customer_id: UUID, *, advance: Callable[[int], None] = lambda count: None) -> Result:
    """What the customer's usage came to and would have come to. ``advance`` is told how many events are done.

    Memory does not grow with the number of events. Where units are covered by another asset, the wallet is replayed as
    well, as far as that asset goes: what was granted, and what the scenario's plan includes.
    """
    replaying = _Replaying(scenario, customer_id)
    with transaction.atomic():
        for batch in charged_usage.in_order(
            customer_id, start=scenario.start, end=scenario.end, earliest=replaying.earliest
        ):
            advance(replaying.take(batch))
    return replaying.result


class _FromZero(Counters):
    """A replay starts with the period, so nothing was charged in it before."""

    def charged_before(self, customer_id: UUID, line: rating.Line) -> Decimal:
        return ZERO

    def take_back(self, line: rating.Line) -> None:
        """The line's charge was reversed: its period has used that much less from here on."""
        if line.waived is not None or not line.additive:
            return
        key = line.counter
        running = self._running.get(key)
        if running is not None:
            self._running[key] = running._replace(quantity=EXACT.subtract(running.quantity, line.basis))
        elif key in self._uncounted:
            self._uncounted[key] = EXACT.subtract(self._uncounted[key], line.basis)


class _Replaying:
    """One customer's replay."""

    def __init__(self, scenario: Scenario, customer_id: UUID) -> None:
        self._scenario = scenario
        self._customer_id = customer_id
        self._counters = _FromZero()
        self._catalogue: Catalogue = costs.current()
        self._payer = _payer(customer_id)
        self._settled = _settlements(customer_id)
        self._own = _own_versions(scenario.version, self._payer.subscriptions)
        self._as_of: dict[int, rating.Payer] = {}
        self._reversed = _reversed(customer_id)
        self._to_be_reversed: dict[str, Sequence[Piece]] = {}
        self.result = _actual(scenario, customer_id, self._payer.external_id)
        self.result.cost_then = self.result.cost_now
        self.earliest = min(
            (
                subscription.period_for(scenario.start, compiled_plan(subscription.plan_version_id).interval)[0]
                for subscription in self._unsettled(self._supposed(self._payer.subscriptions))
            ),
            default=scenario.start,
        )
        supposed = self._supposed(self._payer.subscriptions)
        own = {(each.id, each.plan_version_id) for each in self._payer.subscriptions}
        self._wallet = ReplayedWallet(
            customer_id,
            covering={asset for each in supposed for asset in compiled_plan(each.plan_version_id).covering},
            elsewhere={each.id for each in supposed if (each.id, each.plan_version_id) not in own},
            since=self.earliest,
        )

    def take(self, batch: Sequence[Charged]) -> int:
        """Replay these events; how many of them the result is about."""
        counted = 0
        for charged in batch:
            if charged.reversal:
                for piece in self._to_be_reversed.pop(charged.event.id, ()):
                    burndown.put_back(piece.draws)
                    if piece.asset == piece.line.price.asset:
                        self._counters.take_back(piece.line)
                continue
            taken_back = charged.event.id in self._reversed
            within = self._scenario.start <= charged.occurred_at < self._scenario.end and not taken_back
            counted += within
            event = self._supposed_event(charged, within=within)
            try:
                payer = self._payer_at(charged.posted_at)
                lines = self._lines(event, payer, charged.occurred_at)
                pieces = self._wallet.charge(self._counters, lines, payer, posted_at=charged.posted_at)
            except (UnpricedUsage, InvalidRequest, PermissionDenied):
                self.result.unpriced += within
                continue
            if taken_back:
                self._to_be_reversed[charged.event.id] = pieces
            if within:
                then = self.result.then
                for piece in pieces:
                    then[piece.asset] = EXACT.add(then.get(piece.asset, ZERO), piece.amount)
        return counted

    def _lines(self, event: IncomingEvent, payer: rating.Payer, occurred_at: datetime) -> list[rating.Line]:
        """What the event would have been charged for. The end of a level is that of the replay's own level."""
        if not event.is_own:
            return rating.lines(event, payer, occurred_at=occurred_at)
        found = [
            line
            for supposed in levels.ends_of(event, payer, self._counters, occurred_at)
            for line in rating.lines(supposed, payer, occurred_at=occurred_at)
        ]
        if not found:
            raise UnpricedUsage("The scenario has no price for this level.", type=event.type)
        return found

    def _supposed_event(self, charged: Charged, *, within: bool) -> IncomingEvent:
        """The event with the model that is to have answered; what that would have cost goes into the result."""
        event = charged.event
        instead = self._scenario.models.get(str(event.data.get("model")))
        if instead is None:
            return event
        supposed = replace(event, data={**event.data, "model": instead})
        if within:
            before = self._catalogue.cost(event.data, charged.occurred_at)
            after = self._catalogue.cost(supposed.data, charged.occurred_at)
            if before is None or after is None:
                self.result.without_cost += 1
            else:
                change = EXACT.subtract(after.amount, before.amount)
                self.result.cost_then = EXACT.add(self.result.cost_then, change)
        return supposed

    def _payer_at(self, posted_at: datetime) -> rating.Payer:
        """The customer as it was when the event was charged: with the periods that were settled by then."""
        position = bisect_right([settled_at for settled_at, _, _ in self._settled], posted_at)
        found = self._as_of.get(position)
        if found is None:
            until: dict[UUID, datetime] = {}
            for _, subscription_id, end in self._settled[:position]:
                until[subscription_id] = max(until.get(subscription_id, end), end)
            subscriptions = [
                replace(each, settled_until=until.get(each.id, BEGINNING)) for each in self._payer.subscriptions
            ]
            found = replace(self._payer, subscriptions=self._supposed(subscriptions))
            self._as_of[position] = found
        return found

    def _supposed(self, subscriptions: Sequence[rating.Subscribed]) -> list[rating.Subscribed]:
        """The subscriptions under the scenario: its version in place of the plan's others, or before all of them."""
        version = self._scenario.version
        if version is None:
            return list(subscriptions)
        if self._own:
            return [
                replace(each, plan_version_id=self._own.get(each.plan_version_id, each.plan_version_id))
                for each in subscriptions
            ]
        first = [replace(each, plan_version_id=version.pk) for each in subscriptions]
        return [*first, *subscriptions]

    def _unsettled(self, subscriptions: Sequence[rating.Subscribed]) -> list[rating.Subscribed]:
        return [replace(each, settled_until=BEGINNING) for each in subscriptions]


def _payer(customer_id: UUID) -> rating.Payer:
    query = rating.reading([customer_id])
    with transaction.atomic():
        pipeline.run([query])
    (payer,) = rating.payers(query.rows).values()
    return payer


def _settlements(customer_id: UUID) -> list[tuple[datetime, UUID, datetime]]:
    """When a period was settled, of which subscription, and when it ended, in the order of the settling."""
    periods = SubscriptionPeriod.objects.filter(customer_id=customer_id)
    found = periods.values_list("settled_at", "subscription_id", "end")
    return sorted((settled_at, subscription, end) for settled_at, subscription, end in found if settled_at is not None)


def _reversed(customer_id: UUID) -> set[str]:
    """Our ids of the customer's events whose charges were taken back."""
    found = Correction.objects.filter(customer_id=customer_id, kind=Correction.Kind.REVERSAL)
    return {str(event_id) for event_id in found.values_list("event_id", flat=True)}


def _own_versions(version: PlanVersion | None, subscriptions: Sequence[rating.Subscribed]) -> dict[UUID, UUID]:
    """The versions of the scenario's plan that the customer is on, each with what takes its place.

    Who is on the very version keeps it, with what was agreed about it.
    """
    if version is None:
        return {}
    used = PlanVersion.objects.filter(pk__in={each.plan_version_id for each in subscriptions}, plan=version.plan)
    return {own.pk: own.pk if own.number == version.number else version.pk for own in used}


def _actual(scenario: Scenario, customer_id: UUID, external_id: str) -> Result:
    """What was really charged."""
    result = Result(external_id)
    values: dict[str, Any] = {"customer": customer_id, "start": scenario.start, "end": scenario.end}
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT asset_id, SUM(amount), COALESCE(SUM(cost), 0) FROM billing_charge
             WHERE customer_id = %(customer)s AND occurred_at >= %(start)s AND occurred_at < %(end)s
               AND {charged_usage.STANDS}
             GROUP BY asset_id
            """,  # noqa: S608 - put together from constants.
            values,
        )
        for asset, amount, cost in cursor.fetchall():
            result.now[asset] = amount
            result.cost_now = EXACT.add(result.cost_now, cost)
        cursor.execute(
            f"""
            SELECT COUNT(DISTINCT event_id) FROM billing_charge
             WHERE customer_id = %(customer)s AND occurred_at >= %(start)s AND occurred_at < %(end)s
               AND {charged_usage.STANDS}
            """,  # noqa: S608 - put together from constants.
            values,
        )
        result.events = cursor.fetchone()[0]
    return result
