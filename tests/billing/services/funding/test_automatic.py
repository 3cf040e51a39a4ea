"""Topping up by itself: one payment for a gap, within its limits and at its times."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.errors import InvalidRequest
from billing.models import AutoTopUp, Grant, PaymentAttempt
from billing.services.funding import attempts, automatic
from billing.services.wallet import wallets
from tests.billing.services.funding.orders import Later, cents, now, order, spend, told
from tests.payments import Bank, Payer


def test_below_the_threshold_exactly_one_payment(payer: Payer, bank: Bank) -> None:
    payer.keep()
    payer.shop.fund(payer.customer, "20")
    order(payer)
    automatic.run_due()
    assert cents(bank) == []
    spend(payer, "0.01")
    assert told() == ["auto_top_up.due"]
    automatic.run_due()
    assert (cents(bank), payer.available) == ([10_000], Decimal("119.99"))
    automatic.run_due()
    spend(payer, "1")
    automatic.run_due()
    assert cents(bank) == [10_000]
    attempt = PaymentAttempt.objects.get()
    assert (attempt.purpose, attempt.way, attempt.status) == ("auto_top_up", "off_session", "succeeded")


def test_a_crossing_is_told_once_however_often_it_is_debited_below(payer: Payer) -> None:
    payer.shop.fund(payer.customer, "20")
    order(payer)
    for _ in range(3):
        spend(payer, "1")
    assert told() == ["auto_top_up.due"]


def test_a_gap_of_many_steps_is_closed_by_one_payment(payer: Payer, bank: Bank) -> None:
    """Threshold 10, balance -429.80, steps of 50: 450 at once, not nine times 50."""
    payer.keep()
    wallets.set_overdraft_limit(actor=SYSTEM, customer=payer.customer, asset=payer.shop.usd, limit=Decimal(500))
    payer.customer.on_insufficient_funds = "overdraft"
    payer.customer.save()
    spend(payer, "429.80")
    assert payer.available == Decimal("-429.80")
    order(payer, threshold=Decimal(10), amount=Decimal(50))
    automatic.run_due()
    automatic.run_due()
    assert (cents(bank), payer.available) == ([45_000], Decimal("20.20"))


def test_filled_up_to_a_target(payer: Payer, bank: Bank) -> None:
    payer.keep()
    payer.shop.fund(payer.customer, "12.345678")
    order(payer, amount=None, target=Decimal(50))
    automatic.run_due()
    assert (cents(bank), payer.available) == ([3_766], Decimal("50.005678"))


@pytest.mark.parametrize("bought", [{"amount": Decimal(10)}, {"amount": None, "target": Decimal(10)}])
def test_a_months_limit_is_what_is_paid_with_the_tax_in_it(payer: Payer, bank: Bank, bought: dict[str, Any]) -> None:
    payer.shop.tax("US", "0.19", included=True)
    payer.keep()
    order(payer, threshold=Decimal(5), monthly_limit=Decimal(27), **bought)
    for _ in range(4):
        automatic.run_due()
        spend(payer, str(payer.available))
    assert sum(cents(bank)) <= 2_700
    assert told().count("auto_top_up.limit_reached") == 1


@pytest.mark.parametrize(("fixed", "rate"), [("0", "0"), ("0.30", "0.029")])
def test_a_target_is_reached_to_the_cent_where_taxes_are_included(
    payer: Payer, bank: Bank, settings: Any, fixed: str, rate: str
) -> None:
    settings.TOP_UP_FEE_FIXED, settings.TOP_UP_FEE_RATE = Decimal(fixed), Decimal(rate)
    payer.shop.tax("US", "0.19", included=True)
    payer.keep()
    order(payer, amount=None, target=Decimal(50))
    automatic.run_due()
    assert payer.available == 50


def test_a_gap_is_closed_by_one_payment_where_taxes_are_included(payer: Payer, bank: Bank) -> None:
    payer.shop.tax("US", "0.19", included=True)
    payer.keep()
    order(payer, threshold=Decimal(100), amount=Decimal(50))
    automatic.run_due()
    automatic.run_due()
    assert cents(bank) == [15_000]  # 119 are needed for 100


def test_what_is_on_its_way_counts(payer: Payer, bank: Bank) -> None:
    """A bank debit that takes days is as good as there: 15 are missing, not 115."""
    top_up = payer.open("100")
    bank.pay(top_up.attempt.checkout_url, kind="us_bank_account")
    attempts.look_up(top_up.attempt_id)
    payer.keep()
    order(payer)
    automatic.run_due()
    assert cents(bank) == []
    order(payer, threshold=Decimal(115), amount=Decimal(10))
    automatic.run_due()
    assert cents(bank) == [2_000]


def test_packs_of_another_asset(payer: Payer, bank: Bank) -> None:
    payer.keep()
    images = payer.shop.asset("images")
    pack = payer.pack(images)
    order(payer, asset=images, threshold=Decimal(1500), amount=None, pack=pack)
    automatic.run_due()
    assert cents(bank) == [8_000]
    assert payer.shop.balance(payer.customer, "images").available == 2000
    grant = Grant.objects.get(asset=images)
    assert (grant.amount, grant.paid_amount) == (2000, 80)


def test_a_pack_that_costs_more_than_is_paid_at_a_time_is_bought_one_by_one(
    payer: Payer, bank: Bank, settings: Any
) -> None:
    settings.TOP_UP_MAX = Decimal(30)
    payer.keep()
    images = payer.shop.asset("images")
    order(payer, asset=images, threshold=Decimal(1500), amount=None, pack=payer.pack(images))
    automatic.run_due()
    assert cents(bank) == [4_000]
    automatic.run_due()
    automatic.run_due()
    assert cents(bank) == [4_000, 4_000]


def test_never_more_than_the_month_allows_and_that_is_told_once(payer: Payer, bank: Bank, later: Later) -> None:
    payer.keep()
    order(payer, threshold=Decimal(20), amount=Decimal(10), monthly_limit=Decimal(25))
    automatic.run_due()
    assert cents(bank) == [2_000]
    payer.shop.fund(payer.customer, "1", kind="promotional")
    spend(payer, "15")
    automatic.run_due()
    automatic.run_due()
    assert cents(bank) == [2_000]
    assert told().count("auto_top_up.limit_reached") == 1
    later(days=32)
    assert cents(bank) == [2_000, 2_000]


def test_never_more_often_than_the_month_allows(payer: Payer, bank: Bank) -> None:
    payer.keep()
    order(payer, amount=Decimal(20), count_limit=2)
    for _ in range(2):
        automatic.run_due()
        spend(payer, "15")
    automatic.run_due()
    assert (cents(bank), payer.available) == ([2_000, 2_000], 10)


def test_a_cool_down_keeps_them_apart(payer: Payer, bank: Bank, later: Later) -> None:
    payer.keep()
    order(payer, amount=Decimal(20), cooldown_seconds=600)
    automatic.run_due()
    spend(payer, "10")
    later(minutes=9)
    assert cents(bank) == [2_000]
    later(minutes=2)
    assert cents(bank) == [2_000, 2_000]


def test_many_within_an_hour_are_told_of(payer: Payer, bank: Bank) -> None:
    payer.keep()
    order(payer, amount=Decimal(20), monthly_limit=Decimal(500))
    for _ in range(6):
        automatic.run_due()
        spend(payer, "19")
    assert told().count("auto_top_up.burst") == 1


def test_a_threshold_out_of_reach_is_paid_for_five_times_a_day_and_no_more(
    payer: Payer, bank: Bank, later: Later, settings: Any
) -> None:
    settings.TOP_UP_MAX = Decimal(100)
    payer.keep()
    rule = order(payer, threshold=Decimal(100_000))
    for _ in range(10):
        later(minutes=2)
    assert cents(bank) == [10_000] * 5
    assert (now(rule).state, rule.reason_code) == ("suspended", "too_many_payments")
    assert told().count("auto_top_up.disabled") == 1
    order(payer, threshold=Decimal(100_000), monthly_limit=Decimal(600))
    later(minutes=2)
    assert (cents(bank), now(rule).state) == ([10_000] * 6, "armed")


def test_at_fixed_times_never_before_the_first_and_once_each(payer: Payer, bank: Bank, later: Later) -> None:
    payer.keep()
    starts_at = timezone.now() + timedelta(days=3)
    order(payer, threshold=None, amount=Decimal(30), every="week", starts_at=starts_at)
    later(days=2)
    assert cents(bank) == []
    later(days=1, minutes=5)
    later(minutes=5)
    assert cents(bank) == [3_000]
    later(days=7)
    later(hours=1)
    assert cents(bank) == [3_000, 3_000]
    later(days=30)  # Nobody was there for four weeks: one payment, not four.
    later(minutes=5)
    assert cents(bank) == [3_000, 3_000, 3_000]


def test_saying_the_same_again_puts_off_no_fixed_time(payer: Payer, bank: Bank, later: Later) -> None:
    payer.keep()
    terms: dict[str, Any] = {"threshold": None, "every": "day"}
    first = order(payer, **terms).starts_at
    for _ in range(5):
        later(hours=12, minutes=1)
        assert order(payer, **terms).starts_at == first
    assert cents(bank) == [10_000, 10_000]
    assert order(payer, **terms | {"every": "week"}).starts_at != first


def test_both_orders_side_by_side(payer: Payer, bank: Bank, later: Later) -> None:
    payer.keep()
    order(payer)
    order(payer, threshold=None, amount=Decimal(30), every="month", starts_at=timezone.now() - timedelta(days=40))
    automatic.run_due()
    assert cents(bank) == [10_000]
    later(days=31)
    assert sorted(cents(bank)) == [3_000, 10_000]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"threshold": None}, "threshold"),
        ({"threshold": Decimal(-1)}, "threshold"),
        ({"amount": None}, "amount"),
        ({"target": Decimal(50)}, "amount"),
        ({"amount": None, "target": Decimal(20)}, "target"),
        ({"amount": Decimal(1)}, "amount"),
        ({"amount": Decimal("10.001")}, "amount"),
        ({"monthly_limit": Decimal(99)}, "monthly_limit"),
        ({"every": "month", "starts_at": datetime(2030, 1, 1, tzinfo=UTC)}, "threshold"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_what_makes_no_sense_is_refused(payer: Payer, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        order(payer, **fields)
    assert refusal.value.errors[0].field == field
    assert not AutoTopUp.objects.exists()
