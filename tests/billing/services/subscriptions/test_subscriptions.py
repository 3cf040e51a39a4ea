"""Subscriptions over time: fees, allowances, trials, commitments, one renewal per period."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.services.audit import SYSTEM
from billing.errors import AlreadyExists, InvalidRequest
from billing.models import (
    Fee,
    Grant,
    LedgerEntry,
    OutboxEvent,
    PlanVersion,
    Subscription,
    SubscriptionPeriod,
    UsageEvent,
)
from billing.selectors.usage import receipts
from billing.services import subscriptions
from billing.services.catalog import plans
from billing.services.customer import customers
from billing.services.usage import unpaid
from billing.services.wallet import corrections, wallets
from tests.billing.services.conftest import Clock
from tests.builders import Shop

D = Decimal


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make_plan(shop: Shop, code: str = "base", *, fee: str = "49", price: str = "1", **terms: Any) -> PlanVersion:
    tokens = shop.meter("tokens", "tokens")
    allowances = [
        plans.AllowanceTerms(shop.asset(asset), D(amount), D(limit))
        for asset, amount, limit in terms.pop("allowances", [])
    ]
    return plans.create(
        actor=SYSTEM,
        code=code,
        name=code.title(),
        currency=shop.usd,
        interval=terms.pop("interval", "month"),
        prices=[shop.price(tokens, price)],
        base_fee=D(fee),
        allowances=allowances,
        **terms,
    )


def least_of(shop: Shop, minimum: int) -> PlanVersion:
    """One dollar a token, and so much a month at least."""
    at_least = replace(shop.price(shop.meter("tokens", "tokens"), "1"), minimum_amount=D(minimum))
    return plans.create(
        actor=SYSTEM, code="least", name="Least", currency=shop.usd, interval="month", prices=[at_least]
    )


def start(customer: Any, version: PlanVersion, **terms: Any) -> Subscription:
    return subscriptions.start(actor=SYSTEM, customer=customer, plan=version.plan, **terms)


def sweep() -> None:
    subscriptions.renew_due()
    subscriptions.collect_due()
    subscriptions.settle_due()


def available(shop: Shop, customer: Any, asset: str = "usd") -> Decimal:
    return shop.balance(customer, asset).available


def spans(subscription: Subscription) -> list[tuple[int, str, str]]:
    rows = SubscriptionPeriod.objects.filter(subscription=subscription).order_by("number")
    return [(row.number, f"{row.start:%Y-%m-%d %H:%M}", f"{row.end:%Y-%m-%d %H:%M}") for row in rows]


def fees(subscription: Subscription) -> list[tuple[str, str, Decimal]]:
    return list(Fee.objects.filter(subscription=subscription).order_by("id").values_list("kind", "state", "amount"))


def test_the_fee_is_charged_and_the_allowance_granted_when_it_starts(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-03-10"))
    version = make_plan(shop, allowances=[("base_tokens", "500000", "0")])
    acme = shop.customer(plan=None, usd="100")

    subscription = start(acme, version)

    assert available(shop, acme) == 51
    grant = Grant.objects.get(asset="base_tokens")
    assert (grant.kind, grant.amount, grant.remaining) == ("allowance", 500000, 500000)
    assert (grant.effective_at, grant.expires_at) == (moment("2026-03-10"), moment("2026-04-10"))
    entry = LedgerEntry.objects.get(kind="fee")
    assert (entry.amount, entry.debit, entry.credit) == (49, "wallet_available", "fees")
    assert entry.transaction.description == "Base, 10 Mar 2026 to 10 Apr 2026"
    assert subscription.status_at(clock.now()) == "active"
    assert spans(subscription) == [(1, "2026-03-10 00:00", "2026-04-10 00:00")]
    assert OutboxEvent.objects.filter(type="subscription.started").count() == 1


def test_a_renewal_charges_again_and_what_was_left_is_gone(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-01-31"))
    version = make_plan(shop, allowances=[("base_tokens", "100", "0")])
    acme = shop.customer(plan=None, usd="100")
    subscription = start(acme, version)

    clock.stop(moment("2026-02-27T23:59:59"))
    sweep()
    assert available(shop, acme) == 51
    clock.stop(moment("2026-02-28"))
    sweep()
    sweep()

    assert available(shop, acme) == 2
    assert available(shop, acme, "base_tokens") == 100
    assert Grant.objects.filter(asset="base_tokens").order_by("id").values_list("expired", flat=True)[0] == 100
    assert spans(subscription)[1] == (2, "2026-02-28 00:00", "2026-03-31 00:00")


def test_what_is_left_is_carried_over_up_to_the_limit_and_not_for_ever(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-01-01"))
    version = make_plan(shop, fee="0", allowances=[("base_tokens", "100", "30")])
    acme = shop.customer(plan=None)
    subscription = start(acme, version)

    for month, expected in [(2, 130), (3, 130)]:
        clock.stop(moment(f"2026-{month:02}-01"))
        sweep()
        assert available(shop, acme, "base_tokens") == expected
    rows = Grant.objects.filter(period__subscription=subscription).order_by("id").values_list("kind", "amount")
    assert list(rows) == [
        ("allowance", 100),
        ("allowance", 100),
        ("rollover", 30),
        ("allowance", 100),
        ("rollover", 30),
    ]


def test_too_little_makes_it_past_due_until_value_comes_in(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-01-01"))
    version = make_plan(shop, allowances=[("base_tokens", "100", "0")])
    acme = shop.customer(plan=None, usd="48")
    shop.fund(acme, "100", kind="promotional", applies_to={"meters": ["tokens"]})

    subscription = start(acme, version)

    assert subscription.status_at(clock.now()) == "past_due"
    assert fees(subscription) == [("base", "due", 49)]
    assert not Grant.objects.filter(asset="base_tokens").exists()
    clock.forward(days=3)
    shop.fund(acme, "1")

    subscription.refresh_from_db()
    assert subscription.status_at(clock.now()) == "active"
    assert fees(subscription) == [("base", "paid", 49)]
    assert available(shop, acme, "base_tokens") == 100
    assert available(shop, acme) == 100  # What is restricted to a meter paid no fee.


def test_a_period_that_ends_unpaid_is_not_charged_any_more(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-01-01"))
    subscription = start(shop.customer(plan=None), make_plan(shop, allowances=[("base_tokens", "100", "0")]))
    clock.stop(moment("2026-02-01"))
    sweep()

    assert fees(subscription) == [("base", "lapsed", 49), ("base", "due", 49)]
    shop.fund(subscription.customer, "60")
    assert available(shop, subscription.customer) == 11
    assert fees(subscription) == [("base", "lapsed", 49), ("base", "paid", 49)]


def test_what_comes_in_when_its_period_is_over_pays_the_next_one_alone(shop: Shop, clock: Clock) -> None:
    """The worker has not come by yet."""
    clock.stop(moment("2026-01-01"))
    version = make_plan(shop, allowances=[("base_tokens", "100", "0")])
    acme, globex = shop.customer(plan=None), shop.customer("globex", plan=None)
    subscription, other = start(acme, version), start(globex, version)
    clock.stop(moment("2026-02-01"))

    shop.fund(acme, "60")
    shop.fund(globex, "10")

    assert fees(subscription) == [("base", "lapsed", 49), ("base", "paid", 49)]
    assert (available(shop, acme), available(shop, acme, "base_tokens")) == (11, 100)
    assert fees(other) == [("base", "lapsed", 49), ("base", "due", 49)]
    sweep()
    assert [len(fees(one)) for one in (subscription, other)] == [2, 2]


def test_a_fee_draws_on_the_overdraft(shop: Shop, clock: Clock) -> None:
    from billing.services.wallet import wallets

    acme = shop.customer(plan=None, usd="9")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=D(40))

    subscription = start(acme, make_plan(shop))

    assert available(shop, acme) == -40
    assert fees(subscription) == [("base", "paid", 49)]


def test_after_three_months_without_workers_there_are_three_periods_with_the_right_dates(
    shop: Shop, clock: Clock
) -> None:
    clock.stop(moment("2026-10-31T09:30:00"))
    acme = shop.customer(plan=None, usd="1000", timezone="Europe/Berlin")
    subscription = start(acme, make_plan(shop))
    clock.stop(moment("2027-01-31T12:00:00"))

    assert subscriptions.renew_due() == 3
    assert subscriptions.renew_due() == 0

    assert spans(subscription) == [
        (1, "2026-10-31 09:30", "2026-11-30 09:30"),
        (2, "2026-11-30 09:30", "2026-12-31 09:30"),
        (3, "2026-12-31 09:30", "2027-01-31 09:30"),
        (4, "2027-01-31 09:30", "2027-02-28 09:30"),
    ]
    assert available(shop, acme) == 1000 - 4 * 49
    occurred = LedgerEntry.objects.filter(kind="fee").order_by("id").values_list("occurred_at", flat=True)
    assert [f"{at:%m-%d}" for at in occurred] == ["10-31", "11-30", "12-31", "01-31"]


def test_a_change_of_the_customers_zone_moves_no_period(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-03-01T05:00:00"))
    acme = shop.customer(plan=None, timezone="America/New_York")
    subscription = start(acme, make_plan(shop, fee="0", interval="day"))
    customers.update(actor=SYSTEM, customer=acme, changes={"timezone": "Asia/Tokyo"})
    clock.stop(moment("2026-03-10"))
    sweep()

    assert spans(subscription)[7:9] == [
        (8, "2026-03-08 05:00", "2026-03-09 04:00"),  # The clocks change: 23 hours.
        (9, "2026-03-09 04:00", "2026-03-10 04:00"),
    ]


def test_a_first_period_before_the_anchor_is_charged_and_granted_in_part(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-04-11"))
    acme = shop.customer(plan=None, usd="100")
    subscription = start(
        acme, make_plan(shop, fee="30", allowances=[("base_tokens", "300", "0")]), anchor=moment("2026-01-01")
    )

    assert spans(subscription) == [(1, "2026-04-11 00:00", "2026-05-01 00:00")]
    assert available(shop, acme) == 80
    assert available(shop, acme, "base_tokens") == 200


def test_a_trial_costs_nothing_and_what_is_used_in_it_neither(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-03-01"))
    acme = shop.customer(plan=None, usd="100")
    subscription = start(acme, make_plan(shop, trial_days=14, allowances=[("base_tokens", "5", "0")]))

    clock.stop(moment("2026-03-05"))
    outcome = shop.record(acme, tokens=7)
    sweep()
    assert (outcome.cost["usd"], outcome.charges[0].plan, outcome.charges[0].plan_version) == (0, "base", 1)
    assert available(shop, acme) == 100
    assert subscription.status_at(clock.now()) == "trialing"
    clock.stop(moment("2026-03-15"))
    sweep()
    shop.record(acme, tokens=7)

    assert available(shop, acme) == 100 - 49 - 7
    assert spans(subscription) == [
        (1, "2026-03-01 00:00", "2026-03-15 00:00"),
        (2, "2026-03-15 00:00", "2026-04-15 00:00"),
    ]
    # What was used in the trial and is reported now is still free.
    assert shop.record(acme, tokens=7, time=moment("2026-03-14T23:59:59")).cost["usd"] == 0


def test_a_discount_is_taken_off_the_fee_and_every_charge(shop: Shop, clock: Clock) -> None:
    acme = shop.customer(plan=None, usd="1000")
    subscription = start(acme, make_plan(shop, fee="100"), discount=D("0.15"))

    fee = Fee.objects.get()
    assert (fee.list_amount, fee.amount) == (100, 85)
    outcome = shop.record(acme, tokens=100)
    assert (outcome.cost["usd"], outcome.charges[0].plan_version) == (85, 1)
    assert subscription.plan_version.derived_from == subscription.plan.latest()


def test_an_override_takes_the_place_of_the_plans_price_for_one_customer(shop: Shop) -> None:
    version = make_plan(shop, fee="0")
    acme, globex = shop.customer(plan=None, usd="100"), shop.customer("globex", plan=None, usd="100")
    start(acme, version, price_overrides=[shop.price(shop.meter("tokens"), "0.5")])
    start(globex, version)

    assert shop.record(acme, tokens=10).cost["usd"] == 5
    assert shop.record(globex, tokens=10).cost["usd"] == 10


def test_what_is_missing_to_the_commitment_is_charged_when_the_period_is_settled(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-05-01"))
    acme = shop.customer(plan=None, usd="2000")
    subscription = start(acme, make_plan(shop, fee="0"), minimum_commitment=D(1000))
    shop.record(acme, tokens=800)

    clock.stop(moment("2026-06-01T00:59:59"))
    sweep()
    assert fees(subscription) == []
    clock.stop(moment("2026-06-01T01:00:00"))
    sweep()
    sweep()

    assert fees(subscription) == [("true_up", "paid", 200)]
    assert available(shop, acme) == 1000
    assert OutboxEvent.objects.get(type="period.settled").payload["true_up"] == "200"


@pytest.mark.parametrize(("used", "committed", "due"), [(30, 0, 70), (120, 0, 0), (30, 90, 70), (30, 150, 120)])
def test_what_a_price_asks_for_at_least_is_charged_when_the_period_is_settled(
    shop: Shop, clock: Clock, used: int, committed: int, due: int
) -> None:
    clock.stop(moment("2026-05-01"))
    acme = shop.customer(plan=None, usd="2000")
    subscription = start(acme, least_of(shop, 100), minimum_commitment=D(committed))
    shop.record(acme, tokens=used)

    clock.stop(moment("2026-06-01T01:00:00"))
    sweep()

    assert fees(subscription) == ([("true_up", "paid", due)] if due else [])
    assert available(shop, acme) == 2000 - used - due


@pytest.mark.parametrize(("minimum", "committed"), [(100, 0), (0, 100), (100, 100)])
def test_late_usage_counts_towards_minimum_and_commitment_alike(
    shop: Shop, clock: Clock, minimum: int, committed: int
) -> None:
    clock.stop(moment("2026-05-01"))
    acme = shop.customer(plan=None, usd="2000")
    subscription = start(acme, least_of(shop, minimum), minimum_commitment=D(committed))
    shop.record(acme, tokens=60)
    clock.stop(moment("2026-06-02"))
    sweep()
    shop.record(acme, tokens=40, time=moment("2026-05-20"))
    shop.record(acme, tokens=60)
    for text in ("2026-07-02", "2026-08-02"):
        clock.stop(moment(text))
        sweep()

    # In July nothing is used, and what came late counts once.
    assert fees(subscription) == [("true_up", "paid", 40), ("true_up", "paid", 100)]


@pytest.mark.parametrize(("minimum", "committed"), [(100, 0), (0, 100)])
def test_unpaid_usage_counts_towards_the_least_of_its_own_period(
    shop: Shop, clock: Clock, minimum: int, committed: int
) -> None:
    clock.stop(moment("2026-05-01"))
    acme = shop.customer(plan=None, on_insufficient_funds="overdraft")
    subscription = start(acme, least_of(shop, minimum), minimum_commitment=D(committed))
    shop.record(acme, tokens=70)
    subscriptions.cancel(actor=SYSTEM, subscription=subscription)
    clock.stop(moment("2026-06-02"))
    sweep()
    assert fees(subscription) == []

    shop.fund(acme, "500")
    unpaid.collect_due()
    sweep()

    assert fees(subscription) == [("true_up", "paid", 30)]
    assert available(shop, acme) == 400


@pytest.mark.parametrize(
    ("interval", "first", "days", "until"),
    [
        ("week", "2026-05-01", 14, "2026-06-06"),
        ("month", "2026-02-01", 30, "2026-06-04"),
        ("month", "2026-05-01", 45, "2026-09-16"),
    ],
)
def test_after_a_trial_longer_than_its_interval_each_period_is_settled(
    shop: Shop, clock: Clock, interval: str, first: str, days: int, until: str
) -> None:
    clock.stop(moment(first))
    acme = shop.customer(plan=None, usd="2000")
    subscription = start(acme, make_plan(shop, fee="0", interval=interval), trial_days=days, minimum_commitment=D(100))
    clock.stop(moment(until))
    sweep()

    assert fees(subscription) == [("true_up", "paid", 100)] * 3
    assert list(subscription.periods.order_by("number").values_list("state", flat=True)) == ["settled"] * 4 + ["open"]


def test_a_least_amount_in_another_asset_could_not_be_charged_and_is_refused(shop: Shop) -> None:
    at_least = replace(
        shop.price(shop.meter("tokens", "tokens"), "1", asset=shop.asset("credits")), minimum_amount=D(100)
    )

    with pytest.raises(InvalidRequest) as refused:
        plans.create(actor=SYSTEM, code="least", name="Least", currency=shop.usd, interval="month", prices=[at_least])

    assert [error.field for error in refused.value.errors] == ["prices.0.minimum_amount"]


def test_usage_that_is_reported_after_its_period_was_settled_counts_for_the_open_one(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-05-01"))
    acme = shop.customer(plan=None, usd="3000")
    subscription = start(acme, make_plan(shop, fee="0"), minimum_commitment=D(1000))
    clock.stop(moment("2026-06-02"))
    sweep()
    assert fees(subscription) == [("true_up", "paid", 1000)]

    shop.record(acme, tokens=100, time=moment("2026-05-20"))
    shop.record(acme, tokens=300)
    marks = [receipts.of(event).charges[0].late for event in UsageEvent.objects.order_by("occurred_at")]
    assert marks == [True, False]
    clock.stop(moment("2026-07-02"))
    sweep()

    assert fees(subscription)[1] == ("true_up", "paid", 600)


def test_late_usage_that_is_taken_back_counts_no_more_in_the_open_period(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-05-01"))
    acme = shop.customer(plan=None, usd="100")
    tokens = shop.meter("tokens", "tokens")
    version = plans.create(
        actor=SYSTEM,
        code="free",
        name="Free",
        currency=shop.usd,
        interval="month",
        prices=[replace(shop.price(tokens, "1"), free_units=D(10))],
        fair_use=[plans.FairUseTerms(D(10), meter=tokens)],
    )
    start(acme, version)
    clock.stop(moment("2026-06-02"))
    sweep()
    assert shop.record(acme, id="late", tokens=10, time=moment("2026-05-20")).status == "charged"

    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="late"), reason="never happened")

    assert shop.record(acme, id="own", tokens=10).status == "charged"
    assert available(shop, acme) == 100


def test_what_periods_that_are_over_include_pays_no_debt(shop: Shop, clock: Clock) -> None:
    """Neither those of a start in the past, nor those that a worker opens late."""
    clock.stop(moment("2026-05-01"))
    acme = shop.customer(plan=None)
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=D(1000))
    corrections.adjust(actor=SYSTEM, customer=acme, asset=shop.usd, amount=D(-1000), reason="a debt", allow_debt=True)

    start(acme, make_plan(shop, fee="0", allowances=[("usd", "100", "0")]), starts_at=moment("2025-09-01"))

    assert available(shop, acme) == -900
    clock.stop(moment("2026-08-02"))
    sweep()
    assert available(shop, acme) == -800


def test_nobody_is_on_a_plan_twice_and_terms_that_cannot_be_are_refused(shop: Shop) -> None:
    acme, version = shop.customer(plan=None), make_plan(shop, fee="0")
    start(acme, version)

    with pytest.raises(AlreadyExists):
        start(acme, version)
    globex = shop.customer("globex", plan=None)
    wrong: list[dict[str, Any]] = [
        {"discount": D("1.01")},
        {"version": 9},
        {"trial_days": -1},
        {"minimum_commitment": D("0.0000000000001")},
        {"trial_days": 731},
    ]
    for terms in wrong:
        with pytest.raises(InvalidRequest):
            subscriptions.start(actor=SYSTEM, customer=globex, plan=version.plan, **terms)
    assert not Subscription.objects.filter(customer=globex).exists()
