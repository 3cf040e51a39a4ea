"""A passkey, made and used in a real browser with a virtual authenticator."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from accounts.models import AuditEvent, User
from accounts.services import factors
from tests.browser.conftest import PASSWORD, SignIn


@pytest.fixture
def authenticator(sign_in: SignIn, owner: User, site: str) -> Iterator[Page]:
    """Signed in at ``localhost``, with a browser that has a platform authenticator."""
    sign_in.site = site.replace("127.0.0.1", "localhost")
    page = sign_in(owner, "/security")
    client = page.context.new_cdp_session(page)
    client.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    client.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    yield page
    client.detach()


def test_a_passkey_is_made_asked_for_and_removed(authenticator: Page, owner: User, sign_in: SignIn) -> None:
    page, site = authenticator, sign_in.site
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_text("Passkey · set up")).to_be_visible()
    assert factors.enrolled(owner)
    assert AuditEvent.objects.filter(action="second_factor.added", sealed_after__kind="passkey").exists()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{site}/sign-in")
    page.get_by_label("E-mail").fill(owner.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile("/sign-in/code"))

    page.get_by_role("button", name="Use a passkey").click()

    page.wait_for_url(f"{site}/")
    page.goto(f"{site}/security")
    page.get_by_role("button", name="Remove Passkey").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert factors.enrolled(owner)
    page.get_by_role("button", name="Remove Passkey").click()
    page.get_by_role("dialog", name="Remove Passkey").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("A password alone protects this account")).to_be_visible()
    assert sign_in.complaints == []


def test_at_a_bare_address_no_passkey_is_offered(sign_in: SignIn, owner: User) -> None:
    page = sign_in(owner, "/security")
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
    expect(page.get_by_role("button", name="Add a passkey")).to_be_hidden()
