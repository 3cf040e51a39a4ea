"""Every kind of drift between the provider's books and ours is found; what is safe is put right, once."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from billing.gateways.payments import Unreachable
from billing.models import Discrepancy, Dispute, LedgerEntry, PaymentAttempt, Reconciliation, Refund, TopUp
from billing.services.funding import reconciliation, refunds
from tests.billing.services.funding.test_refunds import refund
from tests.payments import Bank, Payer, again


def compare() -> Reconciliation:
    now = timezone.now()
    return reconciliation.run(since=now - timedelta(days=1), until=now + timedelta(minutes=5))


def listed(state: str = "open") -> list[str]:
    return sorted(Discrepancy.objects.filter(state=state).values_list("kind", flat=True))


def test_where_both_agree_nothing_is_listed(payer: Payer, bank: Bank) -> None:
    refund(payer.paid("25"), "5")
    bank.dispute(payer.paid("40"))
    bank.deliver()
    payer.open()
    done = compare()
    assert (done.state, done.found, done.totals) == (
        "done",
        0,
        {"USD": {"charged": "65", "fees": "2.49", "paid back": "5", "disputed": "40"}},
    )


def test_twelve_kinds_of_drift_are_found_and_the_safe_ones_put_right_once(payer: Payer, bank: Bank) -> None:
    # Whose message was lost: a payment, a refund's end, a dispute, and what became of another.
    back = refund(payer.paid("22"), "2")
    unheard = payer.paid("23")
    bank.dispute(unheard)
    opened = payer.paid("24")
    dispute_id = bank.dispute(opened)
    bank.news()
    bank.deliver([event for event in bank.events() if event["data"]["object"]["id"] == dispute_id])
    bank.decide(dispute_id, "lost")
    feeless = payer.paid("25")
    other_amount, twice = payer.paid("26"), payer.paid("27")
    gone = payer.paid("28")
    refunded_there, other_refund = payer.paid("29"), refund(payer.paid("30"), "3")
    lost = payer.open("21")
    bank.pay(lost.attempt.checkout_url)
    store = bank.rules.store
    with store.changing():
        rules = bank.rules
        rules.save(rules.find(Refund.objects.get(pk=back.pk).provider_id, "refund") | {"status": "failed"})
        charge = rules.find(again(other_amount).attempt.charge_id, "charge")
        rules.save(charge | {"amount": 9900})
        again_charged = rules.find(again(twice).attempt.charge_id, "charge")
        store.add("ch", "charge", **{k: v for k, v in again_charged.items() if k not in {"id", "object", "created"}})
        rules.save(rules.find(again(gone).attempt.charge_id, "charge") | {"status": "failed"})
        rules.save(rules.find(again(gone).attempt.payment_id, "payment_intent") | {"status": "canceled"})
        rules.refund({"payment_intent": again(refunded_there).attempt.payment_id, "amount": "100"})
        rules.save(rules.find(Refund.objects.get(pk=other_refund.pk).provider_id, "refund") | {"amount": 400})
        foreign = rules.new_intent(
            {"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}
        )
        rules.dispute(foreign)
        store.add("po", "payout", amount=1000, currency="usd", status="failed", failure_message="Account closed")
    PaymentAttempt.objects.filter(pk=feeless.attempt_id).update(fee=None, fee_currency="")

    done = compare()
    assert (done.found, done.repaired) == (13, 5)
    assert listed("repaired") == ["charge_not_credited", "dispute", "dispute", "fee", "refund_state"]
    assert listed() == [
        "charge_amount",
        "charge_foreign",
        "charge_missing",
        "charge_twice",
        "dispute_foreign",
        "payout_failed",
        "refund_amount",
        "refund_foreign",
    ]
    assert again(lost).status == "succeeded"
    assert Refund.objects.get(pk=back.pk).status == "failed"
    assert sorted(Dispute.objects.values_list("status", flat=True)) == ["lost", "open"]
    assert PaymentAttempt.objects.get(pk=feeless.attempt_id).fee is not None

    entries = LedgerEntry.objects.count()
    second = compare()
    assert (second.found, second.repaired, LedgerEntry.objects.count()) == (8, 0, entries)
    assert Discrepancy.objects.count() == 13


def test_a_payout_is_what_came_in_and_went_out(payer: Payer, bank: Bank) -> None:
    refund(payer.paid("25"), "5")
    bank.dispute(payer.paid("40"))
    bank.deliver()
    with bank.rules.store.changing():
        payout = bank.rules.account.pay_out("usd")

    done = compare()

    assert (payout["amount"], done.found) == (6500 - 103 - 146 - 500 - 4000 - 1500, 0)
    assert done.totals["USD"]["paid out"] == "2.51"


def test_what_is_wrong_with_a_payout_is_listed(payer: Payer, bank: Bank) -> None:
    payer.paid("25")
    rules = bank.rules
    with rules.store.changing():
        rules.new_intent({"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"})
        foreign = rules.account.pay_out("usd")
    payer.paid("30")
    with rules.store.changing():
        short = rules.account.pay_out("usd")
        rules.save(short | {"amount": short["amount"] - 100})

    compare()

    words = dict(Discrepancy.objects.filter(kind="payout").values_list("object_id", "words"))
    assert "1 of its parts, 4.55 in all" in words[foreign["id"]]
    assert "come to 28.83 USD" in words[short["id"]]


def test_a_refund_that_was_given_up_and_paid_after_all_is_for_staff(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("25")
    bank.faults("timeout_before", call="POST /v1/refunds", times=9)
    back = refund(top_up, "5")
    bank.faults()
    Refund.objects.update(sent_at=timezone.now() - timedelta(minutes=20))
    refunds.look_up(back.pk)
    assert (Refund.objects.get().status, payer.available) == ("failed", 25)
    with bank.rules.store.changing():
        payment = {"payment_intent": again(top_up).attempt.payment_id, "amount": "500"}
        bank.rules.refund(payment | {"metadata": {"ante_refund": str(back.pk)}})
    done = compare()
    assert (done.found, done.repaired, listed()) == (1, 0, ["refund_state"])
    assert "by hand" in Discrepancy.objects.get().words


def test_what_staff_put_right_is_listed_no_more(payer: Payer, bank: Bank) -> None:
    with bank.rules.store.changing():
        made = bank.rules.new_intent(
            {"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}
        )
    compare()
    assert listed() == ["charge_foreign"]
    with bank.rules.store.changing():
        charge = bank.rules.find(bank.rules.find(made["id"], "payment_intent")["latest_charge"], "charge")
        bank.rules.save(charge | {"status": "failed"})
    compare()
    assert (listed(), listed("gone")) == ([], ["charge_foreign"])


def test_a_provider_that_does_not_answer_fails_the_run(payer: Payer, bank: Bank) -> None:
    bank.faults("error_before", call="GET /v1/charges", times=9)
    with pytest.raises(Unreachable):
        compare()
    assert Reconciliation.objects.get().state == "failed"
    bank.faults()
    assert compare().state == "done"


def test_it_is_done_once_a_day(payer: Payer, bank: Bank) -> None:
    assert reconciliation.run_daily() is not None
    assert reconciliation.run_daily() is None
    Reconciliation.objects.update(started_at=timezone.now() - timedelta(hours=24))
    assert reconciliation.run_daily() is not None


def test_the_command_lists_what_is_left_and_says_so(payer: Payer, bank: Bank, capsys: Any) -> None:
    top_up = payer.open()
    bank.pay(top_up.attempt.checkout_url)
    call_command("reconcile_payments")
    assert "1 differences, 1 put right, 0 to be looked at." in capsys.readouterr().out
    with bank.rules.store.changing():
        bank.rules.new_intent({"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"})
    with pytest.raises(SystemExit):
        call_command("reconcile_payments")
    assert "A charge that was not asked for here" in capsys.readouterr().out
    assert TopUp.objects.get().credit == Decimal(25)
