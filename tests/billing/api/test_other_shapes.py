"""What other programs send as it is: LiteLLM's callbacks for OpenMeter and Lago, CloudEvents in HTTP's binary mode."""

from datetime import UTC, datetime
from decimal import Decimal
from json import dumps, loads
from pathlib import Path
from typing import Any

import pytest

from billing.models import Customer, UsageEvent
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop

SENT = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
RECORDED = Path(__file__).resolve().parents[2] / "clients" / "recorded" / "litellm_1.106.jsonl"
COST = Decimal("0.0025") + Decimal("0.0045")
LITELLM = {"model": "gpt-4o", "prompt_tokens": 1000, "completion_tokens": 450, "total_tokens": 1450}


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer("acme", usd="1", since=SENT)


@pytest.fixture
def billed(shop: Shop) -> None:
    """Prices for LiteLLM's own names."""
    meters = [shop.meter(f"in_{each}", "prompt_tokens", event_type=each) for each in ("litellm_tokens", "llm_calls")]
    meters_out = [
        shop.meter(f"out_{each}", "completion_tokens", event_type=each) for each in ("litellm_tokens", "llm_calls")
    ]
    prices = [shop.price(meter, "2.50", per="1000000") for meter in meters]
    shop.plan("pro", [*prices, *(shop.price(meter, "10", per="1000000") for meter in meters_out)])


def openmeter(**more: Any) -> str:
    """As LiteLLM's callback writes it, with the time of a moment ago and a cost that is a JSON number."""
    event = {
        "specversion": "1.0",
        "type": "litellm_tokens",
        "id": "chatcmpl-8kXw",
        "time": "2026-01-05T09:30:00.123456+00:00",
        "subject": "acme",
        "source": "litellm-proxy",
        "data": {**LITELLM, "cost": 0.0070000001},
    }
    return dumps(event | more)


def lago(**more: Any) -> dict[str, Any]:
    return {
        "event": {
            "transaction_id": "0b2f3f64-61b4-4f3a-9d7c-0d35c1e1f2aa",
            "external_subscription_id": "acme",
            "code": "llm_calls",
            "properties": {**LITELLM, "response_cost": 0.0070000001},
        }
        | more
    }


def test_litellm_s_openmeter_callback(billed: None, api: Api, shop: Shop, acme: Customer) -> None:
    first = api.post("/events", openmeter(), "application/cloudevents+json")
    again = api.post("/events", openmeter(), "application/cloudevents+json")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first["X-Usage-Cost"] == "0.007"
    assert shop.balance(acme).available == 1 - COST
    # Without a figure of its own: the model is not in LiteLLM's price list.
    none = openmeter(id="two", data={**LITELLM, "cost": None})
    assert api.post("/events", none, "application/cloudevents+json").status_code == 201


def test_litellm_s_lago_callback(billed: None, api: Api, shop: Shop, acme: Customer) -> None:
    first = api.post("/events", lago())
    again = api.post("/events", lago(), idempotency_key="k")
    assert (first.status_code, again.status_code) == (201, 200)
    event = UsageEvent.objects.get()
    assert (event.event_id, event.source, event.type) == (lago()["event"]["transaction_id"], "lago", "llm_calls")
    assert shop.balance(acme).available == 1 - COST


def test_what_the_proxy_of_litellm_sent(billed: None, api: Api, shop: Shop, acme: Customer) -> None:
    """As it came but for the names, of two calls with seven tokens in and 120 out."""
    for sent in map(loads, RECORDED.read_text().splitlines()):
        answer = api.post(sent["path"].removeprefix("/api/v1"), sent["body"], sent["headers"]["content-type"])
        assert (answer.status_code, answer["X-Usage-Cost"]) == (201, "0.0012175")
    assert shop.balance(acme).available == 1 - 2 * Decimal("0.0012175")


def test_more_of_lago_s_events(billed: None, api: Api, acme: Customer) -> None:
    own = {"external_subscription_id": None, "transaction_id": "two"}
    named = lago(**own, external_customer_id="acme", timestamp="1767605400.25")
    named["event"].pop("external_subscription_id")
    assert api.post("/events", named).status_code == 201
    assert UsageEvent.objects.get().occurred_at.isoformat() == "2026-01-05T09:30:00.250000+00:00"
    for timestamp in (1767605400, "1767605400"):
        named["event"] |= {"timestamp": timestamp, "transaction_id": str(type(timestamp))}
        assert api.post("/events", named).status_code == 201


