"""Collecting invoices: charged once, tried again a few times, reminded of, and never more than is open."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import F

from accounts.services.audit import SYSTEM
from billing import checks
from billing.errors import AlreadyExists, InvalidRequest, InvalidState
from billing.models import (
    Asset,
    Collection,
    Customer,
    Invoice,
    Notice,
    OutboxEvent,
    PaymentAttempt,
    TopUp,
    UsageEvent,
    Wallet,
)
from billing.selectors.invoicing import invoices as figures
from billing.services.customer import customers
from billing.services.funding import attempts, refunds
from billing.services.invoicing import dunning, invoice_payments, invoices
from billing.services.wallet import corrections, wallets
from tests.billing.services.conftest import Clock
from tests.billing.services.invoicing.test_taxes import account
from tests.payments import KEPT_DECLINED, Bank, Payer

D = Decimal
ISSUED = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def debtor(payer: Payer, clock: Clock, settings: Any) -> Payer:
    """Somebody in a country with a tax of 10 % who owes $10 by an invoice that is due on 15 November."""
    settings.INVOICE_COLLECT = True
    clock.stop(ISSUED)
    shop, customer = payer.shop, payer.customer
    shop.tax("US", "0.1")
    Customer.objects.filter(pk=customer.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=shop.usd, limit=D(100))
    shop.record(customer, input_tokens=4_000_000)
    assert invoices.issue(shop.balance(customer), end=ISSUED + timedelta(hours=1)) is not None
    return payer


def later(clock: Clock, days: int) -> None:
    clock.stop(ISSUED + timedelta(days=days))
    dunning.run_due()


def state() -> str:
    invoice = Invoice.objects.select_related("collection").get()
    return figures.status(invoice, figures.paid([invoice])[invoice.pk])


def test_what_is_due_is_charged_once_with_its_tax(debtor: Payer, bank: Bank, clock: Clock) -> None:
    debtor.keep()
    later(clock, 13)
    assert bank.charges() == []

    for _ in range(3):
        later(clock, 14)

    assert [charge["amount"] for charge in bank.charges()] == [1100]
    assert (state(), Collection.objects.get().state, debtor.available) == ("paid", "paid", 0)
    assert (account("tax_payable"), account("cash_clearing")) == (1, -11)
    assert OutboxEvent.objects.filter(type="invoice.paid").count() == 1


def test_a_charge_that_nobody_sent_is_sent_and_not_begun_again(debtor: Payer, bank: Bank, clock: Clock) -> None:
    debtor.keep()
    clock.stop(ISSUED + timedelta(days=14))
    assert dunning._begin(Collection.objects.get().pk) is not None
    assert bank.charges() == []
    TopUp.objects.update(created_at=F("created_at") - timedelta(seconds=30))

    dunning.run_due()

    assert len(bank.charges()) == 1
    assert (PaymentAttempt.objects.count(), state()) == (1, "paid")


def test_a_declined_card_is_tried_four_times_on_its_days(debtor: Payer, bank: Bank, clock: Clock) -> None:
    debtor.keep(KEPT_DECLINED)
    tried = []
    for day in range(13, 60):
        later(clock, day)
        tried.append(PaymentAttempt.objects.filter(purpose="invoice").count())

    assert (tried[0], tried[1], tried[-1], Collection.objects.get().tries) == (0, 1, 4, 4)
    assert state() == "open"


def test_what_came_in_otherwise_is_not_charged(debtor: Payer, bank: Bank, clock: Clock) -> None:
    debtor.keep()
    debtor.paid("6")
    later(clock, 14)

    assert sorted(charge["amount"] for charge in bank.charges()) == [440, 660]
    assert state() == "paid"


def test_a_charge_that_was_not_heard_of_is_not_sent_again_once_the_money_came_by_bank(
    debtor: Payer, bank: Bank, clock: Clock
) -> None:
    debtor.keep()
    bank.faults("timeout_before", call="POST /v1/payment_intents", times=2)
    later(clock, 14)
    assert PaymentAttempt.objects.get(purpose="invoice").status == "unknown"
    invoice_payments.record(actor=SYSTEM, invoice=Invoice.objects.get(), amount=D(11), reference="SEPA 1")

    for minutes in (1, 5, 12):
        clock.stop(ISSUED + timedelta(days=14, minutes=minutes))
        attempts.settle_due()

    assert (PaymentAttempt.objects.get(purpose="invoice").failure_code, bank.charges()) == ("never_arrived", [])
    assert (state(), debtor.available) == ("paid", 0)


def test_reminders_come_on_their_days_and_not_twice(debtor: Payer, clock: Clock, settings: Any) -> None:
    settings.INVOICE_COLLECT = False
    told = []
    for day in (14, 15, 15, 16, 21, 40):
        later(clock, day)
        told.append(Notice.objects.filter(kind="invoice.overdue").count())

    assert told == [0, 1, 1, 1, 2, 3]
    invoice = Invoice.objects.select_related("collection").get()
    assert figures.overdue(invoice, figures.paid([invoice])[invoice.pk])
    assert "$11.00 of it are open" in Notice.objects.filter(kind="invoice.overdue")[0].text


def test_an_overdue_invoice_freezes_the_wallet_until_it_is_paid(debtor: Payer, clock: Clock, settings: Any) -> None:
    settings.INVOICE_COLLECT, settings.INVOICE_OVERDUE_ACTION, settings.INVOICE_GRACE_DAYS = False, "suspend", 9
    later(clock, 20)
    assert Wallet.objects.get(customer=debtor.customer).frozen_at is None
    later(clock, 24)
    assert Wallet.objects.get(customer=debtor.customer).frozen_at is not None

    invoice_payments.record(actor=SYSTEM, invoice=Invoice.objects.get(), amount=D(11), reference="SEPA 1")
    later(clock, 24)

    assert Wallet.objects.get(customer=debtor.customer).frozen_at is None


@pytest.mark.parametrize(
    ("operator", "own", "grace", "reminders", "frozen_on"),
    [
        ("suspend", "default", None, 2, 25),
        ("suspend", "default", 3, 2, 19),
        ("remind", "suspend", 3, 2, 19),
        ("suspend", "remind", None, 2, None),
        ("suspend", "nothing", None, 0, None),
        ("nothing", "default", None, 0, None),
    ],
    ids=["operators", "own grace", "own suspension", "reminders alone", "nothing", "operators nothing"],
)
def test_what_an_overdue_invoice_does_is_agreed_with_each_customer(
    debtor: Payer,
    clock: Clock,
    settings: Any,
    operator: str,
    own: str,
    grace: int | None,
    reminders: int,
    frozen_on: int | None,
) -> None:
    settings.INVOICE_COLLECT, settings.INVOICE_OVERDUE_ACTION, settings.INVOICE_GRACE_DAYS = False, operator, 9
    Customer.objects.update(overdue_action=own, overdue_grace_days=grace)

    seen = []
    for day in range(14, 26):
        later(clock, day)
        seen.append(frozen(debtor))

    assert Notice.objects.filter(kind="invoice.overdue").count() == reminders
    first = next((day for day, is_frozen in enumerate(seen, start=15) if is_frozen), None)
    assert first == frozen_on, "of November; the invoice is due on the 15th"


@pytest.mark.parametrize(("action", "days"), [("sue", 14), ("suspend", -1), ("default", 14)])
def test_terms_that_nobody_knows_are_told_at_the_start(settings: Any, action: str, days: int) -> None:
    assert checks.overdue(None) == []
    settings.INVOICE_OVERDUE_ACTION, settings.INVOICE_GRACE_DAYS = action, days

    assert [error.id for error in checks.overdue(None)] == ["billing.E009"]


def test_who_agrees_on_other_terms_is_suspended_no_longer(debtor: Payer, clock: Clock, settings: Any) -> None:
    settings.INVOICE_COLLECT = False
    Customer.objects.update(overdue_action="suspend", overdue_grace_days=0)
    later(clock, 15)
    assert frozen(debtor)

    customers.update(actor=SYSTEM, customer=debtor.customer, changes={"overdue_grace_days": 30})
    later(clock, 15)

    assert (frozen(debtor), Collection.objects.get().froze) == (False, False)


def test_money_by_bank_is_noted_once_and_shared_with_the_tax(debtor: Payer) -> None:
    invoice = Invoice.objects.get()
    invoice_payments.record(actor=SYSTEM, invoice=invoice, amount=D("5.50"), reference="SEPA 1")

    assert state() == "partly_paid"
    assert (debtor.available, figures.open_tax(debtor.customer.pk, "usd")) == (-5, D("0.50"))
    with pytest.raises(AlreadyExists):
        invoice_payments.record(actor=SYSTEM, invoice=invoice, amount=D("5.50"), reference="SEPA 1")
    with pytest.raises(InvalidRequest):
        invoice_payments.record(actor=SYSTEM, invoice=invoice, amount=D("5.51"), reference="SEPA 2")
    invoice_payments.record(actor=SYSTEM, invoice=invoice, amount=D("5.50"), reference="SEPA 2")
    assert (state(), account("tax_payable"), account("cash_clearing")) == ("paid", 1, -11)


def test_what_is_written_off_is_owed_no_longer_and_neither_is_its_tax(debtor: Payer) -> None:
    invoice = Invoice.objects.get()

    invoice_payments.write_off(actor=SYSTEM, invoice=invoice, reason="Bankrupt")

    assert (state(), debtor.available, account("tax_payable"), account("cash_clearing")) == ("uncollectible", 0, 0, 0)
    with pytest.raises(InvalidState):
        invoice_payments.write_off(actor=SYSTEM, invoice=invoice, reason="Again")


def test_an_answer_that_is_lost_is_not_charged_again(debtor: Payer, bank: Bank, clock: Clock) -> None:
    debtor.keep()
    clock.stop(ISSUED + timedelta(days=14))
    attempt_id = dunning._begin(Collection.objects.get().pk)
    assert attempt_id is not None
    attempts.send(attempt_id)
    Collection.objects.update(next_try_at=ISSUED)

    dunning.run_due()

    assert len(bank.charges()) == 1


def frozen(debtor: Payer) -> bool:
    return Wallet.objects.get(customer=debtor.customer).frozen_at is not None


def test_who_ends_while_freezing_or_closing_leaves_no_wallet_frozen(
    debtor: Payer, clock: Clock, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.INVOICE_COLLECT, settings.INVOICE_OVERDUE_ACTION, settings.INVOICE_GRACE_DAYS = False, "suspend", 9
    freeze, unfreeze = wallets.freeze, wallets.unfreeze

    def freeze_and_end(**fields: Any) -> None:
        freeze(**fields)
        raise RuntimeError("killed")

    def end(**_: Any) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(wallets, "freeze", freeze_and_end)
    later(clock, 24)
    assert not frozen(debtor)

    monkeypatch.setattr(wallets, "freeze", freeze)
    later(clock, 24)
    assert frozen(debtor)

    invoice_payments.record(actor=SYSTEM, invoice=Invoice.objects.get(), amount=D(11), reference="SEPA 1")
    monkeypatch.setattr(wallets, "unfreeze", end)
    later(clock, 24)
    assert (frozen(debtor), Collection.objects.get().state) == (True, "open")

    monkeypatch.setattr(wallets, "unfreeze", unfreeze)
    later(clock, 24)
    assert (frozen(debtor), Collection.objects.get().state) == (False, "paid")


def test_a_collection_that_somebody_else_closed_is_nobodys_trouble(debtor: Payer) -> None:
    invoice_payments.write_off(actor=SYSTEM, invoice=Invoice.objects.get(), reason="Bankrupt")

    dunning.advance(Collection.objects.get().pk)

    assert state() == "uncollectible"


def test_what_is_being_charged_is_not_written_off(debtor: Payer, bank: Bank, clock: Clock) -> None:
    debtor.keep()
    clock.stop(ISSUED + timedelta(days=14))
    attempt_id = dunning._begin(Collection.objects.get().pk)
    assert attempt_id is not None

    with pytest.raises(InvalidState, match="under way"):
        invoice_payments.write_off(actor=SYSTEM, invoice=Invoice.objects.get(), reason="Bankrupt")

    attempts.send(attempt_id)
    assert (state(), debtor.available) == ("paid", 0)


def test_no_payment_has_the_reference_of_what_is_given_up(debtor: Payer) -> None:
    invoice = Invoice.objects.get()

    with pytest.raises(AlreadyExists):
        invoice_payments.record(actor=SYSTEM, invoice=invoice, amount=D(1), reference="written off")


def test_tax_that_was_written_off_is_credited_to_nobody(debtor: Payer) -> None:
    debtor.shop.record(debtor.customer, id="wrong", input_tokens=4_000_000)
    assert invoices.issue(debtor.shop.balance(debtor.customer), end=ISSUED + timedelta(hours=2)) is not None
    for invoice in Invoice.objects.order_by("first_seq"):
        invoice_payments.write_off(actor=SYSTEM, invoice=invoice, reason="Bankrupt")
    assert account("tax_payable") == 0
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="wrong"), reason="The model failed")

    note = invoices.issue(debtor.shop.balance(debtor.customer), end=ISSUED + timedelta(hours=3))

    assert note is not None
    assert (note.kind, note.tax, note.tax_given, account("tax_payable")) == ("credit_note", 0, 0, 0)


def credit_note(debtor: Payer) -> Invoice:
    note = invoices.issue(debtor.shop.balance(debtor.customer), end=ISSUED + timedelta(hours=3))
    assert note is not None
    assert note.kind == "credit_note"
    return note


def use(debtor: Payer, id: str, *, tokens: int = 4_000_000) -> Invoice:
    debtor.shop.record(debtor.customer, id=id, input_tokens=tokens)
    invoice = invoices.issue(debtor.shop.balance(debtor.customer), end=ISSUED + timedelta(hours=2))
    assert invoice is not None
    return invoice


def reverse(id: str) -> None:
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id=id), reason="The model failed")


def test_usage_that_was_written_off_and_is_reversed_brings_no_credit(debtor: Payer) -> None:
    invoice_payments.write_off(actor=SYSTEM, invoice=Invoice.objects.get(), reason="Bankrupt")
    second = use(debtor, "wrong")
    invoice_payments.write_off(actor=SYSTEM, invoice=second, reason="Bankrupt")
    given_up = account("adjustment")

    reverse("wrong")

    # Nothing to spend, nothing owed, and half of the loss is none: what was used came to half.
    assert (debtor.available, debtor.shop.balance(debtor.customer).owed) == (0, 0)
    assert (given_up, account("adjustment"), account("usage")) == (-20, -10, 10)
    assert (credit_note(debtor).due, account("tax_payable")) == (-10, 0)


def test_what_is_given_back_is_asked_for_no_more_and_leaves_what_was_paid_paid(
    debtor: Payer, bank: Bank, clock: Clock
) -> None:
    debtor.keep()
    use(debtor, "wrong")
    debtor.paid("10")
    dunning.run_due()
    first, second = Invoice.objects.order_by("first_seq")

    reverse("wrong")

    both = figures.paid([first, second])
    assert [figures.status(each, both[each.pk]) for each in (first, second)] == ["paid", "partly_paid"]
    assert figures.open_parts(second, both[second.pk]) == (0, 1)
    later(clock, 14)
    # The tax on it is neither: the credit note came first.
    assert [charge["amount"] for charge in bank.charges()] == [1100]
    assert (Invoice.objects.get(kind="credit_note").payable, debtor.available, account("tax_payable")) == (-11, 0, 1)
    assert set(Collection.objects.values_list("state", flat=True)) == {"paid"}


def refund(amount: str) -> None:
    event, usd = UsageEvent.objects.get(), Asset.objects.get(pk="usd")
    corrections.refund(actor=SYSTEM, event=event, asset=usd, amount=D(amount), reason="It was slow")


def test_what_was_given_back_is_credited_before_it_counts_as_paid_for_good(debtor: Payer, clock: Clock) -> None:
    first = Invoice.objects.select_related("collection").get()
    refund("3")
    invoice_payments.record(actor=SYSTEM, invoice=first, amount=D(8), reference="SEPA 1")
    dunning._close(first.collection.pk)
    assert (state(), Collection.objects.get().state) == ("paid", "open")

    later(clock, 3)
    assert (Invoice.objects.get(kind="credit_note").payable, Collection.objects.get().state) == (D("-3.30"), "paid")

    debtor.shop.record(debtor.customer, id="later", input_tokens=1_200_000)
    later(clock, 20)
    assert figures.status(first, figures.paid([first])[first.pk]) == "paid"
    assert not OutboxEvent.objects.filter(type="invoice.overdue").exists()
    second = invoices.issue(debtor.shop.balance(debtor.customer), end=ISSUED + timedelta(days=21))
    assert second is not None
    # Of the three, the tax that was given back has paid its part.
    assert (second.due, second.tax) == (D("2.70"), D("0.27"))


def test_for_less_than_a_coin_that_was_given_back_nobody_is_asked_for_taxes(
    debtor: Payer, clock: Clock, settings: Any
) -> None:
    settings.TAX_PROVIDER = "tests.billing.services.invoicing.test_taxes.Silent"
    refund("0.002")
    invoice_payments.record(actor=SYSTEM, invoice=Invoice.objects.get(), amount=D(11), reference="SEPA 1")

    later(clock, 14)

    assert (state(), Collection.objects.get().state) == ("paid", "paid")


def test_who_was_let_off_a_debt_gets_nothing_for_it_though_another_was_paid(debtor: Payer) -> None:
    first = Invoice.objects.get()
    invoice_payments.write_off(actor=SYSTEM, invoice=first, reason="A gesture")
    second = use(debtor, "wrong")
    invoice_payments.record(actor=SYSTEM, invoice=second, amount=D(11), reference="SEPA 1")

    reverse("wrong")

    # Ten were used in all, and ten and their tax were paid.
    assert debtor.available == 0
    note = credit_note(debtor)
    assert (note.due, note.tax, debtor.available, account("tax_payable")) == (-10, 0, 0, 1)


def test_no_more_is_written_off_than_is_owed(debtor: Payer) -> None:
    second = use(debtor, "wrong")
    invoice_payments.write_off(actor=SYSTEM, invoice=Invoice.objects.order_by("first_seq")[0], reason="Bankrupt")
    reverse("wrong")

    invoice_payments.write_off(actor=SYSTEM, invoice=second, reason="Bankrupt")

    assert (debtor.available, account("adjustment"), account("tax_payable")) == (0, -10, 0)
    with pytest.raises(InvalidState):
        invoice_payments.write_off(actor=SYSTEM, invoice=second, reason="Again")


def test_where_the_tax_alone_is_open_it_is_charged(debtor: Payer, bank: Bank, clock: Clock) -> None:
    debtor.keep()
    debtor.shop.fund(debtor.customer, "10")
    assert state() == "partly_paid"

    later(clock, 14)

    assert [charge["amount"] for charge in bank.charges()] == [100]
    top_up = TopUp.objects.get()
    assert (state(), top_up.credit, top_up.invoiced_tax, debtor.available) == ("paid", 0, 1, 0)
    assert (account("tax_payable"), Collection.objects.get().state) == (1, "paid")
    with pytest.raises(InvalidState):
        refunds.create(actor=SYSTEM, top_up=top_up)


def test_the_bank_of_who_paid_a_tax_alone_may_take_it_back(debtor: Payer, bank: Bank, clock: Clock) -> None:
    debtor.keep()
    debtor.shop.fund(debtor.customer, "10")
    later(clock, 14)
    bank.deliver()

    dispute = bank.dispute(TopUp.objects.get())
    bank.deliver()
    bank.decide(dispute, "lost")
    bank.deliver()

    assert (debtor.available, account("cash_clearing"), account("disputed")) == (0, -10, 0)
    # The office has its tax still, and the customer owes it again.
    assert (account("tax_payable"), figures.open_tax(debtor.customer.pk, "usd"), state()) == (1, 1, "partly_paid")
    # It is reminded of again, and nothing is charged for it by itself.
    later(clock, 22)
    told = OutboxEvent.objects.filter(type__startswith="invoice.").order_by("id").values_list("type", flat=True)
    assert list(told) == ["invoice.finalized", "invoice.paid", "invoice.reopened", "invoice.overdue"]
    assert (Collection.objects.get().state, len(bank.charges())) == ("open", 1)

    bank.decide(dispute, "won")
    bank.deliver()
    later(clock, 22)

    assert (account("tax_payable"), figures.open_tax(debtor.customer.pk, "usd"), state()) == (1, 0, "paid")
    assert (Collection.objects.get().state, OutboxEvent.objects.filter(type="invoice.paid").count()) == ("paid", 2)


def lost_and_paid_again(debtor: Payer, bank: Bank, clock: Clock) -> str:
    """The payment of a tax alone was lost in the dispute that this returns, and 20 came in, which paid the tax."""
    debtor.keep()
    debtor.shop.fund(debtor.customer, "10")
    later(clock, 14)
    bank.deliver()
    dispute = bank.dispute(TopUp.objects.get())
    bank.decide(dispute, "lost")
    bank.deliver()
    debtor.paid("20")
    return dispute


def test_a_tax_that_was_paid_again_before_its_dispute_is_won_after_all_is_in_the_wallet(
    debtor: Payer, bank: Bank, clock: Clock
) -> None:
    dispute = lost_and_paid_again(debtor, bank, clock)
    assert (debtor.available, figures.open_tax(debtor.customer.pk, "usd"), account("tax_payable")) == (20, 0, 2)

    bank.decide(dispute, "won")
    bank.deliver()

    assert (debtor.available, account("tax_payable"), account("receivable")) == (21, 2, 0)
    assert (account("cash_clearing"), account("disputed"), state()) == (-33, 0, "paid")


def test_what_a_credit_note_withheld_comes_whatever_came_in_twice_before(
    debtor: Payer, bank: Bank, clock: Clock
) -> None:
    bank.decide(lost_and_paid_again(debtor, bank, clock), "won")
    bank.deliver()
    assert debtor.available == 21
    debtor.shop.record(debtor.customer, id="kept", input_tokens=8_400_000)
    kept = UsageEvent.objects.get(event_id="kept")
    debtor.shop.record(debtor.customer, input_tokens=4_000_000)
    assert invoices.issue(debtor.shop.balance(debtor.customer), end=ISSUED + timedelta(days=20)) is not None
    disputed = bank.dispute(debtor.paid("20"))
    debtor.shop.fund(debtor.customer, "30")
    bank.decide(disputed, "lost")
    bank.deliver()
    for event in UsageEvent.objects.exclude(pk=kept.pk):
        corrections.reverse(actor=SYSTEM, event=event, reason="The model failed")
        assert invoices.issue(debtor.shop.balance(debtor.customer), end=ISSUED + timedelta(days=20)) is not None
    assert sorted(Invoice.objects.filter(kind="credit_note").values_list("tax", "tax_withheld")) == [(-1, 0), (0, 1)]
    assert debtor.available == 41

    bank.decide(disputed, "won")
    bank.deliver()

    # 80 came in beside its taxes and 21 were used; of three times a tax of 1 none is asked for any more.
    assert debtor.available == 62
