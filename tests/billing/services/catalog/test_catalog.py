"""Assets, meters, plans and subscriptions."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing.errors import AlreadyExists, InvalidRequest
from billing.models import Asset, Meter, Plan, PlanVersion, Price, Subscription
from billing.services import subscriptions
from billing.services.catalog import assets, meters, plans
from tests.builders import Shop


def test_an_asset_is_added_once(shop: Shop) -> None:
    assets.create(actor=SYSTEM, code="images", name="Images", kind="unit", precision=0)

    with pytest.raises(AlreadyExists):
        assets.create(actor=SYSTEM, code="images", name="Other", kind="unit", precision=3)

    assert Asset.objects.get(pk="images").name == "Images"
    assert AuditEvent.objects.get(action="asset.created").after == {"name": "Images", "kind": "unit", "precision": 0}


def test_dollars_and_euros_exist_from_the_start(shop: Shop) -> None:
    assert list(Asset.objects.values_list("code", "kind", "precision")) == [
        ("eur", "currency", 12),
        ("usd", "currency", 12),
    ]


def meter(**fields: Any) -> Meter:
    values = {"code": "m", "name": "M", "event_type": "t", "aggregation": "sum", "value": "n"}
    return meters.create(actor=SYSTEM, **values | fields)


def test_a_meter_is_added_once(shop: Shop) -> None:
    meter()

    with pytest.raises(AlreadyExists):
        meter(value="other")

    assert Meter.objects.get().value == "n"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"value": ""}, "value"),
        ({"aggregation": "count"}, "value"),
        ({"value": "n ** 2"}, "value"),
        ({"value": "__import__('os')"}, "value"),
        ({"value": "1 + 1"}, "value"),
    ],
)
def test_a_meter_that_could_not_count_is_refused(shop: Shop, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        meter(**fields)

    assert [error.field for error in refusal.value.errors] == [field]
    assert Meter.objects.count() == 0


def test_a_counting_meter_needs_no_value(shop: Shop) -> None:
    assert meter(aggregation="count", value="").value == ""


def test_a_plan_is_published_as_version_1_and_its_versions_are_counted(shop: Shop) -> None:
    tokens = shop.meter("tokens", "tokens")
    first = plans.create(
        actor=SYSTEM, code="p", name="P", currency=shop.usd, interval="month", prices=[shop.price(tokens, "1")]
    )

    second = plans.publish_version(actor=SYSTEM, plan=first.plan, interval="year", prices=[shop.price(tokens, "2")])

    assert [(v.number, v.interval) for v in (first, second)] == [(1, "month"), (2, "year")]
    assert [p.unit_amount for p in Price.objects.order_by("plan_version__number")] == [1, 2]
    assert AuditEvent.objects.filter(action="plan.published", object_id="p").count() == 2


def test_a_plan_is_added_once(shop: Shop) -> None:
    shop.plan("p", [shop.price(shop.meter("tokens", "tokens"), "1")])

    with pytest.raises(AlreadyExists):
        plans.create(
            actor=SYSTEM,
            code="p",
            name="P",
            currency=shop.usd,
            interval="month",
            prices=[shop.price(shop.meter("tokens"), "2")],
        )

    assert Plan.objects.count() == PlanVersion.objects.count() == Price.objects.count() == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"model": ["a"]}, {"model": ["a"]}),
        ({"model": ["a", "b"]}, {"model": ["b", "c"]}),
        ({"model": ["a"]}, {"user": ["u"]}),
        ({"model": ["a"], "user": ["u"]}, {"model": ["a"], "project": ["p"]}),
    ],
)
def test_prices_that_fit_the_same_usage_equally_well_are_refused(
    shop: Shop, one: dict[str, list[str]], other: dict[str, list[str]]
) -> None:
    tokens = shop.meter("tokens", "tokens")

    with pytest.raises(InvalidRequest) as refusal:
        shop.plan("p", [shop.price(tokens, "1", **one), shop.price(tokens, "2", **other)])

    assert [(error.field, error.code) for error in refusal.value.errors] == [("prices.1.match", "ambiguous")]
    assert Plan.objects.count() == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"model": ["a"]}),
        ({"model": ["a"]}, {"model": ["b"]}),
        ({"model": ["a"]}, {"model": ["a"], "user": ["u"]}),
        ({"model": ["a"], "user": ["u"]}, {"model": ["b"], "user": ["u"]}),
    ],
)
def test_prices_that_can_be_told_apart_are_taken(
    shop: Shop, one: dict[str, list[str]], other: dict[str, list[str]]
) -> None:
    tokens = shop.meter("tokens", "tokens")

    shop.plan("p", [shop.price(tokens, "1", **one), shop.price(tokens, "2", **other)])

    assert Price.objects.count() == 2


def test_two_meters_may_have_the_same_match(shop: Shop) -> None:
    prices = [shop.price(shop.meter(code, code), "1", model=["a"]) for code in ("tokens", "images")]

    assert shop.plan("p", prices).prices.count() == 2


def test_a_price_can_match_only_what_its_meter_knows(shop: Shop) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        shop.plan("p", [shop.price(shop.meter("tokens", "tokens"), "1", colour=["red"])])

    assert [error.field for error in refusal.value.errors] == ["prices.0.match"]


def test_a_plan_without_prices_is_refused(shop: Shop) -> None:
    with pytest.raises(InvalidRequest, match="at least one price"):
        plans.create(actor=SYSTEM, code="p", name="P", currency=shop.usd, interval="month", prices=[])


def test_a_subscription_is_to_the_latest_version(shop: Shop) -> None:
    tokens = shop.meter("tokens", "tokens")
    version = shop.plan("p", [shop.price(tokens, "1")])
    plans.publish_version(actor=SYSTEM, plan=version.plan, interval="month", prices=[shop.price(tokens, "2")])
    acme = shop.customer(plan=None)
    starts_at = timezone.now() - timedelta(days=1)

    subscription = subscriptions.start(actor=SYSTEM, customer=acme, plan=version.plan, starts_at=starts_at)

    assert (subscription.plan_version.number, subscription.starts_at, subscription.ends_at) == (2, starts_at, None)
    assert AuditEvent.objects.get(action="subscription.started").after == {
        "customer": "acme",
        "plan": "p",
        "version": 2,
    }


def test_a_customer_is_on_a_plan_once(shop: Shop) -> None:
    acme = shop.customer()

    with pytest.raises(AlreadyExists):
        shop.subscribe(acme)

    assert Subscription.objects.count() == 1


def test_the_cost_of_a_price_is_kept_to_the_last_digit(shop: Shop) -> None:
    version = shop.plan("p", [shop.price(shop.meter("tokens", "tokens"), "0.000000000001", per="999999999999.5")])

    price = version.prices.get()
    assert (price.unit_amount, price.per) == (Decimal("0.000000000001"), Decimal("999999999999.5"))
