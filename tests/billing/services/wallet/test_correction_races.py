"""Corrections at the same moment as each other, as the worker and as usage; and the control without the lock."""

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing import locks, pipeline
from billing.errors import InvalidState
from billing.models import Correction, Customer, Grant, LedgerEntry, UsageEvent
from billing.selectors.ledger import corrections as selector
from billing.services.wallet import corrections, grants
from tests.billing.services.ledger.test_races import spend, together
from tests.builders import Shop


def reverse(event_id: str) -> Callable[[], corrections.Corrected]:
    event = UsageEvent.objects.select_related("customer").get(event_id=event_id)
    return lambda: corrections.reverse(actor=SYSTEM, event=event, reason="x")


def refund(shop: Shop, event_id: str, amount: str) -> Callable[[], corrections.Corrected]:
    event, usd = UsageEvent.objects.select_related("customer").get(event_id=event_id), shop.usd
    return lambda: corrections.refund(actor=SYSTEM, event=event, asset=usd, amount=Decimal(amount), reason="x")


@pytest.fixture
def acme(committed_db: None, shop: Shop) -> Customer:
    """With an event that took one of two dollars."""
    customer = shop.customer(usd="2")
    spend(shop, customer, "one")()
    return customer


def test_of_reversals_at_once_one_has_an_effect(acme: Customer, shop: Shop) -> None:
    results = together(*[reverse("one")] * 6)

    assert sum(isinstance(result, corrections.Corrected) for result in results) == 1
    assert sum(isinstance(result, InvalidState) for result in results) == 5
    assert (shop.balance(acme).available, shop.balance(acme).lifetime_spent) == (2, 0)
    assert LedgerEntry.objects.filter(kind="reversal").count() == 1


def test_refunds_at_once_add_up_to_no_more_than_the_whole(acme: Customer, shop: Shop) -> None:
    results = together(*[refund(shop, "one", "0.4")] * 5)

    assert sum(isinstance(result, corrections.Corrected) for result in results) == 2
    assert sum(isinstance(result, InvalidState) for result in results) == 3
    assert shop.balance(acme).available == Decimal("1.8")


@pytest.mark.corrupts_books
def test_that_race_is_real_without_the_lock(acme: Customer, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    locked, standing = locks.balances, selector.standing

    def balances(customer_ids: Any, **how: Any) -> pipeline.Query:
        query = locked(customer_ids, **how)
        return pipeline.Query(query.statement.replace("FOR UPDATE", ""), query.parameters)

    def slowly(event: UsageEvent) -> selector.Standing:
        found = standing(event)
        time.sleep(0.5)
        return found

    monkeypatch.setattr(locks, "balances", balances)
    monkeypatch.setattr(selector, "standing", slowly)

    results = together(*[refund(shop, "one", "0.4")] * 5)

    # All of them saw the whole charge and took the same number; that the database refuses.
    refused = [result for result in results if isinstance(result, IntegrityError)]
    assert refused
    assert all("billing_entry_seq_once" in str(error) for error in refused)


def test_a_reversal_and_the_worker_who_takes_the_grant_out(committed_db: None, shop: Shop) -> None:
    acme = shop.customer()
    ends = timezone.now() + timedelta(seconds=2)
    lapsing = shop.fund(acme, "2", expires_at=ends)
    spend(shop, acme, "one")()
    while timezone.now() < ends + timedelta(seconds=0.2):
        time.sleep(0.1)

    results = together(reverse("one"), grants.settle_due, grants.settle_due)

    assert not [result for result in results if isinstance(result, Exception)]
    lapsing.refresh_from_db()
    assert (lapsing.expired, lapsing.drawn, lapsing.remaining) == (1, 1, 0)
    assert Grant.objects.get(replaces=lapsing).remaining == 1
    assert shop.balance(acme).available == 1


def test_reversals_beside_usage_of_the_same_wallet(acme: Customer, shop: Shop) -> None:
    for name in ("two", "three"):
        shop.fund(acme, "1")
        spend(shop, acme, name)()

    results = together(
        *(reverse(name) for name in ("one", "two", "three")), *(spend(shop, acme, f"e{n}") for n in range(5))
    )

    charged = sum(getattr(result, "status", "") == "charged" for result in results)
    assert Correction.objects.count() == 3
    balance = shop.balance(acme)
    assert (balance.available, balance.lifetime_spent) == (4 - charged, charged)
