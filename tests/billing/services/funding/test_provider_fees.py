"""What the payment provider keeps is in the books once, of payments and of disputes."""

from decimal import Decimal

import pytest

from billing.models import Dispute, LedgerEntry, LedgerTransaction, PaymentAttempt, TopUp
from billing.selectors.ledger import books
from billing.services.funding import attempts, provider_fees
from tests.billing.services.funding.test_reconciliation import compare
from tests.payments import Bank, Payer, again


def kept(template: str) -> list[Decimal]:
    """The signed amounts that are booked, in order."""
    rows = LedgerTransaction.objects.filter(template=template).values("pk")
    entries = LedgerEntry.objects.filter(transaction_id__in=rows).order_by("id")
    return [entry.amount * (1 if entry.debit == "provider_fees" else -1) for entry in entries]


def test_of_a_payment_once_and_no_wallet_is_touched(payer: Payer, bank: Bank) -> None:
    top_up = payer.paid("25")
    for _ in range(2):
        attempts.look_up(top_up.attempt_id)
    provider_fees.book(again(top_up).attempt)

    assert kept("payment.fee") == [Decimal("1.03")]
    entry = LedgerEntry.objects.get(debit="provider_fees")
    assert (entry.credit, entry.balance_id, payer.available) == ("cash_clearing", None, 25)


def test_one_that_was_not_known_at_first_is_booked_by_the_comparison(
    payer: Payer, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(provider_fees, "book", lambda attempt: None)
        payer.paid("25")
    PaymentAttempt.objects.update(fee=None, fee_currency="")
    assert kept("payment.fee") == []

    compare()
    compare()

    assert kept("payment.fee") == [Decimal("1.03")]
    assert PaymentAttempt.objects.get().fee == Decimal("1.03")


def test_what_the_provider_adds_to_a_payment_is_booked_the_other_way_round(
    payer: Payer, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(provider_fees, "book", lambda attempt: None)
        attempt = payer.paid("25").attempt
    PaymentAttempt.objects.update(fee=None, fee_currency="")

    attempts.note_fee(attempt.pk, Decimal("-0.10"), "usd")

    assert kept("payment.fee") == [Decimal("-0.10")]
    assert list(books.differences()) == []


def test_in_a_currency_that_is_no_asset_here_it_is_noted_and_not_booked(payer: Payer) -> None:
    attempt = payer.paid("25").attempt
    attempt.fee_currency = "xyz"
    assert provider_fees.is_booked(attempt)


@pytest.mark.parametrize("end", ["won", "lost"])
def test_a_dispute_costs_its_fee_however_it_ends(payer: Payer, bank: Bank, end: str) -> None:
    dispute_id = bank.dispute(payer.paid("25"))
    for _ in range(2):
        bank.deliver(bank.events())
    bank.decide(dispute_id, end)
    bank.deliver()

    assert kept("payment.dispute_fee") == [Decimal(15)]
    assert Dispute.objects.get().fee == 15
    assert list(books.differences()) == []


def test_a_fee_that_is_given_back_is_booked_back(payer: Payer, bank: Bank) -> None:
    dispute_id = bank.dispute(payer.paid("25"))
    bank.deliver()
    bank.decide(dispute_id, "won")
    there = bank.rules.find(dispute_id, "dispute")
    there["balance_transactions"][-1]["fee"] = -1500
    bank.rules.save(there)
    bank.deliver()

    assert kept("payment.dispute_fee") == [Decimal(15), Decimal(-15)]
    assert Dispute.objects.get().fee == 0
    assert TopUp.objects.get().status == "succeeded"
