"""What one member did and spent, and limits on members and keys where people look for them."""

import csv
import html
import re
from dataclasses import replace
from decimal import Decimal
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


def test_the_events_behind_a_members_sum_are_listed_and_nobody_elses(
    shop: Shop, acme: Customer, owner: Client, dev: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.pages.usage_events.PAGE_ROWS", 2)
    powers: dict[str, Any] = {"name": "k", "scopes": ["events:write"], "organization": acme.organization}
    keys = [api_keys.issue(**powers, created_by=by)[0].pk for by in (dev.user, None)]
    for name, user, key in [
        *(("named", "dev@acme.test", None), ("shouted", "DEV@acme.test", None), ("by-key", "another", keys[0])),
        *(("both", "dev@acme.test", keys[0]), ("neither", "another", keys[1]), ("nobody", None, None)),
    ]:
        data = {"input_tokens": 400_000} | ({"user": user} if user else {})
        usage.record([replace(shop.event(acme, id=name, **data), named_key_id=key)])
    link = re.search(r'href="(/usage/events\?member=[^"]+)"', text(owner, f"/team/{dev.pk}"))
    assert link is not None
    path = html.unescape(link[1])

    listed, page = [], path
    while page:
        seen = text(owner, page)
        listed += re.findall(r'<a class="drill mono"[^>]*>([^<]+)</a>', seen)
        more = re.search(r'hx-get="([^"]+)"', seen)
        page = html.unescape(more[1]) if more else ""
    rows = list(csv.DictReader(b"".join(owner.get(path.replace("events?", "events.csv?"))).decode().splitlines()))

    theirs = {"named", "shouted", "by-key", "both"}
    assert (len(listed), set(listed), {row["event"] for row in rows}) == (4, theirs, theirs)
    assert sum(Decimal(row["amount"]) for row in rows) == 4
    assert 'value="4"' in text(owner, f"/team/{dev.pk}")
    assert ("4 events" in text(owner, path), 'value="4"' in text(owner, path)) == (True, True)


@pytest.mark.parametrize(("role", "others"), [("owner", 200), ("billing", 200), ("developer", 404), ("viewer", 404)])
def test_who_sees_what_a_member_did(shop: Shop, acme: Customer, dev: Membership, role: str, others: int) -> None:
    me: Any = shop.member(acme, "me@acme.test", role)
    client = browser_of(me)

    assert client.get(f"/team/{dev.pk}").status_code == others
    assert client.get(f"/team/{me.memberships.get().pk}").status_code == 200
    assert client.get(f"/usage/events?member={dev.pk}").status_code == others
    assert client.get(f"/usage/events.csv?member={dev.pk}").status_code == others
    for nobody in (shop.member(shop.customer("umbrella"), "w@w.test").memberships.get().pk, acme.pk, "x"):
        assert client.get(f"/usage/events?member={nobody}").status_code == 404
    assert (f'/team/{dev.pk}"' in text(client, "/team")) == (others == 200)
