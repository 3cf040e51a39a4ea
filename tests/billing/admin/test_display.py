"""Amounts in the back office: readable, and never less than exact."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib import admin

from accounts.lists import CappedPaginator
from billing.admin import charts, display, summaries
from billing.admin.charts import Series
from billing.engine.money import amount_string
from billing.models import Asset, Customer, UsageEvent

D = Decimal


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("value", "main", "tail", "exact"),
    [
        ("12.34", "$12.34", "", "$12.34"),
        ("1234567.5", "$1,234,567.50", "", "$1,234,567.50"),
        ("0.00067284", "$0.00", "067284", "$0.00067284"),
        ("0.005", "$0.00", "5", "$0.005"),
        ("-3.999", "\N{MINUS SIGN}$3.99", "9", "\N{MINUS SIGN}$3.999"),
        ("0", "$0.00", "", "$0.00"),
        ("123456789012345678.123456789012", "$123,456,789,012,345,678.12", "3456789012", None),
    ],
)
def test_money_is_cut_in_two_and_never_rounded(value: str, main: str, tail: str, exact: str | None):
    parts = display.written(D(value), "usd")
    assert (parts.main, parts.tail) == (main, tail)
    assert parts.exact == (exact or main + tail)
    digits = (parts.main + parts.tail).replace("$", "").replace(",", "").replace("\N{MINUS SIGN}", "-")
    assert D(digits) == D(value)


@pytest.mark.usefixtures("db")
def test_units_bear_their_name():
    assert display.written(D("1250"), "image_credits").exact == "1,250\N{NO-BREAK SPACE}image_credits"
    assert display.written(D("0.5"), "image_credits").exact == "0.5\N{NO-BREAK SPACE}image_credits"


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("value", "shown"), [("0", "$0.00"), ("0.0034", "$0.0034"), ("27.656", "$27.66"), ("0.00000012", "$0.000000")]
)
def test_headlines_are_short(value: str, shown: str):
    assert f">{shown}<" in display.figure(D(value), "usd")


@pytest.mark.usefixtures("db")
def test_amounts_within_sentences():
    short = "This takes 1000 usd out of the wallet of 7 usd_fans, which has 0.5 for it."
    assert display.said(short) == "This takes $1,000.00 out of the wallet of 7 usd_fans, which has $0.50 for it."
    assert display.said("At most 3 days.") == "At most 3 days."


@pytest.mark.usefixtures("db")
def test_yen_have_no_cents_in_tables_headlines_and_charts():
    Asset.objects.create(code="jpy", name="Yen", kind="currency", precision=12)
    display.forget()
    parts = display.written(D("1234.5"), "jpy")
    assert (parts.main, parts.exact) == ("¥1,234", "¥1,234.5")
    assert ">¥1,235<" in display.figure(D("1234.6"), "jpy")
    drawn = charts.data(["May"], [Series("Fees", 1, [D(1000)]), Series("Usage", 2, [D("-234.6")])], "jpy")
    assert (drawn["symbol"], drawn["places"], drawn["totals"]) == ("¥", 0, ["¥765"])
    assert [series["texts"] for series in drawn["series"]] == [["¥1,000"], ["\N{MINUS SIGN}¥235"]]


@pytest.mark.usefixtures("db")
def test_what_may_be_spent_is_cut():
    assert ">$27.65<" in display.figure(D("27.656"), "usd", cut=True)


def test_data_is_shown_as_it_was_sent():
    shown = display.pretty_json({"n": D("0.10"), "text": "<b>"})
    assert "0.10" in shown
    assert "<b>" not in shown
    assert amount_string(D("0.10")) == "0.1"


def test_the_count_stops_where_nobody_pages(acme: Customer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("accounts.lists.ROWS_MAX", 2)
    paginator = CappedPaginator(UsageEvent.objects.order_by("-id"), 2)
    assert (paginator.count, paginator.is_capped, paginator.num_pages) == (2, True, 1)


def test_no_column_is_hidden_by_a_field_of_its_name():
    """Django shows the model's field where a page's own column has the same name."""
    for model, page in admin.site._registry.items():
        for field in model._meta.get_fields():
            assert not hasattr(getattr(page, field.name, None), "short_description"), (model, field.name)


def test_a_last_day_ends_at_the_midnight_after_it():
    end = datetime(2026, 12, 1, tzinfo=UTC)

    assert summaries.expiry(end, end - timedelta(days=9)) == "2026-12-01 00:00 (in 9 days)"
