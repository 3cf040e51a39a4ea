"""Links that show a balance or usage on the operator's own pages."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey
from accounts.services import api_keys
from billing.models import Customer
from tests.billing.api.conftest import Api, problem
from tests.builders import Shop

Keys = Callable[[str | None], Api]


@pytest.fixture
def acme(shop: Shop) -> Customer:
    customer = shop.customer("acme", usd="100")
    shop.record(customer, model="gpt-4o", output_tokens=100_000)
    return customer


@pytest.fixture
def operator(shop: Shop) -> Api:
    return Api(shop.key("wallets:read", "events:read"))


def made(api: Api, view: str = "balance", **terms: Any) -> str:
    """The path of a new link."""
    answer = api.post("/customers/acme/embeds", {"view": view, **terms})
    assert answer.status_code == 201, answer.content
    return urlsplit(answer.json()["url"]).path


def shown(path: str) -> str:
    response = Client().get(path)
    assert response.status_code == 200
    return str(response.content.decode())


def test_a_balance_and_usage_are_shown_without_signing_in(operator: Api, acme: Customer) -> None:
    page = shown(made(operator))
    assert 'value="99"' in page
    assert "Sign out" not in page
    usage = shown(made(operator, "usage"))
    assert "gpt-4o" in usage
    assert 'value="1"' in usage


@pytest.mark.parametrize("sites", [[], ["https://app.example.com"]])
def test_only_named_sites_may_frame_it(operator: Api, acme: Customer, settings: Any, sites: list[str]) -> None:
    settings.EMBED_ANCESTORS = sites
    response = Client().get(made(operator))
    policy = response["Content-Security-Policy"]
    assert f"frame-ancestors {' '.join(sites) or chr(39) + 'none' + chr(39)}" in policy
    assert ("X-Frame-Options" in response) is not bool(sites)
    assert "no-store" in response["Cache-Control"]


def ended(path: str) -> bool:
    response = Client().get(path)
    assert ("This link has ended" in response.content.decode()) is (response.status_code == 403)
    return response.status_code == 403


def test_a_link_ends_by_itself_and_cannot_be_changed(operator: Api, acme: Customer) -> None:
    path = made(operator, expires_in=60)
    assert not ended(path)
    assert ended(path[:-2] + ("AA" if path[-2:] != "AA" else "BB"))
    assert ended("/embed/nonsense")
    with time_machine.travel(timezone.now() + timedelta(seconds=61)):
        assert ended(path)


def test_a_key_that_is_rotated_or_paused_takes_its_links_with_it(shop: Shop, acme: Customer) -> None:
    operator = Api(shop.key("*"))
    path, key = made(operator), ApiKey.objects.get()
    api_keys.pause([key.pk], reason="looked at")
    assert ended(path)
    api_keys.resume(key)
    assert not ended(path)
    api_keys.rotate(key, overlap=timedelta(0))
    assert ended(path)


def test_where_an_organization_allows_certain_addresses_the_link_opens_only_there(
    operator: Api, acme: Customer
) -> None:
    path = made(operator)
    acme.organization.allowed_networks = ["203.0.113.0/24"]
    acme.organization.save()
    assert ended(path)


def test_what_a_key_may_not_see_it_cannot_show(shop: Shop, acme: Customer) -> None:
    problem(Api(shop.key("wallets:read")).post("/customers/acme/embeds", {"view": "usage"}), 403, "permission_denied")
    umbrella = shop.customer("umbrella")
    theirs = Api(shop.key(organization=umbrella.organization))
    problem(theirs.post("/customers/acme/embeds", {"view": "balance"}), 404, "not_found")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"view": "keys"}, "view"), ({"expires_in": 59}, "expires_in"), ({"expires_in": 3601}, "expires_in")],
)
def test_what_makes_no_sense_is_refused(operator: Api, acme: Customer, change: dict[str, Any], field: str) -> None:
    answer = operator.post("/customers/acme/embeds", {"view": "balance"} | change)
    problem(answer, 400, "invalid_request", field)
