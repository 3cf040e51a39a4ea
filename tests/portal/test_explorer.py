"""The usage explorer: from a month to a single event, by whatever usage bears."""

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.services import api_keys
from billing.models import Customer
from billing.services import usage
from tests.builders import Shop
from tests.portal.test_pages import rows_of, text

SignedIn = Callable[[User], Client]
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def acme(shop: Shop) -> Customer:
    """$1 of gpt-4o by u_1 on March 9, $2 by u_2 on March 10 at 9 and $3 of o3 without a user at 10."""
    with time_machine.travel(NOON, tick=True):
        customer = shop.customer("acme", usd="100")
        for back, model, data in [
            (27, "gpt-4o", {"user": "u_1", "output_tokens": 100_000}),
            (3, "gpt-4o", {"user": "u_2", "session": "s_1", "output_tokens": 200_000}),
            (2, "o3", {"output_tokens": 300_000}),
        ]:
            shop.record(customer, id=f"{model}-{back}", time=NOON - timedelta(hours=back), model=model, **data)
    return customer


@pytest.fixture
def at_acme(shop: Shop, acme: Customer, signed_in: SignedIn) -> Any:
    user = shop.member(acme)
    with time_machine.travel(NOON, tick=True):
        yield signed_in(user)


def lines(page: str) -> list[tuple[str, str]]:
    """The name of each line of the table, and where it leads to."""
    found = re.findall(r'<th scope="row"><span.*?<a class="drill" href="([^"]*)"[^>]*>([^<]*)</a>', page)
    return [(html.unescape(name), html.unescape(href)) for href, name in found]


def names(page: str) -> list[str]:
    return [name for name, _ in lines(page)]


def asked(href: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(href).query).items()}


def test_from_a_year_down_to_the_receipt(at_acme: Client) -> None:
    page = text(at_acme.get("/usage?group=time&from=2025-11-01&to=2026-03-10"))
    (month,) = lines(page)
    assert month[0] == "Mar 2026"
    assert asked(month[1]) == {"from": "2026-03-01", "to": "2026-03-10", "group": "time"}
    days = lines(text(at_acme.get(month[1])))
    assert [name for name, _ in days] == ["Mar 10", "Mar 9"]
    hours = lines(text(at_acme.get(days[0][1])))
    assert [name for name, _ in hours] == ["10:00", "09:00"]
    assert asked(hours[0][1])["hour"] == "2026-03-10T10:00Z"
    listed = text(at_acme.get(hours[0][1]))
    assert "o3-2</a>" in listed
    assert "gpt-4o-3</a>" not in listed
    receipt = re.search(r'href="(/usage/events/[^"]+)"', listed)
    assert receipt is not None
    assert "Why this was charged" in text(at_acme.get(receipt[1]))


def test_what_one_value_burned_is_shown_alone_until_it_is_taken_off(at_acme: Client) -> None:
    by_user = dict(lines(text(at_acme.get("/usage?group=user"))))
    assert list(by_user) == ["No user", "u_2", "u_1"]
    page = text(at_acme.get(by_user["u_2"] + "&group=model"))
    assert asked(by_user["u_2"]) == {"period": "30", "group": "time", "user": "u_2"}
    alone = text(at_acme.get("/usage?group=model&user=u_2"))
    assert names(alone) == ["gpt-4o"]
    assert "User: u_2" in page
    assert "/usage?period=30&amp;group=model" in alone
    nobody = text(at_acme.get("/usage?group=model&without=user"))
    assert names(nobody) == ["o3"]
    assert "User: No user" in nobody


