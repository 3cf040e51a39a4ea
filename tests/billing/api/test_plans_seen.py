"""Which plans a customer's own key sees: the offered ones and its own. Another customer's terms are not there."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Organization
from accounts.services.api_keys import CUSTOMER_SCOPES
from accounts.services.audit import SYSTEM
from billing.api import urls
from billing.models import Budget, Customer, Plan, Subscription
from billing.services import subscriptions
from billing.services.catalog import plans
from tests.billing.api.conftest import Api, problem
from tests.billing.api.test_access import CALLS
from tests.billing.api.test_openapi import DOCUMENT
from tests.builders import Shop

OPERATORS = "Only the operator's keys may do this."
ONE_TOKEN = {"type": "llm.completion", "data": {"input_tokens": 1}}
NAMING = {
    ("GET", "plans/<str:code>"): None,
    ("GET", "plans/<str:code>/versions"): None,
    ("GET", "plans/<str:code>/drafts"): OPERATORS,
    ("GET", "plans/<str:code>/drafts/<uuid:draft_id>"): OPERATORS,
    ("POST", "estimates"): None,
    ("POST", "customers/<str:external_id>/budgets"): "To move customers to a plan the key needs subscriptions:write.",
    ("PATCH", "customers/<str:external_id>/budgets/<uuid:budget_id>"): (
        "To move customers to a plan the key needs subscriptions:write."
    ),
}
"""What takes the code of a plan and a customer's key may call; and what it is told whatever the plan, if that."""


@pytest.fixture
def acme(shop: Shop) -> Customer:
    """On ``pro``, which nobody is offered; ``hidden`` is globex's, ``open`` is offered to everybody."""
    shop.plan("open", [shop.price(shop.meter("llm_input", "input_tokens"), "1")])
    plans.offer(actor=SYSTEM, plan=Plan.objects.get(code="open"), offered=True)
    shop.plan("hidden", [shop.price(shop.meter("llm_input", "input_tokens"), "7")])
    shop.customer("globex", plan="hidden")
    return shop.customer("acme", usd="10")


@pytest.fixture
def own(shop: Shop, acme: Customer, as_key: Callable[[str | None], Api]) -> Api:
    return as_key(shop.key(organization=acme.organization))


def naming(api: Api, method: str, route: str, plan: str) -> Any:
    """Call the route about the plan."""
    path = route.replace("<str:code>", plan).replace("<str:external_id>", "acme")
    path = path.replace("<uuid:draft_id>", "01a1fca2-0de3-72ef-b935-f4644c566812")
    if "<uuid:budget_id>" in path:
        path = path.replace("<uuid:budget_id>", str(Budget.objects.get().pk))
    body = {"name": "Cap", "asset": "usd", "limit": "5", "period": "month"} if path.endswith("/budgets") else {}
    body = ONE_TOKEN if route == "estimates" else body
    return api.send(method, f"/{path}", None if method == "GET" else body | {"plan": plan})


def test_every_route_that_takes_a_plan_is_in_the_table() -> None:
    """By path or by body, of those that a scope of customers opens."""
    paths = {str(pattern.pattern) for pattern in urls.urlpatterns}
    found = {
        (method, route)
        for route, method, scope in CALLS
        if scope in CUSTOMER_SCOPES and (route.startswith("plans/") or "plan" in _body_of(method, route))
    }

    assert found == set(NAMING)
    assert {route for _, route in found} <= paths


def _body_of(method: str, route: str) -> set[str]:
    shown = route.replace("<str:", "{").replace("<uuid:", "{").replace("<path:", "{").replace(">", "}")
    operation = DOCUMENT["paths"][f"/api/v1/{shown}"][method.lower()]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return _fields(content.get("schema", {}))


def _fields(shape: dict[str, Any]) -> set[str]:
    if "$ref" in shape:
        shape = DOCUMENT["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
    parts = [part for name in ("allOf", "anyOf", "oneOf") for part in shape.get(name, [])]
    return set(shape.get("properties", {})).union(*map(_fields, parts))


@pytest.mark.parametrize(("method", "route"), NAMING)
def test_what_is_not_offered_is_answered_as_if_it_did_not_exist(
    shop: Shop, acme: Customer, own: Api, api: Api, method: str, route: str
) -> None:
    shop.budget(acme, "100")
    before = Budget.objects.values_list("limit", "plan").get()
    detail = NAMING[method, route]

    hidden, unknown = (naming(own, method, route, code) for code in ("hidden", "nowhere"))

    code = (404, "not_found") if detail is None else (403, "permission_denied")
    said = problem(hidden, *code)["detail"]
    assert problem(unknown, *code)["detail"] == said.replace("hidden", "nowhere")
    assert said == (detail or "There is no plan hidden.")
    assert Budget.objects.values_list("limit", "plan").get() == before
    if detail is None:
        for code_ in ("pro", "open"):
            assert naming(own, method, route, code_).status_code == 200
        assert naming(api, method, route, "hidden").status_code == 200


def codes(api: Api) -> list[str]:
    return sorted(plan["code"] for plan in api.get("/plans").json()["data"])


def test_the_list_holds_what_is_offered_and_what_is_ones_own(shop: Shop, acme: Customer, own: Api, api: Api) -> None:
    assert codes(own) == ["open", "pro"]
    assert codes(api) == ["hidden", "open", "pro"]

    # What it is to be moved to at a budget's end, from the next period, or was on once.
    for code in ("capped", "following", "former"):
        shop.plan(code, [shop.price(shop.meter("seconds", "seconds"), "1")])
    assert codes(own) == ["open", "pro"]
    budget = shop.budget(acme, "100")
    Budget.objects.filter(pk=budget.pk).update(at_cap="change_plan", plan=Plan.objects.get(code="capped"))
    assert codes(own) == ["capped", "open", "pro"]
    subscription = Subscription.objects.get(customer=acme)
    subscriptions.change(actor=SYSTEM, subscription=subscription, wanted=_to("following"), when="period_end")
    assert codes(own) == ["capped", "following", "open", "pro"]
    shop.subscribe(acme, "former")
    former = Subscription.objects.get(customer=acme, plan__code="former")
    subscriptions.change(actor=SYSTEM, subscription=former, wanted=_to("hidden"), when="now")

    assert codes(own) == ["capped", "following", "former", "hidden", "open", "pro"]


def _to(code: str) -> subscriptions.Wanted:
    return subscriptions.Wanted(plan=Plan.objects.get(code=code))


def test_a_key_without_a_customer_sees_what_is_offered(
    shop: Shop, acme: Customer, as_key: Callable[[str | None], Api]
) -> None:
    nobody = Organization.objects.create(name="Nobody")

    assert codes(as_key(shop.key(organization=nobody))) == ["open"]
