"""Every model, aggregation and condition of a price, through real events."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.services.audit import SYSTEM
from billing.engine.money import round_half_even
from billing.engine.prices import TierTerms, terms
from billing.errors import InvalidRequest, PermissionDenied
from billing.models import Asset, Charge, CountedValue, Customer, Grant, Meter, UsageCounter
from billing.selectors.usage import receipts
from billing.services import authorizations, usage
from billing.services.catalog import plans
from billing.services.catalog.prices import PriceTerms
from billing.services.wallet import wallets
from tests.builders import Shop

STEPS = (
    TierTerms(up_to=Decimal(10), unit_amount=Decimal(3), flat_amount=Decimal("0.5")),
    TierTerms(up_to=Decimal(100), unit_amount=Decimal("0.7")),
    TierTerms(unit_amount=Decimal("0.333333")),
)


def price(shop: Shop, meter: Meter, model: str = "per_unit", **fields: Any) -> PriceTerms:
    texts = {"rounding", "amount_field", "cost_field"}
    numbers = {
        name: Decimal(value) if isinstance(value, str) and name not in texts else value
        for name, value in fields.items()
    }
    return PriceTerms(**{"meter": meter, "asset": shop.usd, "model": model, **numbers})


def customer_of(shop: Shop, *prices: PriceTerms, usd: str = "1000000", code: str = "own", **more: Any) -> Customer:
    shop.plan(code, prices, **more)
    return shop.customer(f"customer-{Customer.objects.count()}", plan=code, usd=usd)


def amounts(customer: Customer, asset: str = "usd") -> Decimal:
    found = Charge.objects.filter(customer=customer, asset_id=asset).aggregate(total=Sum("amount"))["total"]
    return found or Decimal(0)


MODELS: list[dict[str, Any]] = [
    {"model": "per_unit", "unit_amount": "0.000000000001", "per": "3"},
    {"model": "package", "unit_amount": "2", "per": "7"},
    {"model": "package", "unit_amount": "2", "per": "7", "rounding": "down"},
    {"model": "graduated", "tiers": STEPS},
    {"model": "volume", "tiers": STEPS},
    {"model": "volume", "tiers": STEPS, "maximum_amount": "40", "free_units": "3"},
    {"model": "percentage", "rate": "0.0333333"},
    {"model": "graduated", "tiers": STEPS, "per": "3", "free_units": "2.5"},
]


@settings(max_examples=24, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.sampled_from(MODELS),
    batches=st.lists(st.lists(st.integers(0, 60).map(Decimal), max_size=5), min_size=1, max_size=3),
    kind=st.sampled_from(["currency", "unit"]),
    precision=st.integers(0, 12),
)
def test_any_split_into_events_and_batches_adds_up_to_the_price_of_the_total(
    shop: Shop, fields: dict[str, Any], batches: list[list[Decimal]], kind: str, precision: int
) -> None:
    asset = shop.asset(f"{kind}{precision}", kind=kind, precision=precision)
    units = shop.meter("units", "units")
    code = f"plan-{MODELS.index(fields)}-{asset.code}"
    found = price(shop, units, asset=asset, **fields)
    customer = customer_of(shop, found, code=code)
    shop.fund(customer, "100000", asset=asset.code, kind="promotional")

    for batch in batches:
        outcomes = usage.record([shop.event(customer, units=quantity) for quantity in batch])
        assert {outcome.status for outcome in outcomes} <= {"charged"}

    total = sum((quantity for batch in batches for quantity in batch), Decimal(0))
    expected = round_half_even(terms.function(found).total(total), precision=precision)
    assert amounts(customer, asset.code) == expected
    for charge in Charge.objects.filter(customer=customer).select_related("price__asset", "event"):
        lines = receipts.explain(charge, charge.event)
        assert sum((line.amount for line in lines), Decimal(0)) == charge.amount


def test_what_a_cheaper_tier_gives_back_goes_back_to_what_paid(shop: Shop) -> None:
    customer = customer_of(shop, price(shop, shop.meter("units", "units"), "volume", tiers=STEPS), usd="100")

    outcomes = [shop.record(customer, units=quantity) for quantity in (10, 1, 89, 1)]

    assert [outcome.cost["usd"] for outcome in outcomes] == [
        Decimal("30.5"),
        Decimal("-22.8"),
        Decimal("62.3"),
        Decimal("-36.333367"),
    ]
    (bought,) = Grant.objects.filter(customer=customer)
    assert bought.remaining == Decimal("66.333367")
    assert shop.balance(customer).available == Decimal("66.333367")
    assert amounts(customer) == Decimal("33.666633")


def test_what_a_cheaper_tier_gives_back_lowers_what_is_owed_first(shop: Shop) -> None:
    customer = customer_of(shop, price(shop, shop.meter("units", "units"), "volume", tiers=STEPS), usd="10")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=shop.usd, limit=Decimal(100))
    shop.record(customer, units=10)
    assert shop.balance(customer).owed == Decimal("20.5")

    shop.record(customer, units=1)

    balance = shop.balance(customer)
    assert (balance.owed, balance.available) == (0, Decimal("2.3"))


@pytest.mark.parametrize(
    ("aggregation", "values", "charged"),
    [
        ("max", [3, 5, 2, 9, 9], [3, 2, 0, 4, 0]),
        ("latest", [3, 5, 2, 0, 4], [3, 2, -3, -2, 4]),
        ("unique", ["a", "b", "a", 1, "1", "b"], [1, 1, 0, 1, 0, 0]),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_what_is_no_sum_is_charged_by_what_it_adds(
    shop: Shop, aggregation: str, values: Sequence[Any], charged: Sequence[int], together: bool
) -> None:
    customer = customer_of(shop, price(shop, shop.meter("seats", "seats", aggregation=aggregation), unit_amount="1"))
    events = [shop.event(customer, seats=value) for value in values]

    outcomes = usage.record(events) if together else [usage.record([event])[0] for event in events]

    assert [outcome.charges[0].quantity for outcome in outcomes] == charged
    assert [outcome.charges[0].amount for outcome in outcomes] == charged
    assert UsageCounter.objects.get().quantity == sum(charged)
    assert CountedValue.objects.count() == (3 if aggregation == "unique" else 0)


def test_a_level_is_counted_in_unit_hours_up_to_each_report(shop: Shop) -> None:
    customer = customer_of(shop, price(shop, shop.meter("gb", "gb", aggregation="time_weighted"), unit_amount="0.10"))
    start = timezone.now().replace(microsecond=0) - timedelta(hours=10)
    reports = [(0, 4), (2, 10), (3, 10), (2, 7), (5, 0), (6, 1)]

    outcomes = [shop.record(customer, gb=level, time=start + timedelta(hours=hour)) for hour, level in reports]

    # The fourth comes late: it adds no time, and is the level from then on.
    assert [outcome.charges[0].quantity for outcome in outcomes] == [0, 8, 10, 0, 14, 0]
    assert amounts(customer) == Decimal("3.2")
    assert (UsageCounter.objects.get().quantity, UsageCounter.objects.get().level) == (32, 1)


def test_an_event_that_cannot_be_paid_leaves_no_trace_in_what_is_counted(shop: Shop) -> None:
    customer = customer_of(
        shop, price(shop, shop.meter("users", "user", aggregation="unique"), unit_amount="1"), usd="1"
    )

    outcomes = usage.record([shop.event(customer, user=name) for name in ("a", "b", "b", "a")])

    assert [outcome.status for outcome in outcomes] == ["charged", "rejected", "rejected", "charged"]
    assert CountedValue.objects.count() == 1


def test_units_are_taken_from_what_covers_them_first(shop: Shop) -> None:
    tokens = shop.asset("base_tokens")
    over = price(shop, shop.meter("tokens", "tokens"), unit_amount="0.01", covered_by=tokens)
    customer = customer_of(shop, over, usd="100")
    shop.fund(customer, "1000", asset="base_tokens", kind="allowance")

    outcomes = [shop.record(customer, tokens=quantity) for quantity in (600, 600, 100)]

    assert [outcome.cost for outcome in outcomes] == [
        {"base_tokens": Decimal(600)},
        {"base_tokens": Decimal(400), "usd": Decimal(2)},
        {"usd": Decimal(1)},
    ]
    assert [(line.asset, line.quantity) for line in outcomes[1].charges] == [("base_tokens", 400), ("usd", 200)]
    assert shop.balance(customer, "base_tokens").available == 0


def test_what_covers_units_is_set_aside_and_captured_with_them(shop: Shop) -> None:
    tokens = shop.asset("base_tokens")
    over = price(shop, shop.meter("tokens", "tokens"), unit_amount="0.01", covered_by=tokens)
    customer = customer_of(shop, over, usd="5")
    shop.fund(customer, "1000", asset="base_tokens", kind="allowance")

    opened = authorizations.open_for_usage(event=shop.event(customer, tokens=1200))

    assert opened.holds == {"base_tokens": 1000, "usd": 2}
    assert opened.affordable == {"tokens": 1500}
    part = authorizations.capture_usage(
        authorization=opened.authorization, event=shop.event(customer, tokens=300), final=False
    )
    rest = authorizations.capture_usage(authorization=opened.authorization, event=shop.event(customer, tokens=800))
    assert part.outcome is not None
    assert rest.outcome is not None
    assert part.outcome.cost == {"base_tokens": 300}
    assert rest.outcome.cost == {"base_tokens": 700, "usd": 1}
    assert shop.balance(customer).available == 4


@pytest.mark.parametrize(("policy", "cost"), [("own", "0.35"), ("retail", "1.55")])
def test_cached_tokens_cost_their_own_price_or_the_one_they_stand_for(shop: Shop, policy: str, cost: str) -> None:
    fresh = shop.meter("fresh", "usage.input_tokens - usage.details.cached")
    cached = shop.meter("cached", "usage.details.cached")
    prices = [
        price(shop, fresh, unit_amount="1", per="1000"),
        price(shop, cached, unit_amount="0.2", per="1000", cached_of=fresh),
    ]
    customer = customer_of(shop, *prices, cached_tokens=policy)

    outcome = shop.record(customer, data={"usage": {"input_tokens": 1550, "details": {"cached": 1500}}})

    assert outcome.cost == {"usd": Decimal(cost)}


def test_a_price_holds_at_its_hours(shop: Shop) -> None:
    units = shop.meter("units", "units")
    night = {"hours": [[22, 6]], "zone": "Europe/Berlin"}
    customer = customer_of(shop, price(shop, units, unit_amount="2"), price(shop, units, unit_amount="1", valid=night))
    day = datetime(2026, 11, 10, tzinfo=UTC)

    costs = [shop.record(customer, units=1, time=day + timedelta(hours=hour)).cost["usd"] for hour in (4, 5, 20, 21)]

    assert costs == [1, 2, 2, 1]


def test_one_event_is_charged_in_several_assets(shop: Shop) -> None:
    images, credits = shop.meter("images", "images"), shop.asset("credits")
    customer = customer_of(
        shop, price(shop, images, unit_amount="0.01"), price(shop, images, unit_amount="5", asset=credits)
    )
    shop.fund(customer, "100", asset="credits", kind="promotional")

    assert shop.record(customer, images=3).cost == {"usd": Decimal("0.03"), "credits": 15}


def test_an_event_may_say_what_it_costs_if_its_key_may(shop: Shop) -> None:
    customer = customer_of(shop, price(shop, shop.meter("jobs"), "event", amount_field="billing.price"))
    data = {"billing": {"price": "1.25"}}

    outcome = shop.record(customer, data=data)
    (refused,) = usage.record(
        [usage.IncomingEvent("x", "s", "llm.completion", customer.external_id, None, data, may_price=False)]
    )
    missing = shop.record(customer, data={})

    assert outcome.cost == {"usd": Decimal("1.25")}
    assert Charge.objects.get().price_given
    assert isinstance(refused.error, PermissionDenied)
    assert isinstance(missing.error, InvalidRequest)


def test_cost_plus_marks_up_what_the_provider_took(shop: Shop) -> None:
    customer = customer_of(
        shop, price(shop, shop.meter("calls"), "cost_plus", markup="0.40", cost_field="provider_cost")
    )

    assert shop.record(customer, provider_cost="0.10").cost == {"usd": Decimal("0.14")}


def test_a_flat_price_is_due_for_each_event_and_takes_no_counter(shop: Shop) -> None:
    customer = customer_of(shop, price(shop, shop.meter("tokens", "tokens"), "flat", unit_amount="0.10"))

    assert [shop.record(customer, tokens=n).cost["usd"] for n in (0, 1, 1000)] == [Decimal("0.1")] * 3
    assert not UsageCounter.objects.exists()


def test_limits_for_each_event_are_kept_and_rounding_is_the_periods(shop: Shop) -> None:
    cents = shop.asset("cents", precision=0)
    share = price(
        shop, shop.meter("volume", "volume"), "percentage", rate="0.015", minimum="0.25", maximum="2", asset=cents
    )
    customer = customer_of(shop, share)
    shop.fund(customer, "100", asset="cents", kind="promotional")

    costs = [shop.record(customer, volume=n).cost["cents"] for n in (10, 10, 100, 1000)]

    assert costs == [0, 0, 2, 2]
    assert sum(costs) == 4  # 0.25 + 0.25 + 1.5 + 2


def test_a_million_of_a_millionth_is_one_dollar(shop: Shop) -> None:
    customer = customer_of(shop, price(shop, shop.meter("tokens", "tokens"), unit_amount="0.000001"), usd="2")

    usage.record([shop.event(customer, tokens=1000) for _ in range(1000)])

    assert shop.balance(customer).available == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"valid": {"hours": [[22, 6]]}, "match": {"model": ["a"]}}, None),
        ({"valid": {"hours": [[22, 30]]}}, "prices.1.valid.hours"),
        ({"valid": {"zone": "Mars/Base"}}, "prices.1.valid.zone"),
        ({"valid": {"colour": "red"}}, "prices.1.valid.colour"),
        ({"valid": {"weekdays": [0]}}, "prices.1.valid.weekdays"),
        ({"valid": {}}, "prices.1.match"),
        ({"covered_by": "usd", "match": {"model": ["a"]}}, "prices.1.covered_by"),
        ({"model": "flat", "covered_by": "eur", "match": {"model": ["a"]}}, "prices.1.covered_by"),
        ({"cached_of": "self", "match": {"model": ["a"]}}, "prices.0.cached_of"),
    ],
    ids=str,
)
def test_prices_that_do_not_fit_together_are_refused(shop: Shop, fields: dict[str, Any], field: str | None) -> None:
    units = shop.meter("units", "units")
    more = dict(fields)
    if "covered_by" in more:
        more["covered_by"] = Asset.objects.get(pk=more["covered_by"])
    if "cached_of" in more:
        more["cached_of"] = units
    model = more.pop("model", "per_unit")
    prices = [price(shop, units, unit_amount="1"), price(shop, units, model, unit_amount="1", **more)]

    if field is None:
        assert shop.plan("fits", prices).prices.count() == 2
        return
    with pytest.raises(InvalidRequest) as refused:
        shop.plan("unfit", prices)
    assert [error.field for error in refused.value.errors] == [field]


def test_meters_that_are_no_sums_take_prices_for_quantities_alone(shop: Shop) -> None:
    seats = shop.meter("seats", "seats", aggregation="max")

    for model, fields in (("flat", {"unit_amount": "1"}), ("percentage", {"rate": "0.1"})):
        with pytest.raises(InvalidRequest, match=r"prices\.0\.model"):
            shop.plan("unfit", [price(shop, seats, model, **fields)])


def test_an_agreed_version_keeps_the_tiers(shop: Shop) -> None:
    version = shop.plan("tiered", [price(shop, shop.meter("units", "units"), "graduated", tiers=STEPS)])
    customer = shop.customer(plan=None)

    agreed = plans.agree(version, customer=customer, discount=Decimal("0.15"))

    assert agreed.prices.get().tiers.count() == 3
