"""The outbox: at least once, with the same id, and never what was rolled back."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from billing.models import OutboxEvent
from billing.services import outbox
from tests.billing.services.conftest import Clock
from tests.builders import Shop


def publish(*types: str) -> None:
    with transaction.atomic():
        outbox.publish([outbox.Message(type_, None, {"n": 1}) for type_ in types], now=timezone.now())


class Listener:
    """Remembers what was delivered, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.delivered: list[str] = []
        self.ids: list[object] = []

    def __call__(self, rows: Sequence[OutboxEvent]) -> None:
        self.ids += [row.pk for row in rows]
        if self.failures:
            self.failures -= 1
            raise ConnectionError("nobody is there")
        self.delivered += [row.type for row in rows]


@pytest.fixture(autouse=True)
def _empty(db: None) -> None:
    OutboxEvent.objects.all().delete()


def test_what_was_written_is_relayed_once_in_order() -> None:
    publish("first", "second")
    publish("third")
    listener = Listener()

    assert [outbox.relay(listener), outbox.relay(listener)] == [3, 0]

    assert listener.delivered == ["first", "second", "third"]
    assert set(OutboxEvent.objects.values_list("state", "attempts")) == {("relayed", 1)}
    assert not OutboxEvent.objects.filter(relayed_at=None).exists()


def test_what_was_rolled_back_is_never_told() -> None:
    with suppress(ZeroDivisionError), transaction.atomic():
        publish("never")
        raise ZeroDivisionError
    listener = Listener()

    assert outbox.relay(listener) == 0
    assert listener.delivered == []


def test_a_failed_delivery_is_tried_again_later_with_the_same_id(clock: Clock) -> None:
    publish("one")
    listener = Listener(failures=1)

    assert outbox.relay(listener) == 0
    row = OutboxEvent.objects.get()
    assert (row.state, row.attempts, row.last_error) == ("new", 1, "ConnectionError: nobody is there")
    assert outbox.relay(listener) == 0, "not before it is due"
    clock.forward(seconds=2)
    assert outbox.relay(listener) == 1

    assert listener.ids == [row.pk, row.pk]
    assert listener.delivered == ["one"]


def test_each_failure_waits_longer_and_the_fifth_parks(clock: Clock) -> None:
    publish("poison")
    listener = Listener(failures=9)
    waits = []
    for _ in range(5):
        now = clock.stop()
        outbox.relay(listener)
        row = OutboxEvent.objects.get()
        waits.append(row.due_at - now)
        clock.stop(row.due_at)

    assert waits == [timedelta(seconds=seconds) for seconds in (2, 4, 8, 16, 32)]
    assert (row.state, row.attempts) == ("parked", 5)
    clock.forward(days=1)
    assert outbox.relay(Listener()) == 0


def test_nobody_is_blamed_while_the_other_side_is_away(clock: Clock) -> None:
    publish("one", "two")

    def away(rows: Sequence[OutboxEvent]) -> None:
        raise outbox.Unreachable("the stream is down")

    for _ in range(20):
        assert outbox.relay(away) == 0
        clock.forward(seconds=60)

    assert set(OutboxEvent.objects.values_list("state", "attempts")) == {("new", 0)}
    assert outbox.relay(Listener()) == 2


def test_one_bad_message_does_not_take_its_neighbours_along(clock: Clock) -> None:
    publish("good", "poison", "better")
    delivered: list[str] = []

    def deliver(rows: Sequence[OutboxEvent]) -> None:
        if any(row.type == "poison" for row in rows):
            raise ValueError("cannot be told")
        delivered.extend(row.type for row in rows)

    assert outbox.relay(deliver) == 2
    assert delivered == ["good", "better"]
    assert OutboxEvent.objects.get(state="new").type == "poison"


def test_a_parked_message_can_be_made_due_again(clock: Clock) -> None:
    publish("poison")
    for _ in range(5):
        outbox.relay(Listener(failures=1))
        clock.forward(minutes=5)
    assert OutboxEvent.objects.get().state == "parked"

    assert outbox.retry() == 1
    assert outbox.relay(Listener()) == 1


def test_what_comes_after_a_failure_is_relayed(clock: Clock) -> None:
    publish("poison")
    outbox.relay(Listener(failures=1))
    publish("healthy")
    listener = Listener()

    assert outbox.relay(listener) == 1
    assert listener.delivered == ["healthy"]


def test_long_queues_are_relayed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "BATCH_MAX", 2)
    publish(*"abcde")
    listener = Listener()

    assert outbox.relay(listener) == 5
    assert listener.delivered == list("abcde")


def test_a_long_error_is_cut() -> None:
    publish("one")

    def fails(rows: Sequence[OutboxEvent]) -> None:
        raise ValueError("x" * 5000)

    outbox.relay(fails)

    assert len(OutboxEvent.objects.get().last_error) == 2000


def test_charged_usage_and_its_message_come_and_go_together(shop: Shop) -> None:
    acme = shop.customer(usd="1")
    OutboxEvent.objects.all().delete()

    with suppress(ZeroDivisionError), transaction.atomic():
        shop.record(acme, id="one", input_tokens=1000)
        raise ZeroDivisionError

    assert OutboxEvent.objects.count() == 0
    assert shop.balance(acme).available == 1
