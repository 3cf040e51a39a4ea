"""Subscriptions through the API: the worked example, a change with its preview, and the end."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.api.fields import moment_string
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop

PRICES = [
    {
        "meter": "prompt",
        "asset": "usd",
        "model": "per_unit",
        "unit_amount": "0.015",
        "per": "1000",
        "covered_by": "base_tokens",
    },
    {
        "meter": "completion",
        "asset": "usd",
        "model": "per_unit",
        "unit_amount": "0.030",
        "per": "1000",
        "covered_by": "base_tokens",
    },
    {"meter": "steps", "asset": "usd", "model": "per_unit", "unit_amount": "0.10"},
]


def publish(api: Api, shop: Shop, code: str = "hybrid", **terms: Any) -> None:
    shop.asset("base_tokens")
    for meter in ("prompt", "completion", "steps"):
        shop.meter(meter, meter)
    plan = {"code": code, "name": code.title(), "currency": "USD", "base_fee": "49", "prices": PRICES} | terms
    assert api.post("/plans", plan).status_code == 201


def use(api: Api, id: str, **data: int) -> dict[str, Any]:
    event = {"specversion": "1.0", "id": id, "source": "s", "type": "llm.completion", "subject": "acme", "data": data}
    response = api.post("/events", event)
    assert response.status_code == 201, response.content
    answer: dict[str, Any] = response.json()
    return answer


def wallet(api: Api) -> dict[str, str]:
    return {each["asset"]: each["available"] for each in api.get("/customers/acme/wallet").json()["balances"]}


def test_a_fee_with_tokens_included_and_what_goes_beyond_them(api: Api, shop: Shop) -> None:
    publish(api, shop, allowances=[{"asset": "base_tokens", "amount": "500000"}])
    shop.customer(plan=None, usd="100")

    started = api.post("/subscriptions", {"customer": "acme", "plan": "hybrid"})
    assert started.status_code == 201
    assert wallet(api) == {"usd": "51", "base_tokens": "500000"}
    use(api, "included", prompt=400_000, completion=100_000)
    assert wallet(api) == {"usd": "51", "base_tokens": "0"}
    use(api, "beyond", prompt=200_000, completion=100_000, steps=30)

    assert wallet(api) == {"usd": "42", "base_tokens": "0"}  # $58.00 in all.
    spent = {row["kind"]: row["amount"] for row in api.get("/customers/acme/ledger?asset=usd&kind=fee").json()["data"]}
    assert spent == {"fee": "-49"}
    period = api.get(f"/subscriptions/{started.json()['id']}/periods").json()["data"][0]
    assert [(fee["kind"], fee["amount"], fee["state"]) for fee in period["fees"]] == [("base", "49", "paid")]
    assert [(each["kind"], each["amount"], each["remaining"]) for each in period["allowances"]] == [
        ("allowance", "500000", "0")
    ]


def test_15_percent_off_100_is_85(api: Api, shop: Shop) -> None:
    publish(api, shop, base_fee="100")
    shop.customer(plan=None, usd="1000")

    started = api.post("/subscriptions", {"customer": "acme", "plan": "hybrid", "discount": "0.15"}).json()

    assert (started["discount"], started["plan_version"], wallet(api)["usd"]) == ("0.15", 1, "915")
    answer = use(api, "one", steps=1000)
    assert (answer["cost"]["usd"], answer["charges"][0]["plan_version"]) == ("85", 1)
    overridden = [{"meter": "steps", "asset": "usd", "model": "per_unit", "unit_amount": "0.05"}]
    shop.customer("globex", plan=None, usd="1000")
    body = {"customer": "globex", "plan": "hybrid", "price_overrides": overridden}
    assert api.post("/subscriptions", body).status_code == 201
    wrong = overridden[0] | {"match": {"colour": ["red"]}}
    refused = api.post("/subscriptions", {"customer": "globex", "plan": "hybrid", "price_overrides": [wrong]})
    assert refused.status_code in {400, 409}


def test_a_spend_cap_refuses_what_is_beyond_it_until_the_next_period_and_goes_along(api: Api, shop: Shop) -> None:
    publish(api, shop, fair_use=[{"asset": "usd", "limit": "500"}, {"meter": "steps", "limit": "90"}])
    shop.customer(plan=None, usd="1000")
    started = api.post("/subscriptions", {"customer": "acme", "plan": "hybrid", "spend_cap": "4"}).json()
    assert (started["spend_cap"], wallet(api)["usd"]) == ("4", "951")

    use(api, "within", steps=39)
    event = {"specversion": "1.0", "source": "s", "type": "llm.completion", "subject": "acme"}
    beyond = api.post("/events", event | {"id": "beyond", "data": {"steps": 2}})
    answer = problem(beyond, 402, "budget_exceeded")
    assert (answer["name"], answer["left"], answer["required"]) == ("Spend cap of hybrid", "0.1", "0.2")

    path = f"/subscriptions/{started['id']}"
    publish(api, shop, code="large")
    changed = api.post(f"{path}/change", {"plan": "large", "discount": "0.5"}).json()
    assert changed["spend_cap"] == "4"
    use(api, "half", steps=2)
    assert api.post("/events", event | {"id": "again", "data": {"steps": 1}}).status_code == 402
    assert api.post(f"{path}/change", {"plan": "large", "spend_cap": "0"}).json()["spend_cap"] is None
    use(api, "free", steps=60)
    problem(api.post(f"{path}/change", {"plan": "large", "spend_cap": "-1"}), 400, "invalid_request", "spend_cap")


def test_a_change_is_shown_and_then_made_and_can_be_repeated(api: Api, shop: Shop) -> None:
    publish(api, shop)
    publish(api, shop, code="large", base_fee="490")
    shop.customer(plan=None, usd="1000")
    started = api.post("/subscriptions", {"customer": "acme", "plan": "hybrid"}).json()
    path = f"/subscriptions/{started['id']}"

    shown = api.post(f"{path}/preview-change", {"plan": "large"}).json()
    assert [line["kind"] for line in shown["lines"]] == ["credit", "change"]
    assert wallet(api)["usd"] == "951"
    body = {"plan": "large", "at": shown["at"]}
    changed = api.post(f"{path}/change", body, idempotency_key="k")
    again = api.post(f"{path}/change", body, idempotency_key="k")

    assert (changed.status_code, changed.json()["plan"]) == (200, "large")
    assert again.json() == changed.json()
    fees = api.get(f"{path}/periods").json()["data"][0]["fees"][1:]
    assert [(fee["kind"], fee["amount"]) for fee in fees] == [(one["kind"], one["amount"]) for one in shown["lines"]]
    assert api.get(path).json() == changed.json()


def test_what_cannot_be_is_refused_by_name(api: Api, shop: Shop) -> None:
    publish(api, shop)
    shop.customer(plan=None, usd="1000")
    started = api.post("/subscriptions", {"customer": "acme", "plan": "hybrid"}).json()
    path = f"/subscriptions/{started['id']}"

    problem(api.post(f"{path}/change", {"plan": "none"}), 400, "invalid_request", "plan")
    problem(api.post(f"{path}/change", {"plan": "hybrid", "version": 2}), 400, "invalid_request", "version")
    problem(api.post(f"{path}/change", {"plan": "hybrid", "when": "soon"}), 400, "invalid_request", "when")
    problem(api.post(f"{path}/change", {"plan": "hybrid", "at": "2020-01-01T00:00:00Z"}), 400, "invalid_request", "at")
    problem(api.post(f"{path}/cancel", {"refund": True}), 400, "invalid_request", "refund")
    problem(api.post(f"{path}/reactivate", {}), 409, "invalid_state")
    problem(api.get("/subscriptions/01900000-0000-7000-8000-000000000001"), 404, "not_found")
    for field, value in [("discount", "1.5"), ("trial_days", -1), ("minimum_commitment", "-1"), ("anchor", "soon")]:
        problem(
            api.post("/subscriptions", {"customer": "acme", "plan": "hybrid", field: value}),
            400,
            "invalid_request",
            field,
        )
    far = {"customer": "acme", "plan": "hybrid", "starts_at": "9998-12-31T00:00:00Z", "trial_days": 700}
    assert api.post("/subscriptions", far).status_code in {400, 409}
    assert api.post(f"{path}/cancel", {"when": "now", "refund": True}).json()["status"] == "canceled"
    problem(api.post(f"{path}/cancel", {"when": "now"}), 409, "invalid_state")


def test_a_list_asks_as_little_as_one(api: Api, shop: Shop) -> None:
    gb = shop.meter("gb", "gb", aggregation="time_weighted")
    shop.plan("storage", [shop.price(gb, "0.10")])

    def begun(name: str) -> None:
        customer = shop.customer(name, plan="storage", usd="100")
        shop.record(customer, gb=10, time=timezone.now() - timedelta(hours=2))

    begun("first")
    with CaptureQueriesContext(connection) as alone:
        assert len(api.get("/subscriptions").json()["data"]) == 1
    for name in ("second", "third", "fourth"):
        begun(name)

    with CaptureQueriesContext(connection) as four:
        listed = api.get("/subscriptions").json()["data"]

    assert len(four) <= len(alone) + 1  # The key may be looked up anew.
    assert [(len(each["accruing"]), each["current_period"] is None) for each in listed] == [(1, False)] * 4
    assert listed[0]["accruing"][0]["level"] == "10"


def test_a_level_that_runs_up_is_shown(api: Api, shop: Shop) -> None:
    gb = shop.meter("gb", "gb", aggregation="time_weighted")
    acme = shop.customer(plan=None, usd="100")
    shop.plan("storage", [shop.price(gb, "0.10")])
    since = (timezone.now() - timedelta(hours=2)).replace(microsecond=0)
    terms = {"customer": "acme", "plan": "storage", "starts_at": moment_string(since)}
    started = api.post("/subscriptions", terms).json()
    assert started["accruing"] == []

    shop.record(acme, gb=10, time=since)

    (level,) = api.get(f"/subscriptions/{started['id']}").json()["accruing"]
    assert (level["meter"], level["level"], level["since"], level["asset"]) == ("gb", "10", moment_string(since), "usd")
    assert 20 <= Decimal(level["quantity"]) < 25
    assert Decimal(level["amount"]) == round(Decimal(level["quantity"]) / 10, 12)
