"""Paying as people do: on our page, on the provider's, and back."""

import json
import os
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Page, expect

from accounts.models import User
from billing.models import Customer, StripeEvent, TopUp
from tests.browser.conftest import SignIn
from tests.browser.server import serving
from tests.builders import browser_of
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
    assert StripeEvent.objects.exists()
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
