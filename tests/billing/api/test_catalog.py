"""``/assets``, ``/meters``, ``/plans``, ``/subscriptions``."""

from typing import Any

import pytest
from django.utils import timezone

from billing.api.fields import moment_string
from billing.models import Asset, Meter, Plan, PlanVersion, Subscription
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop

ASSET = {"code": "image_credits", "name": "Image credits", "kind": "unit", "precision": 0}
METER = {
    "code": "llm_output",
    "name": "Output tokens",
    "event_type": "llm.completion",
    "phase": "output",
    "section": "Text",
    "aggregation": "sum",
    "value": "output_tokens",
    "dimensions": ["model", "user"],
    "unit": "token",
}
PRICE = {
    "meter": "llm_output",
    "asset": "usd",
    "model": "per_unit",
    "unit_amount": "10",
    "per": "1000000",
    "match": {"model": ["gpt-4o", "gpt-4o-2024-08-06"]},
    "failure_policy": "portion",
}
PLAN = {"code": "pro", "name": "Pro", "currency": "USD", "interval": "month", "prices": [PRICE]}


def test_an_asset_is_added_and_listed(api: Api) -> None:
    response = api.post("/assets", ASSET)

    assert (response.status_code, response.json()) == (201, ASSET)
    assert api.get("/assets").json() == {
        "data": [
            {"code": "eur", "name": "Euro", "kind": "currency", "precision": 12},
            ASSET,
            {"code": "usd", "name": "US dollar", "kind": "currency", "precision": 12},
        ],
        "next_cursor": None,
    }
    problem(api.post("/assets", ASSET), 409, "already_exists")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"code": "Gold"}, "code"),
        ({"code": "1st"}, "code"),
        ({"code": "gold\n"}, "code"),
        ({"code": "g" * 33}, "code"),
        ({"code": 7}, "code"),
        ({"name": ""}, "name"),
        ({"kind": "wish"}, "kind"),
        ({"precision": 13}, "precision"),
        ({"precision": -1}, "precision"),
        ({"precision": "two"}, "precision"),
        ({"precision": 0.5}, "precision"),
        ({"precision": True}, "precision"),
        ({"precision": None}, "precision"),
        ({"symbol": "G"}, "symbol"),
    ],
    ids=str,
)
def test_what_is_wrong_with_an_asset_is_named(api: Api, change: dict[str, Any], field: str) -> None:
    problem(api.post("/assets", ASSET | change), 400, "invalid_request", field)

    assert Asset.objects.count() == 2


