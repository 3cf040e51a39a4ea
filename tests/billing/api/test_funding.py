"""``/top-ups`` and what is around them, as a program sees it."""

from decimal import Decimal
from typing import Any, ClassVar

import pytest
from django.db import connection

from billing.engine.taxes import Decision
from billing.gateways import tax
from billing.models import PaymentAttempt, TopUp
from billing.services.funding import attempts
from tests.billing.api.conftest import Api, problem
from tests.payments import KEPT_DECLINED, Bank, Payer

PATH = "/customers/acme/top-ups"
BODY = {"amount": "25", "currency": "USD", "payment_method": None, "return_url": "https://app.test/billing"}


def test_a_top_up_from_the_page_to_the_wallet(api: Api, payer: Payer, bank: Bank) -> None:
    answer = api.post(PATH, BODY)
    assert answer.status_code == 201
    body = answer.json()
    assert (body["status"], body["amount"], body["total"], body["credit"]) == ("requires_action", "25", "25", "25")
    assert bank.pay(body["checkout_url"]) == "https://app.test/billing"
    bank.deliver()
    found = api.get(f"/top-ups/{body['id']}").json()
    assert (found["status"], found["checkout_url"]) == ("succeeded", None)
    assert found["payment_method"] == {"type": "card", "brand": "visa", "last4": "4242"}
    assert api.get(PATH).json()["data"] == [found]
    grants = api.get("/customers/acme/grants").json()["data"]
    assert [(one["id"], one["kind"], one["paid"]) for one in grants] == [
        (found["grant"], "purchase", {"amount": "25", "currency": "USD"})
    ]


def test_the_same_key_is_one_top_up_and_one_answer(api: Api, payer: Payer, bank: Bank) -> None:
    first = api.post(PATH, BODY, idempotency_key="k")
    second = api.post(PATH, BODY, idempotency_key="k")
    bank.pay(first.json()["checkout_url"])
    bank.deliver()
    third = api.post(PATH, BODY, idempotency_key="k")
    assert (first.json(), second["Idempotent-Replayed"]) == (second.json(), "true")
    assert third.json() == first.json()
    assert (TopUp.objects.count(), len(bank.charges()), payer.available) == (1, 1, 25)
    problem(api.post(PATH, BODY | {"amount": "26"}, idempotency_key="k"), 409, "idempotency_conflict")


class Watching:
    """A provider that notes whether it is asked in a transaction."""

    asked: ClassVar[list[bool]] = []

    def decide(self, sale: tax.Sale) -> Decision:
        self.asked.append(connection.in_atomic_block)
        return Decision()


def test_who_knows_the_taxes_is_not_asked_in_a_transaction(
    committed_db: None, api: Api, payer: Payer, settings: Any
) -> None:
    settings.TAX_PROVIDER = f"{__name__}.Watching"
    Watching.asked.clear()

    for key in ("k", "k", "l"):
        api.post(PATH, BODY | {"payment_method": payer.keep().provider_id}, idempotency_key=key)

    assert set(Watching.asked) == {False}