def test_a_fraction_of_a_second_is_never_a_whole_one(billed: None, api: Api, acme: Customer) -> None:
    assert api.post("/events", lago(timestamp="1767605400." + "9" * 40)).status_code == 201
    assert UsageEvent.objects.get().occurred_at.isoformat() == "2026-01-05T09:30:00.999999+00:00"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"transaction_id": ""}, "event.transaction_id"),
        ({"code": 1}, "event.code"),
        ({"external_subscription_id": None}, "event.external_subscription_id"),
        ({"external_customer_id": "acme"}, "event.external_customer_id"),
        ({"properties": []}, "event.properties"),
        ({"timestamp": "yesterday"}, "event.timestamp"),
        ({"timestamp": True}, "event.timestamp"),
        ({"timestamp": "1e30"}, "event.timestamp"),
        ({"timestamp": "1e-9999999999999999999999"}, "event.timestamp"),
        ({"precise_total_amount_cents": "1"}, "event.precise_total_amount_cents"),
    ],
)
def test_lago_s_names_are_in_the_refusal(api: Api, acme: Customer, more: dict[str, Any], field: str) -> None:
    problem(api.post("/events", lago(**more)), 400, "invalid_request", field)
    problem(api.post("/events", {"event": 1}), 400, "invalid_request", "event")


def test_another_s_subscription_is_nobody_s(as_key: Any, billed: None, shop: Shop, acme: Customer) -> None:
    shop.customer("globex", usd="1", since=SENT)
    own = as_key(shop.key("events:write", organization=acme.organization))
    problem(own.post("/events", lago(external_subscription_id="globex")), 404, "not_found")
    assert own.post("/events", lago()).status_code == 201


BINARY = {
    "ce_specversion": "1.0",
    "ce_id": "one",
    "ce_source": "/apps/chat",
    "ce_type": "llm.completion",
    "ce_subject": "acme",
    "ce_time": "2026-01-05T09:30:00Z",
}
DATA = {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 450}


def test_cloudevents_in_binary_mode(api: Api, shop: Shop, acme: Customer) -> None:
    first = api.post("/events", DATA, **BINARY, ce_region="Z%C3%BCrich")
    assert (first.status_code, first["X-Usage-Cost"]) == (201, "0.007")
    # The same event, written the other way.
    structured = {name.removeprefix("ce_"): value for name, value in BINARY.items()}
    again = api.post(
        "/events", structured | {"data": DATA, "region": "Zürich"}, "application/cloudevents+json", idempotency_key="k"
    )
    assert again.status_code == 200
    assert UsageEvent.objects.get().extensions == {"region": "Zürich"}
    assert shop.balance(acme).available == 1 - COST


def test_a_key_knows_two_binary_events_apart(api: Api, acme: Customer) -> None:
    assert api.post("/events", DATA, **BINARY, idempotency_key="k").status_code == 201
    other = api.post("/events", DATA, **BINARY | {"ce_id": "two"}, idempotency_key="k")
    problem(other, 409, "idempotency_conflict")


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ({"ce_id": ""}, ["id"]),
        ({"ce_specversion": "0.3"}, ["specversion"]),
        ({"ce_time": "soon"}, ["time"]),
        ({"ce_data": "{}"}, ["ce-data"]),
        ({"ce_datacontenttype": "text/xml"}, ["ce-datacontenttype"]),
        ({"ce_region": "%FF"}, ["ce-region"]),
        ({"ce_region": "a%00b"}, ["ce-region"]),
        ({"ce_dataschema": "%00"}, ["ce-dataschema"]),
    ],
)
def test_binary_mode_refuses_by_name(api: Api, acme: Customer, more: dict[str, str], fields: list[str]) -> None:
    problem(api.post("/events", DATA, **BINARY | more), 400, "invalid_request", *fields)


def test_binary_mode_takes_json_alone(api: Api, acme: Customer) -> None:
    problem(api.post("/events", b"{}", "text/xml", **BINARY), 400, "invalid_request", "datacontenttype")
    problem(api.post("/events", b"<a/>", "text/xml", **BINARY), 400, "invalid_request")
    problem(api.post("/events", [], **BINARY), 400, "invalid_request", "data")
