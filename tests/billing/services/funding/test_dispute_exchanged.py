"""A dispute about a payment in another currency than the wallet's, and what one dispute's trouble is to the others."""

from decimal import Decimal
from typing import Any

import pytest

from billing.models import Dispute, TopUp
from billing.services.funding import dispute_books, disputes
from tests.billing.services.funding.test_refunds import account, refund
from tests.payments import Bank, Payer, again

ACCOUNTS = ("disputed", "fx", "cash_clearing", "tax_payable")


def books(asset: str) -> list[Decimal]:
    return [account(name, asset) for name in ACCOUNTS]


@pytest.fixture(autouse=True)
def rate(settings: Any) -> None:
    """€100 come in as $108.50."""
    settings.TOP_UP_FX_RATES = {"EUR_USD": "1.085"}


@pytest.mark.parametrize("taxed", [False, True])
def test_lost_and_won_after_all(payer: Payer, bank: Bank, taxed: bool) -> None:
    if taxed:
        payer.shop.tax("US", "0.10")
    top_up = payer.paid("100", currency="eur")
    paid = again(top_up).attempt.amount
    assert (paid, payer.available) == (110 if taxed else 100, Decimal("108.5"))
    payer.shop.record(payer.customer, output_tokens=1_000_000)
    before = [books("usd"), books("eur")]

    dispute_id = bank.dispute(top_up)
    bank.deliver()
    assert payer.available == 0
    bank.decide(dispute_id, "lost")
    bank.deliver()

    dispute = Dispute.objects.get()
    assert (dispute.status, dispute.frozen, dispute.recovered) == ("lost", Decimal("98.5"), 10)
    assert payer.shop.balance(payer.customer).dispute_debt == 10
    assert (payer.available, books("usd"), books("eur")) == (-10, [0, 0, 0, 0], [0, 0, 0, 0])

    bank.decide(dispute_id, "won")
    bank.deliver()
    assert (payer.available, [books("usd"), books("eur")]) == (Decimal("98.5"), before)


def test_what_was_paid_back_before_is_not_taken_again(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("100", currency="eur")
    refund(top_up, "40")
    bank.decide(bank.dispute(top_up), "lost")
    bank.deliver()
    assert (payer.available, books("usd"), books("eur")) == (0, [0, 0, 0, 0], [0, 0, 0, 0])


def test_the_trouble_of_one_is_not_the_others(
    payer: Payer, bank: Bank, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        bank.dispute(payer.paid("25"))
    bank.deliver()
    first, second = Dispute.objects.order_by("check_at")
    for dispute in (first, second):
        bank.decide(dispute.provider_id, "won")
    Dispute.objects.filter(pk=first.pk).update(check_at="2026-01-01T00:00:00Z")
    Dispute.objects.filter(pk=second.pk).update(check_at="2026-01-02T00:00:00Z")
    real = dispute_books.book

    def stumble(dispute: Dispute, top_up: TopUp, **rest: Any) -> None:
        if dispute.pk == first.pk:
            raise KeyError(dispute.pk)
        real(dispute, top_up)

    monkeypatch.setattr(dispute_books, "book", stumble)
    assert disputes.settle_due() == 2
    assert [Dispute.objects.get(pk=each.pk).status for each in (first, second)] == ["open", "won"]
    assert first.provider_id in caplog.text
