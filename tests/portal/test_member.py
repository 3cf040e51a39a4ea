"""What one member did and spent, and limits on members and keys where people look for them."""

from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, Membership
from accounts.services import api_keys
from billing.errors import BudgetExceeded
from billing.models import Budget, Customer
from billing.services import usage
from tests.builders import Shop, browser_of

LIMIT = {"name": "Dev", "unit": "usd", "limit": "0.01", "period": "day", "at_cap": "refuse", "alert_at": ""}


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer("acme", usd="100")


@pytest.fixture
def owner(shop: Shop, acme: Customer) -> Client:
    return browser_of(shop.member(acme))


@pytest.fixture
def dev(shop: Shop, acme: Customer) -> Membership:
    return shop.member(acme, "dev@acme.test", "developer").memberships.get()


def text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


def test_a_limit_for_a_member_is_set_from_the_team_and_holds(
    shop: Shop, acme: Customer, owner: Client, dev: Membership
) -> None:
    link = f"/budgets?covers=member:{dev.pk}&amp;name=dev%40acme.test"
    assert link in text(owner, "/team")
    assert f'value="member:{dev.pk}" selected' in text(owner, link.replace("&amp;", "&"))
    assert owner.post("/budgets/new", LIMIT | {"covers": f"member:{dev.pk}"}).status_code == 302

    assert shop.record(acme, user="dev@acme.test", input_tokens=4000).status == "charged"
    refused = shop.record(acme, user="DEV@acme.test", input_tokens=1)

    assert isinstance(refused.error, BudgetExceeded)
    assert refused.error.figures["budget"] == str(Budget.objects.get().pk)
    assert shop.record(acme, user="owner@acme.test", input_tokens=4000).status == "charged"
    shown = text(owner, "/team")
    assert "Used up" in shown
    assert shown.index("dev@acme.test") < shown.index("Used up")


def test_a_limit_for_a_key_is_shown_with_the_key_and_those_that_renew_it(acme: Customer, owner: Client) -> None:
    key, _ = api_keys.issue(name="gateway", scopes=["events:write"], organization=acme.organization)
    assert owner.post("/budgets/new", LIMIT | {"covers": f"key:{key.pk}"}).status_code == 302
    owner.post(f"/keys/{key.pk}/rotate")

    shown = text(owner, "/keys")

    assert ApiKey.objects.filter(renews=key).exists()
    assert shown.count("Dev: <b>") == 2
    assert f"/budgets?covers=key:{key.pk}" in shown
    assert Budget.objects.get().api_key_id == key.pk


def test_what_a_member_did_and_spent_is_on_one_page(shop: Shop, acme: Customer, owner: Client, dev: Membership) -> None:
    shop.record(acme, user="dev@acme.test", input_tokens=1_000_000)
    shop.record(acme, user="another", input_tokens=2_000_000)
    client = browser_of(dev.user)
    client.post("/keys/new", {"name": "theirs", "scopes": ["wallets:read"], "days": "90", "networks": ""})
    key = ApiKey.objects.get(name="theirs")
    for user in ("another", "dev@acme.test"):  # What both names and comes with the key counts once.
        usage.record([replace(shop.event(acme, user=user, input_tokens=400_000), named_key_id=key.pk)])

    seen = text(owner, f"/team/{dev.pk}")

    assert ('value="4.5"' in seen, 'value="5"' in seen) == (True, False)
    assert "theirs" in seen
    assert "api_key.issued" in seen


@pytest.mark.parametrize(("role", "others"), [("owner", 200), ("billing", 200), ("developer", 404), ("viewer", 404)])
def test_who_sees_what_a_member_did(shop: Shop, acme: Customer, dev: Membership, role: str, others: int) -> None:
    me: Any = shop.member(acme, "me@acme.test", role)
    client = browser_of(me)

    assert client.get(f"/team/{dev.pk}").status_code == others
    assert client.get(f"/team/{me.memberships.get().pk}").status_code == 200
    assert (f'/team/{dev.pk}"' in text(client, "/team")) == (others == 200)
