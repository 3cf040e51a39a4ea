"""The back office in a real browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Page

from accounts.models import User
from tests.browser.conftest import SignIn
from tests.browser.server import serving
from tests.builders import browser_of


@pytest.fixture(scope="session")
def site(
    browser_type_launch_args: Any, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A server with the back office's own static files."""
    with serving(tmp_path_factory.mktemp("office"), without=("drf_spectacular_sidecar", "rest_framework")) as server:
        yield server.address


def office(sign_in: SignIn, path: str = "/admin/") -> Page:
    """A page of the back office, for a superuser who has signed in and given their second factor.

    ``sign_in.complaints`` collects what the console says of it from here on, warnings too.
    """
    person = User.objects.create_superuser("finance@ante.test", "correct horse battery")
    session = browser_of(person).cookies[settings.SESSION_COOKIE_NAME].value
    sign_in.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": sign_in.site}])
    page = sign_in.context.new_page()
    page.on("console", lambda said: sign_in.complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: sign_in.complaints.append(str(error)))
    page.goto(f"{sign_in.site}{path}")
    return page
