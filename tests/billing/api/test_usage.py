"""``/usage``: sums for dashboards and BI tools."""

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from billing.models import LedgerEntry
from billing.services import usage
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import Shop


@pytest.fixture
def used(api: Api, shop: Shop) -> Shop:
    """Usage of two models on two days, and of another customer."""
    shop.customer(usd="100")
    shop.customer("globex", usd="100")
    for number, (time, model, tokens, subject) in enumerate(
        [
            ("2026-11-19T23:30:00Z", "gpt-4o", 1000, "acme"),
            ("2026-11-20T00:30:00Z", "gpt-4o", 2000, "acme"),
            ("2026-11-20T10:00:00Z", "=cmd()", 4000, "acme"),
            ("2026-11-20T11:00:00Z", "gpt-4o", 8000, "globex"),
        ]
    ):
        data = {"model": model, "input_tokens": tokens}
        assert api.post("/events", cloud_event(f"e{number}", time=time, data=data, subject=subject)).status_code == 201
    return shop


WINDOW = "from=2026-11-19T00:00:00Z&to=2026-11-21T00:00:00Z"


def rows(response: Any, *names: str) -> list[tuple[str, ...]]:
    assert response.status_code == 200, response.content
    return [tuple(row[name] for name in names) for row in response.json()["data"]]


def test_usage_by_day(api: Api, used: Shop) -> None:
    response = api.get(f"/usage?customer=acme&{WINDOW}")

    assert response.json() == {
        "data": [
            {
                "period_start": "2026-11-19T00:00:00Z",
                "asset": "usd",
                "quantity": "1000",
                "amount": "0.0025",
                "events": 1,
            },
            {
                "period_start": "2026-11-20T00:00:00Z",
                "asset": "usd",
                "quantity": "6000",
                "amount": "0.015",
                "events": 2,
            },
        ],
        "provisional_from": "2026-11-19T00:00:00Z",
        "next_cursor": None,
    }


def test_usage_grouped_by_model_and_meter(api: Api, used: Shop) -> None:
    response = api.get(f"/usage?customer=acme&{WINDOW}&granularity=month&group_by=model,meter")

    assert sorted(rows(response, "period_start", "model", "meter", "quantity")) == [
        ("2026-11-01T00:00:00Z", "=cmd()", "llm_input", "4000"),
        ("2026-11-01T00:00:00Z", "gpt-4o", "llm_input", "3000"),
    ]


def test_days_begin_where_the_zone_says(api: Api, used: Shop) -> None:
    response = api.get(f"/usage?customer=acme&{WINDOW}&timezone=Europe/Berlin")

    assert rows(response, "period_start", "quantity") == [("2026-11-19T23:00:00Z", "7000")]


def test_the_window_is_half_open(api: Api, used: Shop) -> None:
    response = api.get("/usage?customer=acme&from=2026-11-20T00:30:00Z&to=2026-11-20T10:00:00Z&granularity=hour")

    assert rows(response, "period_start", "quantity") == [("2026-11-20T00:00:00Z", "2000")]


def test_without_a_customer_it_is_all_customers(api: Api, used: Shop) -> None:
    assert rows(api.get(f"/usage?{WINDOW}&granularity=month"), "quantity", "events") == [("15000", 4)]


def test_a_meter_can_be_asked_for(api: Api, used: Shop) -> None:
    assert rows(api.get(f"/usage?{WINDOW}&granularity=month&meter=llm_input"), "quantity") == [("15000",)]
    assert rows(api.get(f"/usage?{WINDOW}&meter=llm_output"), "quantity") == []


