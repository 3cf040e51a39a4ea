"""Voiding: an invoice is taken back as a whole by a credit note, whatever was paid of it, and nothing else is."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing.errors import InvalidState
from billing.models import Asset, Collection, Invoice, OutboxEvent, TopUp, UsageEvent
from billing.selectors.invoicing import invoices as figures
from billing.selectors.reports import reports
from billing.services import revenue
from billing.services.invoicing import documents, dunning, invoice_payments, invoices, voiding
from billing.services.wallet import corrections, grants, wallets
from tests.billing.services.conftest import Clock
from tests.billing.services.invoicing.test_dunning import ISSUED, debtor, frozen, use
from tests.billing.services.invoicing.test_taxes import account
from tests.payments import Bank, Payer

__all__ = ["debtor"]

D = Decimal


def void(invoice: Invoice) -> Invoice:
    note = voiding.void(actor=SYSTEM, invoice=invoice, reason="Another company was meant")
    assert note is not None
    return note


def status(invoice: Invoice) -> str:
    invoice = Invoice.objects.get(pk=invoice.pk)
    return figures.status(invoice, figures.paid([invoice])[invoice.pk])


def test_a_void_invoice_is_credited_in_full_with_its_tax(debtor: Payer) -> None:
    invoice = Invoice.objects.get()

    note = void(invoice)

    assert (note.kind, note.due, note.tax, note.payable, note.voids) == ("credit_note", -10, -1, -11, invoice)
    assert [(line.description, line.amount) for line in note.lines.all()] == [("Llm Input", -10)]
    assert (status(invoice), debtor.available, account("tax_payable"), account("adjustment")) == ("void", 0, 0, -10)
    assert ("For invoice", "INV-000001") in documents.shown(note)["facts"]
    lines = AuditEvent.objects.filter(object_id=str(invoice.pk), action__startswith="invoice.void")
    assert {line.action: "reason" in (line.after or {}) for line in lines} == {
        "invoice.void_asked": True,
        "invoice.voided": False,
    }
    for refused in (invoice, note):
        with pytest.raises(InvalidState):
            void(refused)


def test_what_had_been_paid_of_it_is_in_the_wallet_again(debtor: Payer) -> None:
    invoice = Invoice.objects.get()
    invoice_payments.record(actor=SYSTEM, invoice=invoice, amount=D("5.50"), reference="SEPA 1")

    note = void(invoice)

    assert (note.payable, note.tax_given, status(invoice)) == (-11, D("0.50"), "void")
    assert (debtor.available, account("cash_clearing"), account("tax_payable")) == (D("5.50"), D("-5.50"), 0)


def test_the_others_are_as_open_as_before(debtor: Payer) -> None:
    first, second = Invoice.objects.get(), use(debtor, "second")

    void(second)

    assert (status(first), status(second), debtor.available) == ("open", "void", -10)
    (row,) = reports.ageing("usd", second.due_on)
    assert (row.total, reports.receivable("usd")) == (11, 11)
    void(first)
    assert (debtor.available, reports.ageing("usd", second.due_on), reports.receivable("usd")) == (0, [], 0)


def test_what_was_given_back_of_it_before_is_not_given_back_twice(debtor: Payer) -> None:
    first, event = Invoice.objects.get(), UsageEvent.objects.get()
    second = use(debtor, "second")
    corrections.refund(actor=SYSTEM, event=event, asset=debtor.shop.usd, amount=D(4), reason="Slow")

    note = void(first)

    assert [note.due for note in Invoice.objects.filter(kind="credit_note").order_by("sequence")] == [-4, -6]
    assert [(line.description, line.amount) for line in note.lines.order_by("position")] == [
        ("Credited before", 4),
        ("Llm Input", -10),
    ]
    assert (note.tax, note.prepaid, debtor.available, account("tax_payable")) == (D("-0.6"), 0, -10, 1)
    assert figures.outstanding(second, figures.paid([second])[second.pk]) == 11


def test_what_was_all_given_back_is_not_voided(debtor: Payer) -> None:
    first, event = Invoice.objects.get(), UsageEvent.objects.get()
    use(debtor, "second")
    corrections.reverse(actor=SYSTEM, event=event, reason="It failed")

    with pytest.raises(InvalidState, match="given back already"):
        void(first)
    assert (debtor.available, account("tax_payable")) == (-10, 2)


def test_of_usage_of_a_void_invoice_nothing_is_given_back_again(debtor: Payer) -> None:
    event, usd = UsageEvent.objects.get(), debtor.shop.usd
    use(debtor, "second")
    void(Invoice.objects.get(number="INV-000001"))

    with pytest.raises(InvalidState, match="fell away with its invoice"):
        corrections.reverse(actor=SYSTEM, event=event, reason="It failed")
    with pytest.raises(InvalidState, match="0 usd can still be given back"):
        corrections.refund(actor=SYSTEM, event=event, asset=usd, amount=D(1), reason="It was slow")
    assert debtor.available == -10


def test_what_is_owed_beside_it_is_invoiced_first(debtor: Payer) -> None:
    first = Invoice.objects.get()
    debtor.shop.record(debtor.customer, input_tokens=800_000)

    note = void(first)

    second = Invoice.objects.get(number="INV-000002")
    assert (note.due, second.due, status(second), debtor.available) == (-10, 2, "open", -2)


def test_less_than_a_coin_that_was_owed_and_what_was_prepaid_stay_on_paper(debtor: Payer) -> None:
    invoice = Invoice.objects.get()
    debtor.shop.record(debtor.customer, input_tokens=1_000)  # 0.0025
    debtor.shop.fund(debtor.customer, "20")
    debtor.shop.record(debtor.customer, input_tokens=800_000)  # 2, from the wallet

    note = void(invoice)

    assert (note.due, note.total, note.prepaid) == (-10, -8, 2)
    assert debtor.available == D("17.9975")


def test_a_void_invoice_is_collected_no_more(debtor: Payer, bank: Bank, clock: Clock) -> None:
    debtor.keep()
    void(Invoice.objects.get())
    clock.stop(ISSUED + timedelta(days=20))

    dunning.run_due()

    assert bank.charges() == []


def test_what_is_being_charged_is_not_voided(debtor: Payer, bank: Bank, clock: Clock) -> None:
    debtor.keep()
    clock.stop(ISSUED + timedelta(days=14))
    invoice = Invoice.objects.get()
    assert dunning._begin(invoice.collection.pk) is not None

    with pytest.raises(InvalidState, match="under way"):
        void(invoice)


def test_where_the_tax_is_not_known_it_waits_and_a_worker_finishes_it(
    debtor: Payer, bank: Bank, clock: Clock, settings: Any
) -> None:
    invoice, known = Invoice.objects.get(), settings.TAX_PROVIDER
    debtor.keep()
    settings.TAX_PROVIDER = "tests.billing.services.invoicing.test_taxes.Silent"

    assert voiding.void(actor=SYSTEM, invoice=invoice, reason="Another company was meant") is None

    clock.stop(ISSUED + timedelta(days=20))
    for _ in range(2):
        voiding.finish_due()
        dunning.run_due()
    assert (status(invoice), debtor.available, bank.charges()) == ("voiding", -10, [])
    with pytest.raises(InvalidState, match="being voided"):
        void(invoice)

    settings.TAX_PROVIDER = known
    for _ in range(2):
        voiding.finish_due()

    note = Invoice.objects.get(kind="credit_note")
    assert (note.voids, note.payable, status(invoice), debtor.available) == (invoice, -11, "void", 0)
    assert Collection.objects.get().reason == "Another company was meant"


def refused_after_all(invoice: Invoice, event: UsageEvent) -> Collection:
    """It is asked to be void, and before that is done all of it is given back otherwise."""
    asked = voiding.ask(actor=SYSTEM, invoice=invoice, reason="Another company was meant")
    corrections.reverse(actor=SYSTEM, event=event, reason="It failed")
    with pytest.raises(InvalidState, match="given back already"):
        voiding.finish(asked)
    assert not Invoice.objects.filter(voids=invoice).exists()
    return Collection.objects.get(pk=asked)


def test_what_is_given_back_while_it_waits_leaves_it_as_it_was(debtor: Payer) -> None:
    first, event = Invoice.objects.get(), UsageEvent.objects.get()
    use(debtor, "second")

    assert refused_after_all(first, event).state == "open"
    assert debtor.available == -10


def test_what_was_paid_before_it_was_to_be_void_is_paid_still_and_that_is_said_once(
    debtor: Payer, clock: Clock, settings: Any
) -> None:
    settings.INVOICE_COLLECT = False
    first, event = Invoice.objects.get(), UsageEvent.objects.get()
    invoice_payments.record(actor=SYSTEM, invoice=first, amount=D(11), reference="SEPA 1")
    dunning.run_due()
    paid_at = Collection.objects.get().closed_at
    clock.forward(days=1)

    collection = refused_after_all(first, event)
    dunning.run_due()

    assert (collection.state, collection.closed_at, status(first)) == ("paid", paid_at, "paid")
    assert OutboxEvent.objects.filter(type="invoice.paid").count() == 1


def test_what_a_bank_takes_back_while_it_waits_opens_it_again_only_where_it_is_not_voided(
    debtor: Payer, bank: Bank, clock: Clock
) -> None:
    first, event = Invoice.objects.get(), UsageEvent.objects.get()
    debtor.keep()
    debtor.shop.fund(debtor.customer, "10")
    clock.stop(ISSUED + timedelta(days=14))
    dunning.run_due()
    bank.deliver()
    assert status(first) == "paid"
    asked = voiding.ask(actor=SYSTEM, invoice=first, reason="Another company was meant")

    bank.decide(bank.dispute(TopUp.objects.get()), "lost")
    bank.deliver()

    reopened = OutboxEvent.objects.filter(type="invoice.reopened")
    assert (status(first), reopened.count()) == ("voiding", 0)
    corrections.reverse(actor=SYSTEM, event=event, reason="It failed")
    with pytest.raises(InvalidState, match="given back already"):
        voiding.finish(asked)
    assert (Collection.objects.get(pk=asked).state, reopened.count()) == ("open", 1)


def test_a_wallet_stays_frozen_while_an_invoice_that_froze_it_is_being_voided(
    debtor: Payer, clock: Clock, settings: Any
) -> None:
    settings.INVOICE_COLLECT, settings.INVOICE_OVERDUE_ACTION, settings.INVOICE_GRACE_DAYS = False, "suspend", 0
    first, second, known = Invoice.objects.get(), use(debtor, "second"), settings.TAX_PROVIDER
    clock.stop(ISSUED + timedelta(days=20))
    dunning.run_due()
    wallets.unfreeze(actor=SYSTEM, customer=debtor.customer, reason="They asked for a day")
    dunning.run_due()
    assert (frozen(debtor), Collection.objects.filter(froze=True).count()) == (True, 2)
    settings.TAX_PROVIDER = "tests.billing.services.invoicing.test_taxes.Silent"
    assert voiding.void(actor=SYSTEM, invoice=second, reason="Another company was meant") is None

    invoice_payments.record(actor=SYSTEM, invoice=first, amount=D(11), reference="SEPA 1")
    dunning.run_due()
    assert (status(first), status(second), frozen(debtor)) == ("paid", "voiding", True)

    settings.TAX_PROVIDER = known
    voiding.finish_due()
    assert (status(second), frozen(debtor)) == ("void", False)


def test_a_grant_that_had_paid_gets_its_units_back(debtor: Payer) -> None:
    usd = Asset.objects.get(pk="usd")
    grants.create(actor=SYSTEM, customer=debtor.customer, asset=usd, amount=D(4), kind="promotional")

    void(Invoice.objects.get())

    assert (debtor.available, account("promotional_expense"), account("adjustment")) == (4, -4, -10)


def test_it_is_in_the_books_of_the_day_it_was_voided_on(committed_db: None, debtor: Payer, clock: Clock) -> None:
    clock.forward(days=1)
    revenue.close_due()
    void(Invoice.objects.get())
    clock.forward(days=1)
    (day,) = revenue.close_due()

    assert invoices.issue(debtor.shop.balance(debtor.customer), end=ISSUED + timedelta(days=9)) is None
    assert day.entries > 0
