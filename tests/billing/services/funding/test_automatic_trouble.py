"""Topping up by itself when something is wrong: no storm of declines, and nothing charged twice."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.models import AutoTopUp, Balance, Notice, OutboxEvent, PaymentAttempt, TopUp
from billing.services import one_by_one
from billing.services.funding import automatic, methods, packs, profiles, rules, top_ups
from billing.services.wallet import wallets
from tests.billing.services.funding.orders import Later, cents, now, order, spend, told
from tests.payments import ASKS, KEPT_DECLINED, Bank, Payer


def test_a_card_that_always_declines_is_asked_three_times_and_then_no_more(
    payer: Payer, bank: Bank, later: Later
) -> None:
    payer.keep(KEPT_DECLINED)
    rule = order(payer)
    for _ in range(60):
        later(seconds=30)
    assert PaymentAttempt.objects.count() == 2
    for _ in range(30):
        later(hours=1)
    assert PaymentAttempt.objects.count() == 3
    assert set(PaymentAttempt.objects.values_list("status", flat=True)) == {"failed"}
    assert (now(rule).state, rule.declines, rule.reason_code) == ("suspended", 3, "generic_decline")
    assert told().count("auto_top_up.disabled") == 1
    assert list(Notice.objects.order_by("id").values_list("title", flat=True)) == [
        "An automatic top-up was declined",
        "Automatic top-ups have stopped",
    ]
    assert Balance.objects.get(asset_id="usd").refill_below is None

    methods.remove(actor=SYSTEM, method=methods.kept(payer.customer.pk, "stand-in").get())
    payer.keep()
    rules.resume(actor=SYSTEM, rule=rule)
    automatic.run_due()
    assert (cents(bank), now(rule).declines, payer.available) == ([10_000], 0, 100)


def test_a_bank_that_asks_its_owner_suspends_at_once_with_a_link(payer: Payer, bank: Bank, later: Later) -> None:
    payer.keep(ASKS)
    rule = order(payer)
    automatic.run_due()
    later(days=1)
    assert PaymentAttempt.objects.count() == 1
    assert (now(rule).state, rule.reason_code) == ("suspended", "authentication_required")
    message = OutboxEvent.objects.get(type="auto_top_up.disabled").payload
    assert message["fix_url"].endswith("/auto-top-up")


def test_no_card_suspends(payer: Payer) -> None:
    rule = order(payer)
    automatic.run_due()
    assert (now(rule).state, rule.reason_code) == ("suspended", "no_method")
    assert not PaymentAttempt.objects.exists()


def test_a_card_is_never_tried_more_often_than_its_network_allows(payer: Payer, bank: Bank) -> None:
    """However often somebody switches the order on again."""
    payer.keep(KEPT_DECLINED)
    rule = order(payer)
    for _ in range(20):
        AutoTopUp.objects.update(due_at=timezone.now())
        automatic.run_due()
        if now(rule).state == "suspended":
            rules.resume(actor=SYSTEM, rule=rule)
    assert PaymentAttempt.objects.count() == automatic.DECLINES_PER_METHOD_MAX


def test_only_what_changes_it_or_turns_it_on_wakes_a_suspended_order(payer: Payer, bank: Bank, later: Later) -> None:
    payer.keep(KEPT_DECLINED)
    rule = order(payer)
    automatic.run_due()
    assert now(rule).declines == 1
    order(payer)
    automatic.run_due()
    assert (now(rule).declines, PaymentAttempt.objects.count()) == (1, 1)
    for _ in range(8):
        later(hours=1)
    assert now(rule).state == "suspended"
    order(payer, cooldown_seconds=90)
    assert (now(rule).state, rule.declines) == ("suspended", 3)
    for change in ({"amount": Decimal(50)}, {"monthly_limit": Decimal(500)}, {"enabled": False}):
        AutoTopUp.objects.update(state="suspended", declines=3, amount=Decimal(100), monthly_limit=None)
        order(payer, **change)
        if "enabled" in change:
            assert now(rule).state == "suspended"
            order(payer)
        assert (now(rule).state, rule.declines) == ("armed", 0)


def test_an_open_dispute_suspends_it(payer: Payer, bank: Bank) -> None:
    payer.keep()
    rule = order(payer)
    automatic.run_due()
    bank.dispute(TopUp.objects.get())
    bank.deliver()
    automatic.run_due()
    assert (now(rule).state, rule.reason_code, len(cents(bank))) == ("suspended", "dispute", 1)


def test_what_comes_at_fixed_times_is_not_charged_in_between_when_a_dispute_is_over(
    payer: Payer, bank: Bank, later: Later
) -> None:
    payer.keep()
    starts_at = timezone.now() + timedelta(hours=1)
    rule = order(payer, threshold=None, amount=Decimal(30), every="week", starts_at=starts_at)
    later(hours=2)
    assert cents(bank) == [3_000]
    bank.dispute(TopUp.objects.get())
    bank.deliver()
    assert now(rule).state == "suspended"
    rules.resume(actor=SYSTEM, rule=rule)
    later(days=1)
    assert (now(rule).state, cents(bank)) == ("armed", [3_000])
    later(days=7)
    assert cents(bank) == [3_000, 3_000]


def test_an_order_at_its_limit_leaves_the_sweep_to_others(
    payer: Payer, bank: Bank, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_by_one, "PAGE", 1)
    payer.keep()
    order(payer, amount=Decimal(20), count_limit=1)
    automatic.run_due()
    spend(payer, "15")
    other = Payer(payer.shop, bank, payer.shop.customer("other", country="US"))
    other.keep()
    order(other, amount=Decimal(50))
    later(minutes=1)
    later(minutes=1)
    assert cents(bank) == [2_000, 5_000]


@pytest.mark.parametrize("step", ["begin", "start"])
def test_the_trouble_of_one_order_is_not_that_of_the_others(
    payer: Payer, bank: Bank, later: Later, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(one_by_one, "PAGE", 1)
    payer.keep()
    bad = order(payer, amount=Decimal(30))
    other = Payer(payer.shop, bank, payer.shop.customer("other", country="US"))
    other.keep()
    order(other, amount=Decimal(50))

    def fail_for_one(work: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def worked(id_: Any) -> Any:
            top_up = TopUp.objects.filter(pk=id_).first()
            if id_ == bad.pk or (top_up is not None and top_up.customer_id == payer.customer.pk):
                raise ZeroDivisionError
            return work(id_)

        return worked

    with monkeypatch.context() as patch:
        where = automatic if step == "begin" else top_ups
        patch.setattr(where, step, fail_for_one(getattr(where, step)))
        automatic.run_due()
        automatic.run_due()
        assert cents(bank) == [5_000]
    for _ in range(3):
        later(minutes=6)
    assert cents(bank) == [5_000, 3_000]


@pytest.mark.parametrize("every", ["", "day"])
def test_a_frozen_wallet_is_not_topped_up_until_it_is_unfrozen(
    payer: Payer, bank: Bank, later: Later, every: str
) -> None:
    payer.keep()
    terms: dict[str, Any] = {"threshold": None, "every": every, "starts_at": timezone.now() + timedelta(hours=1)}
    rule = order(payer, **(terms if every else {}))
    wallets.freeze(actor=SYSTEM, customer=payer.customer, reason="Looks odd.")
    later(days=3)
    assert automatic.begin(rule.pk) is None
    assert (cents(bank), now(rule).state) == ([], "armed")
    wallets.unfreeze(actor=SYSTEM, customer=payer.customer, reason="All is well.")
    later(minutes=1)
    later(minutes=1)
    assert cents(bank) == [10_000]


def test_a_pack_that_is_not_sold_any_more_suspends_it_and_says_so(payer: Payer, bank: Bank) -> None:
    payer.keep()
    images = payer.shop.asset("images")
    pack = payer.pack(images, "1")
    rule = order(payer, asset=images, amount=None, pack=pack)
    packs.withdraw(actor=SYSTEM, pack=pack)
    automatic.run_due()
    assert (now(rule).state, rule.reason_code, cents(bank)) == ("suspended", "pack_withdrawn", [])
    assert "not sold any more" in Notice.objects.get().text


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "reset_after", "error_after", "truncated"])
def test_an_unknown_outcome_is_looked_up_before_anything_else_is_tried(
    payer: Payer, bank: Bank, later: Later, fault: str
) -> None:
    payer.keep()
    order(payer)
    bank.faults(fault, call="POST /v1/payment_intents", times=9)
    automatic.run_due()
    assert PaymentAttempt.objects.get().status == "unknown"
    automatic.run_due()
    assert PaymentAttempt.objects.count() == 1
    bank.faults()
    later(minutes=2)
    for _ in range(12):
        later(minutes=2)
    assert (cents(bank), payer.available) == ([10_000], 100)


def test_too_many_requests_and_a_wrong_key_are_no_declines(payer: Payer, bank: Bank, later: Later) -> None:
    payer.keep()
    rule = order(payer)
    bank.faults("busy", call="POST /v1/payment_intents", times=9)
    automatic.run_due()
    assert (now(rule).state, rule.declines, PaymentAttempt.objects.get().failure_code) == ("armed", 0, "rate_limit")
    bank.faults()
    later(minutes=2)
    assert (cents(bank), payer.available) == ([10_000], 100)


@pytest.mark.parametrize("killed", ["before it was sent", "before it was claimed"])
def test_a_worker_that_dies_on_the_way_leaves_nothing_undone_or_twice(
    payer: Payer, bank: Bank, later: Later, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    payer.keep()
    rule = order(payer)
    if killed == "before it was sent":
        assert automatic.begin(rule.pk) is not None
    else:
        with monkeypatch.context() as patch:
            patch.setattr(profiles, "ensure", lambda customer: exec("raise KeyboardInterrupt"))
            with pytest.raises(KeyboardInterrupt):
                automatic.run_due()
    assert PaymentAttempt.objects.get().status == "created"
    later(seconds=10)
    assert (cents(bank), payer.available, PaymentAttempt.objects.count()) == ([10_000], 100, 1)
