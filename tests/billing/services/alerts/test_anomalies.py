"""Spending that runs away is noticed by the worker, told once, and stopped where that is wished."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from accounts.models import ApiKey, AuditEvent
from accounts.services import api_keys
from accounts.services.audit import SYSTEM
from billing.models import Customer, Notice, OutboxEvent, SpendAnomaly, UsageRollup
from billing.services import usage
from billing.services.alerts import anomalies
from billing.services.usage import rollups
from tests.builders import Shop

ONE_DOLLAR = 100_000
"""Output tokens."""


@pytest.fixture
def acme(committed_db: None, shop: Shop) -> Customer:
    """Two dollars an hour, by one key, for eight weeks."""
    cache.clear()
    customer = shop.customer("acme", usd="10000")
    key, _ = api_keys.issue(name="Agent", scopes=["events:write"], organization=customer.organization)
    use(shop, customer, key, "2")
    rollups.roll_up()
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    rows = list(UsageRollup.objects.exclude(grain="session"))
    for number in range(1, 24 * 7 * 8):
        for row in rows:
            row.hour = now - timedelta(hours=number)
        UsageRollup.objects.bulk_create(rows)
    return customer


def use(shop: Shop, customer: Customer, key: ApiKey | None, dollars: str, **data: Any) -> None:
    event = shop.event(customer, output_tokens=int(Decimal(dollars) * ONE_DOLLAR), **data)
    event.api_key_id = key.pk if key else None
    usage.record([event])


def key_of(customer: Customer) -> ApiKey:
    return ApiKey.objects.get(organization=customer.organization)


def watch() -> int:
    rollups.roll_up()
    return anomalies.watch()


def test_what_is_usual_is_not_told(acme: Customer, shop: Shop) -> None:
    use(shop, acme, key_of(acme), "4")

    assert watch() == 0
    assert not Notice.objects.exists()


def test_a_spike_is_told_once(acme: Customer, shop: Shop) -> None:
    use(shop, acme, key_of(acme), "9")

    assert watch() == 1
    assert watch() == 0

    (anomaly,) = SpendAnomaly.objects.all()
    assert (anomaly.scope, anomaly.level, anomaly.spent, anomaly.usual) == ("api_key", "spike", 11, 2)
    message = OutboxEvent.objects.get(type="usage.spike")
    assert (message.payload["times"], message.payload["action"]) == ("5.5", "tell")
    assert Notice.objects.get().title == "Much more is spent than usual: $11.00 in an hour"
    key = key_of(acme)
    assert key.paused_at is None


def test_a_loop_at_fifty_times_the_pace_is_paused_long_before_its_hour_is_over(acme: Customer, shop: Shop) -> None:
    anomalies.choose(actor=SYSTEM, customer=acme, action="pause")
    key = key_of(acme)
    minutes = 0
    while key.paused_at is None:
        minutes += 1
        assert minutes < 15
        use(shop, acme, key, str(Decimal(2) * 50 / 60), feature="loop")
        watch()
        key.refresh_from_db()

    assert minutes <= 10
    assert OutboxEvent.objects.filter(type="usage.anomaly_detected").count() == 1
    notice = Notice.objects.get(kind="usage.anomaly_detected")
    assert notice.title == "An API key was paused: it spent far too much"
    assert api_keys.resume(key)


def test_without_the_wish_nothing_is_paused(acme: Customer, shop: Shop) -> None:
    use(shop, acme, key_of(acme), "100")
    watch()

    assert key_of(acme).paused_at is None
    assert OutboxEvent.objects.get(type="usage.anomaly_detected").payload["action"] == "tell"
    for action in ("nothing", "nothing"):
        anomalies.choose(actor=SYSTEM, customer=acme, action=action)
    line = AuditEvent.objects.get(action="spend_watch.changed")
    assert (line.before, line.after) == ({"action": "tell"}, {"action": "nothing"})
    SpendAnomaly.objects.all().delete()
    assert watch() == 0


def test_the_operators_key_is_never_paused(acme: Customer, shop: Shop) -> None:
    anomalies.choose(actor=SYSTEM, customer=acme, action="pause")
    operators, _ = api_keys.issue(name="Gateway", scopes=["*"])
    use(shop, acme, operators, "500")

    assert watch() == 1

    operators.refresh_from_db()
    assert operators.paused_at is None
    assert SpendAnomaly.objects.get().scope == "customer"


def test_a_new_customer_and_a_quiet_one_are_not_judged(committed_db: None, shop: Shop) -> None:
    cache.clear()
    globex = shop.customer("globex", usd="1000")
    use(shop, globex, None, "500")

    assert watch() == 0
