"""Batches whose first events the database writes while the later ones are being decided."""

from decimal import Decimal
from unittest import mock

import pytest
from django.db import DataError, transaction

from billing import pipeline
from billing.errors import InvariantViolation
from billing.models import Balance, UsageCounter, UsageEvent
from billing.services import usage
from billing.services.ledger import bulk
from billing.services.usage import recording
from tests.builders import Shop

EVENTS = 2 * recording.SENT_TOGETHER + 40


def test_a_long_batch_is_what_its_events_are_one_by_one(shop: Shop) -> None:
    acme, globex = shop.customer(usd="1000"), shop.customer("globex", usd="1000")
    batch = [shop.event(acme if number % 3 else globex, output_tokens=1000 + number) for number in range(EVENTS)]

    outcomes = usage.record(batch)

    assert {outcome.status for outcome in outcomes} == {"charged"}
    assert UsageEvent.objects.count() == EVENTS
    assert sum(outcome.cost["usd"] for outcome in outcomes) == 2000 - (
        shop.balance(acme).available + shop.balance(globex).available
    )


def test_a_running_quantity_begun_late_in_a_batch_counts_what_is_on_its_way_once(shop: Shop) -> None:
    """The first quantity that does not come out even asks the database for the period so far: part of it was sent, part
    of it not yet."""
    shop.plan("small", [shop.price(shop.meter("tokens", "tokens"), "0.000000000001")])
    acme = shop.customer(plan="small", usd="1")
    halves = [shop.event(acme, tokens=Decimal("0.5")) for _ in range(2)]
    batch = [shop.event(acme, tokens=1) for _ in range(EVENTS)] + halves

    outcomes = usage.record(batch)

    assert sum(outcome.cost["usd"] for outcome in outcomes) == Decimal(EVENTS + 1).scaleb(-12)
    assert UsageCounter.objects.get().quantity == EVENTS + 1


def test_a_write_that_fails_on_its_way_undoes_the_whole_batch(shop: Shop) -> None:
    acme = shop.customer(usd="1000")
    batch = [shop.event(acme, output_tokens=1000) for _ in range(EVENTS)]
    insertion = bulk.insertion

    def broken(table: str, rows: bulk.Rows, **options: bool) -> bulk.Write | None:
        write = insertion(table, rows, **options)
        if write is not None and table == "billing_charge":
            write.statement = "SELECT 1 / 0"
            write.parameters = []
        return write

    with mock.patch.object(bulk, "insertion", broken), pytest.raises(DataError), transaction.atomic():
        usage.record(batch)

    assert not UsageEvent.objects.exists()
    assert shop.balance(acme).available == 1000
    assert {outcome.status for outcome in usage.record(batch)} == {"charged"}


def test_a_row_that_was_not_written_is_found_out(shop: Shop) -> None:
    acme = shop.customer(usd="1")
    with transaction.atomic(), bulk.Writing() as writing:
        writing.send(bulk.change("billing_balance", [{"id": acme.pk, "customer_id": acme.pk, "available": 5}]))
        with pytest.raises(InvariantViolation, match="0 rows written, not 1"):
            writing.wait()


def test_what_is_asked_while_writes_are_on_their_way_sees_them(shop: Shop) -> None:
    acme = shop.customer(usd="1")
    with transaction.atomic(), bulk.Writing() as writing:
        balance = shop.balance(acme)
        row = {"id": balance.pk, "customer_id": acme.pk, "lifetime_spent": Decimal(0)}
        writing.send(bulk.change("billing_balance", [row]))
        count = pipeline.Query("SELECT COUNT(*) FROM billing_balance WHERE customer_id = %s", [acme.pk])
        pipeline.run([count])
        assert Balance.objects.filter(customer=acme).count() == count.rows[0][0] == 1
        writing.wait()
