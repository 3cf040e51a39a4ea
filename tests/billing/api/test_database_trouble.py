"""A database in trouble is no bug: 503, and when to come again."""

import json
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import InterfaceError, OperationalError
from django.test import RequestFactory

from accounts.services import api_keys
from billing.api import ingest, native, problems
from billing.services import authorizations, usage
from billing.services.customer import customers
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.billing.api.test_native import in_loop
from tests.builders import Shop

TROUBLE = [
    OperationalError("the connection was closed: secret-host"),
    InterfaceError("the connection is closed: secret-host"),
]


def raising(error: Exception) -> Any:
    def function(*_: object, **__: object) -> None:
        raise error

    return function


def check(response: Any) -> None:
    problem(response, 503, "unavailable")
    assert response["Retry-After"] == "1"
    assert b"secret-host" not in response.content


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_it_is_said_to_come_again(api: Api, shop: Shop, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    opened = authorizations.open_amount(customer=shop.customer("acme", usd="10"), asset=shop.usd, amount=Decimal(1))
    held = f"/authorizations/{opened.authorization.pk}"
    monkeypatch.setattr(usage, "record", raising(error))
    monkeypatch.setattr(customers, "create", raising(error))
    for service in ("open_amount", "open_for_usage", "capture_amount", "void"):
        monkeypatch.setattr(authorizations, service, raising(error))
    body = {"external_id": "a", "name": "A", "currency": "USD"}

    check(api.post("/events", cloud_event()))
    check(api.post("/events", [cloud_event()], idempotency_key="k"))
    check(api.post("/customers", body))
    check(api.post("/customers", body, idempotency_key="k"))
    for wanted in ({"asset": "usd", "amount": "1"}, {"type": "llm.completion", "data": cloud_event()["data"]}):
        check(api.post("/authorizations", {"customer": "acme", **wanted}))
        check(api.post("/authorizations", {"customer": "acme", **wanted}, idempotency_key="k"))
    check(api.post(f"{held}/capture", {"amount": "1"}))
    check(api.post(f"{held}/void", {}))
    monkeypatch.setattr(api_keys, "authenticate", raising(error))
    check(api.get("/customers"))
    check(api.post("/events", cloud_event()))


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_the_event_loop_says_the_same(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(ingest, "known_reporter", raising(error))
    sent: list[Any] = []

    async def play() -> bool:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await native.application({"type": "http", "headers": [(b"host", b"127.0.0.1")]}, receive, send)
        return True

    in_loop(play)

    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["code"] == "unavailable"


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_so_does_the_last_handler(error: Exception) -> None:
    try:
        raise error
    except Exception:
        response = problems.handler500(RequestFactory().get("/api/v1/x"))

    assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert json.loads(response.content)["code"] == "unavailable"


def test_a_bug_promises_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "record", raising(psycopg.ProgrammingError("a bug")))

    response = api.post("/events", cloud_event())

    assert problem(response, 500, "internal_error")["detail"].startswith("It is logged under this request id.")
    assert b"Nothing was changed" not in response.content
