"""``/revenue``: the days, and the files of those that are closed."""

import csv
import hashlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.services import revenue
from tests.billing.api.conftest import Api, problem
from tests.billing.services.conftest import Clock, clock
from tests.builders import Shop

__all__ = ["clock"]


@pytest.fixture
def closed(committed_db: None, clock: Clock, shop: Shop) -> Clock:
    """The second of November, with a top-up of 10 dollars and usage for 2.5."""
    clock.stop(datetime(2026, 11, 2, 9, tzinfo=UTC))
    shop.record(shop.customer(usd="10"), input_tokens=1_000_000)
    clock.forward(days=1)
    revenue.close_due()
    return clock


def test_days(closed: Clock, api: Api) -> None:
    running, day = api.get("/revenue/days").json()["data"]

    assert (running["date"], running["state"], running["sha256"], running["currencies"]) == (
        "2026-11-03",
        "open",
        None,
        [],
    )
    assert (day["date"], day["state"], day["version"], day["entries"]) == ("2026-11-02", "closed", 1, 2)
    assert day["files"]["jsonl"]["sha256"] == day["sha256"]
    assert day["currencies"] == [
        {
            "currency": "USD",
            "opening": "0",
            "billed": "10",
            "recognised": "2.5",
            "breakage": "0",
            "refunded": "0",
            "settled": "0",
            "exchanged": "0",
            "adjusted": "0",
            "disputed": "0",
            "closing": "7.5",
            "revenue": "2.5",
            "receivable": "0",
            "promotional": "0",
            "included": "0",
        }
    ]
    assert api.get("/revenue/days?from=2026-11-03").json()["data"] == [running]
    assert api.get("/revenue/days?to=2026-11-02&limit=1").json()["data"] == [day]


def read(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_files_are_what_was_hashed_when_the_day_was_closed(closed: Clock, api: Api) -> None:
    (day,) = api.get("/revenue/days?to=2026-11-02").json()["data"]
    for format in ("csv", "jsonl", "netsuite", "sap"):
        response = api.get(f"/revenue/days/2026-11-02/export?format={format}")
        body = read(response)

        assert hashlib.sha256(body).hexdigest() == day["files"][format]["sha256"]
        assert response["ETag"] == f'"{day["files"][format]["sha256"]}"'
        assert 'attachment; filename="revenue-2026-11-02.' in response["Content-Disposition"]


def test_lines(closed: Clock, api: Api) -> None:
    lines = [json.loads(line) for line in read(api.get("/revenue/days/2026-11-02/export?format=jsonl")).splitlines()]
    rows = list(csv.DictReader(io.StringIO(read(api.get("/revenue/days/2026-11-02/export")).decode())))

    assert [(line["debit"], line["credit"], line["amount"], line["product"]) for line in lines] == [
        ("cash_clearing", "deferred_revenue", "10", ""),
        ("deferred_revenue", "usage", "2.5", "llm_input"),
    ]
    assert [row["amount"] for row in rows] == ["10", "2.5"]
    assert lines[0]["customer"] == rows[0]["customer"] == "acme"


def test_the_columns_of_a_netsuite_import(closed: Clock, api: Api) -> None:
    rows = list(csv.reader(io.StringIO(read(api.get("/revenue/days/2026-11-02/export?format=netsuite")).decode())))

    assert rows[0] == [
        *("External ID", "Date", "Subsidiary", "Currency", "Memo"),
        *("Account", "Debit", "Credit", "Line Memo", "Department", "Class"),
    ]
    assert [row[:2] + row[5:8] for row in rows[1:]] == [
        ["ANTE-20261102-1-USD", "11/02/2026", "cash_clearing", "10.00", ""],
        ["ANTE-20261102-1-USD", "11/02/2026", "deferred_revenue", "", "10.00"],
        ["ANTE-20261102-1-USD", "11/02/2026", "deferred_revenue", "2.50", ""],
        ["ANTE-20261102-1-USD", "11/02/2026", "usage", "", "2.50"],
    ]


@pytest.mark.parametrize(
    ("path", "status", "code", "fields"),
    [
        ("/revenue/days?from=yesterday", 400, "invalid_request", ["from"]),
        ("/revenue/days?to=20261102", 400, "invalid_request", ["to"]),
        ("/revenue/days?from=2026-11-03&to=2026-11-02", 400, "invalid_request", ["from"]),
        ("/revenue/days/2026-11-02/export?format=pdf", 400, "invalid_request", ["format"]),
        ("/revenue/days/2026-02-30/export", 400, "invalid_request", ["date"]),
        ("/revenue/days/2026-11-02/export?version=x", 400, "invalid_request", ["version"]),
        ("/revenue/days/2026-11-02/export?version=7", 404, "not_found", []),
        ("/revenue/days/2020-01-01/export", 404, "not_found", []),
        ("/revenue/days/2026-11-03/export", 409, "invalid_state", []),
    ],
)
def test_bad_input(closed: Clock, api: Api, path: str, status: int, code: str, fields: list[str]) -> None:
    problem(api.get(path), status, code, *fields)
