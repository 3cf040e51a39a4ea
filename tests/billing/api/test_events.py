"""``/events``: usage in, answers and receipts out."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from billing.models import Charge, Customer, LedgerEntry, UsageEvent
from billing.services.usage import unpaid
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import Shop

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer(usd="100")


def test_an_event_is_charged_and_answered(api: Api, acme: Customer) -> None:
    response = api.post("/events", cloud_event())

    assert response.status_code == 201
    assert response["Content-Type"] == "application/json"
    assert response.json() == {
        "id": "one",
        "status": "charged",
        "customer": "acme",
        "charges": [
            {
                "meter": "llm_input",
                "quantity": "1000",
                "asset": "usd",
                "amount": "0.0025",
                "plan": "pro",
                "plan_version": 1,
            },
            {
                "meter": "llm_output",
                "quantity": "450",
                "asset": "usd",
                "amount": "0.0045",
                "plan": "pro",
                "plan_version": 1,
            },
        ],
        "cost": {"usd": "0.007"},
        "balance": {"usd": "99.993"},
        "transaction": str(UsageEvent.objects.get().pk),
    }
    assert {name: response[name] for name in ("X-Usage-Cost", "X-Total-Tokens", "X-Model", "X-Wallet-Balance")} == {
        "X-Usage-Cost": "0.007",
        "X-Total-Tokens": "1450",
        "X-Model": "gpt-4o",
        "X-Wallet-Balance": "99.993",
    }
    assert "Idempotent-Replayed" not in response
    assert len(response["X-Request-Id"]) == 32


def test_the_same_event_again_gets_the_first_answer(api: Api, acme: Customer, shop: Shop) -> None:
    first = api.post("/events", cloud_event())

    second = api.post("/events", cloud_event())

    assert (second.status_code, second["Idempotent-Replayed"]) == (200, "true")
    assert second.json() == first.json()
    assert second["X-Wallet-Balance"] == "99.993"
    assert str(shop.balance(acme).available) == "99.993000000000"


@pytest.mark.parametrize("name", ["inference_id", "idempotency_key"])
def test_the_id_goes_by_other_names_too(api: Api, acme: Customer, name: str) -> None:
    event = cloud_event()
    renamed = {key: value for key, value in event.items() if key != "id"} | {name: "one"}
    first = api.post("/events", renamed)

    again = [api.post("/events", body) for body in (renamed, event, {**event, name: "one"})]

    assert (first.status_code, first.json()["id"]) == (201, "one")
    assert [(answer.status_code, answer.json()) for answer in again] == [(200, first.json())] * 3
    problem(api.post("/events", {**event, name: "two"}), 400, "invalid_request", name)
    problem(api.post("/events", {**renamed, name: ""}), 400, "invalid_request", "id")
    assert UsageEvent.objects.count() == 1


def test_the_same_event_with_other_content_is_a_conflict(api: Api, acme: Customer) -> None:
    api.post("/events", cloud_event())

    problem(api.post("/events", cloud_event(data={"input_tokens": 1})), 409, "event_conflict")

    assert Charge.objects.count() == 2


def test_too_little_money_is_said_with_figures_and_the_event_is_kept(api: Api, shop: Shop) -> None:
    shop.customer(usd="0.001")

    refused = problem(api.post("/events", cloud_event()), 402, "insufficient_funds")

    assert (refused["asset"], refused["available"], refused["required"]) == ("usd", "0.001", "0.007")
    assert refused["detail"] == "This takes 0.007 usd, and the wallet of acme has 0.001 available for it."
    assert UsageEvent.objects.get().status == "rejected"
    assert LedgerEntry.objects.filter(kind="usage").count() == 0
    again = api.post("/events", cloud_event())
    assert problem(again, 402, "insufficient_funds")["available"] == "0.001"
    assert again["Idempotent-Replayed"] == "true"


def test_usage_without_a_price_is_said(api: Api, acme: Customer) -> None:
    refused = problem(api.post("/events", cloud_event(type="image.generation")), 422, "unpriced_usage")

    assert refused["type"] == "urn:ante:problem:unpriced_usage"
    assert UsageEvent.objects.get().status == "rejected"


def test_an_unknown_subject_is_not_found(api: Api, acme: Customer) -> None:
    problem(api.post("/events", cloud_event(subject="nobody")), 404, "not_found")

    assert UsageEvent.objects.count() == 0


def test_work_that_counts_as_done_is_unpaid(api: Api, shop: Shop) -> None:
    shop.customer(on_insufficient_funds="overdraft")

    response = api.post("/events", cloud_event())

    assert response.status_code == 201
    assert (response.json()["status"], response.json()["charges"], response.json()["cost"]) == ("unpaid", [], {})
    assert response.json()["transaction"] is None
    assert response["X-Usage-Cost"] == "0"


def test_what_was_unpaid_is_shown_as_charged_once_it_is(api: Api, shop: Shop) -> None:
    acme = shop.customer(on_insufficient_funds="overdraft")
    first = api.post("/events", cloud_event()).json()
    assert api.get("/events/one").json()["collected_at"] is None
    shop.fund(acme, "5")
    unpaid.collect_due()

    receipt = api.get("/events/one").json()

    assert (receipt["status"], receipt["cost"], receipt["refusal"]["code"]) == (
        "charged",
        {"usd": "0.007"},
        "insufficient_funds",
    )
    assert receipt["collected_at"] > receipt["received_at"]
    assert receipt["transaction"]
    listed = {
        status: [event["id"] for event in api.get(f"/events?status={status}").json()["data"]]
        for status in ("charged", "unpaid", "rejected")
    }
    assert listed == {"charged": ["one"], "unpaid": [], "rejected": []}
    again = api.post("/events", cloud_event())
    assert (again.status_code, again.json()) == (200, first)


@pytest.mark.parametrize("content_type", ["application/json", ONE, f"{ONE}; charset=utf-8", "Application/JSON"])
def test_one_event_may_come_as_any_of_its_content_types(api: Api, acme: Customer, content_type: str) -> None:
    assert api.post("/events", cloud_event(), content_type).status_code == 201


def test_attributes_beyond_the_specification_are_kept(api: Api, acme: Customer) -> None:
    event = cloud_event(traceparent="00-1", retry=3, cached=True, datacontenttype="application/json", dataschema="/s/1")

    assert api.post("/events", event).status_code == 201

    assert api.get("/events/one").json()["extensions"] == {
        "traceparent": "00-1",
        "retry": 3,
        "cached": True,
        "dataschema": "/s/1",
    }


def test_an_event_needs_no_data_no_time(api: Api, shop: Shop) -> None:
    shop.plan("count", [shop.price(shop.meter("calls"), "1")])
    shop.customer(plan="count", usd="5")
    event = cloud_event()
    del event["data"]

    assert api.post("/events", event | {"time": None}).json()["cost"] == {"usd": "1"}


@pytest.mark.parametrize(
    "data",
    [{}, {"input_tokens": 5}, {"input_tokens": "5", "model": 7}, {"output_tokens": 1, "model": "Grüße"}],
    ids=str,
)
def test_headers_say_only_what_is_known(api: Api, acme: Customer, data: dict[str, Any]) -> None:
    response = api.post("/events", cloud_event(data=data))

    assert response.status_code in {201, 422}
    assert "X-Model" not in response


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": 1.0}, "specversion"),
        ({"specversion": None}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"id": None}, "id"),
        ({"id": "x" * 256}, "id"),
        ({"id": "a\tb"}, "id"),
        ({"source": ""}, "source"),
        ({"source": []}, "source"),
        ({"type": ""}, "type"),
        ({"type": {}}, "type"),
        ({"subject": ""}, "subject"),
        ({"subject": True}, "subject"),
        ({"time": "2026-11-20T10:00:00"}, "time"),
        ({"time": "2026-11-20"}, "time"),
        ({"time": "now"}, "time"),
        ({"time": 1_700_000_000}, "time"),
        ({"time": "2026-11-20T25:00:00Z"}, "time"),
        ({"time": "2026-11-20T10:00:00+99:00"}, "time"),
        ({"time": "0001-01-01T00:00:00Z"}, "time"),
        ({"time": "0001-01-01T00:00:00+23:00"}, "time"),
        ({"time": "9999-12-31T23:59:59-23:00"}, "time"),
        ({"time": ""}, "time"),
        ({"data": []}, "data"),
        ({"data": "x"}, "data"),
        ({"data": None}, "data"),
        ({"datacontenttype": "text/xml"}, "datacontenttype"),
        ({"datacontenttype": 7}, "datacontenttype"),
        ({"Trace": "x"}, "Trace"),
        ({"trace_id": "x"}, "trace_id"),
        ({"trace": [1]}, "trace"),
        ({"trace": "x" * 256}, "trace"),
        ({"trace": 1.5}, "trace"),
        ({"amount": {}}, "amount"),
        ({"data": {"input_tokens": -1}}, "data.input_tokens"),
        ({"data": {"input_tokens": "many"}}, "data.input_tokens"),
        ({"data": {"input_tokens": True}}, "data.input_tokens"),
        ({"data": {"input_tokens": [1]}}, "data.input_tokens"),
        ({"data": {"input_tokens": "NaN"}}, "data.input_tokens"),
        ({"data": {"input_tokens": "Infinity"}}, "data.input_tokens"),
        ({"data": {"input_tokens": "1e400"}}, "data.input_tokens"),
        ({"data": {"input_tokens": int("9" * 40)}}, "data.input_tokens"),
        ({"data": {"input_tokens": "1_000"}}, "data.input_tokens"),
        ({"data": {"input_tokens": " 5 "}}, "data.input_tokens"),
        ({"data": {"input_tokens": "٣"}}, "data.input_tokens"),
        ({"data": {"input_tokens": 1e-13}}, "data.input_tokens"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_wrong_with_an_event_is_named_and_nothing_is_written(
    api: Api, acme: Customer, shop: Shop, change: dict[str, Any], field: str
) -> None:
    problem(api.post("/events", cloud_event(**change)), 400, "invalid_request", field)

    assert UsageEvent.objects.count() == Charge.objects.count() == 0
    assert shop.balance(acme).available == 100
    assert shop.balance(acme).seq == 1


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type", "subject"])
def test_a_missing_attribute_is_named(api: Api, acme: Customer, missing: str) -> None:
    event = cloud_event()
    del event[missing]

    problem(api.post("/events", event), 400, "invalid_request", missing)


def test_an_event_that_is_25_hours_ahead_is_refused(api: Api, acme: Customer) -> None:
    ahead = (timezone.now() + timedelta(hours=25)).isoformat()

    refused = problem(api.post("/events", cloud_event(time=ahead)), 400, "invalid_request", "time")

    assert refused["errors"][0]["code"] == "too_far_ahead"
    assert UsageEvent.objects.count() == 0


@pytest.mark.parametrize(
    "time", ["2026-11-20T10:00:00Z", "2026-11-20t10:00:00z", "2026-11-20T11:00:00.5+01:00", "2026-11-20 10:00:00-00:00"]
)
def test_times_are_rfc_3339(api: Api, acme: Customer, time: str) -> None:
    assert api.post("/events", cloud_event(time=time)).status_code == 201
    assert api.get("/events/one").json()["time"].startswith("2026-11-20T10:00:00")


@pytest.mark.parametrize(
    ("sent", "stored"),
    [("0.1", "0.1"), ("1e-7", "0.0000001"), ("123456789012345678", "123456789012345678"), ("1.50", "1.5"), ("0", "0")],
)
def test_a_quantity_arrives_exactly_as_it_was_written(api: Api, shop: Shop, sent: str, stored: str) -> None:
    shop.plan("free", [shop.price(shop.meter("n", "n"), "0")])
    shop.customer(plan="free")
    event = json.dumps(cloud_event(data={"n": "HERE"})).replace('"HERE"', sent)

    assert api.post("/events", event).json()["charges"][0]["quantity"] == stored
    assert f'"data":{{"n":{sent.upper() if "e" in sent else sent}}}' in api.get("/events/one").content.decode()


# --- Batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_answers_for_each_event_in_its_order(api: Api, acme: Customer, shop: Shop) -> None:
    shop.customer("poor")
    api.post("/events", cloud_event("old"))
    batch = [
        cloud_event("a"),
        cloud_event("old"),
        cloud_event("b", subject="poor"),
        cloud_event("c", subject="nobody"),
        cloud_event("d", type="unknown"),
        cloud_event("e", time="never"),
        "no event",
        cloud_event("a"),
        cloud_event("a", data={"input_tokens": 1}),
        {"id": 7},
    ]

    response = api.post("/events", batch)

    assert response.status_code == 200
    body = response.json()
    assert {name: body[name] for name in ("accepted", "duplicates", "rejected")} == {
        "accepted": 1,
        "duplicates": 2,
        "rejected": 7,
    }
    assert [(r["id"], r["status"], r["code"], r.get("replayed", False)) for r in body["results"]] == [
        ("a", "charged", None, False),
        ("old", "charged", None, True),
        ("b", "rejected", "insufficient_funds", False),
        ("c", "rejected", "not_found", False),
        ("d", "rejected", "unpriced_usage", False),
        ("e", "rejected", "invalid_request", False),
        (None, "rejected", "invalid_request", False),
        ("a", "charged", None, True),
        ("a", "rejected", "event_conflict", False),
        (None, "rejected", "invalid_request", False),
    ]
    assert body["results"][0] == {"id": "a", "status": "charged", "cost": {"usd": "0.007"}, "code": None}
    assert body["results"][5]["detail"] == "time must be an RFC 3339 time with an offset"
    assert all(result["detail"] for result in body["results"] if result["code"])
    assert str(shop.balance(acme).available) == "99.986000000000"


@pytest.mark.parametrize("content_type", ["application/json", BATCH])
def test_a_batch_may_come_as_any_of_its_content_types(api: Api, acme: Customer, content_type: str) -> None:
    assert api.post("/events", [cloud_event()], content_type).json()["accepted"] == 1


@pytest.mark.parametrize(
    ("body", "content_type"), [([cloud_event()], ONE), (cloud_event(), BATCH)], ids=["one", "many"]
)
def test_a_content_type_means_what_it_says(api: Api, acme: Customer, body: Any, content_type: str) -> None:
    problem(api.post("/events", body, content_type), 400, "invalid_request")

    assert UsageEvent.objects.count() == 0


def test_an_empty_batch_is_refused(api: Api) -> None:
    problem(api.post("/events", []), 400, "invalid_request")


def test_1001_events_are_too_many_and_1000_are_not(api: Api, acme: Customer) -> None:
    batch = [cloud_event(f"e{n}") for n in range(1001)]

    problem(api.post("/events", batch), 413, "payload_too_large")

    assert UsageEvent.objects.count() == 0
    assert api.post("/events", batch[:1000]).json()["accepted"] == 1000


# --- Reading ----------------------------------------------------------------------------------------------------------


def test_a_receipt_tells_everything_about_an_event(api: Api, acme: Customer) -> None:
    recorded = api.post("/events", cloud_event(time="2026-11-20T10:00:00+01:00")).json()

    response = api.get("/events/one")

    assert response.status_code == 200
    receipt = dict(response.json())
    assert receipt.pop("received_at").endswith("Z")
    entries = receipt.pop("entries")
    charges = receipt.pop("charges")
    assert receipt == {
        "id": "one",
        "customer": "acme",
        "source": "gateway",
        "type": "llm.completion",
        "status": "charged",
        "time": "2026-11-20T09:00:00Z",
        "data": {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 450},
        "extensions": {},
        "refusal": None,
        "collected_at": None,
        "transaction": recorded["transaction"],
        "cost": {"usd": "0.007"},
        "net_cost": {"usd": "0.007"},
        "cost_in_money": {"usd": "0.007"},
        "corrections": [],
    }
    assert charges[1]["price"] == {
        "model": "per_unit",
        "unit_amount": "10",
        "per": "1000000",
        "match": {},
        "failure_policy": "portion",
    }
    assert charges[1]["dimensions"] == {"model": "gpt-4o"}
    assert [(draw["name"], draw["amount"]) for draw in charges[1]["grants"]] == [("Purchase of 100 usd", "0.0045")]
    assert [(e["debit"], e["credit"], e["amount"], e["balance_after"]) for e in entries] == [
        ("wallet_available", "usage", "0.0025", "99.9975"),
        ("wallet_available", "usage", "0.0045", "99.993"),
    ]


def test_a_refused_event_shows_why(api: Api, shop: Shop) -> None:
    shop.customer()
    api.post("/events", cloud_event())

    receipt = api.get("/events/one").json()

    assert (receipt["status"], receipt["charges"], receipt["entries"], receipt["transaction"]) == (
        "rejected",
        [],
        [],
        None,
    )
    assert (receipt["refusal"]["code"], receipt["refusal"]["required"]) == ("insufficient_funds", "0.007")


@pytest.mark.parametrize("event_id", ["a/b", "a b", "Grüße", "100%", "?x=1", "a//b/", "..", "x" * 255])
def test_any_id_can_be_asked_for(api: Api, acme: Customer, event_id: str) -> None:
    api.post("/events", cloud_event(event_id))

    assert api.get(f"/events/{quote(event_id, safe='')}").json()["id"] == event_id


def test_the_customer_and_the_source_tell_events_of_the_same_id_apart(api: Api, acme: Customer, shop: Shop) -> None:
    shop.customer("globex", usd="1")
    for change in ({}, {"source": "other"}, {"subject": "globex"}):
        api.post("/events", cloud_event(**change))

    def found(query: str) -> tuple[str, str]:
        event = api.get(f"/events/one?{query}").json()
        return event["customer"], event["source"]

    assert found("customer=acme&source=gateway") == ("acme", "gateway")
    assert found("customer=acme&source=other") == ("acme", "other")
    assert found("customer=acme") == ("acme", "other"), "the newest"
    assert found("source=gateway") == ("globex", "gateway")
    problem(api.get("/events/one?customer=nobody"), 404, "not_found")
    problem(api.get("/events/one?source=nowhere"), 404, "not_found")


def test_an_unknown_event_is_not_found(api: Api) -> None:
    problem(api.get("/events/nothing"), 404, "not_found")


def test_events_are_listed_and_filtered(api: Api, acme: Customer, shop: Shop) -> None:
    shop.customer("poor")
    api.post("/events", cloud_event("a", time="2026-11-20T10:00:00Z"))
    api.post("/events", cloud_event("b", time="2026-11-20T11:00:00Z"))
    api.post("/events", cloud_event("c", subject="poor", time="2026-11-20T12:00:00Z"))

    def ids(query: str) -> list[str]:
        return [event["id"] for event in api.get(f"/events?{query}").json()["data"]]

    assert ids("") == ["c", "b", "a"]
    assert ids("customer=acme") == ["b", "a"]
    assert ids("status=rejected") == ["c"]
    assert ids("from=2026-11-20T11:00:00Z") == ["c", "b"]
    assert ids("to=2026-11-20T11:00:00Z") == ["a"]
    assert api.get("/events?customer=poor").json()["data"] == [
        {
            "id": "c",
            "customer": "poor",
            "source": "gateway",
            "type": "llm.completion",
            "status": "rejected",
            "time": "2026-11-20T12:00:00Z",
        }
    ]


@pytest.mark.parametrize("query", ["status=lost", "from=x", "to=x", "cursor=é", "limit=999", "customer=%00"])
def test_a_filter_that_makes_no_sense_is_named(api: Api, query: str) -> None:
    problem(api.get(f"/events?{query}"), 400, "invalid_request", query.partition("=")[0])
