"""Meters and assets are added in the back office: one by one, or from a preset, whole or not at all."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, User
from accounts.services import staff
from billing.engine.presets import PRESETS
from billing.models import Asset, Meter, Plan, PlanDraft
from tests.builders import Shop, browser_of

ADD = "/admin/billing/meter/add/"
PRESETS_PAGE = "/admin/billing/meter/presets/"
METER = {
    "code": "pages",
    "name": "Pages",
    "event_type": "document.read",
    "aggregation": "sum",
    "value": "pages * 2",
    "filter": "status: ok, done\nkind: scan",
    "dimensions": "model, user, model",
    "unit": "page",
    "phase": "",
}


def test_a_meter_is_added_by_the_service(office: Client, shop: Shop, finance: User) -> None:
    assert "Grouped by" in office.get(ADD).content.decode()
    assert office.post(ADD, METER).status_code == 302

    meter = Meter.objects.get()
    assert meter.filter == {"status": ["ok", "done"], "kind": ["scan"]}
    assert meter.dimensions == ["model", "user"]
    assert AuditEvent.objects.get(action="meter.created").actor_id == finance.pk
    assert "already" in office.post(ADD, METER).content.decode()
    assert "pages * 2" in office.get(reverse("admin:billing_meter_change", args=[meter.pk])).content.decode()


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("code", "Pages", "Lower case"),
        ("value", "pages ** 2", "value"),
        ("value", "", "needed"),
        ("aggregation", "average", "valid choice"),
        ("filter", "ok", "Write a dimension"),
        ("dimensions", "a b", "Names of fields"),
    ],
)
def test_what_is_wrong_with_a_meter_is_said(office: Client, shop: Shop, field: str, typed: str, said: str) -> None:
    page = office.post(ADD, METER | {field: typed})
    assert said in str(page.context["adminform"].form.errors[field])
    assert not Meter.objects.exists()


def test_a_preset_is_added_whole_or_not_at_all(office: Client, shop: Shop) -> None:
    shown = office.get(PRESETS_PAGE).content.decode()
    for code in PRESETS:
        assert code in shown
    assert office.post(PRESETS_PAGE, {"preset": "openai.chat"}).status_code == 302
    assert Meter.objects.count() == 3

    assert "already" in office.post(PRESETS_PAGE, {"preset": "anthropic.messages"}).content.decode()
    assert Meter.objects.count() == 3
    office.post(PRESETS_PAGE, {"preset": "anthropic.messages", "prefix": "claude_", "event_type": "claude"})
    assert Meter.objects.filter(code__startswith="claude_", event_type="claude").count() == 4
    assert "Lower case" in office.post(PRESETS_PAGE, {"preset": "gpu", "prefix": "1"}).content.decode()


PRODUCT = {
    "name": "API usage",
    "code": "api_usage",
    "event_type": "api.call",
    "value": "input_tokens",
    "unit": "token",
    "dimensions": "model, user",
    "unit_amount": "2.50",
    "per": "1000000",
    "currency": "usd",
}


def test_a_metered_product_is_one_form_and_goes_on_in_the_editor(office: Client, shop: Shop) -> None:
    page = reverse("admin:billing_plan_product")
    assert "metered-product" in office.get(reverse("admin:billing_plan_changelist")).content.decode()
    assert office.get(page).status_code == 200

    made = office.post(page, PRODUCT)

    draft = PlanDraft.objects.get()
    assert made.headers["Location"] == reverse("admin:billing_plandraft_change", args=[draft.pk])
    assert "$2.50 per 1,000,000 tokens" in office.get(made.headers["Location"]).content.decode()
    assert (Meter.objects.get().aggregation, Meter.objects.get().dimensions) == ("sum", ["model", "user"])
    again = office.post(page, PRODUCT).context["form"]
    assert "already" in again.errors["code"][0]
    wrong = {"code": "Api", "unit_amount": "-1", "value": "a ** 2", "event_type": ""}
    assert set(office.post(page, PRODUCT | wrong).context["form"].errors) >= {"code", "unit_amount", "event_type"}
    odd = office.post(page, PRODUCT | {"code": "other", "value": "a ** 2"}).context["form"]
    assert "allows only" in odd.errors["value"][0]
    assert (Meter.objects.count(), Plan.objects.count()) == (1, 1)


def test_an_asset_is_added_by_the_service(office: Client, shop: Shop) -> None:
    add = "/admin/billing/asset/add/"
    credits = {"code": "credits", "name": "Credits", "kind": "unit", "precision": "2"}
    assert office.post(add, credits | {"precision": "13"}).status_code == 200
    assert office.post(add, credits).status_code == 302
    assert Asset.objects.get(pk="credits").precision == 2
    assert "already" in office.post(add, credits).content.decode()


def test_support_sees_the_catalog_and_adds_nothing(shop: Shop) -> None:
    support = User.objects.create_user("support@ante.test", "correct horse battery")
    staff.join(support, staff.SUPPORT)
    desk = browser_of(support)
    assert desk.get("/admin/billing/meter/").status_code == 200
    assert desk.post(ADD, METER).status_code == 403
    assert desk.post(PRESETS_PAGE, {"preset": "gpu"}).status_code == 403
    assert desk.post("/admin/billing/asset/add/", {"code": "x"}).status_code == 403