def test_a_request_that_was_cut_short_is_finished_by_its_repeat(
    api: Api, payer: Payer, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = payer.keep()
    asked = BODY | {"payment_method": method.provider_id}
    with monkeypatch.context() as patched:
        patched.setattr(attempts, "send", lambda attempt_id: 1 / 0)
        assert api.post(PATH, asked, idempotency_key="k").status_code == 500
    answer = api.post(PATH, asked, idempotency_key="k")
    assert (answer.status_code, answer.json()["status"]) == (201, "succeeded")
    assert (len(bank.charges()), payer.available) == (1, 25)


def test_a_provider_that_is_away_is_no_answer_to_keep(api: Api, payer: Payer, bank: Bank) -> None:
    bank.faults("error_before", call="POST /v1/customers", times=9)
    refused = api.post(PATH, BODY, idempotency_key="k")
    problem(refused, 503, "payments_unavailable")
    assert refused["Retry-After"]
    bank.faults()
    assert api.post(PATH, BODY, idempotency_key="k").json()["status"] == "requires_action"
    assert TopUp.objects.count() == 1


def test_a_declined_method_says_why(api: Api, payer: Payer) -> None:
    body = api.post(PATH, BODY | {"payment_method": payer.keep(KEPT_DECLINED).provider_id}).json()
    assert body["status"] == "failed"
    assert body["failure"] == {"code": "generic_decline", "detail": "Your card was declined."}


def test_two_at_once_are_refused(api: Api, payer: Payer) -> None:
    api.post(PATH, BODY)
    problem(api.post(PATH, BODY), 409, "invalid_state")
    assert PaymentAttempt.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": "4.99"}, "amount"),
        ({"amount": "10000.01"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-5"}, "amount"),
        ({"amount": "5.001"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": None}, "amount"),
        ({"currency": "EUR"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"payment_method": "pm_unknown"}, "payment_method"),
        ({"return_url": "javascript:alert(1)"}, "return_url"),
        ({"return_url": "//evil.test"}, "return_url"),
        ({"return_url": "https://a@evil.test/"}, "return_url"),
        ({"return_url": "https://a b/"}, "return_url"),
        ({"pack": "none"}, "pack"),
        ({"card_number": "4242424242424242"}, "card_number"),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(api: Api, payer: Payer, change: dict[str, Any], field: str) -> None:
    problem(api.post(PATH, BODY | change), 400, "invalid_request", field)
    assert not PaymentAttempt.objects.exists()


def test_another_customers_method_cannot_be_charged(api: Api, payer: Payer, bank: Bank) -> None:
    other = Payer(payer.shop, bank, payer.shop.customer("globex")).keep()
    problem(api.post(PATH, BODY | {"payment_method": other.provider_id}), 400, "invalid_request", "payment_method")


def test_methods_are_added_listed_and_forgotten(api: Api, payer: Payer, bank: Bank) -> None:
    url = api.post("/customers/acme/payment-methods", {"return_url": "https://app.test/"}).json()["setup_url"]
    assert bank.pay(url) == "https://app.test/"
    bank.deliver()
    [kept] = api.get("/customers/acme/payment-methods").json()["data"]
    assert (kept["brand"], kept["last4"], kept["exp_year"]) == ("visa", "4242", 2034)
    assert api.send("DELETE", f"/customers/acme/payment-methods/{kept['id']}", None).status_code == 204
    assert api.get("/customers/acme/payment-methods").json()["data"] == []
    problem(api.send("DELETE", f"/customers/acme/payment-methods/{kept['id']}", None), 404, "not_found")


def test_a_refund(api: Api, payer: Payer, bank: Bank) -> None:
    top_up = payer.paid()
    path = f"/top-ups/{top_up.pk}/refund"
    first = api.post(path, {"amount": "10"}, idempotency_key="r")
    assert (first.status_code, first.json()["status"], first.json()["total"]) == (201, "succeeded", "10")
    assert api.post(path, {"amount": "10"}, idempotency_key="r").json() == first.json()
    assert payer.available == 15
    assert problem(api.post(path, {"amount": "15.01"}), 409, "invalid_state")["detail"]
    assert api.post(path, {}).json()["amount"] == "15"
    assert bank.charges()[0]["amount_refunded"] == 2500


def test_a_pack_is_sold(api: Api, payer: Payer, bank: Bank) -> None:
    payer.shop.asset("image_credits")
    pack = {"code": "images", "name": "1,000 images", "asset": "image_credits", "amount": "1000", "price": "40"}
    assert api.post("/packs", pack | {"currency": "USD"}).status_code == 201
    problem(api.post("/packs", pack | {"currency": "USD"}), 409, "already_exists")
    assert [one["code"] for one in api.get("/packs").json()["data"]] == ["images"]
    body = api.post(PATH, {"pack": "images"}).json()
    assert (body["total"], body["asset"], body["credit"], body["pack"]) == ("40", "image_credits", "1000", "images")
    bank.pay(body["checkout_url"])
    bank.deliver()
    assert payer.shop.balance(payer.customer, "image_credits").available == 1000
    problem(api.post(PATH, {"pack": "images", "amount": "5"}), 400, "invalid_request", "pack")


def test_without_a_provider_nobody_pays(api: Api, payer: Payer, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""
    problem(api.post(PATH, BODY), 503, "payments_unavailable")
    assert payer.available == Decimal(0)
