"""From the wish to pay to value in the wallet, by each way that money comes in."""

from decimal import Decimal
from typing import Any

import pytest

from accounts.services.audit import SYSTEM
from billing.errors import InvalidState
from billing.models import Grant, LedgerEntry, OutboxEvent, TopUp
from billing.services.funding import attempts, top_ups
from billing.services.wallet import wallets
from tests.payments import ASKS, DECLINED, KEPT_DECLINED, Bank, Payer, again


def test_a_card_on_the_providers_page_is_credited_once_it_is_paid(payer: Payer, bank: Bank) -> None:
    top_up = payer.open("25")
    assert top_up.status == "requires_action"
    assert top_up.attempt.checkout_url.startswith(bank.running.base)
    assert payer.available == 0

    assert bank.pay(top_up.attempt.checkout_url) == "https://acme.test/back"
    assert payer.available == 0
    bank.deliver()

    paid = again(top_up)
    assert (paid.status, paid.attempt.status) == ("succeeded", "succeeded")
    assert payer.available == 25
    grant = Grant.objects.get(pk=top_up.grant_id)
    assert (grant.kind, grant.paid_amount, grant.paid_currency_id) == ("purchase", 25, "usd")
    assert (paid.attempt.method_type, paid.attempt.method_brand, paid.attempt.method_last4) == ("card", "visa", "4242")
    assert paid.attempt.fee == Decimal("1.03")
    assert OutboxEvent.objects.filter(type="top_up.succeeded").count() == 1


def test_a_declined_card_leaves_the_page_open_for_the_next(payer: Payer, bank: Bank) -> None:
    top_up = payer.open()
    assert bank.pay(top_up.attempt.checkout_url, number=DECLINED) == "Your card was declined."
    bank.deliver()
    declined = again(top_up)
    assert (declined.status, declined.attempt.failure_code) == ("requires_action", "generic_decline")

    bank.pay(top_up.attempt.checkout_url)
    bank.deliver()
    assert (again(top_up).status, again(top_up).attempt.failure) == ("succeeded", "")
    assert payer.available == 25


@pytest.mark.parametrize(("yes", "status"), [(True, "succeeded"), (False, "requires_action")])
def test_3d_secure(payer: Payer, bank: Bank, yes: bool, status: str) -> None:
    top_up = payer.open()
    bank.pay(top_up.attempt.checkout_url, number=ASKS, yes=yes)
    bank.deliver()
    assert again(top_up).status == status
    assert payer.available == (25 if yes else 0)


@pytest.mark.parametrize("well", [True, False])
def test_a_bank_debit_is_credited_when_it_settles(payer: Payer, bank: Bank, well: bool) -> None:
    top_up = payer.open()
    bank.pay(top_up.attempt.checkout_url, kind="us_bank_account", number="000123456789")
    bank.deliver()
    pending = again(top_up)
    assert pending.status == "processing"
    assert pending.expected_at is not None
    assert (pending.expected_at - pending.created_at).days in {4, 5, 6}
    assert payer.available == 0

    bank.settle(well=well)
    bank.deliver()
    assert again(top_up).status == ("succeeded" if well else "failed")
    assert payer.available == (25 if well else 0)


def test_a_stablecoin(payer: Payer, bank: Bank) -> None:
    top_up = payer.open()
    bank.pay(top_up.attempt.checkout_url, kind="crypto", number="")
    bank.deliver()
    assert (again(top_up).status, again(top_up).attempt.method_type) == ("succeeded", "crypto")


def test_a_kept_method_is_charged_at_once(payer: Payer, bank: Bank) -> None:
    top_up = payer.open(method=payer.keep())
    assert (top_up.status, payer.available) == ("succeeded", 25)
    bank.deliver()
    assert payer.available == 25


def test_a_kept_method_that_is_declined(payer: Payer) -> None:
    top_up = payer.open(method=payer.keep(KEPT_DECLINED))
    assert (top_up.status, top_up.attempt.failure_code) == ("failed", "generic_decline")
    assert top_up.attempt.failure == "Your card was declined."
    assert OutboxEvent.objects.filter(type="top_up.failed").count() == 1
    assert payer.open("10").status == "requires_action"  # Nothing stands in the way of the next.


def test_a_kept_method_whose_bank_asks(payer: Payer, bank: Bank) -> None:
    top_up = payer.open(method=payer.keep(ASKS))
    assert top_up.status == "requires_action"
    assert "/c/bank/" in top_up.attempt.checkout_url
    bank.answer(yes=True)
    bank.deliver()
    assert payer.available == 25


