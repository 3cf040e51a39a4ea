"""Where money could be saved."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.models import Customer, UsageEvent
from billing.selectors.spending import advice
from billing.services import usage
from billing.services.catalog import what_if
from billing.services.wallet import corrections
from tests.builders import Shop

MILLION = 1_000_000


@pytest.fixture
def acme(shop: Shop) -> Customer:
    tokens = shop.meter("llm_input", "input_tokens")
    prices = [("large", "10"), ("small", "2"), ("middle", "9")]
    shop.plan("pro", [shop.price(tokens, amount, per=str(MILLION), model=[model]) for model, amount in prices])
    return shop.customer(usd="1000")


def test_the_same_request_again_is_named_with_what_it_cost_beyond_the_first(shop: Shop, acme: Customer) -> None:
    for _ in range(3):
        shop.record(acme, model="large", input_tokens=MILLION, prompt_hash="a")
    shop.record(acme, model="small", input_tokens=MILLION, prompt_hash="a")
    wrong = shop.record(acme, model="large", input_tokens=MILLION, prompt_hash="b")
    shop.record(acme, model="large", input_tokens=MILLION, request_hash="b")
    shop.record(acme, model="large", input_tokens=MILLION)
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(pk=wrong.transaction_id), reason="x")

    found = advice.of(acme, "usd")

    (again,) = found.repeated
    assert (again.fingerprint, again.model, again.calls, again.wasted) == ("a", "large", 3, 20)
    assert found.events == 7


def test_a_cheaper_model_saves_what_a_replay_says(shop: Shop, acme: Customer) -> None:
    for quantity in (MILLION, 333_333, 7):
        shop.record(acme, model="large", input_tokens=quantity)
    shop.record(acme, model="small", input_tokens=MILLION)

    (cheaper,) = advice.of(acme, "usd").cheaper

    assert (cheaper.model, cheaper.instead) == ("large", "small")
    now = timezone.now()
    scenario = what_if.Scenario(now - timedelta(days=1), now + timedelta(minutes=1), models={"large": "small"})
    replayed = what_if.replay(scenario, acme.pk)
    assert cheaper.saving == replayed.now["usd"] - replayed.then["usd"]
    assert cheaper.share == Decimal("0.8")


def test_a_model_that_is_hardly_cheaper_is_not_named(shop: Shop, acme: Customer) -> None:
    shop.record(acme, model="small", input_tokens=MILLION)

    assert advice.of(acme, "usd").cheaper == []
    assert advice.of(shop.customer("nobody", plan=None), "usd").nothing


def test_many_small_calls_of_one_hour_are_flagged(shop: Shop, acme: Customer) -> None:
    at = timezone.now().replace(minute=5, second=0, microsecond=0) - timedelta(hours=2)

    def calls(count: int, **data: object) -> None:
        usage.record([shop.event(acme, time=at, **data) for _ in range(count)])

    calls(advice.SMALL_CALLS_MIN, model="small", input_tokens=100)
    calls(advice.SMALL_CALLS_MIN, model="large", input_tokens=3000)
    calls(advice.SMALL_CALLS_MIN - 1, model="middle", input_tokens=100)

    (small,) = advice.of(acme, "usd").small

    assert (small.model, small.calls, small.tokens) == ("small", 100, 100)
    assert (small.hour, small.amount) == (at.replace(minute=0), Decimal("0.02"))


def test_another_customers_requests_are_not_counted(shop: Shop, acme: Customer) -> None:
    globex = shop.customer("globex", usd="100")
    for customer in (acme, globex):
        shop.record(customer, model="small", input_tokens=MILLION, prompt_hash="same")

    assert advice.of(acme, "usd").repeated == []


def test_each_list_begins_with_what_costs_the_most_and_the_events_are_read_once(shop: Shop, acme: Customer) -> None:
    for calls, fingerprint in ((2, "twice"), (4, "often"), (3, "thrice")):
        for _ in range(calls):
            shop.record(acme, model="small", input_tokens=MILLION, prompt_hash=fingerprint)

    with CaptureQueriesContext(connection) as queries:
        found = advice.of(acme, "usd")

    assert [(each.fingerprint, each.wasted) for each in found.repeated] == [("often", 6), ("thrice", 4), ("twice", 2)]
    assert sum("billing_usageevent" in query["sql"] for query in queries) == 1
