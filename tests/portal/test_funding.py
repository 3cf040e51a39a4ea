"""The pages on which people pay."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Role, User
from billing.models import AutoTopUp, TopUp
from tests.builders import Shop, browser_of
from tests.payments import ASKS, Bank, Payer, again

SignedIn = Callable[[User], Client]


@pytest.fixture
def owner(payer: Payer) -> Client:
    return browser_of(payer.shop.member(payer.customer))


def test_what_it_costs_is_shown_before_paying(owner: Client, shop: Shop, settings: Any) -> None:
    settings.TOP_UP_FEE_RATE, settings.TOP_UP_FEE_FIXED = Decimal("0.02"), Decimal("0.30")
    shop.tax("US", "0.1")
    settings.TOP_UP_BONUSES = {"50": "0.05"}
    page = owner.get("/top-up/quote", {"amount": "100"}).content.decode()
    for figure in ("$100.00", "$2.30", "$10.23", "$112.53", "$5.00"):
        assert figure in page
    assert "must be from $5.00 to $10,000.00" in owner.get("/top-up/quote", {"amount": "1"}).content.decode()


def test_paying_leads_to_the_provider_and_back(owner: Client, payer: Payer, bank: Bank) -> None:
    response = owner.post("/top-up", {"preset": "25", "amount": ""})
    top_up = TopUp.objects.get()
    assert response["Location"] == top_up.attempt.checkout_url
    assert bank.pay(response["Location"]).endswith("/top-up/back")
    assert owner.get("/top-up/back")["Location"] == f"/top-ups/{top_up.pk}"
    assert "Waiting for the payment" in owner.get(f"/top-ups/{top_up.pk}").content.decode()
    bank.deliver()
    page = owner.get(f"/top-ups/{top_up.pk}", headers={"hx-request": "true"}).content.decode()
    assert 'data-status="succeeded"' in page
    assert "hx-trigger" not in page
    receipt = owner.get(f"/top-ups/{top_up.pk}/receipt").content.decode()
    assert "Visa ···· 4242" in receipt
    assert str(top_up.pk) in receipt


def test_a_kept_method_is_charged_with_one_click(owner: Client, payer: Payer) -> None:
    response = owner.post("/top-up", {"amount": "30", "method": str(payer.keep().pk)})
    assert "Paid" in owner.get(response["Location"]).content.decode()
    assert payer.available == 30


def test_a_form_that_is_sent_twice_charges_once(owner: Client, payer: Payer, bank: Bank) -> None:
    key = owner.get("/top-up").context["key"]
    form = {"amount": "30", "method": str(payer.keep().pk), "key": key}
    first = owner.post("/top-up", form)
    assert payer.available == 30  # It is through when the second click is heard.

    assert owner.post("/top-up", form)["Location"] == first["Location"]

    assert (payer.available, len(bank.charges())) == (30, 1)
    owner.post("/top-up", form | {"amount": "40"})  # Another wish.
    owner.post("/top-up", form | {"key": owner.get("/top-up").context["key"]})
    assert payer.available == 100


def test_a_form_of_which_nothing_came_may_be_sent_again(owner: Client, payer: Payer, bank: Bank, settings: Any) -> None:
    secret, settings.STRIPE_SECRET_KEY = settings.STRIPE_SECRET_KEY, ""
    refused = owner.post("/top-up", {"amount": "30", "key": "k"})
    assert (refused.status_code, refused.context["key"]) == (503, "k")
    settings.STRIPE_SECRET_KEY = secret
    waiting = owner.post("/top-up", {"amount": "30", "key": "k"})["Location"]
    assert owner.post("/top-up", {"amount": "30", "key": "k"})["Location"] == waiting
    assert "/c/pay/" in waiting


def test_a_kept_method_whose_bank_asks_leads_to_the_bank(owner: Client, payer: Payer) -> None:
    assert "/c/bank/" in owner.post("/top-up", {"amount": "30", "method": str(payer.keep(ASKS).pk)})["Location"]


def test_why_a_payment_failed_is_said_in_words(owner: Client, payer: Payer, bank: Bank) -> None:
    top_up = payer.open()
    bank.pay(top_up.attempt.checkout_url, number="4000000000009995")
    bank.deliver()
    assert "There is too little money behind this card" in owner.get(f"/top-ups/{top_up.pk}").content.decode()
    assert "too little money" in owner.get("/top-up").content.decode()


@pytest.mark.parametrize("fields", [{"amount": "x"}, {"amount": "1"}, {"amount": "1e99"}, {"pack": "none"}, {}])
def test_what_makes_no_sense_is_said_in_the_form(owner: Client, fields: dict[str, str]) -> None:
    response = owner.post("/top-up", fields)
    assert response.status_code == 400
    assert 'role="alert"' in response.content.decode()
    assert not TopUp.objects.exists()


def test_who_may_not_pay_is_told_so(payer: Payer) -> None:
    viewer = browser_of(payer.shop.member(payer.customer, "viewer@acme.test", "viewer"))
    assert "Your role does not include paying" in viewer.get("/top-up").content.decode()
    assert viewer.post("/top-up", {"amount": "30"}).status_code == 403
    assert viewer.get("/top-up/quote?amount=30").status_code == 403  # Nobody is asked for taxes in vain.
    assert viewer.post("/payment-methods").status_code == 403
    assert viewer.post(f"/payment-methods/{payer.keep().pk}/remove").status_code == 403
    assert not TopUp.objects.exists()


@pytest.mark.parametrize("role", list(Role), ids=str)
def test_methods_and_what_charges_them_are_for_those_who_pay(payer: Payer, bank: Bank, role: str) -> None:
    payer.keep()
    paid, opened = payer.paid(), payer.open()
    AutoTopUp.objects.create(
        customer=payer.customer,
        purpose="auto_top_up",
        asset=payer.customer.currency,
        threshold=Decimal(5),
        amount=Decimal(50),
        state="suspended",
        due_at=timezone.now(),
    )
    browser = browser_of(payer.shop.member(payer.customer, role=role))
    pages = {path: browser.get(path).content.decode() for path in ("/top-up", f"/top-ups/{paid.pk}")}
    waiting = browser.get(f"/top-ups/{opened.pk}").content.decode()
    may = role in {Role.OWNER, Role.ADMIN, Role.BILLING}
    assert {path for path, page in pages.items() if "4242" in page} == (set(pages) if may else set())
    for said in ("Payment methods", "Remove", "Add a payment method", "Automatic top-ups have stopped."):
        assert (said in pages["/top-up"]) == may
    assert ('class="pay-form"' in pages["/top-up"], "Go on paying" in waiting) == (may, may)
    assert (f"/top-ups/{paid.pk}" in pages["/top-up"]) == (role != Role.DEVELOPER)


def test_without_a_fresh_second_factor_nobody_pays(payer: Payer, signed_in: SignedIn) -> None:
    owner = signed_in(payer.shop.member(payer.customer))
    asked = owner.post("/top-up", {"amount": "30"})
    assert asked["Location"] == "/top-up?amount=30&confirm=1"
    assert "/security/authenticator?next=%2Ftop-up%3Famount%3D30" in owner.get(asked["Location"])["Location"]
    assert owner.post("/payment-methods").status_code == 302
    assert not TopUp.objects.exists()


def test_anothers_payment_is_not_there(owner: Client, payer: Payer, bank: Bank) -> None:
    other = Payer(payer.shop, bank, payer.shop.customer("globex"))
    paid, method = other.paid(), other.keep()
    for path in (f"/top-ups/{paid.pk}", f"/top-ups/{paid.pk}/receipt"):
        assert owner.get(path).status_code == 404
    assert owner.post(f"/payment-methods/{method.pk}/remove").status_code == 404
    assert owner.post("/top-up", {"amount": "30", "method": str(method.pk)}).status_code == 400
    assert again(paid).status == "succeeded"


def test_a_method_is_removed(owner: Client, payer: Payer) -> None:
    method = payer.keep()
    assert owner.post(f"/payment-methods/{method.pk}/remove")["Location"] == "/top-up"
    assert "was removed" in owner.get("/top-up").content.decode()


def test_without_a_provider_the_page_says_so(owner: Client, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""
    assert "No payments yet" in owner.get("/top-up").content.decode()
    assert owner.post("/top-up", {"amount": "30"}).status_code == 503
