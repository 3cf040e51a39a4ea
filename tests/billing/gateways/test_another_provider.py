"""A payment provider that is not Stripe takes its place by a setting: nothing else of the product is told of it."""

import hmac
import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.gateways.payments import About, Event, Forged, Order, Outcome, Payment, Refund
from billing.models import Grant, ProviderEvent
from billing.services.funding import refunds
from tests.builders import Shop
from tests.payments import Payer, again, work

SECRET = b"of the bank's"


class Transfers:
    """Payment by bank transfer: the payer is shown an account number, and the bank says when the money is there."""

    mode = "transfers"
    live = True
    signature_header = "X-Bank-Seal"

    def __init__(self) -> None:
        self.payments: dict[str, Payment] = {}
        self.paid_back: list[Refund] = []

    def create_customer(self, *, reference: str, external_id: str, name: str, email: str) -> str:
        return f"payer of {external_id}"

    def open_checkout(self, order: Order) -> Payment:
        return self._now(order.reference, order.customer_id, order.total, order.currency, Outcome.REQUIRES_ACTION)

    def arrive(self, reference: str) -> bytes:
        """The money is there. What the bank sends."""
        known = self.payments[reference]
        self._now(reference, known.customer_id, known.amount, known.currency, Outcome.SUCCEEDED)
        return json.dumps(
            {"id": f"news of {reference}", "transfer": reference, "at": timezone.now().isoformat()}
        ).encode()

    def _now(self, reference: str, customer_id: str, amount: Decimal, currency: str, outcome: Outcome) -> Payment:
        self.payments[reference] = Payment(
            outcome=outcome,
            reference=reference,
            customer_id=customer_id,
            amount=amount,
            currency=currency,
            session_id=f"order-{reference}",
            payment_id=reference,
            url=f"https://bank.test/{reference}",
        )
        return self.payments[reference]

    def session(self, session_id: str) -> Payment:
        return self.payments[session_id.removeprefix("order-")]

    def payment(self, payment_id: str) -> Payment:
        return self.payments[payment_id]

    def refund(self, *, reference: str, key: str, payment_id: str, amount: Decimal, currency: str) -> Refund:
        made = Refund(
            f"back-{reference}", Outcome.SUCCEEDED, reference, payment_id, amount, currency, "", timezone.now()
        )
        self.paid_back.append(made)
        return made

    def read_event(self, body: bytes, signature: str) -> Event:
        if not hmac.compare_digest(signature, seal(body)):
            raise Forged("The bank's seal does not fit.")
        news = json.loads(body)
        at = datetime.fromisoformat(news["at"])
        return Event(news["id"], "transfer.arrived", About.PAYMENT, news["transfer"], at, live=True)


def seal(body: bytes) -> str:
    return hmac.digest(SECRET, body, "sha256").hex()


def report(body: bytes, sealed: str) -> int:
    """The bank's message, over HTTP."""
    answer = Client().generic("POST", "/api/v1/webhooks/payments", body, headers={"x-bank-seal": sealed})
    return answer.status_code


transfers = Transfers()


def gateway() -> Transfers:
    return transfers


@pytest.fixture
def payer(shop: Shop, settings: Any) -> Payer:
    transfers.__init__()  # type: ignore[misc]
    settings.PAYMENT_PROVIDER = f"{__name__}.gateway"
    settings.STRIPE_SECRET_KEY = ""
    return Payer(shop, bank=None)  # type: ignore[arg-type]


def test_a_top_up_is_in_the_wallet_once_the_bank_says_so(payer: Payer) -> None:
    top_up = payer.open("25")
    assert (top_up.attempt.checkout_url, payer.available) == (f"https://bank.test/{top_up.attempt_id}", 0)

    message = transfers.arrive(str(top_up.attempt_id))
    for _ in range(2):
        assert report(message, seal(message)) == 200
    work()

    assert (again(top_up).status, payer.available) == ("succeeded", 25)
    assert (ProviderEvent.objects.get().about, Grant.objects.get().paid_amount) == ("payment", 25)


def test_a_message_without_the_banks_seal_is_refused(payer: Payer) -> None:
    message = transfers.arrive(str(payer.open("25").attempt_id))

    assert report(message, seal(b"another")) == 400
    assert not ProviderEvent.objects.exists()


def test_what_was_paid_goes_back_the_same_way(payer: Payer) -> None:
    top_up = payer.open("25")
    message = transfers.arrive(str(top_up.attempt_id))
    report(message, seal(message))
    work()

    refund = refunds.create(actor=SYSTEM, top_up=again(top_up), amount=Decimal(10), reason="asked for")
    refunds.start(refund.pk)

    assert [(back.amount, back.payment_id) for back in transfers.paid_back] == [(10, str(top_up.attempt_id))]
    assert payer.available == 15
