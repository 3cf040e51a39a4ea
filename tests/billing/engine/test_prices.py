"""Every pricing model: figures from elsewhere, and what holds of all of them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.engine import currencies, rating
from billing.engine.money import EXACT, round_half_even
from billing.engine.prices import BadPrice, Discounted, PriceFunction, Terms, TierTerms, terms
from billing.engine.prices.words import arithmetic, describe
from tests.billing.engine.worked_examples import EXAMPLES

PRECISION = 12


def written(price: Mapping[str, Any]) -> Terms:
    """A price of the table as terms, checked."""
    texts = {"model", "rounding", "cost_field", "amount_field", "tiers"}
    values = {name: value if name in texts else Decimal(value) for name, value in price.items()}
    if "tiers" in values:
        values["tiers"] = tuple(
            TierTerms(**{name: None if value is None else Decimal(value) for name, value in tier.items()})
            for tier in values["tiers"]
        )
    found = Terms(**values)
    terms.check(found)
    return found


def cases(kind: str) -> list[Any]:
    return [
        pytest.param(example["price"], *figures, id=f"{example['source']} {figures}")
        for example in EXAMPLES
        for figures in example.get(kind, [])
    ]


def test_there_are_more_than_a_hundred() -> None:
    kinds = ("totals", "steps", "events")

    assert sum(len(example.get(kind, [])) for example in EXAMPLES for kind in kinds) > 100


@pytest.mark.parametrize(("price", "quantity", "amount"), cases("totals"))
def test_the_total_is_what_others_say(price: Mapping[str, Any], quantity: str, amount: str) -> None:
    function = terms.function(written(price))

    assert Fraction(function.total(Decimal(quantity))) == Fraction(amount)
    assert_explained(function, Decimal(0), Decimal(quantity), PRECISION)


@pytest.mark.parametrize(("price", "before", "quantity", "amount"), cases("steps"))
def test_a_step_is_what_others_say(price: Mapping[str, Any], before: str, quantity: str, amount: str) -> None:
    function = terms.function(written(price))

    charged = rating.charge(function, before=Decimal(before), quantity=Decimal(quantity), precision=PRECISION)

    assert charged == Decimal(amount)
    assert_explained(function, Decimal(before), Decimal(quantity), PRECISION)


@pytest.mark.parametrize(("price", "quantities", "amount"), cases("events"))
def test_events_priced_by_themselves_are_what_others_say(
    price: Mapping[str, Any], quantities: Sequence[str], amount: str
) -> None:
    function, measure = terms.function(written(price)), terms.measure(written(price))
    assert measure is not None

    total = sum((measure.of(Decimal(quantity), {}) for quantity in quantities), Decimal(0))

    assert Fraction(function.total(total)) == Fraction(amount)


# --- What holds of all models ----------------------------------------------------------------------------------------

amounts = st.decimals(min_value=0, max_value=10**4, places=6)
quantities = st.one_of(st.integers(0, 50).map(Decimal), st.decimals(min_value=0, max_value=10**5, places=6))
pers = st.sampled_from([Decimal(1), Decimal(1000), Decimal(10) ** 6, Decimal(3), Decimal("0.7"), Decimal(60)])


@st.composite
def tier_terms(draw: st.DrawFn, *, falling: bool = False) -> tuple[TierTerms, ...]:
    ends = sorted(draw(st.sets(st.integers(1, 200), max_size=4)))
    count = len(ends) + 1
    prices = draw(st.lists(amounts, min_size=count, max_size=count))
    flats = draw(st.lists(st.one_of(st.none(), amounts), min_size=count, max_size=count))
    bounds: list[int | None] = [*ends, None]
    return tuple(
        TierTerms(up_to=None if end is None else Decimal(end), unit_amount=price, flat_amount=flat)
        for end, price, flat in zip(bounds, prices, flats, strict=True)
    )


families = st.one_of(
    st.builds(Terms, model=st.just("per_unit"), unit_amount=amounts, per=pers),
    st.builds(
        Terms, model=st.just("package"), unit_amount=amounts, per=pers, rounding=st.sampled_from([None, "up", "down"])
    ),
    st.builds(Terms, model=st.just("graduated"), tiers=tier_terms(), per=pers),
    st.builds(Terms, model=st.just("volume"), tiers=tier_terms(), per=pers),
    st.builds(Terms, model=st.just("percentage"), rate=st.decimals(min_value=0, max_value=1, places=6)),
)


@st.composite
def functions(draw: st.DrawFn) -> PriceFunction:
    family = draw(families)
    values = {name: getattr(family, name) for name in Terms.__dataclass_fields__}
    values["free_units"] = draw(st.one_of(st.none(), quantities))
    values["maximum_amount"] = draw(st.one_of(st.none(), amounts))
    found = Terms(**values)
    terms.check(found)
    function = terms.function(found)
    discount = draw(st.sampled_from([Decimal(0), Decimal("0.15"), Decimal("0.333333"), Decimal(1)]))
    return Discounted(function, discount) if discount else function


def assert_explained(function: PriceFunction, before: Decimal, quantity: Decimal, precision: int) -> None:
    lines = rating.explain(function, before=before, quantity=quantity, precision=precision)
    charged = rating.charge(function, before=before, quantity=quantity, precision=precision)

    assert sum((line.amount for line in lines), Decimal(0)) == charged
    assert arithmetic(lines, charged, "usd").endswith(f"= {currencies.written(charged, 'usd')}")


@given(functions(), st.lists(quantities, max_size=10), st.integers(0, 12))
def test_any_split_of_a_quantity_adds_up_to_the_price_of_the_whole(
    function: PriceFunction, parts: list[Decimal], precision: int
) -> None:
    running, charged = Decimal(0), Decimal(0)
    for part in parts:
        charged = EXACT.add(charged, rating.charge(function, before=running, quantity=part, precision=precision))
        running = EXACT.add(running, part)

    assert charged == round_half_even(function.total(running), precision=precision)


@given(functions(), quantities, quantities, st.integers(0, 12))
def test_the_lines_of_a_charge_add_up_to_it(
    function: PriceFunction, before: Decimal, quantity: Decimal, precision: int
) -> None:
    assert_explained(function, before, quantity, precision)


@given(functions(), quantities)
def test_the_parts_of_a_total_add_up_to_it(function: PriceFunction, quantity: Decimal) -> None:
    parts = function.parts(quantity)

    assert sum((Fraction(part.amount) for part in parts), Fraction(0)) == Fraction(function.total(quantity))


@given(functions())
def test_nothing_costs_nothing(function: PriceFunction) -> None:
    assert function.total(Decimal(0)) == 0


@given(functions(), quantities, quantities)
def test_what_does_not_say_that_it_falls_never_falls(function: PriceFunction, one: Decimal, other: Decimal) -> None:
    low, high = sorted([one, other])

    if not any(low <= end < high for end in function.falls_after):
        assert Fraction(function.total(low)) <= Fraction(function.total(high))


@given(functions(), quantities, quantities, st.integers(0, 12))
def test_what_adds_up_costs_the_same_wherever_it_falls(
    function: PriceFunction, before: Decimal, quantity: Decimal, precision: int
) -> None:
    if function.adds_up(quantity, precision=precision) and function.adds_up(before, precision=precision):
        assert function.linear
        assert rating.charge(function, before=before, quantity=quantity, precision=precision) == rating.charge(
            function, before=Decimal(0), quantity=quantity, precision=precision
        )


@given(functions(), st.integers(0, 300).map(Decimal), amounts, st.integers(0, 12), st.data())
def test_what_is_affordable_is_paid_for_and_everything_below_it_too(
    function: PriceFunction, before: Decimal, budget: Decimal, precision: int, data: st.DataObject
) -> None:
    most = rating.affordable(function, before=before, budget=budget, precision=precision)

    def costs(quantity: Decimal) -> Decimal:
        return rating.charge(function, before=before, quantity=quantity, precision=precision)

    limit = 10**6 if most is None else int(most)
    below = Decimal(data.draw(st.integers(0, limit)))
    assert costs(below) <= budget
    if most is not None:
        assert costs(most + 1) > budget


def test_a_level_that_goes_down_gives_back_what_it_had_cost() -> None:
    function = terms.function(written({"model": "graduated", "tiers": EXAMPLES[0]["price"]["tiers"]}))

    up = rating.charge(function, before=Decimal(5), quantity=Decimal(16), precision=2)
    down = rating.charge(function, before=Decimal(21), quantity=Decimal(-16), precision=2)

    assert (up, down) == (Decimal(111), Decimal(-111))


def test_a_volume_price_gives_back_when_a_cheaper_tier_is_reached() -> None:
    function = terms.function(written(EXAMPLES[7]["price"]))

    lines = rating.explain(function, before=Decimal(100), quantity=Decimal(1), precision=2)

    assert rating.charge(function, before=Decimal(100), quantity=Decimal(1), precision=2) == Decimal(-109)
    assert [(line.tier, line.kind, line.quantity, line.amount) for line in lines] == [
        (1, "units", Decimal(-100), Decimal(-200)),
        (1, "flat_amount", Decimal(-1), Decimal(-10)),
        (2, "units", Decimal(101), Decimal(101)),
    ]


# --- What makes no sense ----------------------------------------------------------------------------------------------

ONE: dict[str, Any] = {"model": "per_unit", "unit_amount": "1"}


@pytest.mark.parametrize(
    ("price", "field"),
    [
        ({"model": "whim"}, "model"),
        ({"model": "per_unit"}, "unit_amount"),
        (ONE | {"per": "0"}, "per"),
        (ONE | {"unit_amount": "-1"}, "unit_amount"),
        (ONE | {"rate": "0.1"}, "rate"),
        (ONE | {"tiers": []}, "tiers"),
        (ONE | {"minimum_amount": "2", "maximum_amount": "1"}, "minimum_amount"),
        ({"model": "percentage", "rate": "0.1", "minimum": "2", "maximum": "1"}, "minimum"),
        ({"model": "percentage", "rate": "0.1", "fixed_amount": "1", "free_units": "1"}, "free_units"),
        ({"model": "package", "unit_amount": "1", "rounding": "sideways"}, "rounding"),
        ({"model": "graduated", "tiers": []}, "tiers"),
        ({"model": "graduated", "tiers": [{"up_to": None, "rate": "1"}]}, "tiers.0.rate"),
        ({"model": "graduated_percentage", "tiers": [{"up_to": None, "unit_amount": "1"}]}, "tiers.0.unit_amount"),
        ({"model": "volume", "tiers": [{"up_to": None}]}, "tiers.0.unit_amount"),
        ({"model": "volume", "tiers": [{"up_to": "1", "unit_amount": "1"}]}, "tiers.0.up_to"),
        ({"model": "volume", "tiers": [{"up_to": None, "unit_amount": "1"}] * 2}, "tiers.0.up_to"),
        (
            {"model": "volume", "tiers": [*[{"up_to": "1", "unit_amount": "1"}] * 2, {"unit_amount": "1"}]},
            "tiers.1.up_to",
        ),
        ({"model": "volume", "tiers": [{"up_to": "0", "unit_amount": "1"}, {"unit_amount": "1"}]}, "tiers.0.up_to"),
        ({"model": "event"}, "amount_field"),
        ({"model": "event", "amount_field": "cost", "free_units": "1"}, "free_units"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_named(price: Mapping[str, Any], field: str) -> None:
    with pytest.raises(BadPrice) as bad:
        written(price)

    assert bad.value.field == field


def test_a_price_in_words() -> None:
    assert describe(written(EXAMPLES[0]["price"]), "usd", "token") == (
        "$10.00 and $2.00 flat up to 10, then $5.00 and $3.00 flat up to 20, then $5.00 and $3.00 flat per token"
    )
    assert describe(written(ONE | {"per": "1000000", "free_units": "5"}), "usd", "token") == (
        "$1.00 per 1,000,000 tokens, the first 5 free"
    )
    assert describe(written({"model": "percentage", "rate": "0.029", "fixed_amount": "0.30"}), "usd") == (
        "2.9 % and $0.30 per event"
    )


def test_an_amount_for_people() -> None:
    amounts = [("3", "usd"), ("-0.0000025", "usd"), ("1250000", "jpy"), ("1250.50", "eur"), ("1250.50", "credits")]
    assert [currencies.written(Decimal(amount), asset) for amount, asset in amounts] == [
        "$3.00",
        "−$0.0000025",
        "¥1,250,000",
        "€1,250.50",
        "1,250.5 credits",
    ]
