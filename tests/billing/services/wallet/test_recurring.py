"""Grants that come again each period: each once, also late, in pause, and under workers that race."""

import time
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError

from accounts.models import AuditEvent, User
from accounts.services.audit import SYSTEM, Actor
from billing import locks, pipeline
from billing.errors import ApprovalRequired, InvalidRequest, InvalidState
from billing.models import Customer, Grant, RecurringGrant, RecurringGrantPeriod
from billing.services import approvals, authorizations
from billing.services.wallet import issuing, recurring, wallets
from tests.billing.services.conftest import Clock
from tests.billing.services.ledger.test_races import together
from tests.billing.services.subscriptions.test_subscriptions import moment
from tests.builders import Shop

YEARS = {
    "day": "2026-02-01",
    "week": "2026-02-07",
    "month": "2026-02-28",
    "quarter": "2026-04-30",
    "year": "2027-01-31",
}


def give(shop: Shop, customer: Customer, amount: str = "10", **terms: Any) -> RecurringGrant:
    wanted = recurring.Terms(**({"asset": shop.usd, "amount": Decimal(amount), "interval": "month"} | terms))
    return recurring.create(actor=SYSTEM, customer=customer, terms=wanted)


def available(shop: Shop, customer: Customer) -> Decimal:
    return shop.balance(customer).available


@pytest.mark.parametrize("interval", YEARS)
def test_the_first_comes_at_once_and_the_next_with_its_period(shop: Shop, clock: Clock, interval: str) -> None:
    clock.stop(moment("2026-01-31"))
    acme = shop.customer(plan=None)
    row = give(shop, acme, interval=interval, name="Monthly gift", kind="promotional", applies_to={})

    assert available(shop, acme) == 10
    assert row.next_at == moment(YEARS[interval])
    assert recurring.issue_due() == 0
    clock.stop(moment(YEARS[interval]))
    assert recurring.issue_due() == 1
    assert recurring.issue_due() == 0

    # What was left of the first went with its period.
    assert available(shop, acme) == 10
    first, second = Grant.objects.order_by("id")
    assert (first.expired, first.expires_at) == (10, second.effective_at)
    assert (second.kind, second.name, second.priority) == ("promotional", "Monthly gift", recurring.PRIORITY)
    assert [p.number for p in row.periods.order_by("number")] == [1, 2]


def test_periods_follow_the_customers_calendar(shop: Shop, clock: Clock) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    clock.stop(datetime(2026, 3, 28, 9, tzinfo=berlin))
    row = give(shop, shop.customer(plan=None, timezone="Europe/Berlin"), interval="day")

    clock.stop(datetime(2026, 3, 30, 12, tzinfo=berlin))
    assert recurring.issue_due() == 2

    assert [p.start.astimezone(berlin).hour for p in row.periods.all()] == [9, 9, 9]


def test_what_a_worker_missed(shop: Shop, clock: Clock) -> None:
    """What is over and carries nothing on is passed over; what stays, and what rolls over, is granted late."""
    clock.stop(moment("2026-01-01"))
    lapsing, kept, rolling = (shop.customer(name, plan=None) for name in ("lapsing", "kept", "rolling"))
    give(shop, lapsing)
    give(shop, kept, lapses=False)
    give(shop, rolling, rollover_limit=Decimal(15))

    clock.stop(moment("2026-04-15"))
    assert recurring.issue_due() == 9

    assert [available(shop, each) for each in (lapsing, kept, rolling)] == [10, 40, 25]
    assert RecurringGrantPeriod.objects.filter(customer=lapsing, grant=None).count() == 2
    assert RecurringGrantPeriod.objects.filter(customer=kept, grant=None).count() == 0
    dates = Grant.objects.filter(customer=kept).order_by("effective_at").values_list("effective_at", flat=True)
    assert [date.month for date in dates] == [1, 2, 3, 4]
    last = RecurringGrantPeriod.objects.get(customer=rolling, number=4)
    assert last.carried is not None
    assert (last.carried.amount, last.carried.kind) == (15, "rollover")


def test_a_period_that_a_worker_missed_pays_no_debt_but_with_what_rolls_over(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-01-01"))
    left = []
    for number, rollover in enumerate(("0", "0.01")):
        acme = shop.customer(f"c{number}")
        wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(50))
        give(shop, acme, rollover_limit=Decimal(rollover), starts_at=moment("2026-01-02"))
        shop.record(acme, input_tokens=10_000_000)
        left.append((acme, available(shop, acme)))

    clock.stop(moment("2026-03-15"))
    recurring.issue_due()

    # Two months were missed; the third pays for what is owed, with what rolled over into it.
    assert [available(shop, acme) - before for acme, before in left] == [10, Decimal("10.01")]


def test_what_is_held_and_what_is_spent_does_not_roll_over(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-01-01"))
    acme = shop.customer()
    give(shop, acme, rollover_limit=Decimal(100))
    shop.record(acme, input_tokens=400_000)
    clock.stop(moment("2026-01-31T23:59:00"))
    authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(2))

    clock.stop(moment("2026-02-01"))
    recurring.issue_due()

    assert available(shop, acme) == 10 + (10 - 1 - 2)