def test_a_meter_is_added_and_listed(api: Api) -> None:
    response = api.post("/meters", METER | {"filter": {"status": ["succeeded"]}})

    assert response.status_code == 201
    created = dict(response.json())
    assert created.pop("created_at").endswith("Z")
    assert created == METER | {"filter": {"status": ["succeeded"]}}
    assert [meter["code"] for meter in api.get("/meters").json()["data"]] == ["llm_output"]
    problem(api.post("/meters", METER), 409, "already_exists")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"code": "Output Tokens"}, "code"),
        ({"event_type": ""}, "event_type"),
        ({"aggregation": "median"}, "aggregation"),
        ({"value": ""}, "value"),
        ({"value": "__import__('os')"}, "value"),
        ({"value": "a ** 9 ** 9"}, "value"),
        ({"value": "1 + 1"}, "value"),
        ({"value": "a" * 501}, "value"),
        ({"value": 7}, "value"),
        ({"aggregation": "count"}, "value"),
        ({"filter": {"status": []}}, "filter"),
        ({"filter": {"status": "ok"}}, "filter"),
        ({"filter": {"status": [1]}}, "filter"),
        ({"filter": {"a b": ["x"]}}, "filter"),
        ({"filter": []}, "filter"),
        ({"dimensions": "model"}, "dimensions"),
        ({"dimensions": ["a b"]}, "dimensions.0"),
        ({"dimensions": [f"d{n}" for n in range(21)]}, "dimensions"),
        ({"colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_meter_is_named(api: Api, change: dict[str, Any], field: str) -> None:
    refused = problem(api.post("/meters", METER | change), 400, "invalid_request")

    assert field in {error["field"] for error in refused["errors"]}
    assert Meter.objects.count() == 0


def test_a_plan_is_published_and_its_versions_are_listed(api: Api) -> None:
    api.post("/meters", METER)

    first = api.post("/plans", PLAN)
    second = api.post("/plans/pro/versions", {"interval": "year", "prices": [PRICE | {"unit_amount": "9.50"}]})

    assert first.status_code == second.status_code == 201
    published = dict(first.json())
    assert published.pop("published_at").endswith("Z")
    defaults = {"cached_tokens": "own", "base_fee": "0", "trial_days": 0, "minimum_commitment": "0", "allowances": []}
    defaults |= {"overage_limit": "0", "commitment_discounts": []}
    assert published == PLAN | defaults | {"version": 1, "fair_use": []}
    assert (second.json()["version"], second.json()["interval"]) == (2, "year")
    assert second.json()["prices"][0]["unit_amount"] == "9.5"
    assert api.get("/plans/pro").json() == second.json()
    assert api.get("/plans/pro/versions").json()["data"] == [second.json(), first.json()]
    assert api.get("/plans").json()["data"] == [second.json()]
    problem(api.post("/plans", PLAN), 409, "already_exists")


def test_a_price_is_for_one_unit_where_nothing_else_is_said(api: Api) -> None:
    api.post("/meters", METER)
    price = {"meter": "llm_output", "asset": "usd", "model": "per_unit", "unit_amount": 0.5}

    response = api.post("/plans", PLAN | {"prices": [price]})

    assert response.json()["prices"] == [
        price | {"unit_amount": "0.5", "per": "1", "match": {}, "failure_policy": "portion"}
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"meter": "unknown"}, "prices.0.meter"),
        ({"asset": "gold"}, "prices.0.asset"),
        ({"model": "whim"}, "prices.0.model"),
        ({"unit_amount": "-1"}, "prices.0.unit_amount"),
        ({"unit_amount": "NaN"}, "prices.0.unit_amount"),
        ({"unit_amount": None}, "prices.0.unit_amount"),
        ({"per": "0"}, "prices.0.per"),
        ({"per": "-1"}, "prices.0.per"),
        ({"per": "Infinity"}, "prices.0.per"),
        ({"match": {"model": "gpt-4o"}}, "prices.0.match"),
        ({"match": {"colour": ["red"]}}, "prices.0.match"),
        ({"tier": 1}, "prices.0.tier"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_price_is_named(api: Api, change: dict[str, Any], field: str) -> None:
    api.post("/meters", METER)

    problem(api.post("/plans", PLAN | {"prices": [PRICE | change]}), 400, "invalid_request", field)

    assert Plan.objects.count() == PlanVersion.objects.count() == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prices": []}, "prices"),
        ({"prices": {}}, "prices"),
        ({"prices": [1]}, "prices.0"),
        ({"prices": [PRICE, PRICE]}, "prices.1.match"),
        ({"interval": "decade"}, "interval"),
        ({"currency": "image_credits"}, "currency"),
        ({"code": "Pro Plan"}, "code"),
        ({"base_fee_": "1"}, "base_fee_"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_plan_is_named(api: Api, change: dict[str, Any], field: str) -> None:
    api.post("/assets", ASSET)
    api.post("/meters", METER)

    refused = problem(api.post("/plans", PLAN | change), 400, "invalid_request")

    assert field in {error["field"] for error in refused["errors"]}
    assert Plan.objects.count() == 0


@pytest.mark.parametrize("path", ["/plans/nothing", "/plans/nothing/versions"])
def test_an_unknown_plan_is_not_found(api: Api, path: str) -> None:
    problem(api.get(path), 404, "not_found")


def test_publishing_a_version_of_an_unknown_plan_is_not_found(api: Api) -> None:
    problem(api.post("/plans/nothing/versions", {"prices": []}), 404, "not_found")


def test_a_customer_is_put_on_a_plan(api: Api, shop: Shop) -> None:
    shop.plan()
    shop.customer(plan=None)

    response = api.post("/subscriptions", {"customer": "acme", "plan": "pro", "starts_at": "2026-01-31T00:00:00+01:00"})

    assert response.status_code == 201
    started = dict(response.json())
    assert started.pop("id") == str(Subscription.objects.get().pk)
    current = started["current_period"]
    assert current["start"] < moment_string(timezone.now()) < current["end"]
    assert started == {
        "customer": "acme",
        "plan": "pro",
        "plan_version": 1,
        "status": "active",
        "starts_at": "2026-01-30T23:00:00Z",
        "ends_at": None,
        "trial_ends_at": None,
        "anchor": "2026-01-30T23:00:00Z",
        "timezone": "UTC",
        "base_fee": "0",
        "currency": "USD",
        "discount": "0",
        "minimum_commitment": "0",
        "spend_cap": None,
        "current_period": current,
        "next_change": None,
        "accruing": [],
    }
    assert api.get("/subscriptions?customer=acme").json()["data"] == [response.json()]
    problem(api.post("/subscriptions", {"customer": "acme", "plan": "pro"}), 409, "already_exists")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"customer": "nobody", "plan": "pro"}, 404, "not_found"),
        ({"customer": "acme", "plan": "nothing"}, 400, "invalid_request"),
        ({"customer": "acme"}, 400, "invalid_request"),
        ({"plan": "pro"}, 400, "invalid_request"),
        ({"customer": "acme", "plan": "pro", "starts_at": "now"}, 400, "invalid_request"),
        ({"customer": "acme", "plan": "pro", "starts_at": "0001-01-01T00:00:00Z"}, 400, "invalid_request"),
        ({"customer": "acme", "plan": "pro", "discount_": "1"}, 400, "invalid_request"),
        ({"customer": 7, "plan": "pro"}, 400, "invalid_request"),
    ],
    ids=str,
)
def test_a_subscription_that_cannot_be_is_refused(
    api: Api, shop: Shop, body: dict[str, Any], status: int, code: str
) -> None:
    shop.plan()
    shop.customer(plan=None)

    problem(api.post("/subscriptions", body), status, code)

    assert Subscription.objects.count() == 0
