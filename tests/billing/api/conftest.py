"""A program that talks to the API."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from tests.builders import Shop


class Api:
    """Requests in the name of one key. A bug in the server is an answer with status 500, as it is outside."""

    def __init__(self, key: str | None) -> None:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._client = Client(raise_request_exception=False, enforce_csrf_checks=True, headers=headers)

    def get(self, path: str, **headers: str) -> Any:
        return self.send("GET", path, None, **headers)

    def post(self, path: str, body: Any, content_type: str = "application/json", **headers: str) -> Any:
        return self.send("POST", path, body, content_type, **headers)

    def patch(self, path: str, body: Any) -> Any:
        return self.send("PATCH", path, body)

    def send(self, method: str, path: str, body: Any, content_type: str = "application/json", **headers: str) -> Any:
        """Send ``body`` as JSON, or as it is where it is text or bytes already. ``idempotency_key="k"``: a header."""
        raw = b"" if body is None else body if isinstance(body, bytes | str) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named["content-type"] = content_type  # Which the client would leave out for an empty body.
        return self._client.generic(method, f"/api/v1{path}", raw, content_type=content_type, headers=named)


@pytest.fixture
def api(shop: Shop) -> Api:
    """The operator, with a key that may do everything."""
    return Api(shop.key())


@pytest.fixture
def as_key() -> Callable[[str | None], Api]:
    """``as_key(secret)``: the API as this key sees it; None for nobody."""
    return Api


def problem(response: Any, status: int, code: str, *fields: str) -> Mapping[str, Any]:
    """The problem document of a refusal, checked: status, code, and the fields that its errors name."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"urn:ante:problem:{code}"
    assert body["request_id"] == response["X-Request-Id"]
    assert body["title"]
    assert body["detail"]
    for error in body["errors"]:
        assert set(error) == {"field", "code", "detail"}
        assert all(error.values())
    if fields:
        assert sorted({error["field"] for error in body["errors"]}) == sorted(fields)
    return body


def cloud_event(id: str = "one", **attributes: Any) -> dict[str, Any]:
    """A CloudEvent of acme's: 1,000 input and 450 output tokens."""
    return {
        "specversion": "1.0",
        "id": id,
        "source": "gateway",
        "type": "llm.completion",
        "subject": "acme",
        "data": {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 450},
    } | attributes


TRACED = datetime(2026, 9, 21, tzinfo=UTC)
"""The day of every span."""


def span(*, customer: str | None = "acme", number: int = 1, status: int = 1, **attributes: Any) -> dict[str, Any]:
    """A span in OTLP's JSON: a model call of 1,000 input and 450 output tokens."""
    said = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 450,
        **({} if customer is None else {"ante.customer": customer}),
        **{name.replace("__", "."): value for name, value in attributes.items()},
    }
    return {
        "traceId": f"{1:032x}",
        "spanId": f"{number:016x}",
        "name": "chat gpt-4o",
        "kind": 3,
        "startTimeUnixNano": "1790000000000000000",
        "endTimeUnixNano": "1790000001500000000",
        "attributes": [
            {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
            for name, value in said.items()
            if value is not None
        ],
        "status": {"code": status},
    }


def traces(*spans: Any, **resource: str) -> dict[str, Any]:
    """An export request in OTLP's JSON."""
    said = [{"key": name.replace("__", "."), "value": {"stringValue": value}} for name, value in resource.items()]
    return {"resourceSpans": [{"resource": {"attributes": said}, "scopeSpans": [{"scope": {}, "spans": list(spans)}]}]}
