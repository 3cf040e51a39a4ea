"""A new customer begins with the operator's default alerts, which are alerts like any other."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing import checks
from billing.config import settings as shipped
from billing.models import Alert, Customer, Notice
from billing.services import alerts
from tests.builders import Shop


def kept(customer: Customer) -> list[tuple[str, str, list[str]]]:
    found = Alert.objects.filter(customer=customer, removed_at=None).order_by("pk")
    return [(alert.kind, alert.of, alert.at) for alert in found]


@pytest.mark.django_db
def test_a_new_customer_begins_with_them_and_others_stay_as_they_are(shop: Shop, settings: Any) -> None:
    before = shop.customer("before")
    settings.DEFAULT_ALERTS = shipped.DEFAULT_ALERTS
    acme = shop.customer("acme", usd="10")

    assert kept(before) == []
    assert kept(acme) == [
        ("balance_below", "last_top_up", ["0.5", "0.2", "0.1"]),
        ("grant_expiring", "days", ["30", "7", "1"]),
    ]
    shop.record(acme, input_tokens=2_400_000)
    alerts.watch_balances()
    assert Notice.objects.get().title.startswith("Your AI Agent balance is low")
    alerts.remove(actor=SYSTEM, alert=Alert.objects.filter(customer=acme).earliest("pk"))
    assert [kind for kind, _, _ in kept(acme)] == ["grant_expiring"]


@pytest.mark.django_db
def test_what_ships_tells_of_what_is_bought_and_not_of_what_comes_anew(shop: Shop, settings: Any) -> None:
    settings.DEFAULT_ALERTS = shipped.DEFAULT_ALERTS
    acme, now = shop.customer("acme"), timezone.now()
    for kind, days in (("purchase", 6), ("purchase", 300), ("allowance", 2)):
        shop.fund(acme, "5", kind=kind, expires_at=now + timedelta(days=days))

    assert [alerts.watch_expiries(), alerts.watch_expiries(), alerts.watch_balances()] == [1, 0, 0]
    shop.record(acme, input_tokens=3_600_000)  # 9 of 15, and less than half of the last purchase is not reached yet.
    assert [alerts.watch_expiries(), alerts.watch_balances()] == [0, 0]
    shop.record(acme, input_tokens=1_600_000)
    assert [alerts.watch_expiries(), alerts.watch_balances()] == [0, 1]
    assert sorted(Notice.objects.values_list("kind", flat=True)) == ["grant.expiring", "wallet.balance_low"]


@pytest.mark.django_db
def test_the_operator_may_want_others_or_none(shop: Shop, settings: Any) -> None:
    settings.DEFAULT_ALERTS = {"runway_below": "14 7", "commitment_used": "1 0.8"}
    assert kept(shop.customer("acme")) == [
        ("runway_below", "days", ["14", "7"]),
        ("commitment_used", "commitment", ["0.8", "1"]),
    ]
    settings.DEFAULT_ALERTS = {}
    assert kept(shop.customer("globex")) == []


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"spend": "1"}, "spend is none of"),
        ({"balance_below": "half"}, "not a number"),
        ({"balance_below": "2"}, "last top-up"),
        ({"grant_expiring": ""}, "thresholds"),
        ({"runway_below": "0.5"}, "whole numbers"),
        (shipped.DEFAULT_ALERTS, ""),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(settings: Any, wanted: dict[str, str], says: str) -> None:
    settings.DEFAULT_ALERTS = wanted
    found = checks.default_alerts(None)
    assert [error.id for error in found] == (["billing.E011"] if says else [])
    assert says in "".join(error.msg for error in found)
