"""Currencies with other coins than hundredths: what is asked of the provider is what comes in, and goes back."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.errors import InvalidRequest
from billing.models import Asset, Customer, PaymentAttempt
from billing.services.customer import customers
from billing.services.funding import asking, quotes, refunds, top_ups
from billing.services.invoicing import documents, invoices
from billing.services.wallet import wallets
from tests.billing.services.funding.test_refunds import account, refund
from tests.builders import Shop
from tests.payments import Bank, Payer, again


def payer_in(currency: str, shop: Shop, bank: Bank) -> Payer:
    asset = shop.asset(currency, precision=12, kind="currency")
    return Payer(shop, bank, customers.create(actor=SYSTEM, external_id="acme", name="Acme", currency=asset))


@pytest.mark.parametrize(
    ("currency", "amount", "fee", "minor", "back", "minor_back"),
    [
        ("kwd", "12.50", "0.36", 12_860, "2.25", 2_250),
        ("isk", "1250", "36", 128_600, "225", 22_500),
        ("jpy", "1250", "36", 1_286, "225", 225),
    ],
)
def test_paid_and_paid_back_to_the_coin(
    shop: Shop,
    bank: Bank,
    settings: Any,
    currency: str,
    amount: str,
    fee: str,
    minor: int,
    back: str,
    minor_back: int,
) -> None:
    settings.TOP_UP_FEE_RATE = Decimal("0.029")
    payer = payer_in(currency, shop, bank)
    top_up = payer.open(amount, currency=currency)
    bank.pay(top_up.attempt.checkout_url)
    bank.deliver()
    top_up = again(top_up)
    assert (top_up.status, top_up.fee, bank.charges()[0]["amount"]) == ("succeeded", Decimal(fee), minor)
    assert shop.balance(payer.customer, currency).available == Decimal(amount)

    refund(top_up, back)
    assert bank.charges()[0]["amount_refunded"] == minor_back
    assert shop.balance(payer.customer, currency).available == Decimal(amount) - Decimal(back)
    assert (account("refunds", currency), refunds.refundable(again(top_up))) == (0, Decimal(amount) - Decimal(back))
    assert f"{Decimal(amount) + Decimal(fee):,f}" in str(documents.shown_receipt(again(top_up)))


@pytest.mark.parametrize(("currency", "amount"), [("kwd", "12.125"), ("isk", "1250.5")])
def test_what_cannot_be_charged_exactly_is_refused(shop: Shop, bank: Bank, currency: str, amount: str) -> None:
    with pytest.raises(InvalidRequest, match="at most"):
        payer_in(currency, shop, bank).quote(amount, currency)


def test_an_invoice_that_is_finer_than_a_payment_is_paid_with_the_next_coin() -> None:
    quote = quotes.quote_invoice(currency=Asset(code="kwd"), due=Decimal("12.345"), tax=Decimal("0.617"))
    assert (quote.total, quote.tax, quote.credit) == (Decimal("12.97"), Decimal("0.617"), Decimal("12.353"))


def test_what_is_rounded_up_to_a_payment_is_asked_for_again_while_it_is_open(payer: Payer) -> None:
    """12.345 KWD are open, and 12.35 are charged: networks take nothing finer."""
    customer, kwd = payer.customer, payer.shop.asset("kwd", precision=12, kind="currency")
    Customer.objects.filter(pk=customer.pk).update(on_insufficient_funds="overdraft")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=kwd, limit=Decimal(100))
    pages = payer.shop.meter("pages", "value", event_type="pages")
    payer.shop.plan("other", [payer.shop.price(pages, "12.345", asset=kwd)])
    payer.shop.subscribe(customer, "other")
    payer.shop.record(customer, type="pages", value=1)
    invoice = invoices.issue(payer.shop.balance(customer, "kwd"), end=timezone.now() + timedelta(hours=1))
    assert invoice is not None
    quote = quotes.quote_invoice(currency=kwd, due=invoice.due, tax=invoice.tax)
    plan = payer.plan(purpose=PaymentAttempt.Purpose.INVOICE)
    top_up = top_ups.create(actor=SYSTEM, customer=customer, quote=quote, plan=plan, invoice=invoice)

    assert top_up.attempt.amount == Decimal("12.35")
    assert asking.is_wanted(top_up.attempt)
    payer.shop.fund(customer, "1", asset="kwd")
    assert not asking.is_wanted(top_up.attempt)
