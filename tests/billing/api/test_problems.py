"""Every error is in the tree, has a code of its own, and becomes a problem document."""

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.test import Client, RequestFactory
from rest_framework import exceptions

from billing import errors
from billing.api import problems
from billing.errors import BillingError, FieldError, InvalidRequest, InvariantViolation, RequestInProgress, WalletBusy
from billing.services import usage
from billing.services.customer import customers
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import Shop

CONTRACT = {
    "invalid_request": 400,
    "unauthenticated": 401,
    "insufficient_funds": 402,
    "budget_exceeded": 402,
    "permission_denied": 403,
    "two_factor_required": 403,
    "ip_not_allowed": 403,
    "not_found": 404,
    "already_exists": 409,
    "idempotency_conflict": 409,
    "request_in_progress": 409,
    "event_conflict": 409,
    "invalid_state": 409,
    "payload_too_large": 413,
    "unpriced_usage": 422,
    "rate_limited": 429,
}


def refusals(of: type[BillingError] = BillingError) -> Iterator[type[BillingError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from refusals(kind)


def test_every_error_is_in_the_tree_that_opens_the_module() -> None:
    assert errors.__doc__ is not None
    assert [kind.__name__ for kind in refusals() if kind.__name__ not in errors.__doc__] == []
    assert {kind.__module__ for kind in refusals()} == {"billing.errors"}


def test_every_error_has_a_code_and_a_title_of_its_own() -> None:
    kinds = list(refusals())

    assert len({kind.code for kind in kinds}) == len({kind.title for kind in kinds}) == len(kinds)
    assert all(400 <= kind.status < 600 for kind in kinds)


def test_the_codes_of_the_contract_exist_with_their_status() -> None:
    found = {kind.code: kind.status for kind in refusals()}

    assert {code: found.get(code) for code in CONTRACT} == CONTRACT


@pytest.mark.parametrize("kind", list(refusals()), ids=lambda kind: kind.__name__)
def test_every_error_becomes_a_problem_document(kind: type[BillingError]) -> None:
    error = kind("What is wrong.", errors=[FieldError("a.b", "c", "d")], available=Decimal("1.50"), asset="usd")

    response = problems.answer(error, RequestFactory().get("/api/v1/x"))

    assert (response.status_code, response["Content-Type"]) == (kind.status, "application/problem+json")
    assert json.loads(response.content) == {
        "type": f"urn:ante:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": "What is wrong.",
        "code": kind.code,
        "errors": [{"field": "a.b", "code": "c", "detail": "d"}],
        "request_id": "",
        "available": "1.5",
        "asset": "usd",
    }


def test_figures_cannot_take_the_place_of_a_members_own() -> None:
    body = problems.body(InvalidRequest("x", status=200, type="y"), request_id="r")

    assert (body["status"], body["type"]) == (400, "urn:ante:problem:invalid_request")


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (RequestInProgress("x"), {"Retry-After": "1"}),
        (WalletBusy("x"), {"Retry-After": "1"}),
        (errors.RateLimited("x"), {"Retry-After": "1"}),
        (errors.Unauthenticated("x"), {"WWW-Authenticate": "Bearer"}),
        (errors.InvalidState("x"), {}),
        (errors.NotFound("x"), {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_asks_for_a_retry_says_when(error: BillingError, headers: dict[str, str]) -> None:
    assert problems.headers(error) == headers


def test_a_bug_is_no_refusal() -> None:
    assert not issubclass(InvariantViolation, BillingError)


def test_a_bug_is_told_without_what_it_was_and_found_in_the_log(
    api: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch, log: list[dict[str, str]]
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("the secret is hunter2")

    monkeypatch.setattr(customers, "create", broken)
    monkeypatch.setattr(usage, "record", lambda events: broken())
    body = {"external_id": "a", "name": "A", "currency": "USD"}

    for response in (api.post("/customers", body), api.post("/events", cloud_event())):
        assert response.status_code == 500
        assert response["Content-Type"] == "application/problem+json"
        assert response.json()["code"] == "internal_error"
        assert response.json()["request_id"] == response["X-Request-Id"]
        assert b"hunter2" not in response.content
        (found,) = [line for line in log if line.get("http.request.id") == response["X-Request-Id"]]
        assert (found["log.level"], found["error.type"]) == ("error", "RuntimeError")


def test_a_busy_wallet_asks_to_come_again(api: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(events: object) -> None:
        raise WalletBusy("Too many requests want this wallet.")

    monkeypatch.setattr(usage, "record", busy)

    response = api.post("/events", cloud_event())

    problem(response, 503, "wallet_busy")
    assert response["Retry-After"] == "1"


@pytest.mark.usefixtures("plain_static_files")
def test_a_person_gets_a_page_for_a_bug_and_a_program_a_document() -> None:
    assert problems.handler500(RequestFactory().get("/api/v1/x"))["Content-Type"] == "application/problem+json"
    assert problems.handler500(RequestFactory().get("/x"))["Content-Type"].startswith("text/html")


def test_the_frameworks_own_errors_are_told_the_same_way() -> None:
    context = {"request": RequestFactory().get("/")}

    response = problems.handle(exceptions.Throttled(), context)

    assert response is not None
    assert (response.status_code, response.data["code"]) == (429, "rate_limited")
    assert problems.handle(ValueError("a bug"), context) is None


def test_an_answer_bears_the_request_id_that_was_brought(db: None) -> None:
    response = Client().get("/api/v1/nothing", headers={"x-request-id": "mine-1"})

    assert response["X-Request-Id"] == "mine-1"
    assert response.json()["request_id"] == "mine-1"
