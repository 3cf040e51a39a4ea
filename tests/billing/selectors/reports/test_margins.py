"""What was charged, what it cost, what is left: by any group, and only where the cost is known."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.engine.costs import BEGINNING
from billing.errors import InvalidRequest
from billing.models import Charge, Customer
from billing.selectors.reports import margins
from billing.services.catalog import costs
from tests.builders import Shop

NOW = timezone.now()
MILLION = 1_000_000


def set_cost(unit: str, amount: str, model: str = "gpt-4o") -> None:
    costs.create(
        actor=SYSTEM,
        provider="openai",
        model=model,
        unit=unit,
        unit_cost=Decimal(amount),
        per=Decimal(MILLION),
        effective_from=BEGINNING,
    )


@pytest.fixture
def acme(shop: Shop) -> Customer:
    """Charged $2.50 and $10 a million, for $1 and $9: the input pays, the output does not."""
    set_cost("input", "1")
    set_cost("output", "9")
    return shop.customer(usd="1000")


def rows(*group_by: str, **fields: Any) -> dict[tuple[str | None, ...], tuple[Decimal, Decimal, Decimal | None]]:
    found = margins.rows(
        **({"start": NOW - timedelta(days=2), "end": NOW + timedelta(days=1), "group_by": group_by} | fields)
    )
    return {row.group: (row.charged, row.cost, row.margin) for row in found}


def test_each_meter_bears_its_own_cost(acme: Customer, shop: Shop):
    shop.record(acme, model="gpt-4o", input_tokens=2 * MILLION, output_tokens=MILLION, feature="chat")
    assert rows("meter") == {("llm_input",): (5, 2, 3), ("llm_output",): (10, 9, 1)}
    assert rows() == {(): (15, 11, 4)}
    assert rows("customer", "model", "feature") == {("acme", "gpt-4o", "chat"): (15, 11, 4)}
    assert rows("feature", meter="llm_input") == {("chat",): (5, 2, 3)}
    assert rows(model="other") == {}
    assert [charge.cost for charge in Charge.objects.order_by("id")] == [2, 9]


def test_overheads_move_the_margin_as_expected(acme: Customer, shop: Shop):
    costs.set_overhead(actor=SYSTEM, share=Decimal("0.1"), fixed_amount=Decimal("0.9"), effective_from=BEGINNING)
    shop.record(acme, model="gpt-4o", input_tokens=2 * MILLION, output_tokens=MILLION)
    # 11 × 1.1 + 0.9, divided as the eleven are.
    assert rows() == {(): (15, 13, 2)}
    parts = rows("meter")
    assert sum(cost for _, cost, _ in parts.values()) == 13
    assert parts["llm_input",][1] == Decimal("2.363636363636")


def test_what_has_no_known_cost_is_not_in_the_margin(acme: Customer, shop: Shop):
    shop.record(acme, model="gpt-4o", input_tokens=2 * MILLION)
    shop.record(acme, model="mystery", input_tokens=4 * MILLION)
    (row,) = margins.rows(start=NOW - timedelta(days=1), end=NOW + timedelta(days=1))
    assert (row.charged, row.charged_with_cost, row.cost, row.margin) == (15, 5, 2, 3)
    assert (row.events, row.events_without_cost, row.share) == (2, 1, Decimal("0.6"))


def test_other_assets_have_a_cost_but_no_margin_in_dollars(acme: Customer, shop: Shop):
    credits_ = shop.asset("image_credits")
    set_cost("input", "3", model="painter")
    shop.plan("studio", [shop.price(shop.meter("pictures", "n", event_type="image"), "1", asset=credits_)])
    shop.subscribe(acme, "studio")
    shop.fund(acme, "10", asset="image_credits", kind="promotional")
    shop.record(acme, type="image", model="painter", n=2, input_tokens=MILLION)
    (row,) = margins.rows(start=NOW - timedelta(days=1), end=NOW + timedelta(days=1))
    assert (row.asset, row.charged, row.cost, row.margin, row.share) == ("image_credits", 2, 3, None, None)
    assert not row.below(Decimal("0.9"))


@pytest.mark.parametrize(("floor", "flagged"), [("0.6", False), ("0.600000000001", True), ("0", False)])
def test_the_floor_flags_what_leaves_less(acme: Customer, shop: Shop, floor: str, flagged: bool):
    shop.record(acme, model="gpt-4o", input_tokens=2 * MILLION)
    (row,) = margins.rows(start=NOW - timedelta(days=1), end=NOW + timedelta(days=1))
    assert row.below(Decimal(floor)) is flagged


def test_days_are_those_of_the_zone(acme: Customer, shop: Shop):
    late = (NOW - timedelta(days=1)).replace(hour=23, minute=30)
    shop.record(acme, model="gpt-4o", input_tokens=MILLION, time=late)
    assert set(rows("day")) == {(f"{late:%Y-%m-%d}",)}
    assert set(rows("day", timezone=ZoneInfo("Europe/Berlin"))) == {(f"{late + timedelta(hours=2):%Y-%m-%d}",)}


def test_the_window_is_half_open_and_counts_late_events_where_they_occurred(acme: Customer, shop: Shop):
    moment = NOW - timedelta(days=30)
    shop.record(acme, model="gpt-4o", input_tokens=MILLION, time=moment)
    second = timedelta(seconds=1)
    assert rows(start=moment, end=moment + second) != {}
    assert rows(start=moment - second, end=moment) == {}


@pytest.mark.parametrize("group_by", [["a b"], ["model", "model"], ["a", "b", "c", "d", "e"], ["x'; --"]])
def test_groups_that_make_no_sense_are_refused(db: None, group_by: list[str]):
    with pytest.raises(InvalidRequest, match="group_by"):
        margins.rows(start=NOW, end=NOW, group_by=group_by)


def test_too_many_rows_are_refused(acme: Customer, shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(margins, "ROWS_MAX", 1)
    for user in ("a", "b"):
        shop.record(acme, model="gpt-4o", input_tokens=1, user=user)
    assert len(rows("model")) == 1
    with pytest.raises(InvalidRequest, match="rows"):
        rows("user")


def test_the_total_is_of_the_dollars(acme: Customer, shop: Shop):
    for feature in ("a", "b"):
        shop.record(acme, model="gpt-4o", input_tokens=2 * MILLION, feature=feature)
    found = margins.rows(start=NOW - timedelta(days=1), end=NOW + timedelta(days=1), group_by=["feature"])
    whole = margins.total(found)
    assert (whole.charged, whole.cost, whole.margin, whole.events) == (10, 4, 6, 2)
    assert margins.total([]).share is None
