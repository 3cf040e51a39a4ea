"""``/margins``, and that no customer ever sees a cost."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.services.audit import SYSTEM
from billing.engine.costs import BEGINNING
from billing.models import Charge, Customer
from billing.services.catalog import costs
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import Shop

SECRET_COST = "0.001234567"


@pytest.fixture
def acme(shop: Shop) -> Customer:
    costs.create(
        actor=SYSTEM,
        provider="openai",
        model="gpt-4o",
        unit="input",
        unit_cost=Decimal(SECRET_COST),
        per=Decimal(1000),
        effective_from=BEGINNING,
    )
    acme = shop.customer(usd="10")
    shop.record(acme, id="one", model="gpt-4o", input_tokens=1000, feature="=1+1")
    return acme


def test_margins_by_group(api: Api, acme: Customer) -> None:
    answer = api.get("/margins?group_by=customer,model").json()

    assert answer["floor"] == "0.2"
    assert answer["data"] == [
        {
            "customer": "acme",
            "model": "gpt-4o",
            "asset": "usd",
            "charged": "0.0025",
            "charged_with_cost": "0.0025",
            "cost": SECRET_COST,
            "margin": "0.001265433",
            "margin_share": "0.5061732",
            "below_floor": False,
            "events": 1,
            "events_without_cost": 0,
        }
    ]
    assert api.get("/margins?customer=acme&meter=llm_input&model=gpt-4o").json()["data"][0]["cost"] == SECRET_COST
    assert api.get("/margins?meter=other").json()["data"] == []


def test_the_floor_is_the_installations(api: Api, acme: Customer, settings: Any) -> None:
    settings.MARGIN_FLOOR = Decimal("0.51")

    assert api.get("/margins").json()["data"][0]["below_floor"] is True


def test_as_csv_nothing_is_a_formula(api: Api, acme: Customer) -> None:
    text = api.get("/margins?group_by=feature", accept="text/csv").content.decode()

    assert text.splitlines()[1].startswith("'=1+1,usd,0.0025,0.0025,")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("group_by=cost", "group_by"),
        ("group_by=a,b,c,d,e", "group_by"),
        ("group_by=a%20b", "group_by"),
        ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("from=soon", "from"),
        ("timezone=Mars", "timezone"),
        ("model=%00", "model"),
    ],
)
def test_what_makes_no_sense_is_named(api: Api, query: str, field: str) -> None:
    problem(api.get(f"/margins?{query}"), 400, "invalid_request", field)


def test_an_unknown_customer_is_not_found(api: Api) -> None:
    problem(api.get("/margins?customer=nobody"), 404, "not_found")


def test_a_customers_key_never_sees_a_cost(shop: Shop, acme: Customer, as_key: Any) -> None:
    own = as_key(shop.key(organization=acme.organization))
    assert Charge.objects.get().cost == Decimal(SECRET_COST)

    problem(own.get("/margins"), 403, "permission_denied")
    recorded = own.post("/events", cloud_event("two", data={"model": "gpt-4o", "input_tokens": 1000}))
    answers = [
        recorded,
        *(own.get(path) for path in ("/events/one", "/events", "/usage?group_by=model", "/customers/acme/ledger")),
        own.get("/customers/acme/wallet"),
    ]

    assert recorded.status_code == 201
    for answer in answers:
        assert answer.status_code in {200, 201}
        assert "1234567" not in answer.content.decode()
        assert "provider_cost" not in answer.content.decode()


@pytest.mark.usefixtures("plain_static_files")
def test_the_portal_never_shows_a_cost(shop: Shop, acme: Customer) -> None:
    client = Client()
    client.force_login(shop.member(acme))

    for name in ("dashboard", "usage", "statement"):
        page = client.get(reverse(f"portal:{name}"), follow=True)
        assert page.status_code == 200, name
        assert "1234567" not in page.content.decode(), name
    assert client.get(reverse("admin:billing_margins")).status_code == 302