def test_as_csv_numbers_stay_numbers_and_formulas_are_made_harmless(api: Api, used: Shop) -> None:
    response = api.get(f"/usage?customer=acme&{WINDOW}&group_by=model", accept="text/csv")

    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert list(csv.reader(io.StringIO(response.content.decode(), newline=""))) == [
        ["period_start", "model", "asset", "quantity", "amount", "events"],
        ["2026-11-19T00:00:00Z", "gpt-4o", "usd", "1000", "0.0025", "1"],
        ["2026-11-20T00:00:00Z", "'=cmd()", "usd", "4000", "0.01", "1"],
        ["2026-11-20T00:00:00Z", "gpt-4o", "usd", "2000", "0.005", "1"],
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("granularity=decade", "granularity"),
        ("from=2026-11-20T00:00:00Z&to=2026-11-20T00:00:00Z", "from"),
        ("from=yesterday", "from"),
        ("from=2026-08-19T23:59:59Z&to=2026-11-21T00:00:00Z&granularity=hour", "from"),
        ("timezone=Mars/Olympus", "timezone"),
        ("timezone=/etc/passwd", "timezone"),
        ("group_by=a;drop", "group_by"),
        ("group_by=a,b,c,d,e", "group_by"),
        ("meter=%00", "meter"),
        ("group_by=amount,period_start", "group_by"),
        ("group_by=model,events", "group_by"),
        ("group_by=asset", "group_by"),
        ("group_by=quantity", "group_by"),
    ],
)
def test_what_makes_no_sense_is_named(api: Api, query: str, field: str) -> None:
    problem(api.get(f"/usage?{query}"), 400, "invalid_request", field)


def test_more_rows_than_one_answer_takes_are_refused(api: Api, used: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.api.usage.ROWS_MAX", 2)
    assert len(rows(api.get(f"/usage?customer=acme&{WINDOW}"), "amount")) == 2
    for accept in ("application/json", "text/csv"):
        answer = api.get(f"/usage?customer=acme&{WINDOW}&group_by=model", accept=accept)
        problem(answer, 400, "invalid_request", "group_by")


def test_as_parquet_with_types(api: Api, used: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    media_type = "application/vnd.apache.parquet"
    response = api.get(f"/usage?customer=acme&{WINDOW}&group_by=model", accept=media_type)

    assert (response.status_code, response["Content-Type"]) == (200, media_type)
    assert response["X-Provisional-From"] == "2026-11-19T00:00:00Z"
    found = pq.read_table(io.BytesIO(response.content)).to_pylist()
    assert [(row["period_start"].day, row["model"], row["asset"], row["amount"], row["events"]) for row in found] == [
        (19, "gpt-4o", "usd", Decimal("0.0025"), 1),
        (20, "=cmd()", "usd", Decimal("0.01"), 1),
        (20, "gpt-4o", "usd", Decimal("0.005"), 1),
    ]
    monkeypatch.setattr("billing.gateways.parquet.installed", lambda: False)
    problem(api.get("/usage", accept=media_type), 406, "not_acceptable")


def test_an_unknown_customer_is_not_found(api: Api) -> None:
    problem(api.get("/usage?customer=nobody"), 404, "not_found")


def test_what_cannot_be_delivered_is_not_acceptable(api: Api) -> None:
    problem(api.get("/usage", accept="image/png"), 406, "not_acceptable")


def test_a_month_by_cost_centre_sums_to_what_the_wallet_was_debited(api: Api, shop: Shop) -> None:
    """The chargeback report of a company: one line for each department, as CSV."""
    meter = shop.meter("llm_input", "input_tokens", dimensions=["cost_centre"])
    shop.plan("pro", [shop.price(meter, "2.50", per="1000000")])
    acme = shop.customer(usd="100")
    until = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    at = until - timedelta(days=3)
    for centre, tokens in [("research", 1_234_567), ("support", 89), ("research", 3), (None, 7_000_001)]:
        data = {"input_tokens": tokens} | ({} if centre is None else {"cost_centre": centre})
        usage.record([shop.event(acme, data=data, time=at)])

    times = f"from={at.replace(day=1):%Y-%m-%d}T00:00:00Z&to={until:%Y-%m-%d}T00:00:00Z"
    path = f"/usage?customer=acme&granularity=month&group_by=cost_centre&{times}"
    rows = list(csv.DictReader(io.StringIO(api.get(path, accept="text/csv").content.decode())))

    assert {row["cost_centre"]: row["events"] for row in rows} == {"research": "2", "support": "1", "": "1"}
    debits = LedgerEntry.objects.filter(customer=acme, kind="usage").aggregate(total=Sum("amount"))["total"]
    assert sum(Decimal(row["amount"]) for row in rows) == debits == Decimal("100") - shop.balance(acme).available
