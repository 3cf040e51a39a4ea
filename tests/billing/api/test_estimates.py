"""``POST /estimates`` and what it comes to; the same figures through real events; nothing is written."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps

from billing.models import Charge, Customer
from billing.services import usage
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop

MILLION = "1000000"
TIERS_004_16 = [
    {"up_to": "1000000", "unit_amount": "3.00"},
    {"up_to": "10000000", "unit_amount": "2.50"},
    {"up_to": None, "unit_amount": "2.00"},
]
TIERS_003_51 = [
    {"up_to": "10000000", "unit_amount": "0.02"},
    {"up_to": "50000000", "unit_amount": "0.015"},
    {"up_to": None, "unit_amount": "0.01"},
]


def price(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, **fields}


FIGURES = [
    (price("per_unit", unit_amount="2.50", per=MILLION), "1000000", "2.5"),
    (price("per_unit", unit_amount="15", per=MILLION), "100000", "1.5"),
    (price("graduated", tiers=TIERS_004_16, per=MILLION), "12000000", "29.5"),
    (price("graduated", tiers=TIERS_004_16, per=MILLION), "1500000", "4.25"),
    (price("graduated", tiers=TIERS_003_51, per="1000"), "60000000", "900"),
    (price("volume", tiers=TIERS_003_51, per="1000"), "60000000", "600"),
    (
        price(
            "graduated",
            tiers=[{"up_to": "1000000", "unit_amount": "0.01"}, {"up_to": None, "unit_amount": "0.008"}],
            per="1000",
        ),
        "6000000",
        "50",
    ),
    (price("per_unit", unit_amount="0.00003"), "8420", "0.2526"),
    (price("per_unit", unit_amount="0.0001", per="1000"), "1", "0.0000001"),
    (price("per_unit", unit_amount="0.000001"), MILLION, "1"),
    (price("per_unit", unit_amount="3", per="3600000"), "1800000", "1.5"),
    (price("per_unit", unit_amount="0.006"), "1.5", "0.009"),
    (price("package", unit_amount="5", per="100"), "201", "15"),
    (price("package", unit_amount="5", per="100", rounding="down"), "299", "10"),
    (price("flat", unit_amount="0.10"), "7", "0.1"),
    (price("percentage", rate="0.15"), "200", "30"),
    (price("percentage", rate="0.029", fixed_amount="0.30"), "100", "3.2"),
    (price("percentage", rate="0.10", minimum="1", maximum="5"), "3", "1"),
    (price("percentage", rate="0.10", minimum="1", maximum="5"), "300", "5"),
    (
        price("graduated_percentage", tiers=[{"up_to": "100000", "rate": "0.10"}, {"up_to": None, "rate": "0.15"}]),
        "120000",
        "13000",
    ),
    (price("per_unit", unit_amount="1", free_units="10"), "12", "2"),
    (price("per_unit", unit_amount="1", maximum_amount="5"), "12", "5"),
]


@pytest.mark.parametrize(("terms", "quantity", "amount"), FIGURES, ids=str)
def test_a_bare_price_says_what_a_quantity_costs_and_why(
    api: Api, shop: Shop, terms: Mapping[str, Any], quantity: str, amount: str
) -> None:
    answer = api.post("/estimates", {"price": terms, "quantity": quantity, "already_used": "0"})

    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["amount"], body["asset"]) == (amount, "usd")
    assert sum((Decimal(line["amount"]) for line in body["lines"]), Decimal(0)) == Decimal(amount)


def test_the_lines_name_the_tiers(api: Api, shop: Shop) -> None:
    terms = price("graduated", tiers=TIERS_004_16, per=MILLION)

    body = api.post("/estimates", {"price": terms, "quantity": "1500000", "already_used": "0"}).json()

    assert [(line["tier"], line["quantity"], line["unit_amount"], line["amount"]) for line in body["lines"]] == [
        (1, "1000000", "3", "3"),
        (2, "500000", "2.5", "1.25"),
    ]


def test_a_discount_is_a_line_of_its_own(api: Api, shop: Shop) -> None:
    terms = price("per_unit", unit_amount="1")

    body = api.post("/estimates", {"price": terms, "quantity": "100", "discount": "0.15"}).json()

    assert body["amount"] == "85"
    assert [(line["kind"], line["amount"]) for line in body["lines"]] == [("units", "100"), ("discount", "-15")]


PRICES: list[dict[str, Any]] = [
    {"meter": "tokens", "asset": "usd", **price("graduated", tiers=TIERS_003_51, per="1000")},
    {"meter": "images", "asset": "credits", **price("per_unit", unit_amount="5")},
    {"meter": "texts", "asset": "credits", **price("per_unit", unit_amount="1")},
    {"meter": "steps", "asset": "usd", **price("package", unit_amount="0.7", per="7")},
    {"meter": "users", "asset": "usd", **price("per_unit", unit_amount="2")},
]


@pytest.fixture
def plan(api: Api, shop: Shop) -> Customer:
    shop.asset("credits")
    for code in ("tokens", "images", "texts", "steps"):
        shop.meter(code, code)
    shop.meter("users", "user_id", aggregation="unique")
    made = api.post("/plans", {"code": "all", "name": "All", "currency": "USD", "prices": PRICES})
    assert made.status_code == 201, made.content
    customer = shop.customer(plan=None, usd="100000")
    shop.subscribe(customer, "all")
    shop.fund(customer, "1000", asset="credits", kind="promotional")
    return customer


def everything() -> dict[str, list[Any]]:
    models = apps.get_app_config("billing").get_models()
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


@pytest.mark.parametrize(
    "data",
    [
        {"tokens": 60000000},
        {"images": 3, "texts": 4},
        {"steps": 8, "user_id": "u"},
        {"tokens": 9999999, "images": 1, "steps": 1, "user_id": "v"},
    ],
    ids=str,
)
def test_what_is_estimated_is_what_is_charged_and_nothing_is_written(
    api: Api, shop: Shop, plan: Customer, data: dict[str, Any]
) -> None:
    shop.record(plan, tokens=5000000, steps=3, user_id="u")
    before = everything()

    answer = api.post("/estimates", {"customer": "acme", "type": "llm.completion", "data": data})

    assert answer.status_code == 200, answer.content
    assert everything() == before
    outcome = shop.record(plan, data=data)
    body = answer.json()
    assert body["cost"] == {asset: format(amount.normalize(), "f") for asset, amount in outcome.cost.items()}
    for charge in body["charges"]:
        assert sum(Decimal(line["amount"]) for line in charge["lines"]) == Decimal(charge["amount"])


def test_three_images_and_four_texts_are_19_credits(api: Api, shop: Shop, plan: Customer) -> None:
    work = [{"type": "llm.completion", "data": {"images": 1}, "count": 3}]
    work.append({"type": "llm.completion", "data": {"texts": 1}, "count": 4})

    for subject in ({"customer": "acme"}, {"plan": "all"}, {"plan": "all", "version": 1}):
        assert api.post("/estimates", subject | {"workload": work}).json()["cost"] == {"credits": "19"}


def test_overage_of_a_plan_with_an_allowance(api: Api, shop: Shop) -> None:
    """$49 with 500,000 tokens; beyond them 200k prompt and 100k completion tokens, and 30 steps: $9.00."""
    shop.asset("base_tokens")
    for code in ("prompt", "completion", "steps"):
        shop.meter(code, code)
    over = {"asset": "usd", "model": "per_unit", "per": "1000", "covered_by": "base_tokens"}
    made = api.post(
        "/plans",
        {
            "code": "platform",
            "name": "Platform",
            "currency": "USD",
            "base_fee": "49",
            "allowances": [{"asset": "base_tokens", "amount": "500000"}],
            "prices": [
                {"meter": "prompt", "unit_amount": "0.015", **over},
                {"meter": "completion", "unit_amount": "0.030", **over},
                {"meter": "steps", "asset": "usd", "model": "per_unit", "unit_amount": "0.10"},
            ],
        },
    )
    assert made.status_code == 201, made.content
    data = {"prompt": 500000 + 200000, "completion": 100000, "steps": 30}

    body = api.post("/estimates", {"plan": "platform", "type": "llm.completion", "data": data}).json()

    assert body["cost"] == {"base_tokens": "500000", "usd": "9"}
    customer = shop.customer(plan=None, usd="1000")
    shop.subscribe(customer, "platform")
    parts = [
        {"prompt": 300000},
        {"prompt": 250000, "steps": 13},
        {"prompt": 150000},
        {"completion": 100000, "steps": 17},
    ]
    outcomes = usage.record([shop.event(customer, data=part) for part in parts])
    assert {outcome.status for outcome in outcomes} == {"charged"}
    assert sum(charge.amount for charge in Charge.objects.filter(asset_id="usd")) == 9


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"customer": "acme", "plan": "all"}, "body"),
        ({"customer": "acme"}, "type"),
        ({"customer": "acme", "type": "t", "workload": [{"type": "t"}]}, "type"),
        ({"customer": "acme", "type": "t", "quantity": "1"}, "quantity"),
        ({"price": {"model": "per_unit", "unit_amount": "1"}}, "quantity"),
        ({"price": {"model": "per_unit", "unit_amount": "1", "rate": "1"}, "quantity": "1"}, "price.rate"),
        ({"price": {"model": "package", "unit_amount": "1", "rounding": "odd"}, "quantity": "1"}, "price.rounding"),
        ({"price": {"model": "graduated"}, "quantity": "1"}, "price.tiers"),
        (
            {"price": {"model": "volume", "tiers": [{"up_to": "5", "unit_amount": "1"}]}, "quantity": "1"},
            "price.tiers.0.up_to",
        ),
        ({"price": {"model": "flat", "unit_amount": "1", "per": "2"}, "quantity": "1"}, "price.per"),
        ({"price": {"model": "event"}, "quantity": "1"}, "price.amount_field"),
        ({"price": {"model": "per_unit", "unit_amount": "1"}, "quantity": "1", "discount": "2"}, "discount"),
        ({"price": {"model": "per_unit", "unit_amount": "999999999999999999"}, "quantity": "999999"}, "quantity"),
        ({"plan": "all", "workload": [{"type": "t", "count": 0}]}, "workload.0.count"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_question_is_named(api: Api, shop: Shop, body: dict[str, Any], field: str) -> None:
    refused = problem(api.post("/estimates", body), 400, "invalid_request")

    assert field in {error["field"] for error in refused["errors"]}, refused


def test_an_unknown_customer_plan_or_version_is_not_found(api: Api, shop: Shop, plan: Customer) -> None:
    for subject in ({"customer": "nobody"}, {"plan": "nothing"}, {"plan": "all", "version": 9}):
        problem(api.post("/estimates", subject | {"type": "llm.completion"}), 404, "not_found")
    problem(api.post("/estimates", {"plan": "all", "type": "unheard"}), 422, "unpriced_usage")