def test_sorted_and_paged_on_the_server(at_acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.pages.usage.PAGE_ROWS", 2)
    first = text(at_acme.get("/usage?group=user&sort=name"))
    assert names(first) == ["u_1", "u_2"]
    assert "1 to 2 of 3" in first
    assert names(text(at_acme.get("/usage?group=user&sort=name&page=2"))) == ["No user"]
    assert names(text(at_acme.get("/usage?group=user&sort=amount"))) == ["u_1", "u_2"]
    assert names(text(at_acme.get("/usage?group=time&sort=amount&from=2026-03-01&to=2026-03-10"))) == [
        "Mar 9",
        "Mar 10",
    ]
    assert ">$6.00</data>" in first  # The total is of all, not of the page.
    assert names(text(at_acme.get("/usage?group=user&sort=-x&page=99999999999999999999"))) == []
    # More digits than Python reads as a number.
    assert names(text(at_acme.get(f"/usage?group=user&page={'9' * 5000}"))) == []


def test_the_chart_says_what_all_comes_to_though_only_the_largest_groups_are_read(shop: Shop, at_acme: Client) -> None:
    customer = Customer.objects.get(external_id="acme")
    for n in range(9):
        shop.record(customer, user=f"v_{n}", time=NOON, output_tokens=1000)
    page = text(at_acme.get("/usage?group=user"))
    assert '"name": "Other"' in page
    assert ">$6.09</data>" in page


def test_by_key_for_those_who_see_keys(shop: Shop, acme: Customer, at_acme: Client, signed_in: SignedIn) -> None:
    key, _ = api_keys.issue(name="ci runner", scopes=["events:write"], organization=acme.organization)
    event = shop.event(acme, user="u_9", time=NOON, output_tokens=1_000_000)
    event.api_key_id = key.pk
    usage.record([event])
    page = text(at_acme.get("/usage?group=api_key"))
    assert names(page) == ["ci runner", "No API key"]
    assert names(text(at_acme.get(dict(lines(page))["ci runner"].replace("group=time", "group=user")))) == ["u_9"]
    viewer = signed_in(shop.member(acme, "viewer@acme.test", role="viewer"))
    assert "ci runner" not in text(viewer.get("/usage?group=api_key"))
    assert "ci runner" not in text(viewer.get(f"/usage?group=model&api_key={key.pk}"))


def test_the_events_are_listed_page_by_page_and_none_twice(shop: Shop, at_acme: Client, acme: Customer) -> None:
    usage.record([shop.event(acme, id=f"n-{n:03}", user="u_3", time=NOON, output_tokens=1000) for n in range(60)])
    first = text(at_acme.get("/usage/events?user=u_3"))
    more = re.search(r'hx-get="([^"]+)"', first)
    assert more is not None
    rest = text(at_acme.get(html.unescape(more[1]), headers={"HX-Request": "true"}))
    assert "<html" not in rest
    seen = re.findall(r">(n-\d+)</a>", first + rest)
    assert sorted(seen) == [f"n-{n:03}" for n in range(60)]
    assert "60 events" in first
    header, *rows = rows_of(at_acme.get("/usage/events.csv?user=u_3"))
    assert header[:3] == ["occurred_at", "event", "type"]
    assert len(rows) == 60
    assert "No event here" in text(at_acme.get("/usage/events?user=nobody&hour=nonsense"))


def test_an_event_of_another_customer_begins_the_list_anew(shop: Shop, at_acme: Client) -> None:
    stranger = shop.record(shop.customer("umbrella", usd="1"), output_tokens=1)
    page = text(at_acme.get(f"/usage/events?before={stranger.transaction_id}"))
    assert "o3-2</a>" in page
    assert stranger.event_id not in page


def test_values_cannot_run_in_a_spreadsheet(shop: Shop, at_acme: Client, acme: Customer) -> None:
    shop.record(acme, id="=1+1", user="@x", time=NOON, output_tokens=1)
    _, first, *_ = rows_of(at_acme.get("/usage/events.csv"))
    assert first[1] == "'=1+1"
    assert "'@x" in first


@pytest.mark.parametrize("group", ["time", "model", "meter", "user", "api_key", "session"])
def test_the_explorer_reads_the_mark_once_and_asks_no_more_with_more_usage(
    shop: Shop, at_acme: Client, acme: Customer, group: str
) -> None:
    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as asked:
            at_acme.get(f"/usage?group={group}&model=gpt-4o&sort=name")
        return [query["sql"] for query in asked.captured_queries]

    queries()
    before = queries()
    assert sum("SELECT written_before, restored_until" in sql for sql in before) == 1
    assert len(before) <= 16
    usage.record(
        [
            shop.event(acme, model="gpt-4o", user=f"u_{n}", session=f"s_{n}", time=NOON, output_tokens=1)
            for n in range(40)
        ]
    )
    assert len(queries()) == len(before)
