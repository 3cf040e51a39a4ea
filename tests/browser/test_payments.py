"""Paying as people do: on our page, on the provider's, and back."""

import base64
import json
import os
import re
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django_otp.oath import TOTP
from playwright.sync_api import Page, expect

from accounts.models import OutgoingMail, User
from accounts.services.audit import SYSTEM
from billing.models import Customer, ProviderEvent, TopUp
from billing.services.catalog import plans
from tests.browser.conftest import SignIn
from tests.browser.server import serving
from tests.builders import Shop, browser_of
from tests.payments import KEY, SECRET, Bank, standing_in, work


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """One provider for all tests here: the web server learns of it when it starts."""
    with pytest.MonkeyPatch.context() as patched:

        class Patched:
            def __setattr__(self, name: str, value: Any) -> None:
                patched.setattr(settings, name, value)

        with standing_in(Patched()) as found:
            yield found


@pytest.fixture(scope="module")
def site(
    browser_type_launch_args: Any, django_db_setup: None, bank: Bank, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    named = {"STRIPE_SECRET_KEY": KEY, "STRIPE_WEBHOOK_SECRET": SECRET, "STRIPE_API_BASE": bank.running.base}
    named["SELF_SIGN_UP"] = "true"
    with pytest.MonkeyPatch.context() as patched:
        for name, value in named.items():
            patched.setenv(name, value)
        with serving(tmp_path_factory.mktemp("paying")) as server:
            yield server.address
    assert "STRIPE_API_BASE" not in os.environ


@pytest.fixture
def paying(sign_in: SignIn, owner: User, site: str) -> Page:
    """Acme's owner, who has signed in and just given their second factor."""
    session = browser_of(owner).cookies[settings.SESSION_COOKIE_NAME].value
    sign_in.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": site}])
    page = sign_in.context.new_page()
    page.goto(f"{site}/top-up")
    return page


def deliver(bank: Bank, site: str) -> None:
    """The provider's messages reach the server, and a worker has its time."""
    for event in bank.news():
        body = json.dumps(event).encode()
        headers = {"Content-Type": "application/json", "Stripe-Signature": bank.running.webhooks.sign(body)}
        urllib.request.urlopen(urllib.request.Request(f"{site}/api/v1/webhooks/stripe", body, headers), timeout=10)
    assert ProviderEvent.objects.exists()
    work()


def to_the_page(page: Page, amount: str = "30") -> None:
    page.get_by_label("Other amount").fill(amount)
    expect(page.locator("#quote")).to_contain_text(f"${amount}.00")
    page.get_by_role("button", name="Pay", exact=True).click()
    page.wait_for_url("**/c/pay/**")


def status(page: Page, wanted: str) -> None:
    expect(page.locator("#state")).to_have_attribute("data-status", wanted, timeout=15_000)


def available() -> Decimal:
    return Customer.objects.get(external_id="acme").balances.get(asset_id="usd").available


def test_by_card_after_one_that_was_declined(paying: Page, bank: Bank, site: str) -> None:
    before = available()
    to_the_page(paying)
    paying.get_by_label("Card number").fill("4000 0000 0000 0002")
    paying.get_by_role("button", name="Pay").click()
    expect(paying.get_by_role("alert")).to_contain_text("declined")
    paying.get_by_label("Card number").fill("4242 4242 4242 4242")
    paying.get_by_role("button", name="Pay").click()
    paying.wait_for_url(f"{site}/top-ups/**")
    deliver(bank, site)
    status(paying, "succeeded")
    assert available() - before == 30
    paying.get_by_role("link", name="Receipt").click()
    expect(paying.get_by_label("Receipt")).to_contain_text("Visa ···· 4242")


def test_with_3d_secure(paying: Page, bank: Bank, site: str) -> None:
    to_the_page(paying)
    paying.get_by_label("Card number").fill("4000 0027 6000 3184")
    paying.get_by_role("button", name="Pay").click()
    paying.get_by_role("button", name="Yes, pay").click()
    paying.wait_for_url(f"{site}/top-ups/**")
    deliver(bank, site)
    status(paying, "succeeded")


def test_by_bank_debit_that_settles_later(paying: Page, bank: Bank, site: str) -> None:
    before = available()
    to_the_page(paying)
    paying.get_by_label("US bank account").check()
    paying.get_by_role("button", name="Pay").click()
    paying.wait_for_url(f"{site}/top-ups/**")
    deliver(bank, site)
    status(paying, "processing")
    expect(paying.locator("#state")).to_contain_text("We expect it about")
    assert available() == before
    bank.settle()
    deliver(bank, site)
    status(paying, "succeeded")
    assert available() - before == 30


def test_by_stablecoin(paying: Page, bank: Bank, site: str) -> None:
    to_the_page(paying)
    paying.get_by_label("Stablecoin").check()
    paying.get_by_role("button", name="Pay").click()
    paying.wait_for_url(f"{site}/top-ups/**")
    deliver(bank, site)
    status(paying, "succeeded")


def test_left_and_begun_anew(paying: Page, site: str) -> None:
    to_the_page(paying)
    paying.get_by_role("link", name="Back without paying").click()
    paying.wait_for_url(f"{site}/top-up")
    expect(paying.locator("table")).to_contain_text("Waits for you")
    assert TopUp.objects.count() == 1


def test_without_a_fresh_second_factor_the_form_comes_back_filled_in(sign_in: SignIn, owner: User) -> None:
    page = sign_in(owner, "/top-up")
    page.get_by_label("Other amount").fill("30")
    page.get_by_role("button", name="Pay", exact=True).click()
    page.wait_for_url("**next=**")
    assert "amount%3D30" in page.url
    assert TopUp.objects.count() == 0


def test_from_nothing_to_the_first_call(bank: Bank, site: str, sign_in: SignIn, shop: Shop) -> None:
    """Price page, sign-up, proof of the address, plan, second factor, top-up, key, and an event that it pays for."""
    plans.offer(actor=SYSTEM, plan=shop.plan("pro").plan, offered=True)
    page = sign_in.context.new_page()
    page.set_default_timeout(40_000)  # Ten recovery codes are hashed on the way.
    page.goto(f"{site}/prices")
    page.get_by_role("link", name="Open an account").click()
    page.get_by_label("Company").fill("Fresh Ideas")
    page.get_by_label("Your name").fill("Sample Person")
    page.get_by_label("Work e-mail").fill("sample@fresh.test")
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading")).to_have_text("Look into your mail")
    link = re.search(r"/sign-up/\S+", OutgoingMail.objects.get(recipient="sample@fresh.test").text)
    assert link
    page.goto(f"{site}{link[0]}")
    page.get_by_label("Password").fill("a long and quiet afternoon")
    page.get_by_role("button", name="Open the account").click()

    steps = page.get_by_role("region", name="First steps")
    expect(steps.locator("li.done")).to_have_count(1)  # The plan was chosen on the way.
    steps.get_by_role("listitem").filter(has_text="Put money into the wallet").get_by_role("link").click()
    page.get_by_label("Other amount").fill("30")
    page.get_by_role("button", name="Pay", exact=True).click()
    secret = "".join((page.locator("code.secret").text_content() or "").split())
    assert secret
    page.get_by_role("textbox", name="Code").fill(f"{TOTP(base64.b32decode(secret)).token():06}")
    page.get_by_role("button", name="Turn it on").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_label("Other amount")).to_have_value("30")
    page.get_by_role("button", name="Pay", exact=True).click()
    page.wait_for_url("**/c/pay/**")
    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_role("button", name="Pay").click()
    page.wait_for_url(f"{site}/top-ups/**")
    deliver(bank, site)
    status(page, "succeeded")

    page.goto(f"{site}/keys")
    page.get_by_role("textbox", name="Name").fill("first")
    page.locator('input[value="events:write"]').check()
    page.get_by_role("button", name="Make the key").click()
    key = page.locator("code").filter(has_text="ck_").first.inner_text().strip()
    customer = Customer.objects.get(name="Fresh Ideas")
    event = {"specversion": "1.0", "id": "first", "source": "terminal", "type": "llm.completion"}
    event |= {"subject": customer.external_id, "data": {"output_tokens": 1_000_000}}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents+json"}
    call = urllib.request.Request(f"{site}/api/v1/events", json.dumps(event).encode(), headers)
    with urllib.request.urlopen(call, timeout=10) as answer:
        assert json.load(answer)["balance"] == {"usd": "20"}
    page.goto(f"{site}/")
    expect(page.locator('[data-figure="usd.available"]')).to_have_attribute("value", "20")
    expect(page.get_by_role("region", name="First steps")).to_have_count(0)
