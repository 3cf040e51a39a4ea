"""Costs and overheads are added by hand through the service, and never changed or deleted."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, User
from billing.models import Customer, Overhead, ProviderCost
from billing.selectors.catalog import costs as selector

FIELDS = {
    "provider": "OpenAI",
    "model": "gpt-5",
    "aliases": "five, gpt-5-2025*",
    "unit": "output",
    "unit_cost": "10",
    "per": "1000000",
    "above": "0",
    "effective_from_0": "",
    "effective_from_1": "",
    "effective_to_0": "",
    "effective_to_1": "",
}


def test_a_cost_is_added_by_hand(office: Client, finance: User):
    response = office.post(reverse("admin:billing_providercost_add"), FIELDS)
    assert response.status_code == 302, response.context["errors"]
    cost = ProviderCost.objects.get()
    assert (cost.source, cost.provider, cost.aliases, cost.unit_cost) == (
        "manual",
        "openai",
        ["five", "gpt-5-2025*"],
        10,
    )
    assert AuditEvent.objects.get(action="provider_cost.created").actor_label == finance.email
    found = selector.current().cost({"model": "five", "output_tokens": 1000}, timezone.now())
    assert found is not None
    assert found.amount == Decimal("0.01")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"unit_cost": "-1"}, "unit_cost"),
        ({"unit_cost": "NaN"}, "unit_cost"),
        ({"per": "0"}, "per"),
        ({"unit": "wish"}, "unit"),
        ({"model": ""}, "model"),
        (
            {
                "effective_from_0": "2026-02-01",
                "effective_from_1": "00:00:00",
                "effective_to_0": "2026-01-01",
                "effective_to_1": "00:00:00",
            },
            "effective_to",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_beside_its_field(office: Client, change: dict[str, str], field: str):
    response = office.post(reverse("admin:billing_providercost_add"), FIELDS | change)
    assert response.status_code == 200
    assert field in response.context["adminform"].form.errors
    assert not ProviderCost.objects.exists()


def test_a_second_cost_for_the_same_time_is_refused(office: Client):
    fixed = FIELDS | {"effective_from_0": "2026-02-01", "effective_from_1": "00:00:00"}
    assert office.post(reverse("admin:billing_providercost_add"), fixed).status_code == 302
    again = office.post(reverse("admin:billing_providercost_add"), fixed)
    assert "already" in str(again.context["adminform"].form.errors)
    assert ProviderCost.objects.count() == 1


def test_a_cost_is_neither_changed_nor_deleted_but_ended(office: Client, acme: Customer):
    for model in (ProviderCost, Overhead):
        row = model.objects.all()[0]
        before = list(model.objects.values())
        name = model._meta.model_name
        assert office.post(reverse(f"admin:billing_{name}_change", args=[row.pk]), FIELDS).status_code == 403
        assert office.post(reverse(f"admin:billing_{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
        assert list(model.objects.values()) == before
    cost = ProviderCost.objects.all()[0]
    url = reverse("admin:billing_providercost_end_cost", args=[cost.pk])
    assert office.get(url).status_code == 200
    cost.refresh_from_db()
    assert cost.effective_to is None
    assert office.post(url, {"reason": "A new contract"}).status_code == 302
    cost.refresh_from_db()
    assert cost.effective_to is not None
    assert AuditEvent.objects.get(action="provider_cost.ended").after["reason"] == "A new contract"
    assert "has ended already" in office.post(url, {"reason": "Again"}).content.decode()


def test_an_overhead_is_added_by_hand(office: Client):
    fields: dict[str, Any] = {"provider": "", "share": "0.05", "fixed_amount": "0.0001"}
    empty = {"effective_from_0": "", "effective_from_1": ""}
    assert office.post(reverse("admin:billing_overhead_add"), fields | empty).status_code == 302
    assert Overhead.objects.get().share == Decimal("0.05")
