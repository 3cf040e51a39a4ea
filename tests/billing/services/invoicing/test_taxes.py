"""Taxes: by the operator's rules and the customer's details, once on every dollar, and in the ledger."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing.engine.taxes import EXEMPT, NONE, REVERSE_CHARGE, STANDARD, Decision
from billing.errors import InvalidRequest, InvalidState, Unavailable
from billing.gateways import tax
from billing.models import Customer, Invoice, LedgerEntry, Refund, TaxRule, UsageEvent
from billing.selectors.invoicing import invoices as figures
from billing.services.funding import attempts, quotes, refunds, top_ups
from billing.services.invoicing import documents, invoices, taxes
from billing.services.wallet import corrections, wallets
from tests.billing.services.invoicing.test_invoices import LATER, issue, owing
from tests.builders import Shop
from tests.payments import Payer

D = Decimal
NOW = datetime(2026, 11, 1, tzinfo=UTC)


class Silent:
    """A provider that does not answer."""

    def decide(self, sale: tax.Sale) -> Decision:
        raise tax.Unknown


def account(code: str) -> Decimal:
    """What an account has come to, credits less debits, but for what the payment provider kept."""
    entries = LedgerEntry.objects.filter(credit=code).exclude(debit="provider_fees")
    credited = entries.aggregate(sum=Sum("amount"))["sum"] or D(0)
    debited = LedgerEntry.objects.filter(debit=code).aggregate(sum=Sum("amount"))["sum"] or D(0)
    return D(credited) - D(debited)


def german(shop: Shop, **details: Any) -> Customer:
    customer = owing(shop)
    Customer.objects.filter(pk=customer.pk).update(country="DE")
    customer.refresh_from_db()
    if details:
        taxes.set_profile(actor=SYSTEM, customer=customer, **details)
    return customer


@pytest.mark.parametrize(
    ("home", "details", "expected"),
    [
        ("IE", {}, STANDARD),
        ("IE", {"tax_id": "DE 123 456 789"}, REVERSE_CHARGE),
        ("DE", {"tax_id": "DE123456789"}, STANDARD),
        ("IE", {"exempt_reason": "A public school"}, EXEMPT),
    ],
    ids=["consumer", "business abroad", "business at home", "exempt"],
)
def test_who_pays_which_tax(shop: Shop, settings: Any, home: str, details: Any, expected: str) -> None:
    settings.TAX_HOME_COUNTRY = home
    shop.tax("DE", "0.19", reverse_charge=True)

    assert taxes.decide(german(shop, **details), NOW).treatment == expected


def test_without_a_registration_there_is_no_tax(shop: Shop) -> None:
    shop.tax("FR", "0.20")

    assert taxes.decide(german(shop), NOW).treatment == NONE


def test_a_rate_holds_from_its_day_and_ends_the_one_before(shop: Shop) -> None:
    shop.tax("DE", "0.19")
    shop.tax("DE", "0.16", starts_on=date(2026, 7, 1))
    customer = german(shop)

    assert taxes.decide(customer, datetime(2026, 6, 30, 12, tzinfo=UTC)).rate == D("0.19")
    assert taxes.decide(customer, datetime(2026, 7, 1, 12, tzinfo=UTC)).rate == D("0.16")
    with pytest.raises(InvalidRequest):
        shop.tax("DE", "0.17", starts_on=date(2026, 7, 1))


def test_a_region_adds_its_own_tax(shop: Shop) -> None:
    shop.tax("CA", "0.05", name="GST")
    shop.tax("CA", "0.09975", name="QST", region="QC")
    customer = owing(shop)
    Customer.objects.filter(pk=customer.pk).update(country="CA")
    customer.refresh_from_db()
    taxes.set_profile(actor=SYSTEM, customer=customer, region="qc")

    assert [part.name for part in taxes.decide(customer, NOW).parts] == ["GST", "QST"]


@pytest.mark.parametrize("details", [{"tax_id": "X"}, {"tax_id": "FR123456789"}, {"region": "not a code"}])
def test_details_that_cannot_be_right_are_refused(shop: Shop, details: Any) -> None:
    with pytest.raises(InvalidRequest):
        german(shop, **details)


def test_an_invoice_has_its_tax_and_the_office_is_owed_it(shop: Shop) -> None:
    shop.tax("DE", "0.19")
    customer = german(shop, tax_id="DE123456789", address=["1 Main Street", "10115 Berlin"])
    shop.record(customer, input_tokens=4_000_000)

    invoice = issue(shop, customer)

    assert invoice is not None
    assert (invoice.due, invoice.tax, invoice.payable) == (10, D("1.90"), D("11.90"))
    assert (account("tax_payable"), figures.open_tax(customer.pk, "usd")) == (D("1.90"), D("1.90"))
    shown = documents.shown(invoice)
    assert (shown["net"], shown["taxes"], shown["due"]) == (
        "10.00",
        [{"name": "VAT 19 % on 10.00", "amount": "1.90"}],
        "11.90",
    )
    assert shown["buyer"][1:5] == ["1 Main Street", "10115 Berlin", "DE", "Tax number DE123456789"]


def test_what_was_taxed_as_it_came_in_is_not_taxed_again(shop: Shop, payer: Payer) -> None:
    shop.tax("DE", "0.10")
    Customer.objects.filter(pk=payer.customer.pk).update(country="DE", on_insufficient_funds="overdraft")
    payer.customer.refresh_from_db()
    customer = payer.customer
    wallets.set_overdraft_limit(actor=SYSTEM, customer=payer.customer, asset=shop.usd, limit=D(1000))
    shop.record(customer, input_tokens=4_000_000)  # 10 beyond the wallet
    payer.paid("5")
    assert account("tax_payable") == D("0.50")

    invoice = issue(shop, customer)
    assert invoice is not None
    assert (invoice.due, invoice.tax_base, invoice.tax) == (10, 5, D("0.50"))
    assert account("tax_payable") == 1

    payer.paid("20")
    assert account("tax_payable") == D("2.50")  # a tenth of all that came in
    paid = figures.paid([invoice])[invoice.pk]
    assert (paid.net, paid.tax, figures.status(invoice, paid)) == (10, D("0.50"), "paid")


def test_a_credit_note_gives_the_tax_back(shop: Shop) -> None:
    shop.tax("DE", "0.19")
    customer = german(shop)
    shop.record(customer, id="wrong", input_tokens=4_000_000)
    first = issue(shop, customer)
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="wrong"), reason="The model failed")

    note = issue(shop, customer)

    assert first is not None
    assert note is not None
    assert (note.due, note.tax, note.tax_given) == (-10, D("-1.90"), 0)
    assert (account("tax_payable"), figures.open_tax(customer.pk, "usd")) == (0, 0)
    assert figures.status(first, figures.paid([first])[first.pk]) == "paid"


def test_tax_that_was_paid_and_is_credited_comes_into_the_wallet(shop: Shop, payer: Payer) -> None:
    shop.tax("DE", "0.10")
    Customer.objects.filter(pk=payer.customer.pk).update(country="DE", on_insufficient_funds="overdraft")
    payer.customer.refresh_from_db()
    wallets.set_overdraft_limit(actor=SYSTEM, customer=payer.customer, asset=shop.usd, limit=D(1000))
    shop.record(payer.customer, id="wrong", input_tokens=4_000_000)
    issue(shop, payer.customer)
    payer.paid("10")
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="wrong"), reason="The model failed")

    note = issue(shop, payer.customer)

    assert note is not None
    assert (note.tax, note.tax_given, payer.available) == (-1, 1, 11)
    assert account("tax_payable") == 0


@pytest.mark.parametrize("refund_first", [False, True], ids=["credit note first", "refund first"])
def test_tax_of_an_invoice_comes_back_once_whichever_way(shop: Shop, payer: Payer, *, refund_first: bool) -> None:
    shop.tax("DE", "0.10")
    Customer.objects.filter(pk=payer.customer.pk).update(country="DE", on_insufficient_funds="overdraft")
    payer.customer.refresh_from_db()
    wallets.set_overdraft_limit(actor=SYSTEM, customer=payer.customer, asset=shop.usd, limit=D(1000))
    shop.record(payer.customer, id="wrong", input_tokens=4_000_000)
    issue(shop, payer.customer)
    top_up = payer.paid("20")  # 10 for the invoice, with its tax of 1, and 10 in advance
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="wrong"), reason="The model failed")

    steps = [lambda: issue(shop, payer.customer), lambda: refunds.create(actor=SYSTEM, top_up=top_up)]
    for step in reversed(steps) if refund_first else steps:
        step()

    refund = Refund.objects.get()
    assert (refund.amount, refund.tax, payer.available) == (20, 1, 1)
    assert account("tax_payable") == 0


def test_a_rule_that_has_ended_is_not_ended_later(shop: Shop) -> None:
    shop.tax("DE", "0.19")
    rule = TaxRule.objects.get()
    taxes.end_rule(actor=SYSTEM, rule=rule, on=date(2026, 6, 30), reason="Moved away")

    with pytest.raises(InvalidState):
        taxes.end_rule(actor=SYSTEM, rule=rule, on=date(2026, 7, 31), reason="Again")


def test_an_invoice_waits_where_the_tax_is_not_known(shop: Shop, settings: Any) -> None:
    settings.TAX_PROVIDER = f"{__name__}.Silent"
    customer = german(shop)
    shop.record(customer, input_tokens=4_000_000)

    with pytest.raises(Unavailable):
        issue(shop, customer)
    assert not Invoice.objects.exists()
    settings.TAX_PROVIDER = "billing.services.invoicing.taxes.Table"
    assert invoices.issue(shop.balance(customer), end=LATER) is not None


def test_a_top_up_can_have_its_tax_within(shop: Shop) -> None:
    shop.tax("DE", "0.19", included=True)
    quote = quotes.quote(customer=german(shop), amount=D(119), currency=shop.usd)

    assert (quote.amount, quote.tax, quote.total, quote.credit) == (100, 19, 119, 100)


def test_the_trail_says_what_taxes_went_by_before_and_can_forget_it(shop: Shop) -> None:
    customer = german(shop, tax_id="DE123456789", region="be", address=["1 Way"])
    taxes.set_profile(actor=SYSTEM, customer=customer, tax_id="DE123456788", region="be", exempt_reason="A school")
    taxes.set_profile(actor=SYSTEM, customer=customer, tax_id="DE123456788", region="be", exempt_reason="A school")

    first, line = AuditEvent.objects.filter(action="tax_profile.changed").order_by("pk")
    assert first.before == {"tax_id": "", "region": "", "address": []}
    assert line.before == {"tax_id": "DE123456789", "exempt_reason": "", "address": ["1 Way"]}
    assert line.after == {"tax_id": "DE123456788", "exempt_reason": "A school", "address": []}
    assert (first.sealed_after, line.sealed_before, line.sealed_after) == ({"region": "BE"}, {}, {})


def test_the_tax_of_a_pack_pays_no_invoice(shop: Shop, payer: Payer) -> None:
    """What is bought is another asset, and none of the debt is paid with it."""
    shop.tax("DE", "0.10")
    Customer.objects.filter(pk=payer.customer.pk).update(country="DE", on_insufficient_funds="overdraft")
    payer.customer.refresh_from_db()
    wallets.set_overdraft_limit(actor=SYSTEM, customer=payer.customer, asset=shop.usd, limit=D(1000))
    shop.record(payer.customer, input_tokens=16_000_000)  # 40 beyond the wallet
    invoice = issue(shop, payer.customer)
    pack = payer.pack(shop.asset("tokens"))
    quote = quotes.quote_pack(customer=payer.customer, pack=pack)
    top_up = top_ups.start(top_ups.create(actor=SYSTEM, customer=payer.customer, quote=quote, plan=payer.plan()).pk)
    payer.bank.pay(top_up.attempt.checkout_url)
    attempts.look_up(top_up.attempt_id)

    assert invoice is not None
    assert figures.open_parts(invoice, figures.paid([invoice])[invoice.pk]) == (40, 4)
    assert account("tax_payable") == 8
    assert refunds.create(actor=SYSTEM, top_up=top_up).tax == 4
