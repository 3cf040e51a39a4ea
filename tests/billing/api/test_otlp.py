"""Traces of OpenTelemetry: model calls are usage, once, and everything else passes by."""

import gzip
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from json import dumps
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from billing.api import json
from billing.models import Customer, UsageEvent
from tests.billing.api.conftest import TRACED, Api, problem, span, traces
from tests.builders import Shop

PATH = "/otlp/v1/traces"
COST = Decimal("0.0025") + Decimal("0.0045")
PROTOBUF = "application/x-protobuf"


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer("acme", usd="1", since=TRACED)


def rejected(response: Any) -> tuple[int, str]:
    assert response.status_code == 200, response.content
    found = response.json().get("partialSuccess", {})
    return int(found.get("rejectedSpans", 0)), found.get("errorMessage", "")


def test_a_model_call_is_charged_once_however_often_it_comes(api: Api, shop: Shop, acme: Customer) -> None:
    body = traces(
        span(
            gen_ai__response__model="gpt-4o-2024-08-06",
            gen_ai__usage__cache_read__input_tokens=200,
            gen_ai__provider__name="openai",
            gen_ai__conversation__id="c1",
            ante__feature="search",
        ),
        service__name="shop",
    )
    for _ in range(3):
        response = api.post(PATH, body)
        assert (response.status_code, response.json()) == (200, {})
    event = UsageEvent.objects.get()
    assert (event.event_id, event.source, event.type) == (f"{1:032x}-{1:016x}", "otlp", "llm.completion")
    assert event.occurred_at.isoformat() == "2026-09-21T14:13:21.500000+00:00"
    assert event.data == {
        "model": "gpt-4o-2024-08-06",
        "provider": "openai",
        "request_type": "chat",
        "session": "c1",
        "service": "shop",
        "feature": "search",
        "input_tokens": 1000,
        "cached_input_tokens": 200,
        "output_tokens": 450,
    }
    assert shop.balance(acme).available == 1 - COST


def test_what_is_no_model_call_is_taken_and_not_charged(api: Api, shop: Shop, acme: Customer) -> None:
    no_tokens = {"gen_ai__usage__input_tokens": None, "gen_ai__usage__output_tokens": None}
    body = traces(
        # An agent's span repeats what the calls below it used.
        span(number=1, gen_ai__operation__name="invoke_agent"),
        span(number=2, gen_ai__operation__name="execute_tool", **no_tokens),
        span(number=3, **no_tokens),
        {"traceId": "", "spanId": "", "name": "GET /"},
    )
    assert rejected(api.post(PATH, body)) == (0, "")
    assert rejected(api.post(PATH, {})) == (0, "")
    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize("without", ["traceId", "spanId"])
@pytest.mark.parametrize("none", ["", "0" * 16])
def test_spans_without_ids_are_not_taken_for_one_another(api: Api, acme: Customer, without: str, none: str) -> None:
    nameless = [span(number=number) | {"traceId": f"{1:032x}", without: none} for number in (1, 2)]
    count, why = rejected(api.post(PATH, traces(*nameless)))
    assert (count, "has no trace's id" in why) == (2, True)
    assert not UsageEvent.objects.exists()


def test_older_names_and_a_failed_run(api: Api, acme: Customer) -> None:
    older = {
        "gen_ai__operation__name": None,
        "gen_ai__usage__input_tokens": None,
        "gen_ai__usage__output_tokens": None,
        "gen_ai__usage__prompt_tokens": 100,
        "gen_ai__usage__completion_tokens": 30,
    }
    assert rejected(api.post(PATH, traces(span(status=2, **older)))) == (0, "")
    event = UsageEvent.objects.get()
    assert (event.data["input_tokens"], event.data["output_tokens"]) == (100, 30)
    assert event.extensions == {"outcome": "failed"}


def test_who_pays(api: Api, as_key: Any, shop: Shop, acme: Customer) -> None:
    globex = shop.customer("globex", usd="1", since=TRACED)
    anybody = traces(span(customer=None))
    count, why = rejected(api.post(PATH, anybody))
    assert (count, "ante.customer" in why) == (1, True)
    assert rejected(api.post(PATH, anybody, x_ante_customer="globex")) == (0, "")
    assert shop.balance(globex).available == 1 - COST
    # The resource's customer, and the span's own before it.
    named = traces(span(number=2, customer=None), span(number=3, customer="acme"), ante__customer="globex")
    assert rejected(api.post(PATH, named)) == (0, "")
    assert (shop.balance(globex).available, shop.balance(acme).available) == (1 - 2 * COST, 1 - COST)

    own = as_key(shop.key("events:write", organization=acme.organization))
    assert rejected(own.post(PATH, traces(span(number=4, customer=None)))) == (0, "")
    assert shop.balance(acme).available == 1 - 2 * COST
    for body, header in (
        (traces(span(number=5, customer="globex")), ""),
        (traces(span(number=5, customer=None)), "globex"),
    ):
        count, why = rejected(own.post(PATH, body, **({"x_ante_customer": header} if header else {})))
        assert (count, why) == (1, "There is no customer globex.")
    assert shop.balance(globex).available == 1 - 2 * COST


