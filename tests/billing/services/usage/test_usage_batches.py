"""A batch: each event stands for itself, and all of them commit together."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection

from billing.errors import EventConflict, InsufficientFunds, NotFound, UnpricedUsage
from billing.models import Charge, LedgerEntry, LedgerTransaction, OutboxEvent, UsageEvent
from billing.services import usage
from billing.services.usage import recording
from tests.builders import Shop


def test_each_event_of_a_mixed_batch_gets_its_own_answer_in_the_order_given(shop: Shop) -> None:
    acme, globex, poor = shop.customer(usd="100"), shop.customer("globex", usd="50"), shop.customer("poor")
    shop.record(acme, id="old", input_tokens=1000)

    outcomes = usage.record(
        [
            shop.event(acme, id="a", input_tokens=1000),
            shop.event("nobody", id="b", input_tokens=1000),
            shop.event(globex, id="c", output_tokens=100),
            shop.event(acme, id="a", input_tokens=1000),
            shop.event(acme, id="a", input_tokens=2000),
            shop.event(poor, id="d", input_tokens=1000),
            shop.event(acme, id="old", input_tokens=1000),
            shop.event(acme, id="e", type="unknown"),
            shop.event(acme, id="f", input_tokens=-1),
            shop.event(globex, id="a", input_tokens=1000),
        ]
    )

    assert [(o.event_id, o.status, o.replayed, type(o.error).__name__) for o in outcomes] == [
        ("a", "charged", False, "NoneType"),
        ("b", "rejected", False, "NotFound"),
        ("c", "charged", False, "NoneType"),
        ("a", "charged", True, "NoneType"),
        ("a", "rejected", False, "EventConflict"),
        ("d", "rejected", False, "InsufficientFunds"),
        ("old", "charged", True, "NoneType"),
        ("e", "rejected", False, "UnpricedUsage"),
        ("f", "rejected", False, "InvalidRequest"),
        ("a", "charged", False, "NoneType"),
    ]
    assert [o.balance for o in outcomes if o.status == "charged"] == [
        {"usd": Decimal("99.995")},
        {"usd": Decimal("49.999")},
        {"usd": Decimal("99.995")},
        {"usd": Decimal("99.9975")},
        {"usd": Decimal("49.9965")},
    ]
    assert shop.balance(acme).available == Decimal("99.995")
    assert shop.balance(globex).available == Decimal("49.9965")
    assert shop.balance(poor).available == 0
    assert UsageEvent.objects.count() == 6


def test_a_repeat_of_a_refused_event_in_one_batch_gets_the_same_refusal(shop: Shop) -> None:
    acme = shop.customer()
    event = shop.event(acme, input_tokens=1000)

    first, second = usage.record([event, event])

    assert isinstance(first.error, InsufficientFunds)
    assert isinstance(second.error, InsufficientFunds)
    assert (first.replayed, second.replayed) == (False, True)
    assert UsageEvent.objects.count() == 1


def test_a_repeat_after_an_invalid_copy_in_one_batch_is_the_first(shop: Shop) -> None:
    acme = shop.customer(usd="100")

    invalid, valid = usage.record(
        [shop.event(acme, id="one", input_tokens=-1), shop.event(acme, id="one", input_tokens=1000)]
    )

    assert invalid.status == "rejected"
    assert (valid.status, valid.replayed) == ("charged", False)


def test_a_whole_batch_again_is_answered_and_changes_nothing(shop: Shop) -> None:
    acme, globex = shop.customer(usd="100"), shop.customer("globex", usd="0.01")
    batch = [shop.event(customer, input_tokens=n * 1000) for n in range(5) for customer in (acme, globex)]
    first = usage.record(batch)
    entries = LedgerEntry.objects.count()

    second = usage.record(batch)

    assert all(outcome.replayed for outcome in second)
    assert [(o.status, o.cost, o.balance, o.transaction_id) for o in second] == [
        (o.status, o.cost, o.balance, o.transaction_id) for o in first
    ]
    assert LedgerEntry.objects.count() == entries


def test_money_runs_out_in_the_middle_of_a_batch_and_smaller_events_still_pass(shop: Shop) -> None:
    acme = shop.customer(usd="0.01")
    batch = [shop.event(acme, input_tokens=tokens) for tokens in (3000, 3000, 1000, 400)]

    outcomes = usage.record(batch)

    assert [o.status for o in outcomes] == ["charged", "rejected", "charged", "rejected"]
    assert shop.balance(acme).available == 0


def test_a_batch_draws_the_running_balance_and_sequence_of_each_entry(shop: Shop) -> None:
    acme = shop.customer(usd="1")

    usage.record([shop.event(acme, input_tokens=100_000) for _ in range(3)])

    entries = LedgerEntry.objects.filter(kind="usage").order_by("seq")
    assert [(e.seq, e.available_after) for e in entries] == [
        (2, Decimal("0.75")),
        (3, Decimal("0.5")),
        (4, Decimal("0.25")),
    ]


def test_a_thousand_events_of_many_customers(shop: Shop) -> None:
    customers = [shop.customer(f"c{n}", usd="1") for n in range(50)]

    outcomes = usage.record([shop.event(customers[n % 50], input_tokens=1000) for n in range(1000)])

    assert {o.status for o in outcomes} == {"charged"}
    assert {shop.balance(customer).available for customer in customers} == {Decimal("0.95")}
    assert OutboxEvent.objects.filter(type="usage.recorded").count() == 50


@pytest.mark.parametrize("events", [1, 400])
def test_a_batch_takes_as_many_statements_as_a_single_event(
    shop: Shop, events: int, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    acme = shop.customer(usd="100")
    shop.record(acme, input_tokens=1, output_tokens=1)
    batch = [shop.event(acme, input_tokens=1000, output_tokens=1000) for _ in range(events)]

    with django_assert_max_num_queries(6):
        usage.record(batch)


def test_an_empty_batch_is_nothing(shop: Shop) -> None:
    assert usage.record([]) == []


def test_a_crash_while_writing_leaves_nothing_and_the_retry_completes_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, globex = shop.customer(usd="100"), shop.customer("globex", usd="100")
    batch = [shop.event(acme, input_tokens=1000), shop.event(globex, input_tokens=1000)]
    before = (LedgerEntry.objects.count(), OutboxEvent.objects.count())

    def crash(self: Any) -> None:
        self_write(self)
        raise DatabaseError("the connection is gone")

    self_write = recording.Recording.write
    with monkeypatch.context() as broken:
        broken.setattr(recording.Recording, "write", crash)
        with pytest.raises(DatabaseError):
            usage.record(batch)

    assert (LedgerEntry.objects.count(), OutboxEvent.objects.count()) == before
    assert UsageEvent.objects.count() == Charge.objects.count() == 0
    assert shop.balance(acme).available == 100
    assert [o.status for o in usage.record(batch)] == ["charged", "charged"]
    assert [o.replayed for o in usage.record(batch)] == [True, True]
    assert connection.in_atomic_block


def test_errors_say_what_they_are_about(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.record(acme, id="one", input_tokens=1)

    outcomes = usage.record(
        [shop.event("nobody"), shop.event(acme, id="one", input_tokens=2), shop.event(acme, type="unknown")]
    )

    assert [type(o.error) for o in outcomes] == [NotFound, EventConflict, UnpricedUsage]
    assert [o.error.detail for o in outcomes if o.error] == [
        "There is no customer nobody.",
        "The event one from tests was recorded before with other content. Nothing was charged again.",
        "No plan of acme has a price for unknown with this data at that time.",
    ]
    assert LedgerTransaction.objects.filter(template="usage.charged").count() == 1
