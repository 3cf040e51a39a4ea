"""Changing plans and ending subscriptions: to the second, shown before, and nothing bought is touched."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.services.audit import SYSTEM
from billing.errors import AlreadyExists, BillingError, InsufficientFunds, InvalidRequest, InvalidState
from billing.models import Fee, Grant, LedgerEntry, PlanVersion, Subscription
from billing.services import authorizations, subscriptions
from billing.services.catalog import plans
from tests.billing.services.conftest import Clock
from tests.billing.services.subscriptions.test_subscriptions import (
    available,
    fees,
    make_plan,
    moment,
    spans,
    start,
    sweep,
)
from tests.builders import Shop

D = Decimal


def change(subscription: Subscription, version: PlanVersion, **options: Any) -> Subscription:
    wanted = subscriptions.Wanted(version.plan, **options.pop("terms", {}))
    return subscriptions.change(actor=SYSTEM, subscription=subscription, wanted=wanted, **options)


def preview(subscription: Subscription, version: PlanVersion, **options: Any) -> subscriptions.Change:
    return subscriptions.preview(subscription=subscription, wanted=subscriptions.Wanted(version.plan), **options)


def lines(found: subscriptions.Change) -> list[tuple[str, Decimal]]:
    return [(line.kind, line.amount) for line in found.lines]


def test_an_upgrade_credits_what_was_not_used_and_charges_the_rest_to_the_second(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    small = make_plan(shop, "small", fee="30", allowances=[("base_tokens", "300", "0")])
    large = make_plan(shop, "large", fee="90", allowances=[("base_tokens", "900", "0")])
    acme = shop.customer(plan=None, usd="200")
    subscription = start(acme, small)
    clock.stop(moment("2026-06-16"))

    shown = preview(subscription, large)
    assert lines(shown) == [("credit", 15), ("change", 45)]
    assert shown.total == 30
    assert [(line.asset.pk, line.before, line.after) for line in shown.allowances] == [("base_tokens", 300, 600)]
    assert not Fee.objects.filter(kind="change").exists()
    assert Subscription.objects.get().plan == small.plan

    changed = change(subscription, large)

    assert fees(subscription) == [("base", "paid", 30), ("credit", "paid", 15), ("change", "paid", 45)]
    assert available(shop, acme) == 200 - 30 + 15 - 45
    assert available(shop, acme, "base_tokens") == 600
    assert (changed.plan.code, spans(changed)) == ("large", [(1, "2026-06-01 00:00", "2026-07-01 00:00")])
    texts = LedgerEntry.objects.filter(kind="fee").order_by("id").values_list("transaction__description", flat=True)
    assert list(texts) == [
        "Small, 1 Jun 2026 to 1 Jul 2026",
        "Unused: Small, 16 Jun 2026 to 1 Jul 2026",
        "Large, 16 Jun 2026 to 1 Jul 2026",
    ]
    clock.stop(moment("2026-07-01"))
    sweep()
    assert available(shop, acme) == 50
    assert available(shop, acme, "base_tokens") == 900


@pytest.mark.parametrize("second", [1, 59, 86_400 * 14 + 12_345, 86_400 * 30 - 1])
def test_credit_and_used_part_are_the_fee_to_the_last_digit(shop: Shop, clock: Clock, second: int) -> None:
    clock.stop(moment("2026-06-01"))
    small, free = make_plan(shop, "small", fee="49"), make_plan(shop, "free", fee="0")
    acme = shop.customer(plan=None, usd="100")
    subscription = start(acme, small)
    clock.forward(seconds=second)

    change(subscription, free)

    credited = Fee.objects.get(kind="credit").amount
    assert abs(credited - D(49) * (86_400 * 30 - second) / (86_400 * 30)) < D("0.000000000001")
    assert available(shop, acme) == 51 + credited


@pytest.mark.parametrize(
    ("used", "left"),
    [("100", 650), ("150", 600), ("300", 450)],
    ids=["less than its share", "its share", "all of it, half a month early"],
)
def test_what_was_used_ahead_of_time_comes_off_the_new_allowance(
    shop: Shop, clock: Clock, used: str, left: int
) -> None:
    """Half of each for half the month is 150 + 450: nobody has more than what the two fees are for."""
    clock.stop(moment("2026-06-01"))
    small, large = _covered(shop, "small", "30", "300"), _covered(shop, "large", "90", "900")
    acme = shop.customer(plan=None, usd="200")
    subscription = start(acme, small)
    shop.record(acme, tokens=used)
    clock.stop(moment("2026-06-16"))

    shown = preview(subscription, large)
    change(subscription, large)

    assert [line.after for line in shown.allowances] == [left - 150]
    assert available(shop, acme, "base_tokens") == left - 150
    # And changing twice in one moment comes to the same as once.
    huge = _covered(shop, "huge", "100", "900")
    change(subscription, huge)
    assert abs(available(shop, acme, "base_tokens") - (left - 150)) <= 1


def test_what_an_authorization_holds_was_not_used_ahead(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    small, large = _covered(shop, "small", "30", "300"), _covered(shop, "large", "90", "900")
    acme = shop.customer(plan=None, usd="200")
    subscription = start(acme, small)
    clock.stop(moment("2026-06-16"))
    authorizations.open_for_usage(event=shop.event(acme, tokens=300))

    change(subscription, large)

    assert available(shop, acme, "base_tokens") == 450


def test_what_was_free_comes_off_nothing(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    free, large = _covered(shop, "free", "0", "300"), _covered(shop, "large", "90", "900")
    acme = shop.customer(plan=None, usd="200")
    subscription = start(acme, free)
    shop.record(acme, tokens=300)
    clock.stop(moment("2026-06-16"))

    change(subscription, large)

    assert available(shop, acme, "base_tokens") == 450


def _covered(shop: Shop, code: str, fee: str, included: str) -> PlanVersion:
    """A plan whose tokens are taken from what it includes."""
    asset = shop.asset("base_tokens")
    return plans.create(
        actor=SYSTEM,
        code=code,
        name=code.title(),
        currency=shop.usd,
        interval="month",
        base_fee=D(fee),
        allowances=[plans.AllowanceTerms(asset, D(included))],
        prices=[replace(shop.price(shop.meter("tokens", "tokens"), "1"), covered_by=asset)],
    )


def test_the_preview_is_what_is_posted_when_its_moment_is_sent_along(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-02-28T12:00:00"))
    small, large = make_plan(shop, "small", fee="31"), make_plan(shop, "large", fee="77.77")
    acme = shop.customer(plan=None, usd="500")
    subscription = start(acme, small, discount=D("0.1"))
    clock.forward(days=3, hours=7)
    shown = preview(subscription, large)
    clock.forward(minutes=20)

    change(subscription, large, at=shown.at)

    posted = Fee.objects.exclude(kind="base").order_by("id").values_list("kind", "amount", "list_amount", "start")
    assert list(posted) == [(line.kind, line.amount, line.list_amount, line.start) for line in shown.lines]
    assert (
        Fee.objects.get(kind="change").amount < Fee.objects.get(kind="change").list_amount
    )  # The discount went along.
    with pytest.raises(InvalidRequest):
        change(subscription, small, at=shown.at)


def test_what_was_bought_is_not_touched_and_what_was_used_is_gone(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    tokens = shop.asset("base_tokens")
    small = make_plan(shop, "small", fee="0", allowances=[("base_tokens", "300", "0")])
    large = make_plan(shop, "large", fee="0", allowances=[("images", "10", "0")])
    acme = shop.customer(plan=None)
    bought = shop.fund(acme, "1000", asset="base_tokens")
    subscription = start(acme, small)
    plan = shop.plan("uses", [shop.price(shop.meter("uses", "uses"), "1", asset=tokens)])
    start(acme, plan)
    shop.record(acme, uses=250)
    clock.stop(moment("2026-06-16"))

    change(subscription, large)

    bought.refresh_from_db()
    assert bought.remaining == 1000
    assert available(shop, acme, "base_tokens") == 1000  # 50 were left, and 150 were for the time to come.
    assert available(shop, acme, "images") == 5


def test_a_downgrade_gives_more_back_than_it_costs_and_the_cost_basis_with_it(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    small, large = make_plan(shop, "small", fee="30"), make_plan(shop, "large", fee="90")
    acme = shop.customer(plan=None)
    shop.fund(acme, "100", paid_amount=D(80))
    subscription = start(acme, large)
    clock.stop(moment("2026-06-16"))

    change(subscription, small)

    assert available(shop, acme) == 100 - 90 + 45 - 15
    credit = Grant.objects.get(kind="adjustment")
    assert (credit.amount, credit.paid_amount, credit.expires_at) == (45, 36, None)


def test_what_comes_back_of_a_fee_expires_when_what_had_paid_it_would_have(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    large, acme = make_plan(shop, "large", fee="90"), shop.customer(plan=None)
    soon, later = moment("2026-06-10"), moment("2026-07-20")
    shop.fund(acme, "10", kind="promotional", expires_at=soon)
    shop.fund(acme, "20", kind="promotional", expires_at=later)
    shop.fund(acme, "100", paid_amount=D(80))
    subscription = start(acme, large)
    clock.stop(moment("2026-06-11"))  # Two thirds of the period are still to come.

    subscriptions.cancel(actor=SYSTEM, subscription=subscription, when="now", refund=True)

    back = Grant.objects.filter(kind="adjustment").order_by("amount")
    assert [(grant.remaining, grant.paid_amount, grant.expires_at) for grant in back] == [
        (D("6.666666666667"), 0, moment("2026-07-11")),  # Its end was over: thirty days.
        (D("13.333333333333"), 0, later),
        (40, 32, None),
    ]
    assert available(shop, acme) == 40 + 60


def test_another_interval_starts_a_period_of_its_own(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    monthly, yearly = make_plan(shop, "monthly", fee="30"), make_plan(shop, "yearly", fee="300", interval="year")
    acme = shop.customer(plan=None, usd="500")
    subscription = start(acme, monthly)
    clock.stop(moment("2026-06-11"))

    change(subscription, yearly)

    assert fees(subscription) == [("base", "paid", 30), ("credit", "paid", 20), ("change", "paid", 300)]
    assert spans(subscription) == [
        (1, "2026-06-01 00:00", "2026-06-11 00:00"),
        (2, "2026-06-11 00:00", "2027-06-11 00:00"),
    ]
    clock.stop(moment("2027-06-11"))
    shop.fund(acme, "300")
    sweep()
    assert spans(subscription)[2] == (3, "2027-06-11 00:00", "2028-06-11 00:00")


def test_at_the_periods_end_nothing_happens_before_it(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    small, large = make_plan(shop, "small", fee="30"), make_plan(shop, "large", fee="90", price="2")
    acme = shop.customer(plan=None, usd="500")
    subscription = start(acme, small)

    change(subscription, large, when="period_end")

    assert shop.record(acme, tokens=1).cost["usd"] == 1
    clock.stop(moment("2026-07-01"))
    sweep()
    assert fees(subscription) == [("base", "paid", 30), ("base", "paid", 90)]
    assert shop.record(acme, tokens=1).cost["usd"] == 2
    # Each event is priced by the terms of its own time.
    assert shop.record(acme, tokens=1, time=moment("2026-06-30T23:59:59")).cost["usd"] == 1


def test_an_upgrade_that_cannot_be_paid_changes_nothing(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    small, large = make_plan(shop, "small", fee="30"), make_plan(shop, "large", fee="90")
    acme = shop.customer(plan=None, usd="59")
    subscription = start(acme, small)
    clock.stop(moment("2026-06-16"))

    with pytest.raises(InsufficientFunds) as refused:
        change(subscription, large)

    assert refused.value.figures["available"] == 44
    assert fees(subscription) == [("base", "paid", 30)]
    assert available(shop, acme) == 29


def test_two_changes_in_one_period_leave_no_rest(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    small, large = make_plan(shop, "small", fee="30"), make_plan(shop, "large", fee="90")
    acme = shop.customer(plan=None, usd="500")
    subscription = start(acme, small)
    for day, version in [(11, large), (21, small)]:
        clock.stop(moment(f"2026-06-{day}"))
        change(subscription, version)

    assert available(shop, acme) == 500 - 10 - 30 - 10
    change(subscription, version)  # In the same moment, to the same plan: nothing but a tick of time.
    assert abs(available(shop, acme) - 450) < D("0.001")


def test_a_trial_goes_on_on_the_other_plan(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    small, large = make_plan(shop, "small", fee="30", trial_days=10), make_plan(shop, "large", fee="90", price="3")
    acme = shop.customer(plan=None, usd="500")
    subscription = start(acme, small)
    clock.stop(moment("2026-06-05"))

    change(subscription, large)

    assert shop.record(acme, tokens=5).cost["usd"] == 0
    clock.stop(moment("2026-06-11"))
    sweep()
    assert fees(subscription) == [("base", "paid", 90)]
    assert shop.record(acme, tokens=5).cost["usd"] == 15


def test_canceling_now_gives_back_the_unused_fee_if_asked(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    version = make_plan(shop, fee="30", allowances=[("base_tokens", "300", "0")])
    acme, globex = shop.customer(plan=None, usd="100"), shop.customer("globex", plan=None, usd="100")
    for customer in (acme, globex):
        start(customer, version)
    clock.stop(moment("2026-06-16"))

    subscriptions.cancel(actor=SYSTEM, subscription=acme.subscriptions.get(), when="now", refund=True)
    subscriptions.cancel(actor=SYSTEM, subscription=globex.subscriptions.get(), when="now")

    assert (available(shop, acme), available(shop, globex)) == (85, 70)
    assert available(shop, acme, "base_tokens") == 0
    clock.stop(moment("2026-08-01"))
    sweep()
    assert (available(shop, acme), available(shop, globex)) == (85, 70)
    assert shop.record(acme, tokens=1).error is not None
    start(acme, version)  # And back again.
    assert available(shop, acme) == 55


def test_canceling_at_the_periods_end_can_be_taken_back(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    version = make_plan(shop, fee="30")
    acme = shop.customer(plan=None, usd="100")
    subscription = start(acme, version)

    canceled = subscriptions.cancel(actor=SYSTEM, subscription=subscription)
    assert canceled.ends_at == moment("2026-07-01")
    with pytest.raises(InvalidState):
        change(subscription, version)
    assert subscriptions.reactivate(actor=SYSTEM, subscription=subscription).ends_at is None
    clock.stop(moment("2026-07-01"))
    sweep()
    assert available(shop, acme) == 40
    subscriptions.cancel(actor=SYSTEM, subscription=subscription)
    clock.stop(moment("2026-09-01"))
    sweep()

    subscription.refresh_from_db()
    assert (subscription.status_at(clock.now()), subscription.renews_at) == ("canceled", None)
    assert available(shop, acme) == 40
    with pytest.raises(InvalidState):
        subscriptions.reactivate(actor=SYSTEM, subscription=subscription)


def test_one_that_has_not_started_is_changed_and_canceled_without_a_trace_in_the_books(
    shop: Shop, clock: Clock
) -> None:
    at: datetime = clock.stop(moment("2026-06-01"))
    small, large = make_plan(shop, "small", fee="30"), make_plan(shop, "large", fee="90")
    acme = shop.customer(plan=None, usd="100")
    subscription = start(acme, small, starts_at=moment("2026-06-10"))

    assert subscription.status_at(at) == "scheduled"
    change(subscription, large)
    subscriptions.cancel(actor=SYSTEM, subscription=subscription)
    clock.stop(moment("2026-06-11"))
    sweep()

    assert available(shop, acme) == 100
    assert not subscription.periods.exists()
    subscription.refresh_from_db()
    assert subscription.status_at(clock.now()) == "canceled"


def test_what_cannot_be_changed_is_refused(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-06-01"))
    small, large = make_plan(shop, "small", fee="30"), make_plan(shop, "large", fee="90")
    euros = plans.create(
        actor=SYSTEM,
        code="euros",
        name="Euros",
        currency=shop.asset("eur"),
        interval="month",
        prices=[shop.price(shop.meter("tokens"), "1")],
    )
    acme = shop.customer(plan=None)
    owing, other = start(acme, small), start(acme, large, starts_at=moment("2026-06-20"))

    def refusal(*arguments: Any, **options: Any) -> type[BillingError]:
        with pytest.raises(BillingError) as refused:
            change(*arguments, **options)
        return type(refused.value)

    assert refusal(owing, large) is InvalidState
    assert refusal(owing, large, when="period_end") is AlreadyExists
    assert refusal(other, small) is AlreadyExists
    assert refusal(other, euros) is InvalidRequest
    assert refusal(owing, small) is InvalidState
    assert refusal(other, large, terms={"version": 7}) is InvalidRequest
    assert change(owing, small, when="period_end").next_version is None