def test_it_ends_after_so_many_times_or_at_a_moment(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-01-01"))
    thrice = give(shop, shop.customer("thrice", plan=None), times=3)
    until = give(shop, shop.customer("until", plan=None), ends_at=moment("2026-02-15"))

    clock.stop(moment("2026-12-01"))
    recurring.issue_due()

    for row, periods in ((thrice, 3), (until, 2)):
        row.refresh_from_db()
        assert (row.next_at, row.status_at(clock.now())) == (None, "ended")
        assert row.periods.count() == periods
        with pytest.raises(InvalidState):
            recurring.cancel(actor=SYSTEM, recurring=row)


def test_what_begins_in_a_pause_is_not_granted(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-01-01"))
    acme = shop.customer(plan=None)
    row = give(shop, acme)
    recurring.pause(actor=SYSTEM, recurring=row, reason="On leave")
    with pytest.raises(InvalidState):
        recurring.pause(actor=SYSTEM, recurring=row)

    clock.stop(moment("2026-03-10"))
    assert recurring.issue_due() == 0
    resumed = recurring.resume(actor=SYSTEM, recurring=row)
    assert resumed.next_at == moment("2026-04-01")
    assert recurring.issue_due() == 0
    clock.stop(moment("2026-04-01"))
    assert recurring.issue_due() == 1
    recurring.cancel(actor=SYSTEM, recurring=row)
    clock.stop(moment("2026-07-01"))

    assert recurring.issue_due() == 0
    assert RecurringGrant.objects.get().status_at(clock.now()) == "canceled"
    trail = AuditEvent.objects.filter(object_type="recurring_grant").order_by("id").values_list("action", flat=True)
    assert [action.partition(".")[2] for action in trail] == ["created", "paused", "resumed", "canceled"]


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"amount": Decimal(0)}, "amount"),
        ({"amount": Decimal("1e-13")}, "amount"),
        ({"rollover_limit": Decimal(1), "lapses": False}, "rollover_limit"),
        ({"times": 0}, "times"),
        ({"starts_at": moment("2020-01-01")}, "starts_at"),
        ({"ends_at": moment("2020-01-01")}, "ends_at"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_terms_that_cannot_be_are_refused(shop: Shop, terms: dict[str, Any], field: str) -> None:
    acme = shop.customer(plan=None)

    with pytest.raises(InvalidRequest) as refused:
        give(shop, acme, **terms)

    assert [error.field for error in refused.value.errors] == [field]
    assert not RecurringGrant.objects.exists()
    assert not Grant.objects.exists()


def test_what_it_gives_in_a_year_is_what_a_second_person_is_asked_for(shop: Shop) -> None:
    acme = shop.customer(plan=None)
    maker, checker = (User.objects.create_superuser(f"{name}@ante.test", "x") for name in ("maker", "checker"))
    first, second = (Actor.of_user(user, ip_address=None, request_id="") for user in (maker, checker))
    monthly = recurring.Terms(asset=shop.usd, amount=Decimal(100), interval="month")

    with pytest.raises(ApprovalRequired):
        recurring.create(actor=first, customer=acme, terms=monthly)
    recurring.create(actor=first, customer=acme, terms=replace(monthly, times=5))
    terms = {"asset": "usd", "amount": "100", "rollover_limit": "0", "starts_at": None, "interval": "month"}
    terms |= {"kind": "allowance", "name": "", "times": None, "lapses": True}
    asked = approvals.perform(actor=first, kind="grant", terms=terms, reason="Agreed", customer=acme)
    assert asked is not None
    assert asked.amounts == {"usd": "1200"}
    approvals.approve(actor=second, approval=asked)

    assert available(shop, acme) == 200
    assert RecurringGrant.objects.count() == 2


def test_what_begins_while_it_waits_for_a_second_person_is_granted(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-01-30"))
    acme = shop.customer(plan=None)
    maker, checker = (User.objects.create_superuser(f"{name}@ante.test", "x") for name in ("maker", "checker"))
    first, second = (Actor.of_user(user, ip_address=None, request_id="") for user in (maker, checker))
    terms = {"asset": "usd", "amount": "100", "rollover_limit": "0", "interval": "month", "kind": "allowance"}
    terms |= {"starts_at": "2026-01-31T00:00:00+00:00", "name": "", "times": None, "lapses": True}
    asked = approvals.perform(actor=first, kind="grant", terms=terms, reason="Agreed", customer=acme)
    assert asked is not None

    clock.stop(moment("2026-01-31T18:00:00"))
    approvals.approve(actor=second, approval=asked)

    assert available(shop, acme) == 100
    assert RecurringGrantPeriod.objects.get(customer=acme).start == moment("2026-01-31")


def _four_in_need(shop: Shop, clock: Clock) -> None:
    clock.stop(moment("2026-01-31"))
    for number in range(4):
        give(shop, shop.customer(f"c{number}", plan=None), lapses=False)
    clock.stop(moment("2026-04-30T12:00:00"))


def test_workers_that_race_grant_each_period_once(committed_db: None, shop: Shop, clock: Clock) -> None:
    _four_in_need(shop, clock)

    done = together(*[recurring.issue_due] * 4)

    # Whoever finds a customer locked leaves it to the other, so that one more sweep may be needed, and no more.
    done.append(recurring.issue_due())
    assert sum(done) == 4 * 3
    assert RecurringGrantPeriod.objects.count() == Grant.objects.count() == 16
    assert {available(shop, customer) for customer in Customer.objects.all()} == {Decimal(40)}


@pytest.mark.corrupts_books
def test_that_race_is_real_without_the_lock(
    committed_db: None, shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _four_in_need(shop, clock)
    locked, issue = locks.balances, issuing.issue

    def unlocked(customer_ids: Any, **how: Any) -> pipeline.Query:
        query = locked(customer_ids, **how)
        return pipeline.Query(query.statement.partition("FOR UPDATE")[0], query.parameters)

    def slowly(*arguments: Any, **fields: Any) -> Any:
        time.sleep(0.1)
        return issue(*arguments, **fields)

    monkeypatch.setattr(locks, "balances", unlocked)
    monkeypatch.setattr(issuing, "issue", slowly)

    together(*[recurring.issue_due] * 4)

    # The database refuses the second copy of a period, whoever forgot the lock.
    refused = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert refused
    assert all(isinstance(error, IntegrityError) for error in refused)
