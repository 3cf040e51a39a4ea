"""Twelve kinds of drift, each found by the check for it; right books give no alarm, wrong ones a single one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import BookCheck, Discrepancy, ExportFile, OutboxEvent, Reconciliation
from billing.selectors.ledger import book_checks as selector
from billing.selectors.ledger import books
from billing.services import authorizations, outbox, revenue
from billing.services.ledger import book_checks, seals
from tests.billing.services.conftest import Clock
from tests.builders import Shop
from tests.owner import as_owner

MORNING = datetime(2026, 11, 2, 9, tzinfo=UTC)

pytestmark = pytest.mark.corrupts_books


@pytest.fixture
def shop(committed_db: None, clock: Clock, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Any) -> Shop:
    """A closed, sealed day and an open hold. Servers of tests keep nothing for ever, and say so."""
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(selector, "SETTINGS_ON", ())
    clock.stop(MORNING)
    shop = Shop()
    acme = shop.customer(usd="10")
    shop.record(acme, id="used", input_tokens=1_000_000)
    clock.forward(days=1)
    assert len(revenue.close_due()) == 1
    authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(1), life=timedelta(hours=1))
    assert seals.seal() is not None
    outbox.relay(lambda messages: None)
    return shop


def wrong(check: BookCheck) -> set[str]:
    return {result["check"] for result in check.results if result["state"] == "wrong"}


def discrepancy(kind: str) -> None:
    now = timezone.now()
    run = Reconciliation.objects.create(mode="test", since=now, until=now, state="done")
    Discrepancy.objects.create(
        mode="test", kind=kind, object_id="x", words="It differs.", happened_at=now, first_run=run, last_run=run
    )


def file_that_waits(clock: Clock) -> None:
    then = timezone.now() - timedelta(days=2)
    ExportFile.objects.create(kind="events", format="jsonl", name="x", until=1, due_at=then, created_at=then)


DRIFT: dict[str, Callable[[Clock], object]] = {
    "entries": lambda clock: as_owner("UPDATE billing_ledgerentry SET seq = 9 WHERE kind = 'usage'"),
    "balances": lambda clock: as_owner("UPDATE billing_balance SET available = available + 1"),
    "grants": lambda clock: as_owner("UPDATE billing_grant SET drawn = drawn - 1, expired = expired + 1"),
    "documents": lambda clock: as_owner(
        "INSERT INTO billing_invoiceseries (id, code, last) VALUES (gen_random_uuid(), 'INV', 3)"
    ),
    "payments": lambda clock: discrepancy("charge_not_credited"),
    "paid-back": lambda clock: discrepancy("refund_state"),
    "passed-on": lambda clock: as_owner("UPDATE billing_outboxevent SET state = 'parked'"),
    "days": lambda clock: as_owner("UPDATE billing_recognition SET amount = amount + 1 WHERE number = 1"),
    "seals": lambda clock: as_owner('UPDATE billing_charge SET dimensions = \'{"model": "other"}\''),
    "leases": file_that_waits,
    "ended": lambda clock: clock.forward(hours=2),
    "guards": lambda clock: owner("ALTER TABLE billing_ledgerentry DISABLE TRIGGER USER"),
}


def owner(statement: str) -> None:
    """A statement of the owner's that changes no row."""
    as_owner(f"WITH none AS (SELECT 1) UPDATE billing_asset SET name = name; {statement}")


@pytest.mark.parametrize("check", DRIFT)
def test_each_kind_of_drift_is_found_by_the_check_for_it(shop: Shop, clock: Clock, check: str) -> None:
    DRIFT[check](clock)
    try:
        found = book_checks.run(full=True)
        again = book_checks.run(full=True)
    finally:
        owner("ALTER TABLE billing_ledgerentry ENABLE TRIGGER USER")

    assert check in wrong(found)
    assert wrong(again) == wrong(found)
    (told,) = OutboxEvent.objects.filter(type="books.wrong")
    assert check in told.payload["wrong"]


def test_right_books_give_no_alarm_and_what_is_quick_says_what_it_left_out(shop: Shop) -> None:
    full, quick = book_checks.run(full=True), book_checks.run(full=False)

    assert (full.state, full.results) == ("right", [result | {"state": "ok", "found": []} for result in full.results])
    assert [result["check"] for result in full.results] == list(selector.CHECKS)
    assert {result["check"] for result in quick.results if result["state"] == "skipped"} == {"entries", "documents"}
    assert quick.state == "right"
    assert not OutboxEvent.objects.filter(type="books.wrong").exists()


def test_every_hour_what_is_quick_and_every_night_everything(shop: Shop, clock: Clock) -> None:
    clock.stop(MORNING + timedelta(days=1))
    looks = []
    for _ in range(4 * 30):
        if (look := book_checks.run_due()) is not None:
            looks.append((look.started_at - MORNING, look.full))
        clock.forward(minutes=15)

    full = [since for since, full in looks if full]
    assert len(looks) == 30
    assert [since.total_seconds() / 3600 for since in full] == [24, 42]


def test_a_look_that_died_is_noted_and_does_not_stop_the_next(shop: Shop, clock: Clock) -> None:
    BookCheck.objects.create(full=True, started_at=timezone.now())
    assert book_checks.run_due() is None
    clock.forward(hours=13)

    assert book_checks.run_due() is not None
    assert BookCheck.objects.filter(state="failed").count() == 1


def test_every_invariant_belongs_to_one_check() -> None:
    named = [name for check in selector.CHECKS.values() for name in check.invariants]

    assert sorted(named) == sorted(books.INVARIANTS)
    assert set(DRIFT) == set(selector.CHECKS)


def test_a_setting_that_loses_what_was_answered_is_told(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")

    assert "synchronous_commit is off: what was answered could be lost." in list(
        selector.CHECKS["guards"].differences(selector.Look(True, timezone.now()))
    )
