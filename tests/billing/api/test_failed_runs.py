"""A failed run over the API: told with the event, or beside it in a capture; shown on the receipt."""

from typing import Any

import pytest

from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import LLM, Shop

POLICIES = {"llm_input": "prompt_only", "llm_output": "prompt_only"}


@pytest.fixture(autouse=True)
def acme(api: Api, shop: Shop) -> Any:
    """A plan of which a failed run pays the prompt alone, made through the API."""
    for code, value, phase in [("llm_input", "input_tokens", "input"), ("llm_output", "output_tokens", "output")]:
        meter = {"code": code, "name": code, "event_type": LLM, "aggregation": "sum", "value": value, "phase": phase}
        made = api.post("/meters", meter)
        assert (made.status_code, made.json()["phase"]) == (201, phase)
    prices = [
        {"meter": code, "asset": "usd", "model": "per_unit", "unit_amount": "0.001", "failure_policy": policy}
        for code, policy in POLICIES.items()
    ]
    plan = api.post("/plans", {"code": "runs", "name": "Runs", "currency": "USD", "prices": prices})
    assert {price["meter"]: price["failure_policy"] for price in plan.json()["prices"]} == POLICIES
    return shop.customer(plan="runs", usd="10")


def opened(api: Api) -> str:
    announced = {"customer": "acme", "type": LLM, "data": {"input_tokens": 1000, "output_tokens": 4000}}
    return str(api.post("/authorizations", announced).json()["id"])


def test_an_event_that_says_its_run_failed(api: Api) -> None:
    response = api.post("/events", cloud_event(outcome="failed"))

    assert response.status_code == 201
    body = response.json()
    assert body["cost"] == {"usd": "1"}
    input_line, output_line = body["charges"]
    assert (input_line["quantity"], input_line["amount"], "waived" in input_line) == ("1000", "1", False)
    assert (output_line["quantity"], output_line["amount"], output_line["waived"]) == ("0", "0", "450")
    again = api.post("/events", cloud_event(outcome="failed"))
    assert (again.status_code, again.json()) == (200, body)
    problem(api.post("/events", cloud_event()), 409, "event_conflict")


def test_the_receipt_says_what_was_not_charged_and_why(api: Api) -> None:
    api.post("/events", cloud_event(outcome="failed"))

    receipt = api.get("/events/one").json()

    assert receipt["extensions"] == {"outcome": "failed"}
    charged, waived = receipt["charges"]
    assert "reason" not in charged
    assert (waived["amount"], waived["waived"], waived["reason"]) == ("0", "450", "not charged: failed run")
    assert waived["price"]["failure_policy"] == "prompt_only"
    assert waived["grants"] == []


def test_in_a_batch_each_event_speaks_for_itself(api: Api) -> None:
    body = api.post("/events", [cloud_event("a", outcome="failed"), cloud_event("b")]).json()

    assert [result["cost"] for result in body["results"]] == [{"usd": "1"}, {"usd": "1.45"}]


def test_a_capture_that_says_the_run_failed(api: Api) -> None:
    captured = api.post(
        f"/authorizations/{opened(api)}/capture",
        {"event": {"data": {"input_tokens": 1000, "output_tokens": 300}}, "outcome": "failed"},
    )

    assert captured.status_code == 200
    body = captured.json()
    assert (body["status"], body["captured"]) == ("captured", "1")
    assert body["event"]["charges"][1]["waived"] == "300"
    wallet = api.get("/customers/acme/wallet").json()["balances"][0]
    assert (wallet["available"], wallet["held"]) == ("9", "0")


def test_a_price_without_a_policy_charges_what_was_used(api: Api, shop: Shop) -> None:
    prices = [{"meter": "llm_input", "asset": "usd", "model": "per_unit", "unit_amount": "1"}]
    body = {"code": "plain", "name": "Plain", "currency": "USD", "prices": prices}
    assert api.post("/plans", body).json()["prices"][0]["failure_policy"] == "portion"


def test_an_outcome_beside_the_event_must_be_what_the_event_says(api: Api) -> None:
    path, event = f"/authorizations/{opened(api)}/capture", {"data": {}, "outcome": "succeeded"}

    problem(api.post(path, {"event": event, "outcome": "failed"}), 400, "invalid_request", "outcome")
    assert api.post(path, {"event": event, "outcome": "succeeded"}).status_code == 422


@pytest.mark.parametrize("outcome", ["died", "", None, 1, True])
def test_an_outcome_is_one_of_two(api: Api, outcome: Any) -> None:
    problem(api.post("/events", cloud_event(outcome=outcome)), 400, "invalid_request", "outcome")
    body = {"event": {"data": {}}, "outcome": outcome}
    problem(api.post(f"/authorizations/{opened(api)}/capture", body), 400, "invalid_request", "outcome")


def test_an_amount_has_no_outcome(api: Api) -> None:
    body = {"amount": "1", "outcome": "failed"}
    problem(api.post(f"/authorizations/{opened(api)}/capture", body), 400, "invalid_request", "outcome")


@pytest.mark.parametrize("policy", ["refund", "", None, 1])
def test_a_policy_is_one_of_three(api: Api, policy: Any) -> None:
    price = {"meter": "llm_input", "asset": "usd", "model": "per_unit", "unit_amount": "1", "failure_policy": policy}
    body = {"code": "odd", "name": "Odd", "currency": "USD", "prices": [price]}
    problem(api.post("/plans", body), 400, "invalid_request", "prices.0.failure_policy")


def test_prompt_only_needs_a_meter_that_says_its_phase(api: Api, shop: Shop) -> None:
    shop.meter("calls")
    price = {"meter": "calls", "asset": "usd", "model": "per_unit", "unit_amount": "1", "failure_policy": "prompt_only"}
    body = {"code": "odd", "name": "Odd", "currency": "USD", "prices": [price]}
    problem(api.post("/plans", body), 400, "invalid_request", "prices.0.failure_policy")
