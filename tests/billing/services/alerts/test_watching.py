"""Alerts: once for each crossing, again after it was undone, and the recovery is told."""

import threading
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.errors import InvalidRequest, NotFound
from billing.models import Alert, AutoTopUp, BudgetCounter, Customer, Notice, OutboxEvent
from billing.services import alerts, budgets
from billing.services.alerts import watching
from billing.services.wallet import recurring
from tests.billing.services.ledger.test_races import together
from tests.builders import Shop

DOLLAR = 400_000


def told() -> list[tuple[str, str | None]]:
    return [(row.kind, row.facts.get("threshold")) for row in Notice.objects.order_by("pk")]


def watch_after(shop: Shop, acme: Customer, *dollars: str) -> None:
    for each in dollars:
        assert shop.record(acme, input_tokens=int(Decimal(each) * DOLLAR)).status == "charged"
        alerts.watch_balances()


def test_a_balance_that_crosses_the_threshold_is_told_once(shop: Shop) -> None:
    acme = shop.customer(usd="10.01")
    shop.alert(acme, "10")
    alerts.watch_balances()
    assert told() == []

    watch_after(shop, acme, "0.01")
    assert told() == []
    watch_after(shop, acme, "0.01", "0.49", "3")

    assert told() == [("wallet.balance_low", "10")]
    notice = Notice.objects.get()
    assert notice.text == "Your AI Agent balance is low. $9.99 left, below $10.00."
    assert OutboxEvent.objects.get(type="wallet.balance_low").payload["available"] == "9.99"


