"""Sample traffic: plausible, never from the future, and priced by the plans that its customers are on."""

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import pytest

from billing.demo import catalog, traffic
from billing.demo.customers import CUSTOMERS, SampleCustomer

NOW = datetime(2026, 3, 18, 15, 30, tzinfo=ZoneInfo("UTC"))
BUSY = [sample for sample in CUSTOMERS if sample.events]


def month(sample: SampleCustomer) -> list[traffic.TimedCall]:
    return list(traffic.month(sample, now=NOW, random=Random(1)))


@pytest.mark.parametrize("sample", BUSY, ids=lambda sample: sample.external_id)
def test_a_month_is_over_and_nearly_complete(sample: SampleCustomer):
    calls = month(sample)
    assert 0.9 * sample.events <= len(calls) <= sample.events
    assert max(made.time for made in calls) < NOW
    assert min(made.time for made in calls) >= NOW - timedelta(days=traffic.DAYS + 1)
    assert len({made.id for made in calls}) == len(calls)


def test_days_have_a_rhythm_and_weeks_too():
    acme = CUSTOMERS[0]
    times = [made.time.astimezone(ZoneInfo(acme.timezone)) for made in month(acme)]
    hours = Counter(time.hour for time in times)
    assert sum(hours[hour] for hour in range(9, 17)) > 4 * sum(hours[hour] for hour in range(6))
    weekend = sum(time.weekday() >= 5 for time in times)
    assert weekend < 0.2 * len(times)


@pytest.mark.parametrize("sample", BUSY, ids=lambda sample: sample.external_id)
def test_every_call_has_a_price_on_the_customers_plans_unless_it_is_meant_to_have_none(sample: SampleCustomer):
    prices = [price for plan in catalog.PLANS if plan.code in sample.plans for price in plan.prices]
    for made in month(sample)[:300]:
        if made.call.data.get("model") == catalog.UNPRICED_MODEL:
            continue
        for meter in (meter for meter in catalog.METERS if meter.event_type == made.call.type):
            fitting = [
                price
                for price in prices
                if price.meter == meter.code
                and all(made.call.data.get(field) in values for field, values in price.match.items())
            ]
            assert len(fitting) == 1, (made.call, meter.code)


@pytest.mark.parametrize("sample", BUSY, ids=lambda sample: sample.external_id)
def test_cached_tokens_are_part_of_the_input(sample: SampleCustomer):
    for made in month(sample):
        if made.call.type == "llm.completion":
            for data in (made.call.data, traffic.smaller(made.call, 0.05).data):
                assert 0 <= data["cached_input_tokens"] <= data["input_tokens"]


def test_the_discounted_plan_is_a_fifth_below_the_list_to_the_last_digit():
    listed, scaled = catalog.PLANS[0].prices, catalog.PLANS[1].prices
    for before, after in zip(listed[: 3 * len(catalog.MODELS)], scaled, strict=False):
        assert after.amount == before.amount * Decimal("0.8")
        assert (after.meter, after.match) == (before.meter, before.match)


def test_samples_are_plainly_samples():
    assert all(sample.email.endswith(".test") for sample in CUSTOMERS)
