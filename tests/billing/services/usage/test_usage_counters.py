"""Prices that do not come out even: a period's charges add up to F(total), however the usage is split."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.engine.money import EXACT, round_half_even
from billing.engine.prices import PerUnit
from billing.errors import InsufficientFunds, InvalidRequest
from billing.models import Charge, Customer, UsageCounter
from billing.services import usage
from tests.billing.services.conftest import Clock
from tests.builders import Shop


def customer_at(shop: Shop, unit_amount: str, per: str, *, usd: str = "1000000000", **fields: Any) -> Customer:
    """A customer who pays this for a token, and nothing else."""
    code = f"plan-{unit_amount}-{per}".replace(".", "-").lower()
    shop.plan(code, [shop.price(shop.meter("tokens", "tokens"), unit_amount, per=per)])
    return shop.customer(f"customer-{Customer.objects.count()}", plan=code, usd=usd, **fields)


def charged(customer: Customer) -> Decimal:
    return Charge.objects.filter(customer=customer).aggregate(total=Sum("amount"))["total"] or Decimal(0)


def record(shop: Shop, customer: Customer, batches: Sequence[Sequence[Decimal]]) -> None:
    for batch in batches:
        outcomes = usage.record([shop.event(customer, tokens=tokens) for tokens in batch])
        assert {outcome.status for outcome in outcomes} <= {"charged"}


quantities = st.one_of(
    st.integers(0, 9).map(Decimal),
    st.decimals(min_value=0, max_value=1000, places=7),
    st.sampled_from([Decimal(10) ** -12, Decimal(10) ** 6, Decimal("0.5")]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    price=st.sampled_from([("0.000000000001", "3"), ("2.50", "1000000"), ("1", "7"), ("0.3333", "0.7"), ("1", "60")]),
    batches=st.lists(st.lists(quantities, max_size=6), max_size=4),
)
def test_any_split_into_events_and_batches_adds_up_to_the_price_of_the_total(
    shop: Shop, price: tuple[str, str], batches: list[list[Decimal]]
) -> None:
    customer = customer_at(shop, *price)

    record(shop, customer, batches)

    total = Decimal(0)
    for batch in batches:
        for tokens in batch:
            total = EXACT.add(total, tokens)
    expected = round_half_even(PerUnit(Decimal(price[0]), Decimal(price[1])).total(total), precision=12)
    assert charged(customer) == expected
    assert shop.balance(customer).available == Decimal(1000000000) - expected


def test_three_events_of_a_third_are_one_whole(shop: Shop) -> None:
    customer = customer_at(shop, "1", "3")

    costs = [shop.record(customer, tokens=1).cost["usd"] for _ in range(3)]

    assert costs == [Decimal("0.333333333333"), Decimal("0.333333333334"), Decimal("0.333333333333")]
    assert shop.balance(customer).available == Decimal(999999999)


def test_events_that_are_each_below_the_smallest_amount_are_charged_when_they_reach_it(shop: Shop) -> None:
    customer = customer_at(shop, "0.000000000001", "3")

    costs = [shop.record(customer, tokens=1).cost["usd"] for _ in range(6)]

    assert costs == [0, Decimal("1E-12"), 0, 0, Decimal("1E-12"), 0]


def test_a_price_that_comes_out_even_needs_no_counter(shop: Shop) -> None:
    acme = shop.customer(usd="100")

    shop.record(acme, input_tokens=1000)

    assert UsageCounter.objects.count() == 0


def test_the_first_uneven_event_starts_a_counter_from_what_was_charged_before(shop: Shop) -> None:
    customer = customer_at(shop, "2.50", "1000000")
    shop.record(customer, tokens=1000)
    usage.record(
        [
            shop.event(customer, tokens=500),
            shop.event(customer, tokens=Decimal("0.0000003")),
            shop.event(customer, tokens=Decimal("0.0000003")),
        ]
    )

    assert UsageCounter.objects.get().quantity == Decimal("1500.0000006")
    assert charged(customer) == Decimal("0.003750000002")  # 0.0037500000015, once, to the even neighbour.
    shop.record(customer, tokens=Decimal("0.0000002"))
    assert charged(customer) == Decimal("0.003750000002")


def test_each_price_counts_for_itself(shop: Shop) -> None:
    tokens = shop.meter("tokens", "tokens")
    shop.plan("thirds", [shop.price(tokens, "1", per="3", model=["a"]), shop.price(tokens, "1", per="3", model=["b"])])
    acme = shop.customer(plan="thirds", usd="100")

    costs = [shop.record(acme, tokens=1, model=model).cost["usd"] for model in "abab"]

    first, second = Decimal("0.333333333333"), Decimal("0.333333333334")
    assert costs == [first, first, second, second]
    assert UsageCounter.objects.count() == 2


def test_each_customer_counts_for_itself(shop: Shop) -> None:
    one, other = customer_at(shop, "1", "3"), customer_at(shop, "1", "3")

    usage.record([shop.event(customer, tokens=1) for customer in (one, other, one, other)])

    assert charged(one) == charged(other) == Decimal("0.666666666667")


def test_each_period_starts_from_nothing(shop: Shop, clock: Clock) -> None:
    customer = customer_at(shop, "1", "3")
    subscription = customer.subscriptions.get()
    first_period = subscription.starts_at + timedelta(days=1)

    late = [shop.record(customer, tokens=1, time=first_period).cost["usd"] for _ in range(2)]
    now = shop.record(customer, tokens=1).cost["usd"]

    assert late == [Decimal("0.333333333333"), Decimal("0.333333333334")]
    assert now == Decimal("0.333333333333")
    assert {counter.period_start for counter in UsageCounter.objects.all()} > {subscription.starts_at}


def test_back_dated_and_current_events_of_one_batch_are_counted_in_their_own_periods(shop: Shop) -> None:
    past = timezone.now() - timedelta(days=35)
    customer = customer_at(shop, "1", "3", since=past - timedelta(days=40))

    outcomes = usage.record(
        [
            shop.event(customer, tokens=1, time=time)
            for time in (past, None, past, None, past - timedelta(days=35), None)
        ]
    )

    first, second = Decimal("0.333333333333"), Decimal("0.333333333334")
    assert [outcome.cost["usd"] for outcome in outcomes] == [first, first, second, second, first, first]


def test_a_refused_event_does_not_count(shop: Shop) -> None:
    customer = customer_at(shop, "1", "3", usd="1")

    outcomes = usage.record([shop.event(customer, tokens=tokens) for tokens in (1, 10, 2, 1)])

    assert [type(o.error) for o in outcomes] == [type(None), InsufficientFunds, type(None), InsufficientFunds]
    assert charged(customer) == 1
    assert UsageCounter.objects.get().quantity == 3


def test_a_refused_first_event_starts_no_counter(shop: Shop) -> None:
    customer = customer_at(shop, "1", "3", usd="1")

    shop.record(customer, tokens=10)

    assert UsageCounter.objects.count() == 0
    assert [shop.record(customer, tokens=1).cost["usd"] for _ in range(2)] == [
        Decimal("0.333333333333"),
        Decimal("0.333333333334"),
    ]


def test_a_replayed_event_does_not_count_again(shop: Shop) -> None:
    customer = customer_at(shop, "1", "3")
    event = shop.event(customer, tokens=1)

    usage.record([event, event])
    usage.record([event])

    assert UsageCounter.objects.get().quantity == 1


def test_every_asset_keeps_its_own_number_of_decimals(shop: Shop) -> None:
    """Currencies and units of each precision from 0 to 12, all charged by the same events."""
    tokens = shop.meter("tokens", "tokens")
    assets = [
        shop.asset(f"{kind}{precision}", kind=kind, precision=precision)
        for kind in ("currency", "unit")
        for precision in range(13)
    ]
    shop.plan("all", [shop.price(tokens, "1", per="3", asset=asset) for asset in assets])
    acme = shop.customer(plan="all")
    for asset in assets:
        shop.fund(acme, "100", asset=asset.code, kind="promotional")

    outcomes = usage.record([shop.event(acme, tokens=1), shop.event(acme, tokens=1)])
    outcomes.append(shop.record(acme, tokens=1))

    for asset in assets:
        costs = [outcome.cost[asset.code] for outcome in outcomes]
        assert sum(costs) == 1
        assert {-cost.as_tuple().exponent for cost in costs} == {asset.precision}
        assert shop.balance(acme, asset.code).available == 99


def test_a_period_beyond_what_the_books_hold_is_refused_for_the_event_alone(shop: Shop) -> None:
    customer = customer_at(shop, "0", "3")
    shop.record(customer, tokens=9 * 10**17)

    beyond, other = usage.record([shop.event(customer, tokens=2 * 10**17), shop.event(customer, tokens=1)])

    assert isinstance(beyond.error, InvalidRequest)
    assert other.status == "charged"
    assert UsageCounter.objects.get().quantity == 9 * 10**17 + 1
