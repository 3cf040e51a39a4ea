"""Races, each with its control: the same race without the lock goes wrong, or the test proves nothing."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.ids import uuid7
from accounts.services.audit import SYSTEM
from billing import locks, pipeline
from billing.errors import AlreadyExists, IdempotencyConflict, InsufficientFunds, RequestInProgress
from billing.models import (
    Balance,
    Customer,
    Grant,
    IdempotencyRecord,
    LedgerEntry,
    OutboxEvent,
    PlanVersion,
    Subscription,
    UsageEvent,
)
from billing.selectors.ledger import books
from billing.services import idempotency, outbox, subscriptions, usage
from billing.services.catalog import plans
from billing.services.customer import customers
from billing.services.idempotency import Answer
from billing.services.usage import recording
from billing.services.wallet import grants, wallets
from tests.builders import Shop

THREADS = 8


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Run each call in a thread with a connection of its own, all at the same moment. An exception is a result."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def run(position: int, call: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=60)
            results[position] = call()
        except Exception as error:
            results[position] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=600)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return results


def workers(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run the calls in ``THREADS`` threads, each taking its share one after the other."""

    def share(number: int) -> list[Any]:
        return [call() for call in calls[number::THREADS]]

    shares = together(*(lambda n=number: share(n) for number in range(THREADS)))
    for found in shares:
        if isinstance(found, Exception):
            raise found
    return [result for found in shares for result in found]


