"""Exactly one renewal a period: over 26 months, in zones where the clocks change, and under workers that race."""

import time
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError

from accounts.services.audit import SYSTEM
from billing import locks, pipeline
from billing.models import Authorization, Fee, LedgerTransaction, SubscriptionPeriod
from billing.services import authorizations, subscriptions, usage
from billing.services.catalog import estimates, plans
from billing.services.subscriptions import periods
from tests.billing.services.conftest import Clock
from tests.billing.services.ledger.test_races import together
from tests.billing.services.subscriptions.test_subscriptions import make_plan, moment, start
from tests.builders import LLM, Shop

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


@pytest.mark.parametrize("zone", ZONES)
def test_over_26_months_there_is_one_renewal_a_period_and_no_gap(shop: Shop, clock: Clock, zone: str) -> None:
    version = make_plan(shop, fee="1")
    started = {}
    for day in (29, 30, 31):
        begin = datetime(2026, 12, day, 1, 30, tzinfo=ZoneInfo(zone))
        clock.stop(begin)
        customer = shop.customer(f"from-{day}", plan=None, usd="100", timezone=zone)
        started[day] = start(customer, version)
    # A worker that comes now and then, at times for the first time in months; and another right behind it.
    for text in ("2027-01-30T12:00", "2027-02-28T23:59", "2027-03-01", "2027-03-31", "2027-11-15", "2029-02-01T12:00"):
        clock.stop(moment(text))
        subscriptions.renew_due()
        assert subscriptions.renew_due() == 0

    for day, subscription in started.items():
        rows = list(SubscriptionPeriod.objects.filter(subscription=subscription).order_by("number"))
        local = [row.start.astimezone(ZoneInfo(zone)) for row in rows]
        months = [(2026, 12), *((2027, m) for m in range(1, 13)), *((2028, m) for m in range(1, 13)), (2029, 1)]
        expected = [(y, m, min(day, LENGTHS[m - 1] + (m == 2 and y == 2028))) for y, m in months]
        assert [(at.year, at.month, at.day) for at in local] == expected[: len(rows)]
        assert len(rows) == 26
        assert all((at.hour, at.minute) in {(1, 30), (2, 0)} for at in local)
        assert [row.start for row in rows[1:]] == [row.end for row in rows[:-1]]
        assert [row.number for row in rows] == list(range(1, len(rows) + 1))
        fees = Fee.objects.filter(subscription=subscription, kind="base", state="paid")
        assert sorted(fees.values_list("start", flat=True)) == [row.start for row in rows]
        assert LedgerTransaction.objects.filter(template="fee.charged", customer=subscription.customer).count() == len(
            rows
        )


