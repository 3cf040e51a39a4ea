"""The margins page: its figures, filters, flags and download."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.services.audit import SYSTEM
from billing.engine.costs import BEGINNING
from billing.models import Customer, ProviderCost, UsageEvent
from billing.services.catalog import costs
from tests.builders import Shop, browser_of

URL = "/admin/margins/"


@pytest.fixture
def sold(shop: Shop) -> Customer:
    for unit, amount in (("input", "1"), ("output", "9.5")):
        costs.create(
            actor=SYSTEM,
            provider="openai",
            model="gpt-4o",
            unit=unit,
            unit_cost=Decimal(amount),
            per=Decimal(1_000_000),
            effective_from=BEGINNING,
        )
    acme = shop.customer(usd="100")
    shop.record(acme, model="gpt-4o", input_tokens=1_000_000, output_tokens=1_000_000, feature="=cmd()")
    shop.record(acme, model="mystery", input_tokens=1_000_000)
    return acme


def test_the_page_shows_what_is_left_and_flags_what_is_below_the_floor(office: Client, sold: Customer):
    page = office.get(URL, {"group_by": "meter"})
    rows = {row["group"][0]: row for row in page.context["rows"]}
    assert (rows["llm_output"]["below"], rows["llm_input"]["below"]) == (True, False)
    assert "$0.50" in rows["llm_output"]["margin"]
    assert page.context["flagged"] == 1
    text = page.content.decode()
    assert "below the floor" in text
    assert "Charged value" in text
    assert "no cash came in" in text
    chart = page.context["chart"]
    assert [series["name"] for series in chart["series"]] == ["Cost", "Margin"]
    assert sum(chart["series"][0]["values"]) == 10.5


@pytest.mark.parametrize("group_by", ["customer", "model", "feature", "day", "customer,model", "nonsense"])
@pytest.mark.parametrize("period", ["today", "7d", "30d", "2026-01", "nonsense"])
def test_every_view_opens(office: Client, sold: Customer, group_by: str, period: str):
    assert office.get(URL, {"group_by": group_by, "period": period, "customer": "\x00"}).status_code == 200


def test_filters_narrow_it_down(office: Client, sold: Customer):
    assert len(office.get(URL, {"group_by": "model"}).context["rows"]) == 2
    assert len(office.get(URL, {"group_by": "model", "model": "gpt-4o"}).context["rows"]) == 1
    assert office.get(URL, {"meter": "other"}).context["rows"] == []


def test_the_download_runs_no_formula(office: Client, sold: Customer):
    response = office.get(URL, {"group_by": "feature", "format": "csv"})
    assert response["Content-Disposition"] == 'attachment; filename="margins-30d.csv"'
    assert any(
        line.startswith("'=cmd(),usd,12.5,12.5,10.5,2,0.16") for line in response.getvalue().decode().splitlines()
    )


def test_what_the_sums_leave_out_is_said(office: Client, sold: Customer, shop: Shop):
    pictures = shop.price(shop.meter("pictures", "n", event_type="image"), "1", asset=shop.asset("image_credits"))
    shop.plan("studio", [pictures])
    shop.subscribe(sold, "studio")
    shop.fund(sold, "10", asset="image_credits", kind="promotional")
    shop.record(sold, type="image", model="gpt-4o", n=2, input_tokens=3_000_000)

    page = office.get(URL)

    (credits_,) = page.context["apart"]
    assert "$10.50" in page.context["total"]["cost"]
    assert "$3.00" in credits_["cost"]
    assert "for usage that was charged" in page.content.decode()


def test_who_may_not_see_costs_does_not_see_margins(sold: Customer):
    clerk = User.objects.create_user("clerk@ante.test", "correct horse battery", is_staff=True)
    client = browser_of(clerk)
    assert client.get(URL).status_code == 403
    assert "Margins" not in client.get(reverse("admin:index")).content.decode()
    clerk.user_permissions.add(Permission.objects.get(codename="view_providercost"))
    assert client.get(URL).status_code == 200


def test_the_receipt_says_what_the_event_cost_us(office: Client, sold: Customer, shop: Shop):
    event = UsageEvent.objects.filter(data__model="gpt-4o").get()
    url = reverse("admin:billing_usageevent_change", args=[event.pk])
    card = office.get(url).context["cost"]
    assert "$10.50" in card["total"]
    assert "$2.00" in card["margin"]
    assert (card["changed"], card["model"]) == (False, "openai gpt-4o")
    assert [line["how"] for line in card["lines"]] == ["1,000,000 × 1 ÷ 1,000,000", "1,000,000 × 9.5 ÷ 1,000,000"]
    for cost in ProviderCost.objects.all():
        costs.end(actor=SYSTEM, cost=cost)
    costs.create(
        actor=SYSTEM, provider="openai", model="gpt-4o-x", unit="input", unit_cost=Decimal(1), effective_from=BEGINNING
    )
    ProviderCost.objects.filter(model="gpt-4o").delete()
    assert office.get(url).context["cost"]["changed"] is True
    mystery = UsageEvent.objects.filter(data__model="mystery").get()
    page = office.get(reverse("admin:billing_usageevent_change", args=[mystery.pk]))
    assert page.context["cost"] == {"known": False}
    clerk = User.objects.create_user("clerk@ante.test", "correct horse battery", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_usageevent"))
    seen = browser_of(clerk).get(url)
    assert seen.status_code == 200
    assert seen.context["cost"] is None
    assert "cost us" not in seen.content.decode()
