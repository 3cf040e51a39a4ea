"""Paying back: never more than was paid, never what is spent, and what does not arrive comes back."""

from decimal import Decimal
from random import Random
from typing import Any

import pytest

from accounts.services.audit import SYSTEM
from billing.errors import InvalidRequest, InvalidState
from billing.models import Grant, LedgerEntry, Refund, TopUp, UsageEvent
from billing.services.funding import quotes, refunds, top_ups
from billing.services.wallet import corrections, grants, wallets
from tests.builders import Shop
from tests.payments import Bank, Payer, again

REFUND_FAILS = "4000000000005126"


def refund(top_up: TopUp, amount: str | None = None) -> Refund:
    made = refunds.create(actor=SYSTEM, top_up=top_up, amount=None if amount is None else Decimal(amount))
    return refunds.start(made.pk)


def account(name: str, asset: str = "usd") -> Decimal:
    return sum(
        (
            entry.amount * ((entry.debit == name) - (entry.credit == name))
            for entry in LedgerEntry.objects.filter(asset_id=asset).exclude(debit="provider_fees")
        ),
        Decimal(0),
    )


def test_all_of_it(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("25")
    back = refund(top_up)
    assert (back.status, back.amount, payer.available) == ("succeeded", 25, 0)
    assert bank.charges()[0]["amount_refunded"] == 2500
    assert again(top_up).refunded == 25
    assert (account("cash_clearing"), account("refunds")) == (0, 0)
    assert Grant.objects.get(pk=top_up.grant_id).voided_at is not None
    with pytest.raises(InvalidState):
        refund(top_up)


def test_parts_of_it_never_more_than_the_whole(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("25")
    refund(top_up, "10")
    refund(top_up, "10.01")
    assert payer.available == Decimal("4.99")
    with pytest.raises(InvalidState, match=r"Only 4\.99"):
        refund(top_up, "5")
    refund(top_up, "4.99")
    assert (payer.available, bank.charges()[0]["amount_refunded"]) == (0, 2500)


def test_what_was_spent_goes_back_once_staff_have_given_back_its_charge(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("25")
    payer.shop.record(payer.customer, id="disappointing", output_tokens=1_000_000)
    assert refunds.refundable(again(top_up)) == 15
    event = UsageEvent.objects.get(event_id="disappointing")
    corrections.reverse(actor=SYSTEM, event=event, reason="The customer was not content")

    assert refund(top_up, "25").status == "succeeded"

    assert (payer.available, bank.charges()[0]["amount_refunded"]) == (0, 2500)


def test_only_what_is_unspent(payer: Payer) -> None:
    top_up = payer.paid("25")
    payer.shop.record(payer.customer, output_tokens=1_000_000)
    assert refunds.refundable(again(top_up)) == 15
    with pytest.raises(InvalidState, match="unspent") as refusal:
        refund(top_up, "15.01")
    assert refusal.value.figures["refundable"] == 15
    assert refund(top_up).amount == 15
    assert payer.available == 0


@pytest.mark.parametrize("amount", ["0", "-1", "0.001"])
def test_an_amount_that_makes_no_sense(payer: Payer, amount: str) -> None:
    with pytest.raises(InvalidRequest):
        refund(payer.paid("25"), amount)


def test_what_is_not_paid_is_not_paid_back(payer: Payer) -> None:
    with pytest.raises(InvalidState, match="Only a top-up that was paid"):
        refund(payer.open())


@pytest.fixture
def generous(settings: Any, shop: Shop) -> None:
    settings.TOP_UP_BONUSES = {"50": "0.10"}
    shop.tax("US", "0.07")


def test_the_bonus_and_the_tax_go_back_in_proportion(payer: Payer, bank: Bank, generous: None) -> None:
    top_up = payer.paid("100")
    assert payer.available == 110
    half = refund(top_up, "50")
    assert (half.tax, half.credit, half.bonus) == (Decimal("3.50"), 50, 5)
    assert payer.available == 55
    rest = refund(top_up)
    assert (rest.amount, rest.tax, payer.available) == (50, Decimal("3.50"), 0)
    assert bank.charges()[0]["amount_refunded"] == 10700
    assert {name: account(name) for name in ("cash_clearing", "refunds", "tax_payable", "promotional_expense")} == {
        "cash_clearing": 0,
        "refunds": 0,
        "tax_payable": 0,
        "promotional_expense": 0,
    }


def test_a_bonus_that_is_spent_comes_out_of_what_was_paid(payer: Payer, generous: None) -> None:
    top_up = payer.paid("100")
    payer.shop.record(payer.customer, output_tokens=1_000_000)  # The free $10 burn first.
    assert payer.available == 100
    assert refunds.refundable(top_up) == Decimal("90.90")  # 100/110 of what is left, in whole cents.
    back = refund(top_up)
    assert back.recovered == back.credit - Decimal("90.90")
    assert payer.available == Decimal("0.01")
    assert account("refunds") == 0


def test_a_refund_that_does_not_arrive_comes_back(payer: Payer, bank: Bank) -> None:
    top_up = payer.open("25")
    bank.pay(top_up.attempt.checkout_url, number=REFUND_FAILS)
    bank.deliver()
    back = refund(top_up)
    assert (back.status, payer.available) in {("failed", 25), ("succeeded", 0)}
    bank.deliver()
    assert Refund.objects.get().status == "failed"
    assert (payer.available, again(top_up).refunded) == (25, 0)
    assert Grant.objects.get(pk=top_up.grant_id).voided_at is None
    assert (account("cash_clearing"), account("refunds")) == (25, 0)


def by_bank_debit(payer: Payer, bank: Bank) -> TopUp:
    """Paid in a way of which a refund takes days, and may not arrive."""
    top_up = payer.open("25")
    bank.pay(top_up.attempt.checkout_url, kind="us_bank_account", number="000123456789")
    bank.settle()
    bank.deliver()
    return again(top_up)


def come_through(bank: Bank, *, well: bool) -> None:
    """The refund arrives, or does not."""
    with bank.rules.store.changing():
        bank.rules.settle_refund(bank.rules.store.all("refund")[0], well=well)
    bank.deliver()


def test_what_comes_back_of_a_refund_pays_what_was_used_meanwhile(payer: Payer, bank: Bank) -> None:
    wallets.set_overdraft_limit(actor=SYSTEM, customer=payer.customer, asset=payer.shop.usd, limit=Decimal(10))
    top_up = by_bank_debit(payer, bank)
    refund(top_up)
    payer.shop.record(payer.customer, output_tokens=1_000_000)
    assert payer.shop.balance(payer.customer).owed == 10

    come_through(bank, well=False)

    assert (payer.available, payer.shop.balance(payer.customer).owed) == (15, 0)
    assert refunds.refundable(again(top_up)) == 15


def test_what_was_voided_beside_a_refund_is_voided_again_where_that_comes_back(payer: Payer, bank: Bank) -> None:
    top_up = by_bank_debit(payer, bank)
    grant = Grant.objects.get(pk=top_up.grant_id)
    refund(top_up, "12.50")
    grants.void(actor=SYSTEM, grant=grant, reason="Bought by mistake")
    come_through(bank, well=False)
    assert payer.available == Decimal("12.5")

    grants.void(actor=SYSTEM, grant=grant, reason="Bought by mistake")

    assert payer.available == 0


@pytest.mark.parametrize("well", [True, False])
def test_a_refund_of_a_bank_debit_takes_days(payer: Payer, bank: Bank, well: bool) -> None:
    back = refund(by_bank_debit(payer, bank))
    assert (back.status, payer.available) == ("processing", 0)
    come_through(bank, well=well)
    assert Refund.objects.get().status == ("succeeded" if well else "failed")
    assert payer.available == (0 if well else 25)
    assert account("refunds") == 0


@pytest.mark.parametrize("fault", ["timeout_after", "error_after", "reset_before", "error_before", "busy", "truncated"])
def test_whatever_goes_wrong_it_is_paid_back_once_or_not_at_all(payer: Payer, bank: Bank, fault: str) -> None:
    from datetime import timedelta

    from django.utils import timezone

    top_up = payer.paid("25")
    bank.faults(fault, call="POST /v1/refunds", times=9)
    refund(top_up)
    bank.faults()
    for minutes in (2, 20):
        Refund.objects.filter(check_at__isnull=False).update(check_at=timezone.now())
        Refund.objects.update(sent_at=timezone.now() - timedelta(minutes=minutes))
        refunds.settle_due()
    back = bank.charges()[0]["amount_refunded"]
    assert back in {0, 2500}
    assert payer.available == (25 if back == 0 else 0)
    assert Refund.objects.get().status == ("failed" if back == 0 else "succeeded")
    bank.deliver()
    assert payer.available == (25 if back == 0 else 0)


def test_a_refusal_of_the_repeat_gives_nothing_back_that_was_paid(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("25")
    bank.faults("timeout_after", "busy", call="POST /v1/refunds")
    back = refund(top_up)
    assert (back.status, payer.available, bank.charges()[0]["amount_refunded"]) == ("unknown", 0, 2500)
    bank.faults()
    refunds.look_up(back.pk)
    assert (Refund.objects.get().status, payer.available) == ("succeeded", 0)


def test_a_refund_made_at_the_provider_is_shown_to_staff(payer: Payer, bank: Bank) -> None:
    from billing.models import ProviderEvent

    top_up = payer.paid("25")
    bank.news()
    with bank.rules.store.changing():
        bank.rules.refund({"payment_intent": again(top_up).attempt.payment_id})
    bank.deliver()
    parked = ProviderEvent.objects.get(about="refund")
    assert (parked.state, "still holds" in parked.note) == ("parked", True)


def test_a_pack_is_paid_back_by_the_piece(payer: Payer, bank: Bank) -> None:
    images = payer.shop.asset("image_credits")
    pack = payer.pack(images)
    quote = quotes.quote_pack(customer=payer.customer, pack=pack)
    made = top_ups.create(actor=SYSTEM, customer=payer.customer, quote=quote, plan=payer.plan())
    bank.pay(top_ups.start(made.pk).attempt.checkout_url)
    bank.deliver()
    grant = Grant.objects.get(pk=made.grant_id)
    assert (grant.amount, grant.paid_amount, payer.shop.balance(payer.customer, "image_credits").available) == (
        1000,
        40,
        1000,
    )
    back = refund(again(made), "10.01")
    assert back.credit == 251  # 250.25 pieces: never fewer than are paid back.
    refund(again(made))
    assert payer.shop.balance(payer.customer, "image_credits").available == 0
    assert (account("cash_clearing"), account("fx"), account("refunds")) == (0, 0, 0)
    assert (account("fx", "image_credits"), account("refunds", "image_credits")) == (0, 0)


@pytest.mark.parametrize("seed", range(6))
def test_any_sequence_of_spending_and_refunds_keeps_the_books(
    payer: Payer, bank: Bank, generous: None, seed: int
) -> None:
    random = Random(seed)
    top_up = payer.paid("100")
    for _ in range(8):
        if random.random() < 0.5:
            payer.shop.record(payer.customer, output_tokens=random.randrange(1, 900_000))
        else:
            most = refunds.refundable(again(top_up))
            if most > Decimal("0.01"):
                refund(again(top_up), f"{random.uniform(0.01, float(most)):.2f}")
    bank.deliver()
    found = again(top_up)
    assert found.refunded <= found.amount
    assert bank.charges()[0]["amount_refunded"] == int((found.refunded + found.tax_refunded) * 100)
    assert account("refunds") == 0
