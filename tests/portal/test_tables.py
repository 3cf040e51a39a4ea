"""Tables that their address sorts, filters and pages."""

import html
import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey, User
from accounts.services import api_keys
from accounts.services.audit import SYSTEM
from billing.services import usage
from billing.services.wallet import grants
from billing.services.webhooks import endpoints
from billing.services.webhooks.reading import anything
from portal.pages import alerts, budgets, disputes, funding, invoices, keys, plan, security, team, wallet, webhooks
from portal.tables import Table
from tests.builders import Shop
from tests.portal.test_pages import text

SignedIn = Callable[[User], Client]


@pytest.fixture
def reader(shop: Shop, signed_in: SignedIn) -> Client:
    """Somebody of a customer with 27 grants that were taken back, of $1 to $27, the largest two promotional, after one
    of $100 that pays."""
    customer = shop.customer("acme", usd="100")
    for amount in range(1, 28):
        grant = shop.fund(customer, str(amount), kind="promotional" if amount > 25 else "adjustment")
        grants.void(actor=SYSTEM, grant=grant, reason="x")
    return signed_in(shop.member(customer))


def listed(page: str) -> list[str]:
    """What each of the grants in the table was of."""
    body = page[page.index('id="grants"') :]
    return re.findall(r'balance-cell"[^>]*><data class="money" value="(\d+)"', body)


def link(page: str, words: str) -> str:
    found = re.search(rf'href="([^"]+)"[^>]*>{words}', page[page.index('id="grants"') :])
    assert found is not None
    return html.unescape(found[1])


def test_a_heading_sorts_and_sorts_the_other_way_round(reader: Client) -> None:
    page = text(reader.get("/wallet"))
    assert listed(page) == [str(amount) for amount in range(27, 2, -1)]
    assert 'aria-sort="descending"' in page
    largest = link(page, "Of")
    assert largest == "/wallet?sort=-of#grants"
    page = text(reader.get(largest))
    assert listed(page)[:2] == ["100", "27"]
    page = text(reader.get(link(page, "Of ↓")))
    assert listed(page)[:3] == ["1", "2", "3"]
    assert 'aria-sort="ascending"' in page


def test_pages_follow_each_other_and_keep_the_order(reader: Client) -> None:
    page = text(reader.get("/wallet?sort=of"))
    assert "1 to 25 of 28" in page
    page = text(reader.get(link(page, "Next")))
    assert listed(page) == ["26", "27", "100"]
    assert link(page, "Previous") == "/wallet?sort=of#grants"
    assert listed(text(reader.get("/wallet?sort=of&page=99"))) == ["26", "27", "100"]


def test_a_filter_leaves_those_that_fit(reader: Client) -> None:
    page = text(reader.get("/wallet?kind=promotional&sort=of"))
    assert listed(page) == ["26", "27"]
    assert link(page, "Since") == "/wallet?kind=promotional#grants"
    assert '<option value="promotional" selected>' in page
    assert listed(text(reader.get("/wallet?state=open"))) == ["100"]
    assert "100" not in listed(text(reader.get("/wallet?state=over&sort=-of")))
    nothing = text(reader.get("/wallet?kind=rollover"))
    assert "Nothing matches" in nothing
    assert 'href="/wallet#grants">Show all' in nothing


@pytest.mark.parametrize(
    "table",
    [
        alerts.ALERTS,
        alerts.INBOX,
        budgets.BUDGETS,
        disputes.CASES,
        funding.PAYMENTS,
        invoices.PAPERS,
        keys.KEYS,
        plan.FEES,
        security.DEVICES,
        security.SESSIONS,
        team.MEMBERS,
        wallet.GRANTS,
        webhooks.DELIVERIES,
        webhooks.ENDPOINTS,
    ],
    ids=lambda table: f"{table.name}#{table.anchor}",
)
def test_each_heading_sorts_and_each_filter_narrows(shop: Shop, signed_in: SignedIn, table: Table) -> None:
    customer = shop.customer("acme")
    client, arguments = signed_in(shop.member(customer)), []
    if table is webhooks.DELIVERIES:
        endpoint, _secret = endpoints.create(
            actor=SYSTEM, may=anything, customer=customer, url="https://hooks.test/", events=["*"]
        )
        arguments = [endpoint.pk]
    address = reverse(f"portal:{table.name}", args=arguments)
    asked = [
        (f"{table.prefix}sort", f"{way}{column.name}") for column in table.columns if column.by for way in ("", "-")
    ]
    asked += [(each.name, "x") for each in table.filters if each.search]
    asked += [(each.name, value) for each in table.filters for value, _words in each.choices]
    for name, value in asked:
        assert client.get(address, {name: value}).status_code == 200, (name, value)


def test_lists_are_sorted_and_filtered_as_tables_are(shop: Shop, signed_in: SignedIn) -> None:
    customer = shop.customer("acme")
    client = signed_in(shop.member(customer))
    scopes, organization = ["wallets:read"], customer.organization
    made = [api_keys.issue(name=name, scopes=scopes, organization=organization)[0] for name in ("b", "c", "a")]
    ApiKey.objects.filter(pk=made[0].pk).update(last_used_at=timezone.now())
    ApiKey.objects.filter(pk=made[1].pk).update(revoked_at=timezone.now())

    def names(query: str) -> list[str]:
        return re.findall(r"<strong>(\w) <code", text(client.get(f"/keys?{query}")))

    assert names("") == ["a", "c", "b"]
    assert names("sort=name") == ["a", "b", "c"]
    assert names("sort=used")[0] == names("sort=-used")[0] == "b", "those never used come last either way"
    assert names("state=over") == ["c"]
    assert names("state=active&sort=name") == ["a", "b"]
    assert names("name=B") == ["b"]
    assert 'name="sort" value="name"' in text(client.get("/keys?sort=name")), "a filter keeps the order"


@pytest.mark.parametrize("query", ["sort=why", "sort=--of", "sort=id", "page=-1", "page=x", "kind=x", "kind=%00"])
def test_what_makes_no_sense_counts_as_not_asked(reader: Client, query: str) -> None:
    assert listed(text(reader.get(f"/wallet?{query}"))) == [str(amount) for amount in range(27, 2, -1)]


@pytest.mark.parametrize("path", ["/statement", "/usage/events"])
def test_long_lists_begin_with_the_oldest_where_that_is_asked_for(shop: Shop, signed_in: SignedIn, path: str) -> None:
    customer = shop.customer("acme", usd="10")
    usage.record([shop.event(customer, id=f"n-{n:03}", output_tokens=1) for n in range(60)])
    client = signed_in(shop.member(customer))
    turned = re.search(r'aria-sort="descending"><a class="sorts" href="([^"]+)"', text(client.get(path)))
    assert turned is not None
    first = text(client.get(html.unescape(turned[1])))
    assert "n-000" in first
    assert "n-059" not in first
    more = re.search(r'hx-get="([^"]+before[^"]+)"', first)
    assert more is not None
    rest = text(client.get(html.unescape(more[1]), headers={"HX-Request": "true"}))
    found = re.findall(r">(n-\d+)<", first + rest)
    assert list(dict.fromkeys(found)) == [f"n-{n:03}" for n in range(60)]
