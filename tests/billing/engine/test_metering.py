"""From an event's data to a meter's quantity."""

from decimal import Decimal
from typing import Any

import pytest

from billing.engine import expressions
from billing.engine.metering import BadQuantity, MeterRule, dimension


def rule(value: str = "output_tokens", **fields: Any) -> MeterRule:
    values: dict[str, Any] = {
        "code": "output",
        "event_type": "llm.completion",
        "aggregation": "sum",
        "value": expressions.parse(value) if value else None,
        "filter": {},
        "dimensions": ("model", "user"),
    }
    return MeterRule(**values | fields)


@pytest.mark.parametrize(
    ("value", "quantity"),
    [
        (450, "450"),
        (0, "0"),
        (Decimal("0.1"), "0.1"),
        (Decimal("1E-7"), "0.0000001"),
        ("12.5", "12.5"),
        ("1e3", "1000"),
        (999999999999999999, "999999999999999999"),
        (Decimal("999999999999999999.999999999999"), "999999999999999999.999999999999"),
    ],
)
def test_a_number_is_counted_exactly_as_it_was_sent(value: Any, quantity: str) -> None:
    assert rule().quantity({"output_tokens": value}) == Decimal(quantity)


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        [],
        {},
        "many",
        "",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "9" * 40,
        10**18,
        Decimal("1E-13"),
        "1e-400",
        0.5,
    ],
)
def test_what_is_no_usable_number_is_refused_and_the_field_named(value: Any) -> None:
    with pytest.raises(BadQuantity) as refusal:
        rule().quantity({"output_tokens": value})

    assert refusal.value.field == "data.output_tokens"


def test_a_negative_quantity_is_refused() -> None:
    with pytest.raises(BadQuantity, match="negative quantity for the meter output"):
        rule().quantity({"output_tokens": -1})
    with pytest.raises(BadQuantity, match="negative quantity for the meter output"):
        rule("input_tokens - cached").quantity({"input_tokens": 1, "cached": 2})


def test_a_division_by_zero_is_refused() -> None:
    with pytest.raises(BadQuantity, match="a division by zero"):
        rule("seconds / parts").quantity({"seconds": 1, "parts": 0})


def test_a_quantity_beyond_the_books_is_refused() -> None:
    with pytest.raises(BadQuantity, match="more than 18 digits before the point"):
        rule("a * b").quantity({"a": 10**12, "b": 10**6})


def test_a_division_is_rounded_to_what_the_books_keep() -> None:
    assert rule("milliseconds / 3").quantity({"milliseconds": 1}) == Decimal("0.333333333333")
    assert rule("milliseconds / 3").quantity({"milliseconds": 2}) == Decimal("0.666666666667")


def test_a_missing_field_counts_as_zero_beside_one_that_is_there() -> None:
    assert rule("input_tokens - cached").quantity({"input_tokens": 5}) == 5
    assert rule("input_tokens - cached").quantity({"input_tokens": 5, "cached": None}) == 5


def test_an_event_without_any_of_the_fields_is_not_metered() -> None:
    assert rule("input_tokens - cached").quantity({"output_tokens": 5}) is None
    assert rule().quantity({}) is None


def test_a_counting_meter_counts_events() -> None:
    count = rule("", aggregation="count")

    assert count.quantity({}) == 1
    assert count.quantity({"anything": "at all"}) == 1


@pytest.mark.parametrize(
    ("data", "quantity"),
    [
        ({"n": 3, "status": "succeeded"}, Decimal(3)),
        ({"n": 3, "status": "cached"}, Decimal(3)),
        ({"n": 3, "status": "failed"}, None),
        ({"n": 3}, None),
        ({"n": 3, "status": None}, None),
    ],
)
def test_a_filter_leaves_out_what_it_does_not_name(data: dict[str, Any], quantity: Decimal | None) -> None:
    filtered = rule("n", filter={"status": frozenset({"succeeded", "cached"})})

    assert filtered.quantity(data) == quantity


def test_a_filter_can_name_numbers_and_truths() -> None:
    assert rule("n", filter={"stream": frozenset({"true"})}).quantity({"n": 1, "stream": True}) == 1
    assert rule("n", filter={"tier": frozenset({"1.5"})}).quantity({"n": 1, "tier": Decimal("1.50")}) == 1


def test_groups_are_the_dimensions_that_the_event_has() -> None:
    assert rule().groups({"model": "gpt-4o", "user": None, "other": "x"}) == {"model": "gpt-4o"}
    assert rule().groups({"model": 5, "user": False}) == {"model": "5", "user": "false"}


@pytest.mark.parametrize(
    ("value", "name"),
    [("a", "a"), (True, "true"), (False, "false"), (7, "7"), (Decimal("1.50"), "1.5"), ("x" * 300, "x" * 255)],
)
def test_a_dimensions_name(value: Any, name: str) -> None:
    assert dimension(value) == name
