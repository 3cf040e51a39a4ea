"""The revenue pages: from the roll-forward down to a ledger entry, the files, reopening, the chart of accounts."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User
from billing.models import AccountMapping, Customer, LedgerEntry, Recognition, RevenueDay, UsageEvent
from billing.services import revenue
from tests.billing.services.conftest import Clock, clock
from tests.builders import Shop, browser_of

__all__ = ["clock"]
URL = "/admin/revenue/"
DAY = f"{URL}2026-11-02/"


@pytest.fixture
def closed(committed_db: None, clock: Clock, shop: Shop) -> Iterator[Clock]:
    """The second of November, with a top-up of 10 dollars, usage for 2.5, and usage of what was given."""
    clock.stop(datetime(2026, 11, 2, 9, tzinfo=UTC))
    acme = shop.customer(usd="10")
    shop.record(acme, input_tokens=600_000)
    shop.record(acme, input_tokens=400_000)
    globex = shop.customer("globex")
    shop.fund(globex, "5", kind="promotional")
    shop.record(globex, input_tokens=1_000_000)
    clock.forward(days=1)
    revenue.close_due()
    return clock


@pytest.fixture
def staff(closed: Clock) -> Client:
    return person("ada@ante.test")


def person(email: str, *permissions: str) -> Client:
    user = User.objects.create_user(email, "correct horse battery", is_staff=True, is_superuser=not permissions)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return browser_of(user)


def test_the_roll_forward_leads_down_to_the_entries(staff: Client) -> None:
    page = staff.get(URL, {"period": "2026-11"})
    (row,) = page.context["rows"]
    assert [chart["data"]["series"][0]["values"] for chart in page.context["charts"]] == [[7.5], [2.5]]
    recognised = row["columns"][1]
    assert "2.50" in recognised["amount"]

    (line,) = staff.get(recognised["url"]).context["lines"]
    assert (line["product"], line["entries"]) == ("llm_input", 2)
    entries = staff.get(line["url"]).context["entries"]
    assert len(entries) == 2
    used = LedgerEntry.objects.filter(kind="usage", customer__external_id="acme")
    assert {entry["entry"] for entry in entries} == {
        f'<a class="ante-link" href="/admin/billing/ledgerentry/{each.pk}/change/">…{str(each.pk)[-8:]}</a>'
        for each in used
    }


def test_the_roll_forward_is_taken_along_to_the_last_digit(staff: Client, closed: Clock, shop: Shop) -> None:
    shop.record(Customer.objects.get(external_id="acme"), input_tokens=1)
    closed.forward(days=1)
    revenue.close_due()
    asked = {"period": "2026-11", "currency": "usd"}

    page = staff.get(URL, asked)
    file = staff.get(f"{URL}?{page.context['csv_query']}")

    assert f'href="?{page.context["csv_query"]}"' in page.content.decode().replace("&amp;", "&")
    rows = list(csv.DictReader(io.StringIO(file.getvalue().decode(), newline="")))
    shown = page.context["rows"]
    assert [row["day"] for row in rows] == ["2026-11-04", *(row["day"].date.isoformat() for row in shown)]
    assert (rows[0]["state"], rows[0]["closing"]) == (page.context["running"][0].state, "")
    assert list(rows[1].values()) == [
        *("2026-11-03", "1", "closed", "usd", "7.5", "0", "0.0000025", "0", "0", "0", "7.4999975", "0")
    ]
    assert list(rows[2].values())[4:] == ["0", "10", "2.5", "0", "0", "0", "7.5", "0"]
    assert len(rows) == 3


def test_every_line_leads_to_as_many_entries_as_it_says(staff: Client) -> None:
    for line in Recognition.objects.all():
        page = staff.get(f"{URL}lines/{line.pk}/")
        assert len(page.context["entries"]) == line.entries > 0


def test_a_day_shows_its_statement_its_accounts_and_its_files(staff: Client) -> None:
    page = staff.get(DAY)
    day = RevenueDay.objects.get(state="closed")

    (statement,) = page.context["statements"]
    assert "7.50" in statement["closing"]
    assert {row["title"] for row in page.context["accounts"]} == {"Cash clearing", "Deferred revenue", "Usage"}
    assert day.sha256 in page.content.decode()
    file = staff.get(f"{DAY}?version=1&format=jsonl")
    assert b"".join(file.streaming_content).count(b"\n") == Recognition.objects.count() == 3


def test_reopening_asks_for_a_second_person(staff: Client, closed: Clock) -> None:
    ben = person("ben@ante.test")

    assert staff.post(DAY, {"reason": ""}).status_code == 422
    assert staff.post(DAY, {"reason": "The import was late"}).status_code == 302
    waiting = RevenueDay.objects.get(version=2)
    assert "another person" in staff.post(DAY, {"approve": str(waiting.pk)}).context["refused"]
    User.objects.filter(pk=staff.session["_auth_user_id"]).update(email="another@ante.test")
    assert "another person" in staff.post(DAY, {"approve": str(waiting.pk)}).context["refused"]
    assert "The import was late" in ben.get(DAY).content.decode()
    assert ben.post(DAY, {"approve": str(waiting.pk)}).status_code == 302
    closed.forward(minutes=1)
    revenue.close_due()

    assert [row.version for row in RevenueDay.objects.filter(state="closed")] == [2, 1]
    assert staff.get(DAY).context["day"].version == 2
    assert staff.get(f"{DAY}?version=1").context["day"].version == 1


def test_who_may_only_look_changes_nothing(staff: Client) -> None:
    looks = person("looks@ante.test", "view_revenueday", "view_accountmapping")

    assert looks.get(DAY).status_code == 200
    assert looks.post(DAY, {"reason": "x"}).status_code == 403
    assert looks.post("/admin/chart-of-accounts/", {"account": "usage", "number": "1"}).status_code == 403
    nobody = person("nobody@ante.test", "view_customer")
    for path in (
        URL,
        DAY,
        f"{DAY}lines/",
        "/admin/chart-of-accounts/",
        f"{URL}lines/{Recognition.objects.all()[0].pk}/",
    ):
        assert nobody.get(path).status_code == 403


def test_the_chart_of_accounts(staff: Client) -> None:
    terms = {"account": "usage", "product": "llm_input", "number": "4010", "department": "AI", "account_class": ""}

    assert staff.post("/admin/chart-of-accounts/", terms).status_code == 302
    assert AccountMapping.objects.get().number == "4010"
    assert "4010" in staff.get("/admin/chart-of-accounts/?account=usage&product=llm_input").content.decode()
    assert staff.post("/admin/chart-of-accounts/", terms | {"account": "gold"}).status_code == 200
    assert staff.post("/admin/chart-of-accounts/", terms | {"number": ""}).status_code == 302
    assert not AccountMapping.objects.exists()


@pytest.mark.parametrize(
    "path", ["2026-11-09/", "yesterday/", "2026-11-09/lines/", "lines/00000000-0000-0000-0000-000000000000/"]
)
def test_what_is_not_there_is_not_found(staff: Client, path: str) -> None:
    assert staff.get(f"{URL}{path}").status_code == 404


@pytest.mark.parametrize("query", ["period=nonsense", "currency=gold", "period=2020-01", "currency=%00"])
def test_odd_questions_get_an_answer(staff: Client, query: str) -> None:
    assert staff.get(f"{URL}?{query}").status_code == 200


def test_an_accountant_walks_from_the_trial_balance_to_an_event_and_back(staff: Client) -> None:
    def follow(page: str, to: str) -> tuple[str, str]:
        """The first link of the page to such an address, and what is there."""
        href = unescape(next(found for found in re.findall(r'href="([^"]+)"', page) if re.search(to, found)))
        response = staff.get(href)
        assert response.status_code == 200, href
        return href, response.content.decode()

    day = staff.get(DAY).content.decode()
    _, lines = follow(day, r"/lines/\?.*account=usage")
    line_url, line = follow(lines, r"/revenue/lines/[0-9a-f-]{36}")
    _, entry = follow(line, r"/ledgerentry/[0-9a-f-]{36}")
    _, transaction = follow(entry, r"/ledgertransaction/[0-9a-f-]{36}")
    event_url, event = follow(transaction, r"/usageevent/[0-9a-f-]{36}")
    assert "event-1" in event
    assert UsageEvent.objects.filter(pk=event_url.rstrip("/").split("/")[-2]).exists()

    _, transaction = follow(event, r"/ledgertransaction/[0-9a-f-]{36}")
    _, entry = follow(transaction, r"/ledgerentry/[0-9a-f-]{36}")
    back, line = follow(entry, r"/revenue/lines/[0-9a-f-]{36}")
    assert back == line_url
    assert follow(line, re.escape(DAY))[0] == DAY
