"""A real browser in front of a real server, on the tests' own database.

The server is the one that customers get: granian with the ASGI application, static files hashed and compressed. The
browser is Debian's Chromium, or the one that CHROMIUM_PATH names. Without one these tests are skipped, but never where
CI is set.
"""

import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page

from accounts.models import User
from tests.browser.server import serving
from tests.builders import Shop
from tests.identity_provider import CLIENT_ID, CLIENT_SECRET, Provider, provider

# Playwright's event loop runs in the thread that also asks the database; nothing else runs meanwhile.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

PASSWORD = "correct horse battery"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: from the first of them on an event loop runs in the main thread. After pytest-django has
    put those that need no database at the end. With several processes, ``--dist load`` deals tests out in this order;
    one that takes others' tests over would go back to those before a browser's."""
    here = Path(__file__).parent
    items.sort(key=lambda item: here in item.path.parents)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    chromium = os.environ.get("CHROMIUM_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        reason = "No Chromium here: apt-get install chromium, or set CHROMIUM_PATH."
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(reason)
        pytest.skip(reason)
    return {**browser_type_launch_args, "executable_path": chromium, "args": QUIET}


@pytest.fixture(scope="session")
def idp() -> Iterator[Provider]:
    """Where the operator's own people sign in."""
    with provider() as found:
        yield found


@pytest.fixture(scope="session")
def site(
    browser_type_launch_args: Any, django_db_setup: None, idp: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a server on the tests' database, started once. Not started where there is no browser."""
    door = {"ISSUER": idp.issuer, "CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET}
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {**door, "ALLOWED_NETWORKS": "127.0.0.0/8"}.items():
            patched.setenv(f"STAFF_SSO_{name}", value)
        with serving(tmp_path_factory.mktemp("site")) as server:
            yield server.address


class SignIn:
    """Signs people in through the form, and keeps what the browser's console complained of since."""

    def __init__(self, site: str, context: BrowserContext) -> None:
        self.site = site
        self.context = context
        self.complaints: list[str] = []

    def __call__(self, user: User, path: str = "/") -> Page:
        """The page on which this person lands."""
        page = self.context.new_page()
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(f"{self.site}/sign-in?next={path}")
        page.get_by_label("E-mail").fill(user.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.site}{path}")
        return page


@pytest.fixture
def sign_in(site: str, committed_db: None, context: BrowserContext) -> SignIn:
    context.set_default_timeout(8000)
    return SignIn(site, context)


@pytest.fixture
def owner(shop: Shop) -> User:
    """The owner of Acme, which bought $100, was given $5 for a week, and used a little of two models."""
    acme = shop.customer("acme", usd="100")
    shop.fund(acme, "5", kind="promotional", name="Welcome credits", expires_at=timezone.now() + timedelta(days=7))
    for day in range(12):
        moment = timezone.now() - timedelta(days=day)
        shop.record(acme, time=moment, model="gpt-4o", user="u_1", input_tokens=20_000, output_tokens=4000)
        shop.record(acme, time=moment, model="o3", user="u_2", output_tokens=9000)
    return shop.member(acme)
