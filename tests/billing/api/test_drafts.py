"""Drafts: changed as often as one likes, published once, and never what a customer is billed by."""

from accounts.models import AuditEvent
from billing.models import PlanDraft, PlanVersion
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop

PRICE = {"meter": "llm_input", "asset": "usd", "model": "per_unit", "unit_amount": "0.5"}


def test_a_draft_is_changed_and_then_published_as_the_next_version(api: Api, shop: Shop) -> None:
    shop.plan()
    shop.asset("base_tokens")
    draft = api.post("/plans/pro/drafts", {"base_fee": 49, "prices": [PRICE]}).json()
    path = f"/plans/pro/drafts/{draft['id']}"

    changed = api.patch(path, {"base_fee": "59", "allowances": [{"asset": "base_tokens", "amount": "500000"}]})

    assert changed.json()["terms"]["base_fee"] == "59"
    assert changed.json()["terms"]["prices"] == [PRICE]
    assert api.get(path).json() == changed.json()
    assert api.get("/plans/pro/drafts").json()["data"] == [changed.json()]
    assert PlanVersion.objects.count() == 1
    published = api.post(f"{path}/publish", {})
    assert published.status_code == 201
    assert (published.json()["version"], published.json()["base_fee"]) == (2, "59")
    assert published.json()["allowances"] == [{"asset": "base_tokens", "amount": "500000", "rollover_limit": "0"}]
    problem(api.post(f"{path}/publish", {}), 404, "not_found")
    assert AuditEvent.objects.filter(action="plan_draft.changed").count() == 1


def test_a_draft_that_cannot_be_billed_by_is_not_published(api: Api, shop: Shop) -> None:
    shop.plan()
    draft = api.post("/plans/pro/drafts", {}).json()
    path = f"/plans/pro/drafts/{draft['id']}"

    problem(api.post(f"{path}/publish", {}), 400, "invalid_request", "prices")
    api.patch(path, {"prices": [PRICE, PRICE]})
    problem(api.post(f"{path}/publish", {}), 400, "invalid_request", "prices.1.match")
    problem(api.patch(path, {"base_fee": "-1"}), 400, "invalid_request", "base_fee")
    problem(api.patch(path, {"colour": "red"}), 400, "invalid_request", "colour")
    assert PlanVersion.objects.count() == 1
    assert api.send("DELETE", path, None).status_code == 204
    assert not PlanDraft.objects.exists()
    problem(api.get(path), 404, "not_found")


def test_a_plan_can_begin_as_a_draft_and_nobody_is_put_on_it(api: Api, shop: Shop) -> None:
    shop.meter("llm_input", "input_tokens")
    shop.customer(plan=None)
    plan = {"code": "new", "name": "New", "currency": "USD", "base_fee": "9.50", "prices": [PRICE], "publish": False}

    created = api.post("/plans", plan)

    assert created.status_code == 201
    assert (created.json()["version"], created.json()["published_at"]) == (None, None)
    assert api.get("/plans/new").json() == api.get("/plans").json()["data"][0] == created.json()
    problem(api.post("/subscriptions", {"customer": "acme", "plan": "new"}), 409, "invalid_state")
    draft = api.get("/plans/new/drafts").json()["data"][0]
    assert draft["terms"] == {"base_fee": "9.50", "prices": [PRICE]}
    assert api.post(f"/plans/new/drafts/{draft['id']}/publish", {}).json()["version"] == 1
    assert api.post("/subscriptions", {"customer": "acme", "plan": "new"}).status_code == 201
    problem(api.post("/plans", plan), 409, "already_exists")