def test_where_nobody_is_there_to_answer_the_banks_question_is_a_decline(payer: Payer) -> None:
    top_up = payer.open(method=payer.keep(ASKS), way="off_session", purpose="auto_top_up")
    assert (top_up.status, top_up.attempt.failure_code) == ("failed", "authentication_required")


def test_two_at_a_time_are_refused(payer: Payer) -> None:
    payer.open()
    with pytest.raises(InvalidState, match="under way"):
        payer.create()
    assert payer.create(purpose="auto_top_up").status == "requires_action"


def test_a_page_that_was_left_gives_way_to_the_next(payer: Payer, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    left = payer.open()
    with pytest.raises(InvalidState, match="just been started"):
        attempts.make_way(payer.customer, "top_up")
    monkeypatch.setattr(attempts, "SUPERSEDES_AFTER", -attempts.SUPERSEDES_AFTER)
    attempts.make_way(payer.customer, "top_up")
    assert again(left).status == "expired"
    assert "closed" in bank.pay(left.attempt.checkout_url)
    assert payer.open("10").status == "requires_action"


def test_a_page_that_is_paid_at_that_moment_stays_paid(
    payer: Payer, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "SUPERSEDES_AFTER", -attempts.SUPERSEDES_AFTER)
    left = payer.open()
    bank.pay(left.attempt.checkout_url)
    with pytest.raises(InvalidState, match="just come through"):
        attempts.make_way(payer.customer, "top_up")
    assert (again(left).status, payer.available) == ("succeeded", 25)
    attempts.make_way(payer.customer, "top_up")


def test_a_bank_debit_does_not_stand_in_the_way_of_a_card(payer: Payer, bank: Bank) -> None:
    debit = payer.open("100")
    bank.pay(debit.attempt.checkout_url, kind="us_bank_account", number="000123456789")
    bank.deliver()
    card = payer.open("10")
    bank.pay(card.attempt.checkout_url)
    bank.deliver()
    assert (again(debit).status, again(card).status, payer.available) == ("processing", "succeeded", 10)


def test_what_is_owed_is_paid_first(payer: Payer, bank: Bank) -> None:
    wallets.set_overdraft_limit(actor=SYSTEM, customer=payer.customer, asset=payer.shop.usd, limit=Decimal(50))
    type(payer.customer).objects.filter(pk=payer.customer.pk).update(on_insufficient_funds="overdraft")
    payer.shop.record(payer.customer, output_tokens=1_000_000)
    assert payer.available == -10
    bank.pay(payer.open("25").attempt.checkout_url)
    bank.deliver()
    assert payer.available == 15


def test_fee_tax_bonus_and_exchange_are_in_the_books(payer: Payer, bank: Bank, settings: Any) -> None:
    settings.TOP_UP_FEE_RATE, settings.TOP_UP_FEE_FIXED = Decimal("0.02"), Decimal("0.30")
    payer.shop.tax("US", "0.1")
    settings.TOP_UP_BONUSES = {"50": "0.05", "100": "0.10"}
    settings.TOP_UP_FX_RATES = {"EUR_USD": "1.085"}
    quote = payer.quote("100", "eur")
    assert (quote.fee, quote.tax, quote.total) == (Decimal("2.30"), Decimal("10.23"), Decimal("112.53"))
    assert (quote.credit, quote.bonus) == (Decimal("108.50"), Decimal("10.85"))
    made = top_ups.create(actor=SYSTEM, customer=payer.customer, quote=quote, plan=payer.plan())
    top_up = top_ups.start(made.pk)
    bank.pay(top_up.attempt.checkout_url)
    bank.deliver()
    assert payer.available == Decimal("119.35")
    sums: dict[tuple[str, str], Decimal] = {}
    for entry in LedgerEntry.objects.all():
        for account, sign in ((entry.debit, 1), (entry.credit, -1)):
            key = (account, entry.asset_id)
            sums[key] = sums.get(key, Decimal(0)) + sign * entry.amount
    assert sums["provider_fees", "eur"] == Decimal("3.56")
    assert sums["cash_clearing", "eur"] == Decimal("112.53") - Decimal("3.56")
    assert sums["cash_clearing", "usd"] == 0
    assert sums["tax_payable", "eur"] == Decimal("-10.23")
    assert sums["payment_fees", "eur"] == Decimal("-2.30")
    assert (sums["fx", "eur"], sums["fx", "usd"]) == (-100, Decimal("108.50"))
    assert TopUp.objects.get().rate == Decimal("1.085")
