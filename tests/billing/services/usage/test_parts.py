"""Long batches: several transactions, each with all events of its customers, one after another."""

import threading

import pytest
from django.db import connection, transaction

from billing import locks, pipeline
from billing.errors import WalletBusy
from billing.models import UsageEvent
from billing.services import usage
from billing.services.usage import IncomingEvent
from billing.services.usage.recording import PARTED_FROM, PARTS
from tests.billing.services.ledger.test_races import together
from tests.builders import Shop

CUSTOMERS = [f"c{number}" for number in range(4 * PARTS)]


@pytest.fixture
def batch(committed_db: None, shop: Shop) -> list[IncomingEvent]:
    customers = [shop.customer(name, usd="100") for name in CUSTOMERS]
    return [shop.event(customers[n % len(customers)], id=f"e{n}", input_tokens=n) for n in range(PARTED_FROM)]


def transactions() -> int:
    """How many transactions wrote the events there are: the database puts its number of the transaction on each row."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT xmin::text) FROM billing_usageevent")
        return int(cursor.fetchone()[0])


def test_a_long_batch_is_answered_in_its_order_from_several_transactions(batch: list[IncomingEvent]) -> None:
    outcomes = usage.record(batch)

    assert [outcome.event_id for outcome in outcomes] == [event.id for event in batch]
    assert {outcome.status for outcome in outcomes} == {"charged"}
    assert transactions() == PARTS
    for name in CUSTOMERS:
        left = [outcome.balance["usd"] for event, outcome in zip(batch, outcomes, strict=True) if event.subject == name]
        assert left == sorted(left, reverse=True), "the events of one customer are charged in the order given"


def test_a_shorter_batch_is_one_transaction(batch: list[IncomingEvent]) -> None:
    usage.record(batch[1:])

    assert transactions() == 1


def test_within_somebody_elses_transaction_a_long_batch_is_part_of_it(batch: list[IncomingEvent]) -> None:
    with transaction.atomic():
        usage.record(batch)
        transaction.set_rollback(True)

    assert not UsageEvent.objects.exists()


def test_a_batch_stopped_by_a_locked_wallet_is_completed_by_sending_it_again(
    batch: list[IncomingEvent], shop: Shop
) -> None:
    """All or nothing of each customer's events, and each exactly once."""
    usage.record(batch[:1])
    locked = UsageEvent.objects.get().customer_id
    holding, refused = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            pipeline.run([locks.balances([locked])])
            holding.set()
            assert refused.wait(timeout=30)

    def send() -> None:
        assert holding.wait(timeout=30)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        try:
            usage.record(batch)
        finally:
            refused.set()

    assert isinstance(together(hold, send)[1], WalletBusy)
    of_each = len(batch) // len(CUSTOMERS)
    counts = {name: UsageEvent.objects.filter(customer__external_id=name).count() for name in CUSTOMERS}
    assert counts.pop(batch[0].subject) == 1
    assert set(counts.values()) <= {0, of_each, of_each + 1}

    again = usage.record(batch)

    assert sum(outcome.replayed for outcome in again) == 1 + sum(counts.values())
    assert UsageEvent.objects.count() == len(batch)
