"""Levels over time at their end: what was used since the last report is charged like any usage, exactly once.

A level holds until it is reported anew, or until its period, or the time of its plan, ends. When that is over for long
enough that the last reports are in, an event of our own says how many unit-hours were left to count. It occurred in the
last microsecond of that time, is charged at the price that the level was reported for, and waits as unpaid usage where
the wallet has too little.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from billing.engine.costs import BEGINNING
from billing.engine.money import amount_string
from billing.errors import BillingError, InsufficientFunds
from billing.models import Charge, Customer, Price
from billing.selectors.catalog.catalog import compiled_plan
from billing.selectors.usage import levels
from billing.selectors.usage.levels import Held
from billing.services import one_by_one
from billing.services.retrying import retried
from billing.services.usage import rating
from billing.services.usage.counters import Counters
from billing.services.usage.events import IncomingEvent, Outcome
from billing.services.usage.recording import Recording

_LAST = timedelta(microseconds=1)


class _Ending(Recording):
    """The work was done, whatever the wallet or a budget says now."""

    def __init__(self, *state: Any) -> None:
        super().__init__(*state)
        self.allowed_before = True

    def _reject(self, event: IncomingEvent, payer: rating.Payer, refusal: BillingError) -> Outcome:
        if isinstance(refusal, InsufficientFunds):
            return self._keep_unpaid(event, payer, refusal)
        return super()._reject(event, payer, refusal)


def end_due() -> int:
    """Charge the levels whose time has been over for the grace of a period. Returns how many. Safe to run twice."""
    before = timezone.now() - timedelta(seconds=settings.PERIOD_GRACE_SECONDS)
    ended = 0
    for customer_id in dict.fromkeys(each.customer_id for each in levels.held(ended=before)):
        with one_by_one.apart("level of customer", customer_id):
            ended += _end(customer_id, before)
    return ended


@retried
def _end(customer_id: UUID, before: datetime) -> int:
    with transaction.atomic():
        customer = Customer.objects.get(pk=customer_id)
        found = levels.held([customer_id], ended=before)
        events = {_identity(each): _event(each, customer) for each in found}
        recording = _Ending.open(list(events.values()))
        recording.budgets.enforced = recording.fair_use.enforced = False
        # Somebody else may have ended or moved some while we waited for the lock.
        still = [each for each in levels.held([customer_id], ended=before) if _identity(each) in events]
        recording.events = [
            event for each in still if (event := _event(each, customer)).data["held"]["unit_hours"] != "0"
        ]
        recording.decide()
        for each in still:
            key = (each.subscription_id, each.price_id, each.period_start)
            recording.counters.end_level(key, customer_id, at=each.until, period_end=each.period_end)
        recording.write()
    return len(still)


def ends_of(
    event: IncomingEvent, payer: rating.Payer, counters: Counters, occurred_at: datetime
) -> Iterator[IncomingEvent]:
    """The event that ended a level, for each price of the payer's plan that such a level stands at in ``counters``.

    It ends there too. For a replay, whose prices may be others.
    """
    held = event.data["held"]
    meter_id = Price.objects.values_list("meter_id", flat=True).get(pk=held["price"])
    until = occurred_at + _LAST
    for subscription in payer.subscriptions:
        if str(subscription.id) != held["subscription"] or not subscription.covers(occurred_at):
            continue
        plan = compiled_plan(subscription.plan_version_id)
        start, end = replace(subscription, settled_until=BEGINNING).period_for(occurred_at, plan.interval)
        for price_id in plan.prices_of(meter_id):
            key = (subscription.id, price_id, start)
            hours = counters.level_hours(key, until)
            if hours:
                counters.end_level(key, payer.id, at=until, period_end=end)
                more = {"price": str(price_id), "unit_hours": amount_string(hours)}
                yield replace(event, data={**event.data, "held": {**held, **more}})
        return


def _identity(held: Held) -> tuple[UUID, datetime]:
    return held.counter_id, held.until


def _event(held: Held, customer: Customer) -> IncomingEvent:
    price = Price.objects.select_related("meter").get(pk=held.price_id)
    dimensions = _dimensions(held)
    return IncomingEvent(
        id=f"{held.counter_id}:{held.until.isoformat()}",
        source="",
        type=price.meter.event_type,
        subject=customer.external_id,
        time=held.until - _LAST,
        data={
            **dimensions,
            "held": {
                "subscription": str(held.subscription_id),
                "price": str(held.price_id),
                "level": amount_string(held.level),
                "since": held.since.isoformat(),
                "until": held.until.isoformat(),
                "unit_hours": amount_string(held.unit_hours(held.until)),
                "dimensions": dimensions,
            },
        },
        is_own=True,
    )


def _dimensions(held: Held) -> dict[str, str]:
    """What the last report said beside the level."""
    reports = Charge.objects.filter(
        customer_id=held.customer_id,
        subscription_id=held.subscription_id,
        price_id=held.price_id,
        correction=None,
        occurred_at__gte=held.period_start,
        occurred_at__lt=held.until,
    )
    dimensions: dict[str, str] | None = (
        reports.order_by("-occurred_at", "-id").values_list("dimensions", flat=True).first()
    )
    return dimensions or {}