@pytest.fixture
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Balances are read without a lock, and there is time for another to do the same."""
    locked = locks.balances

    def balances(customer_ids: Any, **how: Any) -> pipeline.Query:
        query = locked(customer_ids, **how)
        assert "FOR UPDATE" in query.statement
        return pipeline.Query(query.statement.replace("FOR UPDATE", ""), query.parameters)

    decide = recording.Recording.decide

    def slowly(self: Any) -> Any:
        outcomes = decide(self)
        time.sleep(0.05)
        return outcomes

    monkeypatch.setattr(locks, "balances", balances)
    monkeypatch.setattr(recording.Recording, "decide", slowly)


def spend(shop: Shop, customer: Customer, event_id: str, tokens: int = 400_000) -> Callable[[], usage.Outcome]:
    """Charge a dollar."""
    event = shop.event(customer, id=event_id, input_tokens=tokens)
    return lambda: usage.record([event])[0]


# --- Money for some of them -------------------------------------------------------------------------------------------


def test_of_parallel_debits_exactly_those_pass_that_the_money_is_for(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="7")

    outcomes = workers([spend(shop, acme, f"e{n}") for n in range(40)])

    assert Counter(o.status for o in outcomes) == {"charged": 7, "rejected": 33}
    assert all(isinstance(o.error, InsufficientFunds) for o in outcomes if o.status == "rejected")
    assert sorted(o.balance["usd"] for o in outcomes if o.status == "charged") == list(range(7))
    balance = shop.balance(acme)
    assert (balance.available, balance.seq) == (Decimal(0), 8)
    assert list(LedgerEntry.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 9))


@pytest.mark.corrupts_books
def test_that_race_is_real_without_the_lock(committed_db: None, shop: Shop, unlocked: None) -> None:
    acme = shop.customer(usd="7")

    results = together(*(spend(shop, acme, f"e{n}") for n in range(6)))

    # The gapless sequence shows it: all of them took the same number, and the database refuses the second.
    refused = [result for result in results if isinstance(result, IntegrityError)]
    assert refused
    assert all("billing_entry_seq_once" in str(error) for error in refused)


@pytest.mark.corrupts_books
def test_a_balance_that_is_read_and_then_written_is_found_by_the_books(committed_db: None, shop: Shop) -> None:
    """The mutant that every ledger fears: no lock, a stale balance written back, and entries that look right."""
    acme = shop.customer(usd="7")

    def naive() -> None:
        with transaction.atomic():
            balance = Balance.objects.get(customer=acme)
            time.sleep(0.05)
            balance.available -= 1
            balance.seq += 1
            Balance.objects.filter(pk=balance.pk).update(available=balance.available, seq=balance.seq)

    before = {difference.invariant for difference in books.differences()}
    together(naive, naive, naive)

    assert before == set()
    assert shop.balance(acme).available > 4, "no update was lost, so this proves nothing"
    assert {"balance-entries", "balance-grants", "sequence"} <= {d.invariant for d in books.differences()}


def test_the_floor_holds_at_every_moment_of_a_race(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="2")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(3))
    samples: list[Decimal] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            samples.append(shop.balance(acme).available)
            time.sleep(0.005)

    def spend_all() -> list[Any]:
        try:
            return workers([spend(shop, acme, f"e{n}") for n in range(24)])
        finally:
            done.set()

    _, outcomes = together(watch, spend_all)

    assert Counter(o.status for o in outcomes) == {"charged": 5, "rejected": 19}
    assert samples
    assert min(samples) >= -3
    assert shop.balance(acme).available == -3


# --- The same thing at the same time ----------------------------------------------------------------------------------


def test_the_same_event_twenty_times_in_parallel_is_charged_once(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="100")

    outcomes = together(*(spend(shop, acme, "same") for _ in range(20)))

    assert [o.status for o in outcomes] == ["charged"] * 20
    assert Counter(o.replayed for o in outcomes) == {True: 19, False: 1}
    assert {o.transaction_id for o in outcomes} == {UsageEvent.objects.get().pk}
    assert {o.balance["usd"] for o in outcomes} == {Decimal(99)}
    assert shop.balance(acme).available == 99


def test_that_race_too_is_real_without_the_lock(committed_db: None, shop: Shop, unlocked: None) -> None:
    acme = shop.customer(usd="100")

    results = together(*(spend(shop, acme, "same") for _ in range(6)))

    # The second guard, a unique key, holds; but the caller gets an error instead of the first answer.
    assert any(isinstance(result, IntegrityError) for result in results)
    assert UsageEvent.objects.count() == 1


def test_the_same_event_with_other_content_at_the_same_time_is_charged_once(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="100")

    outcomes = together(*(spend(shop, acme, "same", tokens=400_000 + n) for n in range(6)))

    assert Counter(o.status for o in outcomes) == {"charged": 1, "rejected": 5}
    assert {type(o.error).__name__ for o in outcomes} == {"NoneType", "EventConflict"}
    assert UsageEvent.objects.count() == 1


def test_copies_of_a_request_have_one_effect_and_one_answer(committed_db: None, shop: Shop) -> None:
    acme = shop.customer()

    def run() -> Answer:
        time.sleep(0.02)
        return Answer(201, {"id": str(shop.fund(acme, "1").pk)})

    def call() -> Answer:
        return idempotency.once(
            principal="operator", key="k", fingerprint=b"f" * 32, run=run, refuse=lambda e: Answer(e.status, {})
        )

    answers = together(*(call for _ in range(10)))

    assert len({answer.body["id"] for answer in answers}) == 1
    assert Counter(answer.replayed for answer in answers) == {True: 9, False: 1}
    assert Grant.objects.count() == IdempotencyRecord.objects.count() == 1


def test_that_race_doubles_the_effect_without_the_claim(
    committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = shop.customer()

    def looks_first(principal: str, key: str, fingerprint: bytes) -> UUID | None:
        if IdempotencyRecord.objects.filter(principal=principal, key=key).exists():
            return None
        time.sleep(0.1)
        return uuid7()

    monkeypatch.setattr(idempotency, "_claim", looks_first)

    def call() -> Answer:
        return idempotency.once(
            principal="operator",
            key="k",
            fingerprint=b"f" * 32,
            run=lambda: Answer(201, {"id": str(shop.fund(acme, "1").pk)}),
            refuse=lambda e: Answer(e.status, {}),
        )

    together(call, call, call)

    assert Grant.objects.count() == 3


def test_a_copy_that_waits_too_long_is_told_that_the_first_is_running(committed_db: None, shop: Shop) -> None:
    started, finish = threading.Event(), threading.Event()

    def slow() -> Answer:
        started.set()
        finish.wait(timeout=10)
        return Answer(201, {"n": 1})

    def call(run: Callable[[], Answer]) -> Answer:
        return idempotency.once(
            principal="operator", key="k", fingerprint=b"f" * 32, run=run, refuse=lambda e: Answer(e.status, {})
        )

    def copy() -> Answer:
        started.wait(timeout=10)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        try:
            return call(lambda: Answer(201, {"n": 2}))
        finally:
            finish.set()

    first, second = together(lambda: call(slow), copy)

    assert (first.status, first.body) == (201, {"n": 1})
    assert isinstance(second, RequestInProgress)
    assert call(lambda: Answer(201, {"n": 3})).body == {"n": 1}


def test_the_same_key_for_two_requests_at_the_same_time_serves_one(committed_db: None, shop: Shop) -> None:
    acme = shop.customer()

    def call(body: bytes) -> Answer:
        def run() -> Answer:
            return Answer(201, {"id": str(shop.fund(acme, "1").pk)})

        return idempotency.once(
            principal="operator", key="k", fingerprint=body * 32, run=run, refuse=lambda e: Answer(e.status, {})
        )

    results = together(lambda: call(b"a"), lambda: call(b"b"))

    assert sorted(type(result).__name__ for result in results) == ["Answer", IdempotencyConflict.__name__]
    assert Grant.objects.count() == 1


def test_one_of_two_customers_with_the_same_id_is_added(committed_db: None, shop: Shop) -> None:
    usd = shop.usd

    results = together(
        *(lambda: customers.create(actor=SYSTEM, external_id="acme", name="Acme", currency=usd) for _ in range(4))
    )

    assert Counter(type(result).__name__ for result in results) == {"Customer": 1, AlreadyExists.__name__: 3}
    assert Balance.objects.count() == 1


def test_versions_published_at_the_same_time_are_numbered_one_after_the_other(committed_db: None, shop: Shop) -> None:
    plan, price = shop.plan().plan, shop.price(shop.meter("llm_input"), "1")

    together(
        *(lambda: plans.publish_version(actor=SYSTEM, plan=plan, interval="month", prices=[price]) for _ in range(4))
    )

    assert sorted(PlanVersion.objects.values_list("number", flat=True)) == [1, 2, 3, 4, 5]


def test_a_customer_gets_on_a_plan_once_whoever_asks_at_the_same_time(committed_db: None, shop: Shop) -> None:
    acme, plan = shop.customer(plan=None), shop.plan().plan

    results = together(*(lambda: subscriptions.start(actor=SYSTEM, customer=acme, plan=plan) for _ in range(4)))

    assert Counter(type(result).__name__ for result in results) == {"Subscription": 1, AlreadyExists.__name__: 3}
    assert Subscription.objects.count() == 1


def test_a_balance_that_nobody_had_is_made_once(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(plan=None)
    shop.asset("images")

    results = together(*(lambda: shop.fund(acme, "1", asset="images", kind="promotional") for _ in range(6)))

    assert {type(result).__name__ for result in results} == {"Grant"}
    assert shop.balance(acme, "images").available == 6


def test_a_balance_that_nobody_had_is_made_once_by_whatever_comes_first(committed_db: None, shop: Shop) -> None:
    images = shop.asset("images")
    shop.plan("images", [shop.price(shop.meter("images", "images"), "1", asset=images)])
    acme = shop.customer(plan="images")

    *recorded, _, _ = results = together(
        *(lambda n=n: shop.record(acme, id=f"e{n}", images=1) for n in range(4)),
        lambda: shop.fund(acme, "10", asset="images", kind="promotional"),
        lambda: wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=images, limit=Decimal(1)),
    )

    assert not [result for result in results if isinstance(result, Exception)], results
    charged = sum(outcome.status == "charged" for outcome in recorded)
    assert shop.balance(acme, "images").available == 10 - charged


# --- Several customers ------------------------------------------------------------------------------------------------


def test_batches_that_name_the_customers_in_opposite_order_do_not_wait_for_each_other(
    committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, globex = shop.customer(usd="1000"), shop.customer("globex", usd="1000")
    # A deadlock would be hidden by trying again.
    record = partial(recording._record_locked, renewing=False)

    def batches(first: Customer, second: Customer) -> list[usage.Outcome]:
        outcomes: list[usage.Outcome] = []
        for _ in range(15):
            outcomes += record([shop.event(first, input_tokens=1), shop.event(second, input_tokens=1)])
        return outcomes

    results = together(*(lambda n=n: batches(*([acme, globex] if n % 2 else [globex, acme])) for n in range(4)))

    assert [type(result) for result in results] == [list] * 4, results
    assert {outcome.status for outcomes in results for outcome in outcomes} == {"charged"}
    assert shop.balance(acme).available == shop.balance(globex).available == 1000 - 60 * Decimal("0.0000025")


def test_that_deadlock_is_real_where_each_locks_in_its_own_order(committed_db: None, shop: Shop) -> None:
    acme, globex = shop.customer(usd="1000"), shop.customer("globex", usd="1000")
    barrier = threading.Barrier(2)

    def lock(*order: Customer) -> None:
        with transaction.atomic():
            for customer in order:
                pipeline.run([locks.balances([customer.pk])])
                if customer is order[0]:
                    barrier.wait(timeout=5)

    results = together(lambda: lock(acme, globex), lambda: lock(globex, acme))

    causes = [getattr(error.__cause__, "sqlstate", None) for error in results if isinstance(error, Exception)]
    assert causes in (["40P01"], ["55P03"], ["40P01", "55P03"]), results


# --- Expiry against charge --------------------------------------------------------------------------------------------


def test_a_unit_is_never_both_spent_and_expired(committed_db: None, shop: Shop) -> None:
    acme = shop.customer()
    for round_ in range(6):
        shop.fund(acme, "2", expires_at=timezone.now() + timedelta(milliseconds=150 + 30 * round_))

    def spend_slowly(number: int) -> list[str]:
        statuses = []
        for n in range(12):
            statuses.append(spend(shop, acme, f"{number}-{n}", tokens=100_000)().status)
            time.sleep(0.01)
        return statuses

    def sweep() -> int:
        settled = 0
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            settled += grants.settle_due()
            time.sleep(0.005)
        return settled

    results = together(*(lambda n=n: spend_slowly(n) for n in range(3)), sweep, sweep)
    grants.settle_due()

    assert not [result for result in results if isinstance(result, Exception)], results
    spent = sum(LedgerEntry.objects.filter(kind="usage").values_list("amount", flat=True))
    expired = sum(LedgerEntry.objects.filter(kind="expiry").values_list("amount", flat=True))
    assert spent + expired == 12
    assert spent == Decimal("0.25") * sum(result.count("charged") for result in results[:3])
    assert expired > 0
    assert shop.balance(acme).available == 0
    for grant in Grant.objects.all():
        assert grant.drawn + grant.expired == grant.amount
        assert LedgerEntry.objects.filter(grant=grant, kind="expiry").count() <= 1


@pytest.mark.corrupts_books
def test_that_race_too_spends_twice_without_the_lock(committed_db: None, shop: Shop) -> None:
    """Expiry that looks first and then takes what it saw, beside a charge that does the same."""
    acme = shop.customer()
    grant = shop.fund(acme, "2")

    def take(column: str) -> None:
        with transaction.atomic():
            seen = Grant.objects.get(pk=grant.pk)
            time.sleep(0.05)
            taken = seen.remaining
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE billing_balance SET available = available - %s WHERE id = %s", [taken, seen.balance_id]
                )
                cursor.execute(
                    f"UPDATE billing_grant SET remaining = remaining - %s, {column} = {column} + %s WHERE id = %s",
                    [taken, taken, seen.pk],
                )

    results = together(lambda: take("drawn"), lambda: take("expired"))

    # The database's own guards are the last to notice: the balance's floor.
    assert [isinstance(result, IntegrityError) for result in results].count(True) == 1, results
    assert "billing_balance_floor" in str(next(result for result in results if result is not None))


def test_two_sweeps_expire_a_grant_once(committed_db: None, shop: Shop) -> None:
    for number in range(10):
        acme = shop.customer(f"c{number}", plan=None)
        shop.fund(acme, "1", expires_at=timezone.now() + timedelta(milliseconds=100))
    time.sleep(0.15)

    settled = together(grants.settle_due, grants.settle_due, grants.settle_due)

    assert sum(settled) == 10
    assert LedgerEntry.objects.filter(kind="expiry").count() == 10


# --- The outbox -------------------------------------------------------------------------------------------------------


def test_what_one_relay_holds_another_skips(committed_db: None, shop: Shop) -> None:
    with transaction.atomic():
        outbox.publish([outbox.Message(f"t{n}", None, {}) for n in range(5)], now=timezone.now())
    delivered: list[str] = []
    holding, skipped = threading.Event(), threading.Event()

    def hold(rows: Sequence[OutboxEvent]) -> None:
        holding.set()
        assert skipped.wait(timeout=10)
        delivered.extend(row.type for row in rows)

    def other() -> int:
        assert holding.wait(timeout=10)
        try:
            return outbox.relay(lambda rows: delivered.extend(row.type for row in rows))
        finally:
            skipped.set()

    first, second = together(lambda: outbox.relay(hold), other)

    assert (first, second) == (5, 0)
    assert sorted(delivered) == [f"t{n}" for n in range(5)]


def test_a_relay_that_dies_before_it_marks_delivers_again_after_its_lease(
    committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LEASE", timedelta(0))
    with transaction.atomic():
        outbox.publish([outbox.Message("once", None, {})], now=timezone.now())
    delivered: list[UUID] = []

    def deliver_and_die(rows: Sequence[OutboxEvent]) -> None:
        delivered.extend(row.pk for row in rows)
        raise SystemExit  # Not an Exception: as if the process had been killed.

    with pytest.raises(SystemExit):
        outbox.relay(deliver_and_die)
    outbox.relay(lambda rows: delivered.extend(row.pk for row in rows))

    assert len(delivered) == 2
    assert len(set(delivered)) == 1


def test_a_message_outside_a_transaction_is_refused(committed_db: None, shop: Shop) -> None:
    with pytest.raises(AssertionError):
        outbox.publish([outbox.Message("x", None, {})], now=timezone.now())


def test_a_busy_wallet_does_not_keep_the_sweep_from_the_others(
    committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, globex = shop.customer(usd="1"), shop.customer("globex", usd="1")
    expires_at = timezone.now() + timedelta(milliseconds=300)
    for customer in (acme, globex):
        shop.fund(customer, "5", expires_at=expires_at)
    holding, swept = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            pipeline.run([locks.balances([acme.pk])])
            holding.set()
            assert swept.wait(timeout=20)

    def sweep() -> int:
        assert holding.wait(timeout=10)
        time.sleep(0.4)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '100ms'")
            return grants.settle_due()
        finally:
            swept.set()

    results = together(hold, sweep)

    assert results[1] == 1
    assert (shop.balance(acme).available, shop.balance(globex).available) == (6, 1)
    assert grants.settle_due() == 1
