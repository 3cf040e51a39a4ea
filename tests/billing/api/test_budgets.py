"""``/customers/…/budgets``, and how usage that a budget refuses is answered."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from accounts.services import api_keys
from billing.models import Budget, Customer
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import Shop

Keys = Callable[[str | None], Api]
SUPPORT = {
    "name": "Support",
    "scope": {"user": "u_17"},
    "asset": "usd",
    "limit": "1",
    "period": "month",
    "hard": True,
    "alert_at": ["0.5", "0.8", "1.0"],
}


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer(usd="100")


def dollars(count: int, **data: Any) -> Any:
    return cloud_event(str(uuid4()), data={"input_tokens": 400_000 * count, **data})


def test_a_budget_is_made_listed_changed_and_removed(api: Api, acme: Customer) -> None:
    made = api.post("/customers/acme/budgets", SUPPORT)
    assert made.status_code == 201, made.content
    budget = made.json()
    expected = {"scope": {"user": "u_17"}, "limit": "1", "alert_at": ["0.5", "0.8", "1"], "at_cap": "refuse"}
    assert expected.items() <= budget.items()
    assert (budget["spent"], budget["held"], budget["left"], budget["values"]) == ("0", "0", "1", [])
    path = f"/customers/acme/budgets/{budget['id']}"

    assert [row["id"] for row in api.get("/customers/acme/budgets").json()["data"]] == [budget["id"]]
    assert api.patch(path, {"limit": "2", "hard": False}).json()["limit"] == "2"
    assert api.get(path).json()["hard"] is False
    assert api.send("DELETE", path, None).status_code == 204
    problem(api.get(path), 404, "not_found")
    problem(api.send("DELETE", path, None), 404, "not_found")
    assert api.get("/customers/acme/budgets").json()["data"] == []


def test_a_hard_budget_answers_402_with_what_is_left_and_when_it_is_reset(api: Api, acme: Customer) -> None:
    budget = api.post("/customers/acme/budgets", SUPPORT).json()
    api.post("/events", dollars(1, user="u_17"))

    refused = problem(api.post("/events", dollars(1, user="u_17")), 402, "budget_exceeded")

    assert refused["budget"] == budget["id"]
    assert refused["scope"] == {"user": "u_17"}
    assert (refused["limit"], refused["left"], refused["required"]) == ("1", "0", "1")
    assert refused["resets_at"] == budget["resets_at"]
    assert api.post("/events", dollars(1, user="u_18")).status_code == 201


def test_a_throttling_budget_answers_429_with_retry_after(api: Api, acme: Customer) -> None:
    api.post("/customers/acme/budgets", SUPPORT | {"scope": {}, "limit": "0", "period": "hour", "at_cap": "throttle"})
    event = dollars(1)

    for _ in range(2):
        answer = api.post("/events", event)
        refused = problem(answer, 429, "rate_limited")
        assert 0 < int(answer["Retry-After"]) <= 3600
        assert refused["retry_after"] == int(answer["Retry-After"])
        assert "Idempotent-Replayed" not in answer
    answer = api.post("/authorizations", {"customer": "acme", "asset": "usd", "amount": "1"})
    problem(answer, 429, "rate_limited")
    assert 0 < int(answer["Retry-After"]) <= 3600


def test_a_paused_key_is_told_so(shop: Shop, as_key: Keys, acme: Customer) -> None:
    shop.budget(acme, "0", at_cap="pause_key")
    own = as_key(shop.key(organization=acme.organization))

    problem(own.post("/events", dollars(1)), 402, "budget_exceeded")
    api_keys.forget()

    assert "paused" in problem(own.post("/events", dollars(1)), 403, "permission_denied")["detail"]
    problem(own.get("/customers/acme/wallet"), 403, "permission_denied")


def test_a_key_that_may_not_move_customers_does_not_by_a_budget(as_key: Keys, shop: Shop, acme: Customer) -> None:
    shop.plan("scale")
    moving = SUPPORT | {"at_cap": "change_plan", "plan": "scale"}
    limits = as_key(shop.key("limits:write"))

    problem(limits.post("/customers/acme/budgets", moving), 403, "permission_denied")
    made = limits.post("/customers/acme/budgets", SUPPORT).json()
    to_plan = {"at_cap": "change_plan", "plan": "scale"}
    problem(limits.patch(f"/customers/acme/budgets/{made['id']}", to_plan), 403, "permission_denied")
    assert (
        as_key(shop.key("limits:write", "subscriptions:write")).post("/customers/acme/budgets", moving).status_code
        == 201
    )


def test_a_budget_for_each_value_lists_them(api: Api, acme: Customer) -> None:
    made = api.post("/customers/acme/budgets", SUPPORT | {"scope": {"user": "*"}, "limit": "5"}).json()
    api.post("/events", dollars(2, user="a"))
    api.post(
        "/authorizations",
        {"customer": "acme", "type": "llm.completion", "data": {"input_tokens": 400_000, "user": "b"}},
    )

    budget = api.get(f"/customers/acme/budgets/{made['id']}").json()

    assert (budget["spent"], budget["left"]) == (None, None)
    assert budget["values"] == [
        {"value": "a", "spent": "2", "held": "0", "left": "3"},
        {"value": "b", "spent": "0", "held": "1", "left": "4"},
    ]


def test_several_members_share_one(api: Api, shop: Shop, acme: Customer) -> None:
    addresses = [shop.member(acme, f"{name}@acme.test", "developer").email for name in ("ann", "ben")]
    made = api.post("/customers/acme/budgets", SUPPORT | {"scope": {"members": addresses}, "limit": "2"}).json()
    assert made["scope"] == {"members": addresses}
    api.post("/events", dollars(1, user="ann@acme.test"))
    api.post("/events", dollars(1, user="Ben@acme.test"))
    problem(api.post("/events", dollars(1, user="ann@acme.test")), 402, "budget_exceeded")

    path = f"/customers/acme/budgets/{made['id']}"
    changed = api.patch(path, {"members": ["BEN@acme.test"]}).json()

    assert (changed["scope"], changed["spent"]) == ({"members": ["ben@acme.test"]}, "2")
    assert api.post("/events", dollars(1, user="ann@acme.test")).status_code == 201
    problem(api.post("/events", dollars(1, user="ben@acme.test")), 402, "budget_exceeded")
    problem(api.patch(path, {"members": ["x@acme.test"]}), 400, "invalid_request", "members")
    problem(api.patch(path, {"members": []}), 400, "invalid_request", "members")
    other = api.post("/customers/acme/budgets", SUPPORT | {"scope": {}}).json()
    refused = api.patch(f"/customers/acme/budgets/{other['id']}", {"members": addresses})
    problem(refused, 400, "invalid_request", "members")


def test_a_customers_key_sets_its_own_and_leaves_the_operators_alone(shop: Shop, as_key: Keys, acme: Customer) -> None:
    operators = shop.budget(acme, "50")
    shop.customer("globex")
    own = as_key(shop.key("limits:write", "wallets:read", organization=acme.organization))

    made = own.post("/customers/acme/budgets", SUPPORT).json()
    assert made["set_by"] == "customer"
    assert own.patch(f"/customers/acme/budgets/{made['id']}", {"limit": "9"}).status_code == 200
    problem(own.patch(f"/customers/acme/budgets/{operators.pk}", {"limit": "999"}), 403, "permission_denied")
    problem(own.send("DELETE", f"/customers/acme/budgets/{operators.pk}", None), 403, "permission_denied")
    problem(own.post("/customers/globex/budgets", SUPPORT), 404, "not_found")
    operators.refresh_from_db()
    assert (operators.limit, operators.removed_at) == (50, None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"scope": {"nobody": "x"}}, "scope"),
        ({"scope": {"user": 1}}, "scope"),
        ({"scope": {"user": ""}}, "scope"),
        ({"scope": []}, "scope"),
        ({"scope": {"user": "*", "project": "*"}}, "scope"),
        ({"scope": {"api_key": "nonsense"}}, "scope.api_key"),
        ({"scope": {"api_key": "01a1fca2-0de3-72ef-b935-f4644c566812"}}, "scope.api_key"),
        ({"scope": {"member": "nobody@acme.test"}}, "scope.member"),
        ({"scope": {"members": ["nobody@acme.test"]}}, "scope.members"),
        ({"scope": {"members": []}}, "scope"),
        ({"scope": {"members": "x@acme.test"}}, "scope"),
        ({"scope": {"members": [{}]}}, "scope"),
        ({"scope": {"members": [f"{n}@acme.test" for n in range(101)]}}, "scope"),
        ({"asset": "gold"}, "asset"),
        ({"counts": "events"}, "asset"),
        ({"counts": "calls"}, "counts"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "NaN"}, "limit"),
        ({"limit": "0.0000000000001"}, "limit"),
        ({"period": "fortnight"}, "period"),
        ({"alert_at": ["0"]}, "alert_at"),
        ({"alert_at": ["11"]}, "alert_at"),
        ({"alert_at": ["0.12345"]}, "alert_at"),
        ({"at_cap": "explode"}, "at_cap"),
        ({"at_cap": "throttle", "hard": False}, "at_cap"),
        ({"at_cap": "throttle", "period": "total"}, "at_cap"),
        ({"color": "red"}, "color"),
    ],
    ids=str,
)
def test_terms_that_make_no_sense_are_refused(api: Api, acme: Customer, change: dict[str, Any], field: str) -> None:
    refused = problem(api.post("/customers/acme/budgets", SUPPORT | change), 400, "invalid_request")

    assert field in {error["field"] for error in refused["errors"]}
    assert not Budget.objects.exists()


def test_what_is_missing_is_named(api: Api, acme: Customer) -> None:
    refused = problem(api.post("/customers/acme/budgets", {}), 400, "invalid_request")
    assert {error["field"] for error in refused["errors"]} == {"name", "limit", "period"}
    without_asset = {name: value for name, value in SUPPORT.items() if name != "asset"}
    refused = problem(api.post("/customers/acme/budgets", without_asset), 400, "invalid_request")
    assert refused["errors"][0]["field"] == "asset"


def test_there_is_an_end_to_budgets(api: Api, acme: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.services.budgets.managing.BUDGETS_MAX", 1)
    api.post("/customers/acme/budgets", SUPPORT)

    problem(api.post("/customers/acme/budgets", SUPPORT), 409, "invalid_state")


def test_a_capture_says_what_a_budget_left_out_of_it(api: Api, acme: Customer) -> None:
    api.post("/customers/acme/budgets", SUPPORT | {"limit": "5"})
    data = {"input_tokens": 400_000, "user": "u_17"}
    opened = api.post("/authorizations", {"customer": "acme", "type": "llm.completion", "data": data}).json()

    event = {"data": data | {"input_tokens": 2_400_000}}
    captured = api.post(f"/authorizations/{opened['id']}/capture", {"event": event}).json()

    assert (captured["captured"], captured["event"]["cost"]) == ("5", {"usd": "5"})
    assert captured["event"]["refused"]["code"] == "budget_exceeded"
    assert captured["event"]["refused"]["refused"] == {"usd": "1"}
    receipt = api.get(f"/events/{captured['event']['id']}").json()
    assert [line["kind"] for line in receipt["charges"][0]["lines"]] == ["units", "refused"]
