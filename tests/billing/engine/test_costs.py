"""What an event costs the operator: names, quantities, thresholds, overheads, and the split among its lines."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.engine.costs import BEGINNING, Catalogue, Cost, CostLine, Overhead, Rate, split

NOW = datetime(2026, 11, 1, tzinfo=UTC)
MILLION = Decimal(1_000_000)


def rate(unit: str = "input", cost: str = "1", **fields: Any) -> Rate:
    defaults: dict[str, Any] = {
        "provider": "openai",
        "model": "gpt-4o",
        "aliases": (),
        "per": MILLION,
        "above": 0,
        "starts": BEGINNING,
        "ends": None,
        "manual": False,
    }
    return Rate(unit=unit, unit_cost=Decimal(cost), **(defaults | fields))


def overhead(share: str = "0", fixed: str = "0", provider: str = "", **fields: Any) -> Overhead:
    defaults: dict[str, Any] = {"cache_apart": False, "starts": BEGINNING, "ends": None}
    return Overhead(provider, Decimal(share), Decimal(fixed), **(defaults | fields))


GPT = [rate("input", "2.5"), rate("cached_input", "1.25"), rate("output", "10")]


def amount(catalogue: Catalogue, moment: datetime = NOW, **data: Any) -> Decimal | None:
    found = catalogue.cost({"model": "gpt-4o"} | data, moment)
    return None if found is None else found.amount


def test_tokens_of_each_kind_at_their_own_rate():
    # 800 × 2.5 + 200 × 1.25 + 450 × 10, all per million; cached tokens are among the input tokens.
    found = amount(Catalogue(GPT), input_tokens=1000, cached_input_tokens=200, output_tokens=450)
    assert found == Decimal("0.00675")


def test_the_names_of_the_open_telemetry_conventions_are_understood():
    data = {
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.cache_read.input_tokens": 200,
        "gen_ai.usage.output_tokens": 450,
    }
    assert Catalogue(GPT).cost(data, NOW).amount == Decimal("0.00675")


@pytest.mark.parametrize(
    ("rates", "data", "expected"),
    [
        # What has no rate of its own stays in the whole.
        ([rate("input", "2")], {"input_tokens": 1000, "cached_input_tokens": 400}, "0.002"),
        ([rate("output", "8")], {"output_tokens": 1000, "reasoning_tokens": 700}, "0.008"),
        ([rate("output", "8"), rate("reasoning", "4")], {"output_tokens": 1000, "reasoning_tokens": 700}, "0.0052"),
        ([rate("cache_write", "5"), rate("input", "4")], {"input_tokens": 1000, "cache_write_tokens": 100}, "0.0041"),
        ([rate("image", "0.04", per=Decimal(1))], {"images": 3}, "0.12"),
        ([rate("audio_second", "0.006", per=Decimal(60))], {"seconds": 90}, "0.009"),
        ([rate("request", "0.01", per=Decimal(1)), *GPT], {"input_tokens": 0}, "0.01"),
        ([rate("request", "0.01", per=Decimal(1))], {}, "0.01"),
        # A third: rounded half even at twelve decimals.
        ([rate("audio_second", "1", per=Decimal(3))], {"seconds": 2}, "0.666666666667"),
        (GPT, {"input_tokens": "1000"}, "0.0025"),
        (GPT, {"input_tokens": 0}, "0"),
    ],
)
def test_quantities(rates: list[Rate], data: dict[str, Any], expected: str):
    assert amount(Catalogue(rates), **data) == Decimal(expected)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"seconds": 4},
        {"model": "unheard-of", "input_tokens": 1},
        {"model": None, "input_tokens": 1},
        {"model": 7, "input_tokens": 1},
        {"input_tokens": "many"},
        {"input_tokens": -1},
        {"input_tokens": True},
        {"input_tokens": [1]},
        {"input_tokens": None},
        {"input_tokens": Decimal("1e17") * 10},
        {"input_tokens": 10**40},
    ],
    ids=str,
)
def test_what_cannot_be_known_is_not_known_and_never_an_error(data: dict[str, Any]):
    assert amount(Catalogue(GPT), **data) is None


def test_a_cost_beyond_the_books_is_not_known():
    assert amount(Catalogue([rate("input", "1000", per=Decimal(1))]), input_tokens=Decimal(10) ** 17) is None


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o",
        "GPT-4o",
        "gpt-4o-2024-08-06",
        "gpt-4o-20240806",
        "gpt-4o-latest",
        "openai/gpt-4o",
        "openai/gpt-4o-2024-08-06",
        "four-o",
        "ft:gpt-4o:acme",
    ],
)
def test_a_model_is_found_by_its_names(name: str):
    catalogue = Catalogue([rate(aliases=("four-o", "ft:gpt-4o*")), rate(model="gpt-4o-mini", cost="9")])
    assert catalogue.cost({"model": name, "input_tokens": 1_000_000}, NOW).amount == 1


@pytest.mark.parametrize(
    "name", ["gpt-4o-mini-2024-07-18", "gpt-4", "gpt-4o-2024-13-06", "xgpt-4o", "azure/gpt-4o", ""]
)
def test_a_name_that_only_looks_alike_is_another_model(name: str):
    assert amount(Catalogue([rate()]), model=name, input_tokens=1) is None


def test_a_dated_name_of_its_own_goes_before_the_undated_one():
    catalogue = Catalogue([rate(cost="1"), rate(model="gpt-4o-2024-05-13", cost="5")])
    assert amount(catalogue, model="gpt-4o-2024-05-13", input_tokens=MILLION) == 5


def test_a_models_own_name_goes_before_an_alias_of_another():
    alias = rate(cost="1", aliases=("gpt-4o-2024-08-06",))
    own = rate(model="gpt-4o-2024-08-06", cost="2", manual=True)
    for rates in ([alias, own], [own, alias]):
        assert amount(Catalogue(rates), model="gpt-4o-2024-08-06", input_tokens=MILLION) == 2


def test_the_longest_beginning_wins():
    catalogue = Catalogue(
        [
            rate(model="sonnet", aliases=("claude-sonnet*",)),
            rate(model="s45", aliases=("claude-sonnet-4-5*",), cost="3"),
        ]
    )
    assert amount(catalogue, model="claude-sonnet-4-5-x", input_tokens=MILLION) == 3


def test_the_maker_goes_before_who_only_offers_it_unless_the_event_says_who():
    catalogue = Catalogue([rate(provider="azure", cost="2"), rate(cost="1"), rate(provider="groq", cost="3")])
    assert amount(catalogue, input_tokens=MILLION) == 1
    assert amount(catalogue, input_tokens=MILLION, provider="Azure") == 2
    assert amount(catalogue, input_tokens=MILLION, model="groq/gpt-4o") == 3
    assert amount(catalogue, input_tokens=MILLION, provider="nobody") is None


def test_a_rate_holds_from_its_start_until_before_its_end():
    change = NOW - timedelta(days=3)
    catalogue = Catalogue([rate(cost="1", ends=change), rate(cost="2", starts=change)])
    assert amount(catalogue, change - timedelta(microseconds=1), input_tokens=MILLION) == 1
    assert amount(catalogue, change, input_tokens=MILLION) == 2
    assert amount(Catalogue([rate(ends=change)]), NOW, input_tokens=MILLION) is None
    assert amount(Catalogue([rate(starts=NOW)]), change, input_tokens=MILLION) is None


def test_what_was_set_by_hand_goes_before_what_was_imported_while_it_holds():
    start, end = NOW - timedelta(days=2), NOW - timedelta(days=1)
    catalogue = Catalogue([rate(cost="1"), rate(cost="7", manual=True, starts=start, ends=end)])
    moments = (start - timedelta(days=1), start, end)
    assert [amount(catalogue, moment, input_tokens=MILLION) for moment in moments] == [1, 7, 1]


def test_a_long_prompt_is_paid_at_the_rate_for_long_prompts_altogether():
    catalogue = Catalogue([rate(cost="3"), rate(cost="6", above=200_000), rate("output", "15")])
    assert amount(catalogue, input_tokens=200_000) == Decimal("0.6")
    assert amount(catalogue, input_tokens=200_001) == Decimal("1.200006")
    assert amount(catalogue, input_tokens=200_001, output_tokens=1000) == Decimal("1.215006")


def test_overheads_are_a_share_of_the_model_and_an_amount_for_each_request():
    catalogue = Catalogue(GPT, [overhead("0.05", "0.0001"), overhead("0", "0.5", provider="azure")])
    # 0.0025 × 1.05 + 0.0001
    assert amount(catalogue, input_tokens=1000) == Decimal("0.002725")
    found = catalogue.cost({"model": "gpt-4o", "input_tokens": 1000}, NOW)
    assert [(line.unit, line.amount) for line in found.lines] == [
        ("input", Decimal("0.0025")),
        ("share", Decimal("0.000125")),
        ("fixed", Decimal("0.0001")),
    ]


def test_a_providers_own_overhead_takes_the_place_of_the_general_one():
    rules = [overhead("0.5"), overhead("0", provider="openai", starts=NOW)]
    assert amount(Catalogue(GPT, rules), input_tokens=MILLION) == Decimal("2.5")
    assert amount(Catalogue(GPT, rules), NOW - timedelta(days=1), input_tokens=MILLION) == Decimal("3.75")


def test_cached_tokens_may_be_counted_beside_the_input():
    catalogue = Catalogue(GPT, [overhead(provider="openai", cache_apart=True)])
    assert amount(catalogue, input_tokens=1000, cached_input_tokens=4000) == Decimal("0.0075")


def a_cost(total: str, **fields: str) -> Cost:
    lines = [CostLine("x", name, Decimal(1), Decimal(1), Decimal(1), Decimal(part)) for name, part in fields.items()]
    rest = Decimal(total) - sum(Decimal(part) for part in fields.values())
    lines.append(CostLine("fixed", None, Decimal(1), rest, Decimal(1), rest))
    return Cost("openai", "gpt-4o", Decimal(total), lines)


@pytest.mark.parametrize(
    ("cost", "fields", "shares"),
    [
        (a_cost("3", a="1", b="2"), ["a", "b"], ["1", "2"]),
        (a_cost("6", a="1", b="2"), ["a", "b"], ["2", "4"]),
        (a_cost("3", a="1", b="2"), ["b", None], ["3", "0"]),
        (a_cost("3", a="3"), ["a", "a"], ["1.5", "1.5"]),
        (a_cost("3", a="3"), ["z", None], ["1.5", "1.5"]),
        (a_cost("0", a="0"), ["a", "b"], ["0", "0"]),
        (a_cost("1", a="1"), ["x", "y", "z"], ["0.333333333333", "0.333333333334", "0.333333333333"]),
    ],
)
def test_a_cost_is_split_by_what_each_line_counts(cost: Cost, fields: list[str | None], shares: list[str]):
    assert split(cost, fields) == list(map(Decimal, shares))


_amounts = st.decimals(min_value=0, max_value=10**6, places=12)


@given(st.lists(_amounts, min_size=1, max_size=5), _amounts, st.integers(1, 6))
def test_the_parts_always_add_up_exactly(parts: list[Decimal], rest: Decimal, lines: int):
    fields = {f"f{number}": str(part) for number, part in enumerate(parts)}
    cost = a_cost(str(sum(parts) + rest), **fields)
    shares = split(cost, [f"f{number}" for number in range(lines)])
    assert sum(shares) == cost.amount
    assert all(share >= 0 for share in shares)