def test_shares_of_the_last_top_up_are_told_each_once_and_again_after_the_next(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.alert(acme, "0.5", "0.2", "0.1", of="last_top_up")

    watch_after(shop, acme, "45", "10", "10", "20", "1", "6", "1")
    assert told() == [("wallet.balance_low", "50"), ("wallet.balance_low", "20"), ("wallet.balance_low", "10")]
    assert "(20 % of the last top-up)" in Notice.objects.order_by("pk")[1].text

    shop.fund(acme, "100")
    alerts.watch_balances()
    assert told()[3:] == [("wallet.balance_recovered", None)]
    watch_after(shop, acme, "60")
    assert told()[4:] == [("wallet.balance_low", "50")]


def test_it_says_that_an_automatic_top_up_is_on_its_way(shop: Shop) -> None:
    acme = shop.customer(usd="6")
    shop.alert(acme, "5")
    AutoTopUp.objects.create(
        customer=acme,
        purpose="auto_top_up",
        asset=shop.usd,
        threshold=Decimal(5),
        amount=Decimal(20),
        due_at=timezone.now(),
    )

    watch_after(shop, acme, "2")

    text = Notice.objects.get().text
    assert text == "Your AI Agent balance is low. Auto-recharge initiated. $4.00 left, below $5.00."


def test_what_is_used_up_is_told(shop: Shop) -> None:
    acme = shop.customer(usd="10")
    shop.alert(acme, "5")

    watch_after(shop, acme, "10")

    assert told() == [("wallet.depleted", None)]


def test_a_partial_recovery_arms_only_what_is_above(shop: Shop) -> None:
    acme = shop.customer(usd="30")
    shop.alert(acme, "20", "10")
    watch_after(shop, acme, "25")
    shop.fund(acme, "10")
    alerts.watch_balances()

    watch_after(shop, acme, "6")

    assert told() == [("wallet.balance_low", "10")] * 2


def test_many_watchers_tell_once(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="1")
    shop.alert(acme, "5")

    together(*[alerts.watch_balances] * 6)

    assert told() == [("wallet.balance_low", "5")]


def test_that_race_is_real_where_the_level_is_not_looked_at(
    committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: whoever saw the crossing tells of it."""
    acme = shop.customer(usd="1")
    shop.alert(acme, "5")
    barrier = threading.Barrier(3)

    def move(alert: Alert, level: int, kind: str, facts: dict[str, Any]) -> bool:
        barrier.wait(timeout=60)
        with transaction.atomic():
            Alert.objects.filter(pk=alert.pk).update(level=level)
            watching.tell(alert, kind, facts)
        return True

    monkeypatch.setattr(watching, "_move", move)
    together(*[alerts.watch_balances] * 3)

    assert len(told()) == 3


def test_value_that_expires_is_told_at_each_distance_once(shop: Shop) -> None:
    acme = shop.customer()
    shop.alert(acme, "30", "7", "1", kind="grant_expiring", of="days")
    now = timezone.now()
    grant = shop.fund(acme, "40", expires_at=now + timedelta(days=20), name="Launch credits")
    shop.fund(acme, "1", expires_at=now + timedelta(days=60))
    shop.fund(acme, "1", expires_at=now + timedelta(days=2), kind="allowance")
    daily = recurring.Terms(asset=shop.usd, amount=Decimal(1), interval="day", kind="promotional")
    recurring.create(actor=SYSTEM, customer=acme, terms=daily)

    assert [alerts.watch_expiries(), alerts.watch_expiries()] == [1, 0]
    type(grant).objects.filter(pk=grant.pk).update(expires_at=now + timedelta(days=6))
    assert [alerts.watch_expiries(), alerts.watch_expiries()] == [1, 0]
    type(grant).objects.filter(pk=grant.pk).update(expires_at=now + timedelta(hours=6))
    assert [alerts.watch_expiries(), alerts.watch_expiries()] == [1, 0]

    assert told() == [("grant.expiring", "30"), ("grant.expiring", "7"), ("grant.expiring", "1")]
    assert Notice.objects.order_by("pk")[2].title == "$40.00 will expire tomorrow"


def test_each_alert_looks_only_as_far_ahead_as_it_says(shop: Shop) -> None:
    now = timezone.now()
    for name, days in (("near", "7"), ("far", "365")):
        customer = shop.customer(name)
        shop.alert(customer, days, kind="grant_expiring", of="days")
        shop.fund(customer, "1", expires_at=now + timedelta(days=5))
        shop.fund(customer, "1", expires_at=now + timedelta(days=300))
    kept = list(Alert.objects.order_by("pk"))

    assert Counter(alert_id for alert_id, _, _ in watching._ending(kept)) == {kept[0].pk: 1, kept[1].pk: 2}
    assert alerts.watch_expiries() == 3
    assert watching._ending(kept) == []


def test_a_short_runway_is_told_and_its_end_too(shop: Shop) -> None:
    acme = shop.customer(usd="120")
    shop.alert(acme, "14", "7", kind="runway_below", of="days")
    now = timezone.now()
    for ago in range(1, 11):
        shop.record(acme, input_tokens=5 * DOLLAR, time=now - timedelta(days=ago))
    alerts.watch_runways()
    assert told() == []  # 70 at 5 a day: 14 days.

    shop.record(acme, input_tokens=10 * DOLLAR, time=now - timedelta(days=40))
    alerts.watch_runways()
    alerts.watch_runways()
    assert told() == [("wallet.runway_short", "14")]
    shop.fund(acme, "500")
    alerts.watch_runways()
    assert told()[1:] == [("wallet.runway_recovered", None)]


def test_a_budget_that_was_hit_tells_that_it_began_anew(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    budget = shop.budget(acme, "1", period="day", name="Day")
    shop.record(acme, input_tokens=2 * DOLLAR)
    assert budgets.reset_due() == 0

    BudgetCounter.objects.filter(budget=budget).update(window_end=budget.created_at)
    assert [budgets.reset_due(), budgets.reset_due()] == [1, 0]

    assert [kind for kind, _ in told()] == ["budget.exceeded", "budget.reset"]
    assert shop.record(acme, input_tokens=DOLLAR).status == "charged"


def test_a_removed_alert_tells_nothing(shop: Shop) -> None:
    acme = shop.customer(usd="1")
    alert = shop.alert(acme, "5")
    alerts.remove(actor=SYSTEM, alert=alert)

    assert alerts.watch_balances() == 0
    with pytest.raises(NotFound):
        alerts.remove(actor=SYSTEM, alert=alert)


@pytest.mark.parametrize(
    ("at", "kind", "of"),
    [
        ([], "balance_below", "amount"),
        (["0"], "balance_below", "amount"),
        (["-1"], "balance_below", "amount"),
        (["0.0000000000001"], "balance_below", "amount"),
        (["1.5"], "balance_below", "last_top_up"),
        (["0.12345"], "balance_below", "last_top_up"),
        (["3"], "balance_below", "days"),
        (["3"], "runway_below", "amount"),
        (["1.5"], "runway_below", "days"),
        (["400"], "grant_expiring", "days"),
    ],
)
def test_what_makes_no_sense_is_refused(shop: Shop, at: list[str], kind: str, of: str) -> None:
    acme = shop.customer()

    with pytest.raises(InvalidRequest):
        shop.alert(acme, *at, kind=kind, of=of)
    assert not Alert.objects.exists()


def test_who_is_quiet_costs_no_question(shop: Shop) -> None:
    """However many they are, and until their balance moves."""

    def look() -> int:
        with CaptureQueriesContext(connection) as asked:
            alerts.watch_runways()
            alerts.watch_expiries()
        return len(asked)

    def add(name: str) -> Customer:
        customer = shop.customer(name, usd="100")
        shop.alert(customer, "7", kind="runway_below", of="days")
        shop.alert(customer, "30", "7", kind="grant_expiring", of="days")
        shop.fund(customer, "1", expires_at=timezone.now() + timedelta(days=3))
        look()
        return customer

    first = add("first")
    of_one = look()
    for name in ("b", "c", "d", "e"):
        add(name)
    assert look() == of_one
    shop.record(first, input_tokens=DOLLAR)
    assert look() > of_one
    assert look() == of_one
