"""What people see where something is not there, not allowed or broken."""

from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.views import defaults

from tests.portal.test_pages import text


def test_what_is_not_there_is_said_in_the_readers_language(client: Client, db: None) -> None:
    for path in ("/nowhere", "/invitations/x/y", "/admin-of-nothing"):
        response = client.get(path)
        assert response.status_code == 404
        assert "There is nothing here" in text(response)
    assert "Hier ist nichts" in text(client.get("/nowhere", headers={"accept-language": "de"}))
    assert client.get("/api/v1/nowhere")["Content-Type"] == "application/problem+json"


def test_a_form_without_its_token_changes_nothing_and_says_so(db: None) -> None:
    response = Client(enforce_csrf_checks=True).post("/sign-in", {"username": "a@b.c", "password": "x"})
    assert response.status_code == 403
    assert "This page has grown old" in text(response)


@pytest.mark.parametrize(
    ("view", "status", "words"),
    [
        (lambda request: defaults.bad_request(request, ValueError()), 400, "makes no sense"),
        (lambda request: defaults.permission_denied(request, PermissionError()), 403, "may not do this"),
        (defaults.server_error, 500, "went wrong on our side"),
    ],
    ids=["400", "403", "500"],
)
def test_other_troubles_have_a_page(rf: RequestFactory, view: Any, status: int, words: str) -> None:
    response = view(rf.get("/"))
    assert response.status_code == status
    assert words in text(response)
    assert "To the overview" in text(response)