def test_what_is_refused_is_counted_and_the_rest_is_charged(api: Api, shop: Shop, acme: Customer) -> None:
    body = traces(
        span(number=1),
        span(number=2, gen_ai__usage__output_tokens=500_000),  # Costs five dollars.
        span(number=3, customer="nobody"),
        span(number=4, customer="x" * 300),
    )
    count, why = rejected(api.post(PATH, dumps(body)))
    assert count == 3
    assert "This takes" in why
    assert "There is no customer nobody." in why
    assert shop.balance(acme).available == 1 - COST


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"resourceSpans": {}}, "resourceSpans"),
        ({"resourceSpans": [1]}, "resourceSpans.0"),
        ({"resourceSpans": [{"resource": []}]}, "resourceSpans.0.resource"),
        (traces(1), "resourceSpans.0.scopeSpans.0.spans.0"),
        (traces({"traceId": "xyz"}), "resourceSpans.0.scopeSpans.0.spans.0.traceId"),
        (traces({"endTimeUnixNano": "soon"}), "resourceSpans.0.scopeSpans.0.spans.0.endTimeUnixNano"),
        (traces({"endTimeUnixNano": "9" * 20}), "resourceSpans.0.scopeSpans.0.spans.0.endTimeUnixNano"),
        (traces({"attributes": [{"key": 1}]}), "resourceSpans.0.scopeSpans.0.spans.0.attributes.0.key"),
        (
            traces({"attributes": [{"key": "a", "value": {"intValue": "1.5"}}]}),
            "resourceSpans.0.scopeSpans.0.spans.0.attributes.0.intValue",
        ),
    ],
)
def test_another_form_is_refused_by_its_place(api: Api, body: Any, field: str) -> None:
    problem(api.post(PATH, body), 400, "invalid_request", field)


def test_bodies_that_cannot_be_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    problem(api.post(PATH, []), 400, "invalid_request")
    problem(api.post(PATH, b"\x00\x01\x02", PROTOBUF), 400, "invalid_request")
    problem(api.post(PATH, {}, "text/plain"), 415, "unsupported_media_type")
    problem(api.post(PATH, {}, content_encoding="br"), 415, "unsupported_media_type")
    problem(api.post(PATH, {}, content_encoding="gzip"), 400, "invalid_request")
    problem(api.post(PATH, gzip.compress(b"{}")[:-4], content_encoding="gzip"), 400, "invalid_request")
    monkeypatch.setattr(json, "BYTES_MAX", 1000)
    bomb = gzip.compress(b" " * 1_000_000)
    problem(api.post(PATH, bomb, content_encoding="gzip"), 413, "payload_too_large")
    problem(api.post(PATH, b"\x0a" * 1001, PROTOBUF), 413, "payload_too_large")


def peak(do: Callable[[], object]) -> int:
    """Bytes that are held at once while it is done."""
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_body_that_grows_a_thousandfold_takes_no_memory(api: Api) -> None:
    grown = 64 * 1024 * 1024
    bomb = gzip.compress(b" " * grown)
    assert len(bomb) * 900 < grown
    assert peak(lambda: gzip.decompress(bomb)) > grown  # The control.

    answers: list[Any] = []
    for path in (PATH, "/events", "/customers"):
        send = partial(api.post, path, bomb, content_encoding="gzip")
        assert peak(lambda send=send: answers.append(send())) < grown / 2  # type: ignore[misc]
    assert [answer.status_code for answer in answers] == [413, 415, 415]


def test_gzip(api: Api, shop: Shop, acme: Customer) -> None:
    packed = gzip.compress(dumps(traces(span())).encode())
    assert rejected(api.post(PATH, packed, content_encoding="gzip")) == (0, "")
    assert shop.balance(acme).available == 1 - COST


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_messages_of_a_real_tracer_in_protobuf(shop: Shop, acme: Customer, api: Api, compression: str) -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "shop", "ante.customer": "acme"}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("invoke_agent") as agent:
        agent.set_attribute("gen_ai.operation.name", "invoke_agent")
        agent.set_attribute("gen_ai.usage.input_tokens", 1000)
        with tracer.start_as_current_span("chat gpt-4o") as call:
            call.set_attribute("gen_ai.operation.name", "chat")
            call.set_attribute("gen_ai.request.model", "gpt-4o")
            call.set_attribute("gen_ai.request.temperature", 0.2)
            call.set_attribute("gen_ai.usage.input_tokens", 1000)
            call.set_attribute("gen_ai.usage.output_tokens", 450)
    message = encode_spans(kept.get_finished_spans()).SerializeToString()
    body = message if compression == "none" else gzip.compress(message)
    headers = {} if compression == "none" else {"content_encoding": "gzip"}

    for _ in range(2):
        response = api.post(PATH, body, PROTOBUF, **headers)
        assert (response.status_code, response["Content-Type"], response.content) == (200, PROTOBUF, b"")
    assert shop.balance(acme).available == 1 - COST
    assert (
        UsageEvent.objects.get().event_id
        == f"{call.get_span_context().trace_id:032x}-{call.get_span_context().span_id:016x}"
    )


def test_a_partial_success_in_protobuf(shop: Shop, api: Api) -> None:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number, customer in enumerate(("nobody", "no\0body"), start=1):
        found = spans.add(trace_id=b"\1" * 16, span_id=bytes([number] * 8))
        for name, count in (("gen_ai.usage.input_tokens", 5), ("gen_ai.usage.output_tokens", 7)):
            found.attributes.add(key=name).value.int_value = count
        found.attributes.add(key="ante.share").value.double_value = 0.5
        found.attributes.add(key="ante.customer").value.string_value = customer
    response = api.post(PATH, request.SerializeToString(), PROTOBUF)
    answer = ExportTraceServiceResponse.FromString(response.content)
    assert answer.partial_success.rejected_spans == 2
    assert answer.partial_success.error_message == "A string has a NUL character in it. There is no customer nobody."
