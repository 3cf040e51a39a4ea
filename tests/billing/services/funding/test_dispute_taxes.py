"""Tax that paid an invoice, under a dispute: it comes back once, by the bank or by a credit note."""

from decimal import Decimal

import pytest

from accounts.services.audit import SYSTEM
from billing.models import Customer, Dispute, Invoice, TopUp, UsageEvent
from billing.selectors.ledger import books
from billing.services.wallet import corrections, wallets
from tests.billing.services.funding.test_refunds import account
from tests.billing.services.invoicing.test_invoices import issue
from tests.payments import Bank, Payer


@pytest.fixture
def paid(payer: Payer) -> TopUp:
    """20 and 2 of tax: 10 of it paid an invoice with its tax of 1, the rest is in the wallet."""
    payer.shop.tax("DE", "0.10")
    Customer.objects.filter(pk=payer.customer.pk).update(country="DE", on_insufficient_funds="overdraft")
    payer.customer.refresh_from_db()
    wallets.set_overdraft_limit(actor=SYSTEM, customer=payer.customer, asset=payer.shop.usd, limit=Decimal(1000))
    payer.shop.record(payer.customer, id="wrong", input_tokens=4_000_000)
    assert issue(payer.shop, payer.customer) is not None
    return payer.paid("20")


def credit(payer: Payer) -> Invoice | None:
    """What the invoice asked for was wrong: it is given back, with a credit note."""
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="wrong"), reason="The model failed")
    return issue(payer.shop, payer.customer)


def end(bank: Bank, dispute_id: str, status: str) -> None:
    bank.decide(dispute_id, status)
    bank.deliver()


def test_after_a_credit_note_the_wallet_gives_up_what_that_put_into_it(payer: Payer, bank: Bank, paid: TopUp) -> None:
    note = credit(payer)
    assert note is not None
    assert (note.tax_given, payer.available, account("tax_payable")) == (1, 21, -1)

    dispute_id = bank.dispute(paid)
    end(bank, dispute_id, "lost")

    dispute = Dispute.objects.get()
    assert (dispute.frozen, dispute.recovered, dispute.recovered_tax) == (20, 0, 1)
    assert (payer.available, account("tax_payable"), account("disputed"), account("cash_clearing")) == (0, 0, 0, 0)

    end(bank, dispute_id, "won")
    assert (payer.available, account("tax_payable"), account("disputed"), account("cash_clearing")) == (21, -1, 0, 22)
    assert list(books.differences()) == []


def test_what_is_spent_of_it_is_owed(payer: Payer, bank: Bank, paid: TopUp) -> None:
    credit(payer)
    payer.shop.record(payer.customer, input_tokens=8_400_000)
    assert payer.available == 0

    end(bank, bank.dispute(paid), "lost")

    balance = payer.shop.balance(payer.customer)
    assert (balance.available, balance.dispute_debt, account("tax_payable")) == (-21, 21, 0)


def test_two_disputes_take_it_once(payer: Payer, bank: Bank, paid: TopUp) -> None:
    credit(payer)

    for dispute_id in [bank.dispute(paid, amount=1100), bank.dispute(paid, amount=1100)]:
        end(bank, dispute_id, "lost")

    assert [dispute.recovered_tax for dispute in Dispute.objects.order_by("pk")] == [0, 1]
    assert (payer.available, account("tax_payable"), account("disputed")) == (0, 0, 0)


def test_without_a_credit_note_the_tax_falls_away_and_is_asked_for_anew(payer: Payer, bank: Bank, paid: TopUp) -> None:
    end(bank, bank.dispute(paid), "lost")
    assert (payer.available, account("tax_payable"), Dispute.objects.get().recovered_tax) == (-10, 0, 0)

    again = issue(payer.shop, payer.customer)

    assert again is not None
    assert (again.due, again.tax, account("tax_payable")) == (10, 1, -1)
    note = credit(payer)
    assert note is not None
    assert (note.tax, payer.available, account("tax_payable")) == (-1, 0, 0)


def test_a_credit_note_after_it_gives_no_tax_back_that_the_bank_has_taken(
    payer: Payer, bank: Bank, paid: TopUp
) -> None:
    payer.shop.fund(payer.customer, "30")
    end(bank, bank.dispute(paid), "lost")
    assert (payer.available, account("tax_payable")) == (20, 0)

    note = credit(payer)

    assert note is not None
    assert (note.tax, note.tax_given, payer.available, account("tax_payable")) == (0, 0, 30, 0)


def test_won_after_all_the_wallet_has_what_a_credit_note_withheld(payer: Payer, bank: Bank, paid: TopUp) -> None:
    payer.shop.fund(payer.customer, "30")
    dispute_id = bank.dispute(paid)
    end(bank, dispute_id, "lost")
    note = credit(payer)
    assert note is not None
    assert (note.tax, note.tax_withheld, payer.available, account("tax_payable")) == (0, 1, 30, 0)

    end(bank, dispute_id, "won")

    # As if the bank had never asked: 20 beside the 30, and the tax of what was used for nothing.
    assert (payer.available, account("tax_payable"), Dispute.objects.get().returned_tax) == (51, -1, 1)
    assert (account("disputed"), list(books.differences())) == (0, [])

    end(bank, dispute_id, "lost")
    assert (payer.available, account("tax_payable")) == (30, 0)
    end(bank, dispute_id, "won")
    assert (payer.available, account("tax_payable"), Dispute.objects.get().returned_tax) == (51, -1, 1)


def test_where_the_debt_ate_the_note_it_comes_after_the_dispute_is_won(payer: Payer, bank: Bank, paid: TopUp) -> None:
    dispute_id = bank.dispute(paid)
    end(bank, dispute_id, "lost")
    assert credit(payer) is None

    end(bank, dispute_id, "won")
    note = issue(payer.shop, payer.customer)

    assert note is not None
    assert (note.due, note.tax_given, payer.available, account("tax_payable")) == (-10, 1, 21, -1)


def test_what_a_note_gave_for_another_invoice_is_taken_and_what_was_used_stays_taxed(
    payer: Payer, bank: Bank, paid: TopUp
) -> None:
    payer.shop.record(payer.customer, id="second", input_tokens=8_000_000)
    assert issue(payer.shop, payer.customer) is not None
    payer.paid("10")
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="second"), reason="The model failed")
    note = issue(payer.shop, payer.customer)
    assert note is not None
    assert (note.tax_given, payer.available, account("tax_payable")) == (1, 21, -2)

    end(bank, bank.dispute(paid), "lost")

    # 10 were used, and 11 have come in for them.
    assert (payer.available, account("tax_payable"), account("cash_clearing")) == (0, -1, 11)