def _four_in_need(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-01-31"))
    version = make_plan(shop, allowances=[("base_tokens", "10", "5")])
    for number in range(4):
        start(shop.customer(f"c{number}", plan=None, usd="1000"), version)
    clock.stop(moment("2026-04-30T12:00:00"))


def test_workers_that_race_renew_each_period_once(committed_db: None, shop: Shop, clock: Clock) -> None:
    _four_in_need(shop, clock)

    opened = together(*[subscriptions.renew_due] * 4)

    # Whoever finds a customer locked leaves it to the other, so that one more sweep may be needed, and no more.
    opened.append(subscriptions.renew_due())
    assert sum(opened) == 4 * 3
    assert Fee.objects.filter(state="paid").count() == SubscriptionPeriod.objects.count() == 16
    assert {shop.balance(fee.customer).available for fee in Fee.objects.all()} == {Decimal(1000 - 4 * 49)}


@pytest.mark.corrupts_books
def test_that_race_is_real_without_the_lock(
    committed_db: None, shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _four_in_need(shop, clock)
    locked, opening = locks.balances, periods.open_next

    def unlocked(customer_ids: Any, **how: Any) -> pipeline.Query:
        query = locked(customer_ids, **how)
        return pipeline.Query(query.statement.partition("FOR UPDATE")[0], query.parameters)

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.1)
        return opening(*arguments)

    monkeypatch.setattr(locks, "balances", unlocked)
    monkeypatch.setattr(periods, "open_next", slowly)

    together(*[subscriptions.renew_due] * 4)

    # The database refuses the second copy of a period, whoever forgot the lock.
    refused = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert refused
    assert all(isinstance(error, IntegrityError) for error in refused)
    assert all("billing_period_" in str(error) for error in refused)


def test_a_subscription_is_started_once_and_paid_once(committed_db: None, shop: Shop) -> None:
    acme, version = shop.customer(plan=None, usd="200"), make_plan(shop)

    together(*[lambda: subscriptions.start(actor=SYSTEM, customer=acme, plan=version.plan)] * 4)

    assert Fee.objects.count() == 1
    assert shop.balance(acme).available == 151


def test_one_that_cannot_be_renewed_keeps_nobody_else_waiting(
    shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _four_in_need(shop, clock)
    open_next = periods.open_next

    def broken(journal: Any, subscription: Any) -> Any:
        if subscription.customer.external_id == "c0":
            raise RuntimeError("a bug that one of them meets")
        return open_next(journal, subscription)

    with monkeypatch.context() as patch:
        patch.setattr(periods, "open_next", broken)
        assert subscriptions.renew_due() == 3 * 3
    assert "waits" in caplog.text

    assert subscriptions.renew_due() == 3


def _at_the_turn(shop: Shop, clock: Clock, **terms: Any) -> Any:
    """A customer whose second period has begun, with no worker about: ten of the first's allowance are used."""
    clock.stop(moment("2027-01-31"))
    tokens = shop.meter("tokens", "tokens")
    base_tokens = shop.asset("base_tokens")
    price = replace(shop.price(tokens, "1"), covered_by=base_tokens)
    allowances = [plans.AllowanceTerms(base_tokens, Decimal(10))]
    version = plans.create(
        actor=SYSTEM,
        code="covered",
        name="Covered",
        currency=shop.usd,
        interval="month",
        prices=[price],
        allowances=allowances,
        **terms,
    )
    customer = shop.customer(plan=None, usd="100")
    start(customer, version)
    shop.record(customer, tokens=10)
    clock.stop(moment("2027-02-28T00:00:01"))
    return customer


def test_a_periods_first_event_opens_it_and_is_paid_by_what_it_includes(shop: Shop, clock: Clock) -> None:
    customer = _at_the_turn(shop, clock)

    outcome = shop.record(customer, id="first", tokens=4)

    assert outcome.cost == {"base_tokens": Decimal(4)}
    assert shop.balance(customer, "base_tokens").available == 6
    assert SubscriptionPeriod.objects.filter(customer=customer).count() == 2
    assert subscriptions.renew_due() == 0
    assert shop.record(customer, id="first", tokens=4).replayed
    assert shop.balance(customer, "base_tokens").available == 6


def test_an_authorization_opens_it_as_well(shop: Shop, clock: Clock) -> None:
    customer = _at_the_turn(shop, clock)

    opened = authorizations.open_for_usage(event=shop.event(customer, tokens=4))

    assert opened.holds == {"base_tokens": Decimal(4)}
    assert SubscriptionPeriod.objects.filter(customer=customer).count() == 2


def test_a_capture_opens_it_and_is_paid_by_what_it_includes(shop: Shop, clock: Clock) -> None:
    customer = _at_the_turn(shop, clock)
    clock.stop(moment("2027-02-27T23:59:00"))
    opened = authorizations.open_for_usage(event=shop.event(customer, tokens=4))
    assert opened.holds == {"usd": Decimal(4)}
    clock.stop(moment("2027-02-28T00:00:01"))

    captured = authorizations.capture_usage(
        authorization=opened.authorization, event=shop.event(customer, id="run", tokens=12)
    )

    assert captured.outcome is not None
    assert captured.outcome.cost == {"base_tokens": Decimal(10), "usd": Decimal(2)}
    assert SubscriptionPeriod.objects.filter(customer=customer).count() == 2
    assert (shop.balance(customer).available, shop.balance(customer).held) == (98, 0)


def test_plain_amounts_open_it_as_well(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2027-01-31"))
    version = make_plan(shop, "included", fee="0", allowances=[("usd", "10", "0")])
    customer = shop.customer(plan=None, usd="1")
    start(customer, version)

    clock.stop(moment("2027-02-28"))
    opened = authorizations.open_amount(customer=customer, asset=shop.usd, amount=Decimal(10))
    assert SubscriptionPeriod.objects.filter(customer=customer).count() == 2
    clock.stop(moment("2027-03-31"))
    Authorization.objects.update(expires_at=moment("2027-04-01"))
    captured = authorizations.capture_amount(authorization=opened.authorization, amount=Decimal(15))

    assert captured.authorization.captured == 15
    assert SubscriptionPeriod.objects.filter(customer=customer).count() == 3
    assert shop.balance(customer).available == 6


def test_an_estimate_counts_what_it_includes_and_opens_nothing(shop: Shop, clock: Clock) -> None:
    customer = _at_the_turn(shop, clock, base_fee=Decimal(5))
    before = shop.balance(customer)

    estimate = estimates.for_customer(event=shop.event(customer), usage=[estimates.Usage(LLM, {"tokens": 12})])

    assert estimate.cost == {"base_tokens": Decimal(10), "usd": Decimal(2)}
    assert SubscriptionPeriod.objects.filter(customer=customer).count() == 1
    assert shop.balance(customer).seq == before.seq


def test_events_in_one_transaction_open_every_period_that_was_missed(shop: Shop, clock: Clock) -> None:
    customer = _at_the_turn(shop, clock, base_fee=Decimal(5))
    clock.stop(moment("2027-05-01"))

    outcomes = usage.record_unlocked([shop.event(customer, id=f"e{n}", tokens=6) for n in range(2)])

    assert [None if outcome is None else outcome.cost for outcome in outcomes] == [
        {"base_tokens": Decimal(6)},
        {"base_tokens": Decimal(4), "usd": Decimal(2)},
    ]
    assert SubscriptionPeriod.objects.filter(customer=customer).count() == 4
    assert shop.balance(customer).available == 100 - 4 * 5 - 2


def test_a_period_that_cannot_be_opened_keeps_no_event_waiting(
    shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    customer = _at_the_turn(shop, clock)

    def fail(*_: Any) -> None:
        raise ValueError("out of order")

    monkeypatch.setattr(periods, "open_next", fail)
    assert shop.record(customer, tokens=4).cost == {"usd": Decimal(4)}
    assert "waits" in caplog.text
