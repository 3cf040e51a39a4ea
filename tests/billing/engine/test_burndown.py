"""The burn order has no ties, and a draw takes all or nothing."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.engine.burndown import Draw, Source, burn_order, draw, put_back

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def source(number: int = 1, **fields: Any) -> Source:
    values: dict[str, Any] = {
        "id": UUID(int=number),
        "kind": "purchase",
        "priority": 50,
        "effective_at": NOON - timedelta(days=30),
        "expires_at": None,
        "meters": None,
        "unit_cost": Decimal(1),
        "created_at": NOON - timedelta(days=30),
        "remaining": Decimal(10),
    }
    return Source(**values | fields)


few_moments = st.sampled_from([NOON - 2 * SECOND, NOON - SECOND, NOON, NOON + SECOND, NOON + 2 * SECOND])
sources = st.lists(
    st.builds(
        source,
        number=st.integers(1, 10**6),
        kind=st.sampled_from(["purchase", "promotional", "allowance", "adjustment", "rollover"]),
        priority=st.integers(49, 51),
        effective_at=few_moments,
        expires_at=st.none() | few_moments,
        meters=st.sampled_from([None, frozenset({"input"}), frozenset({"output"}), frozenset({"input", "output"})]),
        unit_cost=st.sampled_from([Decimal(0), Decimal("0.5"), Decimal(1)]),
        created_at=few_moments,
        remaining=st.decimals(min_value=0, max_value=20, places=12),
    ),
    max_size=8,
    unique_by=lambda s: s.id,
)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"priority": 49, "expires_at": None}, {"priority": 50, "expires_at": NOON + SECOND}),
        ({"expires_at": NOON + SECOND}, {"expires_at": NOON + 2 * SECOND, "meters": frozenset({"input"})}),
        ({"expires_at": NOON + SECOND}, {"expires_at": None, "kind": "promotional"}),
        ({"meters": frozenset({"input"})}, {"meters": None, "kind": "promotional"}),
        ({"kind": "promotional"}, {"kind": "purchase", "unit_cost": Decimal(0)}),
        ({"kind": "allowance"}, {"kind": "adjustment", "unit_cost": Decimal(0)}),
        ({"unit_cost": Decimal("0.5")}, {"unit_cost": Decimal(1), "created_at": NOON - timedelta(days=40)}),
        ({"created_at": NOON - SECOND, "number": 9}, {"created_at": NOON, "number": 1}),
        ({"number": 1}, {"number": 2}),
    ],
    ids=["priority", "expiry", "never expiring last", "restricted", "free", "kind", "cost", "age", "id"],
)
def test_each_rule_of_the_burn_order_outranks_the_next(first: dict[str, Any], then: dict[str, Any]) -> None:
    one, other = source(**{"number": 5} | first), source(**{"number": 6} | then)

    assert burn_order([other, one]) == [one, other]
    assert burn_order([one, other]) == [one, other]


@given(sources, st.randoms(use_true_random=False))
def test_the_burn_order_does_not_depend_on_the_order_of_the_input(given_: list[Source], luck: random.Random) -> None:
    shuffled = given_.copy()
    luck.shuffle(shuffled)

    assert [s.id for s in burn_order(shuffled)] == [s.id for s in burn_order(given_)]


@given(
    sources,
    st.decimals(min_value=0, max_value=60, places=12),
    st.decimals(min_value=0, max_value=20, places=12),
    st.sampled_from(["input", "output", "other"]),
)
def test_a_draw_takes_the_amount_exactly_or_nothing_at_all(
    given_: list[Source], amount: Decimal, overdraft: Decimal, meter: str
) -> None:
    ordered = burn_order(given_)
    before = [s.remaining for s in ordered]
    payable = sum((s.remaining for s in ordered if s.may_pay(meter=meter, moment=NOON)), Decimal(0))

    draws = draw(ordered, amount, meter=meter, moment=NOON, overdraft=overdraft)

    if amount > payable + overdraft:
        assert draws is None
        assert [s.remaining for s in ordered] == before
        return
    assert draws is not None
    assert sum((d.amount for d in draws), Decimal(0)) == amount
    assert all(d.amount > 0 for d in draws)
    assert all(s.remaining >= 0 for s in ordered)
    taken = {d.source.id: d.amount for d in draws if d.source is not None}
    assert [was - s.remaining for was, s in zip(before, ordered, strict=True)] == [
        taken.get(s.id, Decimal(0)) for s in ordered
    ]
    from_overdraft = sum((d.amount for d in draws if d.source is None), Decimal(0))
    assert from_overdraft == max(Decimal(0), amount - payable)

    put_back(draws)
    assert [s.remaining for s in ordered] == before


@given(sources, st.decimals(min_value=0, max_value=60, places=12))
def test_no_grant_pays_before_those_that_come_before_it_are_empty(given_: list[Source], amount: Decimal) -> None:
    ordered = burn_order(given_)
    payable = [s for s in ordered if s.may_pay(meter="input", moment=NOON)]

    draws = draw(ordered, amount, meter="input", moment=NOON)

    if draws:
        assert [d.source for d in draws] == payable[: len(draws)]
        assert all(d.source is not None and d.source.remaining == 0 for d in draws[:-1])


def test_a_grant_lives_from_its_start_until_just_before_its_expiry() -> None:
    grant = source(effective_at=NOON, expires_at=NOON + SECOND)
    just = timedelta(microseconds=1)

    def pays(moment: datetime) -> bool:
        return grant.may_pay(meter="input", moment=moment)

    assert [pays(NOON - just), pays(NOON), pays(NOON + SECOND - just), pays(NOON + SECOND)] == [
        False,
        True,
        True,
        False,
    ]


def test_a_restricted_grant_pays_for_its_meters_alone() -> None:
    only_input = source(1, meters=frozenset({"input"}), remaining=Decimal(3))
    general = source(2, remaining=Decimal(3))

    draws = draw(burn_order([general, only_input]), Decimal(2), meter="output", moment=NOON)

    assert draws == [Draw(general, Decimal(2))]
    assert (only_input.remaining, general.remaining) == (Decimal(3), Decimal(1))
    assert draw([only_input], Decimal(1), meter="output", moment=NOON) is None


def test_the_overdraft_pays_only_what_the_grants_lack() -> None:
    grant = source(remaining=Decimal(3))

    assert draw([grant], Decimal(5), meter="input", moment=NOON, overdraft=Decimal("1.999999999999")) is None
    assert grant.remaining == 3
    assert draw([grant], Decimal(5), meter="input", moment=NOON, overdraft=Decimal(2)) == [
        Draw(grant, Decimal(3)),
        Draw(None, Decimal(2)),
    ]
    assert grant.remaining == 0


def test_nothing_is_drawn_for_nothing() -> None:
    assert draw([source()], Decimal(0), meter="input", moment=NOON) == []
    assert draw([], Decimal(0), meter="input", moment=NOON) == []


@pytest.mark.parametrize(("amount", "overdraft"), [("-1", "0"), ("1", "-1")])
def test_a_negative_amount_stops(amount: str, overdraft: str) -> None:
    with pytest.raises(AssertionError):
        draw([source()], Decimal(amount), meter="input", moment=NOON, overdraft=Decimal(overdraft))
