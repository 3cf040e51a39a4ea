"""What the pages say."""

import csv
import html
import io
import json
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from accounts.services.audit import SYSTEM
from billing.gateways import documents
from billing.models import Customer
from billing.services import subscriptions, usage
from portal import statement_paper
from tests.builders import Shop

HTMX = {"HX-Request": "true"}
SignedIn = Callable[[User], Client]


@pytest.fixture
def acme(shop: Shop, signed_in: SignedIn) -> Client:
    """A browser of somebody at Acme, who bought $100 and used $0.0145 of gpt-4o and $0.01 of o3 today."""
    customer = shop.customer("acme", usd="100")
    shop.record(customer, id="inf_1", model="gpt-4o", user="u_1", input_tokens=1000, output_tokens=1200)
    shop.record(customer, id="inf_2", model="o3", user="u_2", output_tokens=1000)
    return signed_in(shop.member(customer))


def text(response: Any) -> str:
    body = b"".join(response) if response.streaming else response.content
    return str(body.decode())


def rows_of(response: Any) -> list[list[str]]:
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(text(response), newline="")))


# --- Overview ---------------------------------------------------------------------------------------------------------


def test_the_overview_shows_the_balance_to_the_last_digit(acme: Client) -> None:
    page = text(acme.get("/"))
    assert 'value="99.9755" title="$99.9755" data-figure="usd.available"' in page
    assert '<span class="figure-whole">$99</span><span class="figure-fraction">.97</span>' in page
    assert '<span class="figure-tail">55</span>' in page


def test_the_overview_shows_what_today_cost(acme: Client) -> None:
    page = text(acme.get("/"))
    assert re.search(r"Spent today</dt>\s*<dd><data[^>]*>\$0\.0245</data>", page)
    assert "2 events since midnight" in page


def test_runway_needs_spend(shop: Shop, signed_in: SignedIn, acme: Client) -> None:
    idle = shop.customer("idle", usd="5")
    assert "no spend in the last 7 days" in text(signed_in(shop.member(idle, "owner@idle.test")).get("/"))
    assert "at the mean of the last 7 days" in text(acme.get("/"))


def test_the_overview_says_what_burned_credits_and_reads_the_mark_once(shop: Shop, signed_in: SignedIn) -> None:
    credits = shop.asset("compute_credits")
    gpu = shop.meter("gpu_seconds", "gpu_seconds", event_type="gpu")
    shop.plan("pro", [shop.price(gpu, "2", asset=credits)])
    customer = shop.customer("acme", usd="1")
    shop.fund(customer, "100", asset="compute_credits", kind="promotional")
    shop.record(customer, type="gpu", model="h100", gpu_seconds=7)
    client = signed_in(shop.member(customer))
    with CaptureQueriesContext(connection) as asked:
        page = text(client.get("/"))
    assert sum("written_before, restored_until" in query["sql"] for query in asked.captured_queries) == 1
    card = page[page.index("What burned it") :]
    assert re.search(r'title="h100">h100</span><data class="money" value="14"', card)
    assert "?asset=compute_credits" in card


def test_the_overview_shows_what_budgets_have_left(shop: Shop, signed_in: SignedIn, acme: Client) -> None:
    customer = Customer.objects.get()
    assert "Spent against budgets" not in text(acme.get("/"))
    shop.budget(customer, "10", name="All of it")
    shop.budget(customer, "0.02", name="A day", period="day", hard=False)
    shop.budget(customer, "5", name="Each user", scope={"user": "*"})
    for client in (acme, signed_in(shop.member(customer, "dev@acme.test", "developer"))):
        page = text(client.get("/"))
        limits = page[page.index('id="limits-title"') :].partition("</section>")[0]
        assert limits.index("A day") < limits.index("All of it")
        assert "$9.98</data> left" in limits
        assert "resets <time" in limits
        assert "Each user" not in limits
    shop.record(customer, output_tokens=1000)
    assert "$9.97</data> left" in text(acme.get("/activity?whole=1"))
    assert "All of it" not in text(acme.get("/activity"))


