"""``/provider-costs``: set and listed by the operator; nothing of it is for customers."""

from typing import Any

import pytest

from accounts.models import AuditEvent
from billing.models import ProviderCost
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop

COST = {"provider": "OpenAI", "model": "gpt-4o", "unit": "input", "unit_cost": "2.5", "per": "1000000"}


def test_a_cost_is_set_and_listed(api: Api) -> None:
    response = api.post("/provider-costs", COST | {"aliases": ["four-o"], "effective_from": "2026-01-01T00:00:00Z"})

    assert response.status_code == 201
    shown = response.json()
    assert shown.pop("id")
    assert shown == {
        "provider": "openai",
        "model": "gpt-4o",
        "aliases": ["four-o"],
        "unit": "input",
        "unit_cost": "2.5",
        "per": "1000000",
        "currency": "USD",
        "above": 0,
        "source": "manual",
        "effective_from": "2026-01-01T00:00:00Z",
        "effective_to": None,
    }
    assert AuditEvent.objects.get(action="provider_cost.created").actor_kind == "api_key"
    api.post("/provider-costs", COST | {"unit": "output"})
    assert [row["unit"] for row in api.get("/provider-costs").json()["data"]] == ["output", "input"]
    assert len(api.get("/provider-costs?provider=OpenAI&model=gpt-4o&limit=1").json()["data"]) == 1
    assert api.get("/provider-costs?model=other").json()["data"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"provider": ""}, "provider"),
        ({"provider": "p" * 65}, "provider"),
        ({"model": None}, "model"),
        ({"unit": "wish"}, "unit"),
        ({"unit_cost": "-1"}, "unit_cost"),
        ({"unit_cost": "NaN"}, "unit_cost"),
        ({"per": "0"}, "per"),
        ({"above": -1}, "above"),
        ({"above": 2**31}, "above"),
        ({"aliases": "four-o"}, "aliases"),
        ({"aliases": [""]}, "aliases.0"),
        ({"effective_from": "soon"}, "effective_from"),
        ({"effective_from": "2026-02-01T00:00:00Z", "effective_to": "2026-01-01T00:00:00Z"}, "effective_to"),
        ({"source": "imported"}, "source"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(api: Api, change: dict[str, Any], field: str) -> None:
    problem(api.post("/provider-costs", COST | change), 400, "invalid_request", field)

    assert not ProviderCost.objects.exists()


def test_two_costs_at_one_time_conflict(api: Api) -> None:
    from_then = {"effective_from": "2026-01-01T00:00:00Z"}
    assert api.post("/provider-costs", COST | from_then).status_code == 201

    problem(api.post("/provider-costs", COST | from_then), 409, "already_exists")


def test_a_customers_key_sees_no_costs(shop: Shop, as_key: Any) -> None:
    acme = shop.customer(usd="1")
    own = as_key(shop.key(organization=acme.organization))

    problem(own.get("/provider-costs"), 403, "permission_denied")
    problem(own.post("/provider-costs", COST), 403, "permission_denied")
