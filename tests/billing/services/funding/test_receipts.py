"""The receipt of a payment: on paper, and by e-mail once the money is in."""

from decimal import Decimal
from typing import Any

from django.core import mail

from accounts.services.audit import SYSTEM
from billing.models import Notice, TopUp
from billing.services import notices
from billing.services.funding import attempts, refunds, top_ups
from billing.services.invoicing import documents
from tests.payments import Bank, Payer, again


def lines(top_up: TopUp) -> dict[str, str]:
    paper = documents.shown_receipt(top_up)
    return dict([*paper["facts"], *paper["lines"], ("Paid", paper["paid"]), *paper["after"]])


def test_it_comes_by_mail_once_the_money_is_in_and_not_before(payer: Payer, bank: Bank) -> None:
    payer.customer.email = "billing@acme.test"
    payer.customer.save()
    top_up = payer.open("25")
    assert not Notice.objects.exists()
    bank.pay(top_up.attempt.checkout_url)
    for _ in range(2):
        attempts.look_up(top_up.attempt_id)
    notices.address()
    notices.send_due()

    (letter,) = mail.outbox
    assert letter.to == ["billing@acme.test"]
    assert letter.subject.startswith("We received $25")
    ((name, content, kind),) = letter.attachments
    assert (name, content[:5], kind) == ("receipt.pdf", b"%PDF-", "application/pdf")


def test_it_says_what_was_paid_and_what_came_in(payer: Payer, settings: Any) -> None:
    settings.TOP_UP_FEE_RATE, settings.TOP_UP_FEE_FIXED = Decimal("0.02"), Decimal("0.30")
    top_up = payer.paid("25")

    shown = lines(again(top_up))

    assert shown["Paid with"] == "Visa 4242"
    assert shown["Wallet top-up"] == "25.00 USD"
    assert shown["Came into the wallet"] == "25.00 USD"
    assert shown["Paid"] == f"{again(top_up).attempt.amount:,.2f} USD"


def test_both_currencies_and_the_rate_and_what_was_paid_back(payer: Payer, settings: Any) -> None:
    settings.TOP_UP_FX_RATES = {"EUR_USD": "1.085"}
    quote = payer.quote("92", "eur")
    made = top_ups.create(actor=SYSTEM, customer=payer.customer, quote=quote, plan=payer.plan())
    started = top_ups.start(made.pk)
    payer.bank.pay(started.attempt.checkout_url)
    attempts.look_up(started.attempt_id)
    refund = refunds.create(actor=SYSTEM, top_up=again(made), amount=Decimal(10), reason="Too much")
    refunds.start(refund.pk)

    shown = lines(again(made))

    assert shown["Paid"] == "92.00 EUR"
    assert shown["Came into the wallet"] == "99.82 USD"
    assert shown["Rate"] == "1 EUR = 1.085 USD"
    assert [text for name, text in shown.items() if name.startswith("Paid back")] == ["10.00 EUR"]
    assert documents.receipt_pdf(again(made))[:5] == b"%PDF-"
