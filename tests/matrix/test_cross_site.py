"""What another site can make a browser send changes nothing, whatever headers come along."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.middleware.csrf import _get_new_csrf_string
from django.urls import URLResolver, get_resolver

from accounts.models import Authenticator, User
from accounts.services import staff
from tests.builders import browser_of
from tests.matrix.conftest import Tenant
from tests.matrix.test_admin import PAGES, SENT_ONLY, address
from tests.matrix.test_portal import CALLS, OPEN, filled

SENT = [(route, method) for route, method, _ in CALLS if method != "GET"]
WAYS: dict[str, dict[str, str]] = {
    "a form": {},
    "htmx": {"hx-request": "true"},
    "another origin with a token": {"origin": "https://evil.test"},
    "a referer that only begins alike": {"referer": "https://testserver.evil.test/"},
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_done_for_another_site(acme: Tenant, way: str) -> None:
    client: Any = browser_of(acme.owner, enforce_csrf_checks=True, raise_request_exception=False)
    before, done = acme.content(), []
    token = _get_new_csrf_string()
    has_token = "token" in way
    for route, _ in SENT:
        if has_token:
            client.cookies["ante_csrf"] = token
        body = {"csrfmiddlewaretoken": token} if has_token else {}
        response = client.post(filled(route, acme), body, headers=WAYS[way])
        if response.status_code not in {403, 404}:
            done.append((route, response.status_code))

    assert len(SENT) > 40
    assert done == []
    assert acme.content() == before


def test_the_same_with_a_token_of_ones_own_is_done(acme: Tenant) -> None:
    """The control: it is the token that is missing above."""
    client: Any = browser_of(acme.owner, enforce_csrf_checks=True)
    token = client.cookies["ante_csrf"] = _get_new_csrf_string()
    body = {"csrfmiddlewaretoken": token}

    assert client.post(f"/keys/{acme.ids['key_id']}/revoke", body).status_code == 302


BEGUN = {"security/authenticator": {"accounts_authenticator"}}
"""What a page begins by showing it: a factor that counts for nothing until it is confirmed, of the session alone."""


def test_looking_changes_nothing(acme: Tenant) -> None:
    client = browser_of(acme.owner, raise_request_exception=False)
    client.get("/")
    for route, method, needs in CALLS:
        if method == "GET" and needs != OPEN and "zip" not in route:
            before = acme.content()
            client.get(filled(route, acme))
            after = acme.content()
            changed = {table for table in after if after[table] != before[table]} - {"accounts_session"}
            assert changed == BEGUN.get(route, set()), (route, needs)
    assert [each.confirmed for each in Authenticator.objects.filter(user=acme.owner)].count(False) == 1


# --- The back office, and what needs no token -------------------------------------------------------------------------


@pytest.fixture
def administrator(acme: Tenant) -> User:
    person = User.objects.create_user("administrator@ante.test")
    staff.join(person, staff.ADMINISTRATOR)
    return person


@pytest.mark.parametrize("way", ["htmx", "another origin with a token"])
def test_nothing_is_done_in_the_back_office_for_another_site(acme: Tenant, administrator: User, way: str) -> None:
    client: Any = browser_of(administrator, enforce_csrf_checks=True, raise_request_exception=False)
    token = client.cookies["ante_csrf"] = _get_new_csrf_string()
    body = {"confirm": "1", "reason": "Because"} | ({"csrfmiddlewaretoken": token} if "token" in way else {})
    before, rows = acme.content(), {}

    answers = {name: client.post(address(name, rows), body, headers=WAYS[way]).status_code for name in PAGES}

    assert {name: status for name, status in answers.items() if status != 403} == {}
    assert acme.content() == before


def test_looking_changes_nothing_in_the_back_office(acme: Tenant, administrator: User) -> None:
    """Its actions are links: each asks first."""
    client, rows = browser_of(administrator), {}
    before = acme.content()

    for name in PAGES.keys() - SENT_ONLY:
        client.get(address(name, rows), {"confirm": "1", "reason": "Because"})

    assert acme.content() == before


def without_token(resolver: Any = None, prefix: str = "") -> Iterator[str]:
    """Every route that takes what is sent without Django's token."""
    for each in (resolver or get_resolver()).url_patterns:
        if isinstance(each, URLResolver):
            yield from without_token(each, prefix + str(each.pattern))
        elif getattr(each.callback, "csrf_exempt", False):
            yield prefix + str(each.pattern)


def test_only_the_api_needs_no_token_and_it_knows_no_browser(administrator: User) -> None:
    exempt = list(without_token())
    assert len(exempt) > 70
    assert [route for route in exempt if not route.startswith("api/v1/")] == []

    client = browser_of(administrator)

    assert client.get("/api/v1/customers").status_code == 401
    assert client.post("/api/v1/customers", {"external_id": "x"}, "application/json").status_code == 401
