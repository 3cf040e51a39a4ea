"""Levels over time are charged up to the end of their period, exactly once."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.services.audit import SYSTEM
from billing.engine.money import round_half_even
from billing.models import Charge, Customer, PlanVersion, Subscription, SubscriptionPeriod, UnpaidUsage, UsageCounter
from billing.models import UsageEvent as Event
from billing.selectors.usage import levels as selector
from billing.selectors.usage import receipts
from billing.services import subscriptions, usage
from billing.services.catalog import what_if
from billing.services.subscriptions import Wanted
from billing.services.usage import levels, unpaid
from tests.billing.services.conftest import Clock
from tests.billing.services.subscriptions.test_subscriptions import moment
from tests.builders import Shop

START = moment("2026-03-01")
END = moment("2026-04-01")
PER_HOUR = Decimal("0.10")


def storage(shop: Shop, code: str = "storage", unit_amount: str = "0.10") -> PlanVersion:
    gb = shop.meter("gb", "gb", aggregation="time_weighted")
    return shop.plan(code, [shop.price(gb, unit_amount)])


def tenant(shop: Shop, clock: Clock, name: str = "acme", *, usd: str = "100000") -> Customer:
    """On the plan since the first of March, when it is."""
    clock.stop(START)
    customer = shop.customer(name, plan=None, usd=usd)
    subscriptions.start(actor=SYSTEM, customer=customer, plan=storage(shop).plan, starts_at=START)
    return customer


def report(shop: Shop, clock: Clock, customer: Customer, *reports: tuple[datetime, int]) -> None:
    """Levels as they are reported, each at its own time."""
    for at, level in reports:
        clock.stop(at)
        assert shop.record(customer, gb=level, time=at).status == "charged"


def settle(clock: Clock, at: datetime) -> None:
    """What the worker does."""
    clock.stop(at)
    subscriptions.renew_due()
    levels.end_due()
    subscriptions.settle_due()


def charged(customer: Customer) -> Decimal:
    return Charge.objects.filter(customer=customer).aggregate(total=Sum("amount"))["total"] or Decimal(0)


def test_a_level_holds_until_its_period_ends_and_is_charged_once(shop: Shop, clock: Clock) -> None:
    customer = tenant(shop, clock)
    report(shop, clock, customer, (moment("2026-03-11"), 10), (moment("2026-03-21"), 5))

    settle(clock, END + timedelta(minutes=59))
    assert charged(customer) == 10 * 240 * PER_HOUR
    for hours in (1, 2, 300):
        settle(clock, END + timedelta(hours=hours))

    assert charged(customer) == (10 * 240 + 5 * 264) * PER_HOUR
    event = Event.objects.get(source="")
    assert (event.status, event.occurred_at) == ("charged", END - timedelta(microseconds=1))
    (charge,) = receipts.of(event).charges
    assert (charge.meter, charge.quantity, charge.amount) == ("gb", 5 * 264, Decimal(132))
    assert sum(line.amount for line in charge.lines) == charge.amount
    period = SubscriptionPeriod.objects.get(number=1)
    assert (period.state, UsageCounter.objects.get().level) == ("settled", 0)


def test_the_period_waits_for_its_levels(shop: Shop, clock: Clock) -> None:
    customer = tenant(shop, clock)
    report(shop, clock, customer, (moment("2026-03-11"), 10))
    clock.stop(END + timedelta(hours=2))

    assert subscriptions.settle_due() == 0
    assert levels.end_due() == 1
    assert (subscriptions.settle_due(), levels.end_due()) == (1, 0)


def test_a_report_in_the_grace_still_counts_and_the_end_comes_after_it(shop: Shop, clock: Clock) -> None:
    customer = tenant(shop, clock)
    report(shop, clock, customer, (moment("2026-03-11"), 10))
    clock.stop(END + timedelta(minutes=30))
    shop.record(customer, gb=0, time=moment("2026-03-21"))

    settle(clock, END + timedelta(hours=2))

    assert charged(customer) == 10 * 240 * PER_HOUR


def test_one_that_comes_after_the_settling_holds_from_the_next_period_on(shop: Shop, clock: Clock) -> None:
    customer = tenant(shop, clock)
    settle(clock, END + timedelta(hours=2))
    clock.stop(END + timedelta(hours=3))

    shop.record(customer, gb=10, time=moment("2026-03-21"))
    report(shop, clock, customer, (END + timedelta(hours=10), 0))

    assert charged(customer) == 10 * 10 * PER_HOUR


def test_it_is_charged_by_the_plan_it_was_reported_under_up_to_the_change(shop: Shop, clock: Clock) -> None:
    customer = tenant(shop, clock)
    dearer = storage(shop, "dearer", "1")
    report(shop, clock, customer, (moment("2026-03-11"), 10))
    clock.stop(moment("2026-03-21"))
    subscription = customer.subscriptions.get()
    subscriptions.change(actor=SYSTEM, subscription=subscription, wanted=Wanted(dearer.plan))
    report(shop, clock, customer, (moment("2026-03-31"), 10))

    settle(clock, END + timedelta(hours=2))

    assert charged(customer) == 10 * 240 * PER_HOUR + 10 * 24


def test_back_on_the_first_plan_nothing_is_counted_in_between(shop: Shop, clock: Clock) -> None:
    """Even where the end of the first time on it has not been charged yet."""
    customer = tenant(shop, clock)
    subscription, first = customer.subscriptions.get(), customer.subscriptions.get().plan
    dearer = storage(shop, "dearer", "1")
    report(shop, clock, customer, (moment("2026-03-11"), 10))
    clock.stop(moment("2026-03-21"))
    subscriptions.change(actor=SYSTEM, subscription=subscription, wanted=Wanted(dearer.plan))
    clock.stop(moment("2026-03-21T00:15"))
    subscriptions.change(actor=SYSTEM, subscription=subscription, wanted=Wanted(first))
    report(shop, clock, customer, (moment("2026-03-21T00:45"), 5))
    assert charged(customer) == 10 * 240 * PER_HOUR

    for hours in (2, 3):
        settle(clock, END + timedelta(hours=hours))

    assert charged(customer) == (10 * 240 + 5 * (264 - Decimal("0.75"))) * PER_HOUR


def test_it_ends_with_the_subscription(shop: Shop, clock: Clock) -> None:
    customer = tenant(shop, clock)
    report(shop, clock, customer, (moment("2026-03-11"), 10))
    clock.stop(moment("2026-03-12"))
    subscriptions.cancel(actor=SYSTEM, subscription=customer.subscriptions.get(), when="now")

    settle(clock, moment("2026-03-12T01:00"))

    assert charged(customer) == 10 * 24 * PER_HOUR
    assert not Subscription.objects.filter(periods__state="open").exists()


def test_what_the_wallet_cannot_pay_waits_as_unpaid(shop: Shop, clock: Clock) -> None:
    customer = tenant(shop, clock, usd="1")
    report(shop, clock, customer, (moment("2026-03-31"), 10))

    settle(clock, END + timedelta(hours=2))

    assert UnpaidUsage.objects.get(customer=customer, open=True).required == 24
    assert SubscriptionPeriod.objects.get(number=1).state == "settled"
    shop.fund(customer, "30")
    assert unpaid.collect_due() == 1
    assert charged(customer) == 24
    report(shop, clock, customer, (moment("2026-04-02"), 1), (moment("2026-04-03"), 0))
    assert shop.balance(customer).available == 31 - 24 - Decimal("2.4")


def test_what_has_accrued_is_what_would_be_charged(shop: Shop, clock: Clock) -> None:
    customer = tenant(shop, clock)
    report(shop, clock, customer, (moment("2026-03-11"), 10))

    subscription = customer.subscriptions.get()
    (first,) = selector.accrued(subscription, moment=moment("2026-03-12"))
    (whole,) = selector.accrued(subscription, moment=moment("2026-06-01"))
    assert (first.meter.code, first.level, first.unit_hours, first.amount) == ("gb", 10, 240, 24)
    settle(clock, END + timedelta(hours=2))

    assert charged(customer) == whole.amount
    assert selector.accrued(subscription, moment=clock.now()) == []


def test_what_if_ends_the_levels_of_the_scenario(shop: Shop, clock: Clock) -> None:
    customer = tenant(shop, clock)
    storage(shop, "dearer", "1")
    report(shop, clock, customer, (moment("2026-03-11"), 10), (moment("2026-03-21"), 5))
    settle(clock, END + timedelta(hours=2))

    for version in PlanVersion.objects.all():
        result = what_if.replay(what_if.Scenario(START, END, version), customer.pk)
        assert (result.unpriced, result.now) == (0, {"usd": 372})
        assert result.then == {"usd": 372 if version.plan.code == "storage" else 3720}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10**10)), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, 4 * 10**10), max_size=5),
    batches=st.booleans(),
)
def test_any_way_of_reporting_a_level_comes_to_the_same(
    shop: Shop, clock: Clock, steps: list[tuple[int, int]], cuts: list[int], batches: bool
) -> None:
    """Reported when it changes, or again and again in between, one by one or together."""
    few, many = (tenant(shop, clock, f"{name}-{Customer.objects.count()}") for name in ("few", "many"))
    changes, at = [], START
    for level, lasts in steps:
        changes.append((at, level))
        at += timedelta(microseconds=lasts)
    again = [START + timedelta(microseconds=cut) for cut in cuts]
    repeated = [(each, [level for begin, level in changes if begin <= each][-1]) for each in again]

    clock.stop(END)
    _record(shop, few, changes, together=batches)
    _record(shop, many, sorted([*changes, *repeated]), together=not batches)
    settle(clock, END + timedelta(hours=2))

    ends = [*(begin for begin, _ in changes[1:]), END]
    exact = sum(
        Decimal(level) * ((end - begin) // timedelta(microseconds=1))
        for (begin, level), end in zip(changes, ends, strict=True)
    )
    quantity = round_half_even(exact / Decimal(3_600_000_000), precision=12)
    expected = round_half_even(quantity * PER_HOUR, precision=shop.usd.precision)
    assert charged(few) == charged(many) == expected


def _record(shop: Shop, customer: Customer, reports: Sequence[tuple[datetime, int]], *, together: bool) -> None:
    events = [shop.event(customer, gb=level, time=at) for at, level in reports]
    outcomes = usage.record(events) if together else [usage.record([event])[0] for event in events]
    assert {outcome.status for outcome in outcomes} == {"charged"}
