"""Races for what authorizations set aside, each with its control: without the lock it must go wrong."""

import os
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from billing import locks, pipeline
from billing.errors import InsufficientFunds, InvalidState
from billing.models import Authorization, Balance, Customer, Hold, LedgerEntry, UsageEvent
from billing.pipeline import Query
from billing.selectors.ledger import books
from billing.services import authorizations
from billing.services.authorizations import Captured, Opened
from billing.services.ledger import holds
from billing.services.ledger.posting import Journal
from tests.billing.services.ledger.test_races import together, workers
from tests.builders import Shop

EXPIRY_RACES = 1000 if os.environ.get("ANTE_LONG") == "1" else 200


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Balances are read without a lock, and there is time for another to do the same."""
    locked, states, held = locks.balances, holds.states, Journal.hold

    def balances(customer_ids: Any, **how: Any) -> Query:
        query = locked(customer_ids, **how)
        assert "FOR UPDATE" in query.statement
        return Query(query.statement.replace("FOR UPDATE", ""), query.parameters)

    def slowly(function: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*args: Any, **kwargs: Any) -> Any:
            time.sleep(0.05)
            return function(*args, **kwargs)

        return slow

    monkeypatch.setattr(locks, "balances", balances)
    monkeypatch.setattr(holds, "states", slowly(states))
    monkeypatch.setattr(Journal, "hold", slowly(held))


def opening(customer: Customer, shop: Shop, amount: str = "1", **options: Any) -> Callable[[], Any]:
    usd = shop.usd

    def call() -> Opened | InsufficientFunds:
        try:
            return authorizations.open_amount(customer=customer, asset=usd, amount=Decimal(amount), **options)
        except InsufficientFunds as refusal:
            return refusal

    return call


def opened(customer: Customer, shop: Shop, amount: str = "4", **options: Any) -> Authorization:
    call = authorizations.open_amount(customer=customer, asset=shop.usd, amount=Decimal(amount), **options)
    return Authorization.objects.select_related("customer", "asset").get(pk=call.authorization.pk)


def seen(result: Any) -> str:
    """What came of a call, for a count."""
    if isinstance(result, Captured):
        return result.authorization.status
    if isinstance(result, Authorization):
        return str(result.status)
    return type(result).__name__ if isinstance(result, Exception) else str(result)


def sum_of(kind: str, **filters: Any) -> Decimal:
    return sum(LedgerEntry.objects.filter(kind=kind, **filters).values_list("amount", flat=True), Decimal(0))


# --- Money for some of them -------------------------------------------------------------------------------------------


def test_of_a_hundred_authorizations_with_money_for_ten_exactly_ten_pass(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="10")

    results = workers([opening(acme, shop)] * 100)

    assert Counter(map(seen, results))["InsufficientFunds"] == 90
    assert sum(isinstance(result, Opened) for result in results) == Authorization.objects.count() == 10
    balance = shop.balance(acme)
    assert (balance.available, balance.held, balance.seq) == (0, 10, 11)
    assert sum(Hold.objects.values_list("outstanding", flat=True)) == 10


def test_the_overdraft_too_is_held_only_once(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="3")
    Balance.objects.filter(customer=acme).update(overdraft_limit=4)

    results = workers([opening(acme, shop)] * 40)

    assert sum(isinstance(result, Opened) for result in results) == 7
    balance = shop.balance(acme)
    assert (balance.available, balance.held, balance.overdraft_held) == (-4, 7, 4)


@pytest.mark.corrupts_books
def test_that_race_is_real_without_the_lock(committed_db: None, shop: Shop, unlocked: None) -> None:
    acme = shop.customer(usd="2")

    results = together(*[opening(acme, shop)] * 6)

    # All of them saw money enough; only the second guard, the gapless sequence, refuses the others.
    assert not any(isinstance(result, InsufficientFunds) for result in results)
    assert any(isinstance(result, IntegrityError) and "billing_entry_seq_once" in str(result) for result in results)


@pytest.mark.corrupts_books
def test_a_hold_that_is_read_and_then_written_is_found_by_the_books(committed_db: None, shop: Shop) -> None:
    """The mutant: looks whether there is enough, then writes what it made of that."""
    acme = shop.customer(usd="1")

    def naive() -> bool:
        with transaction.atomic():
            balance = Balance.objects.get(customer=acme)
            time.sleep(0.05)
            if balance.available < 1:
                return False
            changed = {"available": balance.available - 1, "held": balance.held + 1}
            return bool(Balance.objects.filter(pk=balance.pk).update(**changed))

    assert together(naive, naive, naive) == [True] * 3, "no update was lost, so this proves nothing"
    assert {"balance-entries", "balance-grants", "holds"} <= {d.invariant for d in books.differences()}


# --- Capture against its end ------------------------------------------------------------------------------------------


def test_capture_and_expiry_leave_one_end_each(committed_db: None, shop: Shop) -> None:
    """Round after round the capture meets two sweeps at the moment when the time is over."""
    acme = shop.customer(usd=str(2 * EXPIRY_RACES))
    rows = [opened(acme, shop, "2", life=timedelta(hours=1)) for _ in range(EXPIRY_RACES)]

    def capture() -> list[str]:
        found = []
        for row in rows:
            try:
                found.append(seen(authorizations.capture_amount(authorization=row, amount=Decimal(1))))
            except InvalidState:
                found.append("too late")
        return found

    def expire(share: list[Authorization]) -> int:
        ended = 0
        for row in share:
            # Its time is over from one moment to the next, wherever the capture is just then.
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE billing_authorization SET expires_at = clock_timestamp() WHERE id = %s AND status = 'open'",
                    [row.pk],
                )
            ended += authorizations.expire_due()
        return ended

    answers, first, second = together(
        capture, lambda: expire(list(reversed(rows[::2]))), lambda: expire(list(reversed(rows[1::2])))
    )

    assert [type(each) for each in (answers, first, second)] == [list, int, int], (answers, first, second)
    ends = Counter(Authorization.objects.values_list("status", flat=True))
    assert ends == {"captured": answers.count("captured"), "expired": answers.count("too late")}
    assert min(ends.values()) > 5, "the race was not one"
    assert first + second <= ends["expired"]
    captured = sum(Authorization.objects.values_list("captured", flat=True))
    assert captured == ends["captured"] == sum_of("usage")
    assert sum_of("hold") == sum_of("release") == 2 * EXPIRY_RACES
    assert not Hold.objects.exclude(outstanding=0).exists()
    balance = shop.balance(acme)
    assert (balance.available, balance.held) == (2 * EXPIRY_RACES - captured, 0)


def test_capture_and_void_leave_one_end(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="100")
    ends: Counter[str] = Counter()
    for number in range(25):
        row = opened(acme, shop)
        event = shop.event(acme, id=f"e{number}", input_tokens=400_000)

        results = together(
            lambda row=row, event=event: authorizations.capture_usage(authorization=row, event=event),
            lambda row=row: authorizations.void(authorization=row),
        )

        assert sorted(map(seen, results)) in (["InvalidState", "captured"], ["InvalidState", "voided"]), results
        row.refresh_from_db()
        ends[row.status] += 1
        assert row.captured == (1 if row.status == "captured" else 0)
    assert shop.balance(acme).available == 100 - ends["captured"]
    assert UsageEvent.objects.count() == ends["captured"]
    assert sum_of("hold") == sum_of("release") == 100


def test_of_two_final_captures_one_counts(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="100")
    for _ in range(15):
        row = opened(acme, shop)

        results = together(*[lambda row=row: authorizations.capture_amount(authorization=row, amount=Decimal(3))] * 3)

        assert Counter(map(seen, results)) == {"captured": 1, "InvalidState": 2}, results
    assert shop.balance(acme).available == 100 - 45
    assert sum_of("usage") == 45


def test_parts_at_the_same_time_all_count(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="10")
    row = opened(acme, shop, "8")

    results = workers(
        [lambda: authorizations.capture_amount(authorization=row, amount=Decimal("0.25"), final=False)] * 24
    )

    assert {seen(result) for result in results} == {"open"}
    row.refresh_from_db()
    assert row.captured == 6
    balance = shop.balance(acme)
    assert (balance.available, balance.held) == (2, 2)


def test_the_same_event_captured_twenty_times_is_charged_once(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="10")
    row = opened(acme, shop)
    event = shop.event(acme, id="same", input_tokens=400_000)

    results = together(*[lambda: authorizations.capture_usage(authorization=row, event=event)] * 12)

    assert Counter(map(seen, results)) == {"captured": 12}
    assert Counter(result.outcome.replayed for result in results) == {True: 11, False: 1}
    assert shop.balance(acme).available == 9


def test_one_event_for_two_authorizations_is_charged_once(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="100")
    for number in range(10):
        rows = [opened(acme, shop) for _ in range(2)]
        event = shop.event(acme, id=f"e{number}", input_tokens=400_000)

        results = together(
            *[lambda row=row, event=event: authorizations.capture_usage(authorization=row, event=event) for row in rows]
        )

        assert Counter(map(seen, results)) == {"captured": 2}, results
        assert sorted(row.captured for row in Authorization.objects.filter(pk__in=[row.pk for row in rows])) == [0, 1]
    assert sum_of("usage") == 10
    assert UsageEvent.objects.count() == 10


@pytest.mark.corrupts_books
def test_two_captures_are_real_rivals_without_the_lock(committed_db: None, shop: Shop, unlocked: None) -> None:
    acme = shop.customer(usd="100")
    row = opened(acme, shop)

    results = together(
        *[lambda: authorizations.capture_amount(authorization=row, amount=Decimal(3))] * 2,
        lambda: authorizations.void(authorization=row),
    )

    # Each found it open; what stops the others is the ledger's unique keys, not the state.
    assert Counter(map(seen, results))["InvalidState"] < 2
    assert any(isinstance(result, IntegrityError) for result in results), results


@pytest.mark.corrupts_books
def test_a_capture_that_looks_before_it_locks_charges_what_was_given_back(
    committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the state was read before the lock was had."""
    acme = shop.customer(usd="4")
    row = opened(acme, shop)
    stale = holds.reading([row.pk])
    with transaction.atomic():
        pipeline.run([stale])
    authorizations.void(authorization=row)
    monkeypatch.setattr(holds, "reading", lambda ids: Query("SELECT 1 WHERE %s", [False]))
    states = holds.states
    monkeypatch.setattr(holds, "states", lambda rows, journal: states(stale.rows, journal))

    # The ledger's unique references are the last to notice.
    with pytest.raises(IntegrityError, match="billing_transaction_reference_once"):
        authorizations.capture_amount(authorization=row, amount=Decimal(1))
