"""Staff come in by the operator's provider: once they say who they are, from then on it stands in for the password."""

import base64

import pytest
from django.conf import settings
from django_otp.oath import TOTP
from playwright.sync_api import BrowserContext, Page, expect

from accounts.models import Authenticator, Identity, User
from accounts.services import staff
from tests.browser.conftest import PASSWORD
from tests.builders import browser_of
from tests.identity_provider import Provider

INSIDE = "/security"


def to_the_provider(page: Page, site: str) -> None:
    page.goto(f"{site}/sign-in/staff?next={INSIDE}")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("link", name="Go on").click()


@pytest.mark.usefixtures("committed_db")
def test_staff_connect_once_and_come_in_with_the_second_factor(
    site: str, idp: Provider, context: BrowserContext
) -> None:
    context.set_default_timeout(8000)
    person = User.objects.create_user("finance@ante.test", PASSWORD)
    staff.join(person, staff.FINANCE)
    session = browser_of(person).cookies[settings.SESSION_COOKIE_NAME].value
    page = context.new_page()

    to_the_provider(page, site)
    expect(page.get_by_role("heading")).to_have_text("Who are you here?")
    context.clear_cookies()
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": site}])
    to_the_provider(page, site)
    page.get_by_role("button", name="Yes, connect").click()
    page.wait_for_url(f"{site}{INSIDE}")
    assert Identity.objects.get().user == person

    context.clear_cookies()
    to_the_provider(page, site)
    page.wait_for_url(f"{site}/sign-in/code?**")
    device = Authenticator.objects.get(user=person)
    page.get_by_role("textbox", name="Code").fill(f"{TOTP(base64.b32decode(device.secret)).token():06}")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{site}{INSIDE}")
