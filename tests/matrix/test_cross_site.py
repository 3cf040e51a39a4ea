"""What another site can make a browser send changes nothing, whatever headers come along."""

from typing import Any

import pytest
from django.middleware.csrf import _get_new_csrf_string

from tests.builders import browser_of
from tests.matrix.conftest import Tenant
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


def test_looking_changes_nothing(acme: Tenant) -> None:
    client = browser_of(acme.owner, raise_request_exception=False)
    for route, method, needs in CALLS:
        if method == "GET" and needs != OPEN and "zip" not in route:
            before = acme.content()
            client.get(filled(route, acme))
            assert acme.content() == before, (route, needs)