def test_the_overview_draws_what_each_day_left(
    acme: Client, shop: Shop, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "The wallet has no evening with a balance yet" in text(acme.get("/"))
    tomorrow = timezone.now() + timedelta(days=1)
    monkeypatch.setattr(timezone, "now", lambda: tomorrow)

    page = text(signed_in(shop.member(Customer.objects.get(), "tomorrow@acme.test")).get("/"))

    drawn = json.loads(page.partition('id="balance-data" type="application/json">')[2].partition("</script>")[0])
    assert drawn["lines"]
    assert drawn["totals"][0] == "$0.00"
    assert (len(drawn["totals"]), drawn["totals"][-2:]) == (30, ["$99.98", "$99.98"])
    assert drawn["series"][0]["values"][-2:] == [99.9755, 99.9755]
    assert 'value="99.9755" title="$99.9755"' in page[page.index('aria-label="Balance as a table"') :]


def test_a_new_customer_is_taught_the_first_event(shop: Shop, signed_in: SignedIn) -> None:
    images = shop.meter("images", "n", event_type="image.made")
    shop.plan("pro", [shop.price(images, "0.5", model=["vision-9"])])
    customer = shop.customer("fresh")
    client = signed_in(shop.member(customer))
    page = html.unescape(text(client.get("/")))
    assert "Record the first event" in page
    assert '"type": "image.made"' in page
    assert '"data": {"model": "vision-9", "n": 1}' in page, "the customer's own plan prices it"
    assert "/api/v1/events" in page
    assert '"subject": "fresh"' in page
    shop.fund(customer, "1")
    shop.record(customer, type="image.made", model="vision-9", n=1)
    assert "Record the first event" not in text(client.get("/"))


def test_a_customer_without_a_plan_or_money_has_an_overview(shop: Shop, signed_in: SignedIn) -> None:
    page = text(signed_in(shop.member(shop.customer("bare", plan=None))).get("/"))
    assert "No plan yet" in page
    assert "$0" in page


def test_names_from_outside_are_text(shop: Shop, signed_in: SignedIn) -> None:
    customer = shop.customer("acme", usd="10", name="<b>Acme</b>")
    shop.record(customer, id="<script>alert(1)</script>", model="</script><img src=x>", output_tokens=1000)
    client = signed_in(shop.member(customer))
    for page in ["/", "/usage", "/statement"]:
        body = text(client.get(page))
        assert "<script>alert" not in body
        assert "<img src=x>" not in body
        assert "<b>Acme" not in body


def test_activity_brings_only_the_parts_that_moved(acme: Client) -> None:
    body = text(acme.get("/activity"))
    assert "<html" not in body
    assert "inf_2" in body
    for part in ["#burn", "#today", "#latest"]:
        assert f'hx-swap-oob="innerHTML:{part}"' in body


def test_balance_json_has_exact_amounts_and_the_text_to_show(acme: Client) -> None:
    (balance,) = acme.get("/balance.json").json()["balances"]
    assert balance["available"] == "99.9755"
    assert balance["available_parts"] == ["$99", ".97", "55"]
    assert balance["held"] == "0"
    assert balance["change_text"] == ""


# --- Usage ------------------------------------------------------------------------------------------------------------


def test_usage_by_model(acme: Client) -> None:
    page = text(acme.get("/usage"))
    assert page.index(">gpt-4o<") < page.index(">o3<")
    assert ">$0.0145</data>" in page
    assert ">59.2%<" in page
    assert ">1,200</data>" in page


@pytest.mark.parametrize(
    ("group", "expected"),
    [("meter", "Llm Output"), ("user", "u_1"), ("project", "No project"), ("session", "No session")],
)
def test_usage_by_anything_else(acme: Client, group: str, expected: str) -> None:
    assert f">{expected}<" in text(acme.get("/usage", {"group": group}))


def test_a_question_that_makes_no_sense_is_answered_as_if_not_asked(acme: Client) -> None:
    nonsense = {"group": "password", "period": "9e9", "meter": "none\x00", "asset": "gold", "from": "x", "to": "y"}
    assert ">gpt-4o<" in text(acme.get("/usage", nonsense))


def test_htmx_gets_the_results_and_the_address_that_shows_them(acme: Client) -> None:
    response = acme.get("/usage?period=7&group=user&meter=llm_output&from=2026-01-01", headers=HTMX)
    assert "<html" not in text(response)
    asked = parse_qs(urlsplit(response["HX-Push-Url"]).query)
    assert asked == {"period": ["7"], "group": ["user"], "meter": ["llm_output"]}
    again = text(acme.get(response["HX-Push-Url"]))
    assert "<html" in again
    assert 'value="user" checked' in again


def test_usage_as_csv(acme: Client) -> None:
    header, *rows = rows_of(acme.get("/usage.csv?period=7&group=user"))
    assert header == ["period_start", "user", "meter", "asset", "quantity", "amount", "events"]
    assert [row[1:] for row in rows if row[4] != "0"] == [
        ["u_1", "llm_input", "usd", "1000", "0.0025", "1"],
        ["u_1", "llm_output", "usd", "1200", "0.012", "1"],
        ["u_2", "llm_output", "usd", "1000", "0.01", "1"],
    ]


def test_usage_and_its_events_as_parquet(acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    rows = pq.read_table(io.BytesIO(b"".join(acme.get("/usage.parquet?period=7&group=user")))).to_pylist()
    assert [(row["user"], row["meter"], row["quantity"], row["amount"], row["events"]) for row in rows] == [
        ("u_1", "llm_input", 1000, Decimal("0.0025"), 1),
        ("u_1", "llm_output", 1200, Decimal("0.012"), 1),
        ("u_2", "llm_output", 1000, Decimal("0.01"), 1),
    ]
    monkeypatch.setattr("billing.gateways.parquet.ROWS_A_GROUP", 1)
    answer = acme.get("/usage/events.parquet")
    assert answer["Content-Type"] == "application/vnd.apache.parquet"
    assert answer["Content-Disposition"].endswith('.parquet"')
    parts = list(answer)
    assert len(parts) == 3, "each group of rows is sent as soon as it is there"
    events = pq.read_table(io.BytesIO(b"".join(parts))).to_pylist()
    assert [(row["event"], row["amount"]) for row in events] == [
        ("inf_2", Decimal("0.01")),
        ("inf_1", Decimal("0.0145")),
    ]
    assert "/usage.parquet?" in text(acme.get("/usage"))
    monkeypatch.setattr("billing.gateways.parquet.installed", lambda: False)
    assert acme.get("/usage.parquet").status_code == 404
    assert "parquet" not in text(acme.get("/usage"))


def test_a_value_of_a_dimension_cannot_run_in_a_spreadsheet(
    shop: Shop, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = shop.customer("acme", usd="10")
    shop.record(customer, user="=cmd|' /C calc'!A0", output_tokens=1000)
    acme = signed_in(shop.member(customer))
    rows = rows_of(acme.get("/usage.csv?group=user"))
    assert {row[1] for row in rows[1:]} == {"'=cmd|' /C calc'!A0"}

    monkeypatch.setattr("portal.pages.usage.FILE_ROWS_MAX", 0)
    assert "too much for one file" in text(acme.get("/usage.csv?group=user", follow=True))


# --- Statement --------------------------------------------------------------------------------------------------------


def test_the_statement_shows_signed_amounts_and_what_they_left(acme: Client) -> None:
    page = text(acme.get("/statement"))
    assert re.search(r'value="-0.01" title="−\$0.01">−\$0<span class="money-fraction">\.01</span>', page)
    assert re.search(r'value="100" title="\+\$100.00">\+\$100<span class="money-fraction">\.00</span>', page)
    assert 'title="$99.9755"' in page


def test_the_statement_filters(acme: Client) -> None:
    page = text(acme.get("/statement", {"kind": "top_up"}))
    assert "inf_1" not in page
    assert "Top-up" in page
    assert "inf_2" not in text(acme.get("/statement", {"q": " inf_1 "}))
    tomorrow = (timezone.now() + timedelta(days=1)).date().isoformat()
    assert "Nothing matches" in text(acme.get("/statement", {"from": tomorrow}))
    assert "inf_1" in text(acme.get("/statement", {"kind": "nonsense", "from": "nonsense", "before": "nonsense"}))


def test_a_fee_is_called_by_what_it_is_for_and_not_by_what_paid_it(shop: Shop, signed_in: SignedIn) -> None:
    customer = shop.customer("acme", plan=None, usd="100")
    subscriptions.start(actor=SYSTEM, customer=customer, plan=shop.plan("team", base_fee=Decimal(20)).plan)
    page = text(signed_in(shop.member(customer)).get("/statement", {"kind": "fee"}))
    assert re.search(r"(?i)<strong>team, [^<]+</strong>\s*<small>Fee</small>", page)


def test_older_rows_follow(shop: Shop, signed_in: SignedIn) -> None:
    customer = shop.customer("acme", usd="10")
    usage.record([shop.event(customer, id=f"n-{n:03}", output_tokens=1) for n in range(60)])
    client = signed_in(shop.member(customer))
    first = text(client.get("/statement"))
    link = re.search(r'href="(/statement\?before=[^"]+)"', first)
    assert link
    assert "n-059" in first
    assert "n-005" not in first
    plain = text(client.get(link[1]))
    assert "<html" in plain
    assert "n-005" in plain
    more = text(client.get(link[1], headers=HTMX))
    assert more.lstrip().startswith("<tr>")
    assert "n-005" in more
    assert "Show more" not in more


def test_the_statement_as_csv_is_whole_and_exact(shop: Shop, signed_in: SignedIn) -> None:
    customer = shop.customer("acme", usd="10", timezone="Europe/Berlin")
    shop.record(customer, id="=1+1", model="+gpt", output_tokens=1)
    header, *rows = rows_of(signed_in(shop.member(customer)).get("/statement.csv"))
    usage_row, top_up = (dict(zip(header, row, strict=True)) for row in rows)
    assert (usage_row["amount"], usage_row["balance_after"]) == ("-0.00001", "9.99999")
    assert (usage_row["event"], usage_row["model"]) == ("'=1+1", "'+gpt")
    assert top_up["amount"] == "10"
    assert usage_row["occurred_at"].endswith(("+01:00", "+02:00"))
    assert sum(Decimal(row["amount"]) for row in (usage_row, top_up)) == Decimal("9.99999")


def test_the_csv_follows_the_filters(acme: Client) -> None:
    assert [row[4] for row in rows_of(acme.get("/statement.csv?kind=top_up"))[1:]] == ["top_up"]


def test_the_statement_as_pdf_says_what_the_page_says_for_its_filters(
    acme: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    papers: list[dict[str, Any]] = []
    made = documents.pdf

    def keep(template: str, data: dict[str, Any]) -> bytes:
        papers.append(data)
        return made(template, data)

    monkeypatch.setattr(documents, "pdf", keep)
    answer = acme.get("/statement.pdf")
    assert (answer["Content-Type"], answer.content[:5]) == ("application/pdf", b"%PDF-")
    first, *_rest, last = papers[0]["lines"]
    assert last["what"] == "Purchase"
    assert (last["amount"], last["balance"]) == ("+$100.00", "$100.00")
    assert first["amount"].startswith("−$0.0")
    assert dict(papers[0]["facts"])["Came in"] == "$100.00"
    acme.get("/statement.pdf?kind=top_up", headers={"Accept-Language": "de"})
    assert [line["amount"] for line in papers[1]["lines"]] == ["+$100,00"]
    assert papers[1]["title"] == "Kontoauszug"
    assert acme.get("/statement.pdf?kind=top_up&to=2020-01-01").content[:5] == b"%PDF-"
    assert papers[2]["lines"] == []

    monkeypatch.setattr(statement_paper, "ROWS_MAX", 1)
    led_back = acme.get("/statement.pdf?asset=usd", follow=True)
    assert led_back.redirect_chain == [("/statement?asset=usd", 302)]
    assert "A PDF holds 1 movements at most" in text(led_back)


def test_a_page_asks_the_database_a_fixed_number_of_times(
    shop: Shop, signed_in: SignedIn, acme: Client, django_assert_max_num_queries: Any
) -> None:
    for page in ["/", "/usage", "/statement", "/activity"]:
        with django_assert_max_num_queries(25):
            acme.get(page)
