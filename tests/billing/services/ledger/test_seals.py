"""Every committed row is sealed once, in whatever order rows commit, and the chain is whole."""

import threading
from pathlib import Path

import pytest
from django.db import connection, transaction

from accounts.services.audit import SYSTEM
from billing import locks
from billing.engine.sealing import COVERED, GENESIS
from billing.gateways import anchors
from billing.models import Charge, OutboxEvent, Seal, UsageEvent
from billing.selectors.ledger import seals as chain
from billing.services.ledger import seals
from billing.services.usage import unpaid
from billing.services.wallet import corrections
from billing.tasks import seal_ledger
from tests.builders import Shop


def count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])


def sealed(covers: str) -> list[object]:
    return [row for seal in Seal.objects.filter(covers=covers).order_by("number") for row in seal.row_ids]


def reverse(event_id: str) -> None:
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id=event_id), reason="x")


def right() -> bool:
    with transaction.atomic():
        return list(chain.differences()) == []


def test_everything_that_is_covered_is_sealed_once(committed_db: None, shop: Shop) -> None:
    shop.record(shop.customer(usd="1"), id="one", input_tokens=1000)
    reverse("one")

    head = seals.seal()

    assert head is not None
    for covers, covered in COVERED.items():
        assert len(sealed(covers)) == len(set(sealed(covers))) == count(covered.table) > 0
    assert right()
    assert seals.seal() == head


def test_what_takes_back_a_sealed_charge_is_sealed_when_it_is_written(committed_db: None, shop: Shop) -> None:
    shop.record(shop.customer(usd="1"), id="one", input_tokens=1000)
    seals.seal()
    reverse("one")

    seals.seal()

    assert len(sealed("charge")) == 2
    assert len(sealed("correction")) == 1
    assert right()


def test_the_chain_is_gapless_and_each_seal_names_the_one_before(
    committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "ROWS_MAX", 2)
    acme = shop.customer(usd="1")
    for number in range(3):
        shop.record(acme, id=str(number), input_tokens=1000)
    seals.seal()
    shop.record(acme, id="later", input_tokens=1000)
    seals.seal()

    found = list(Seal.objects.order_by("number"))
    assert [seal.number for seal in found] == list(range(1, len(found) + 1))
    assert [bytes(seal.previous_hash) for seal in found] == [GENESIS, *(bytes(seal.hash) for seal in found[:-1])]
    assert max(seal.rows for seal in found) == 2
    assert right()


def test_a_row_that_commits_late_is_in_the_next_seal(committed_db: None, shop: Shop) -> None:
    """The older transaction commits after a younger one was sealed: its row has the smaller id and the earlier time."""
    acme, globex = shop.customer(usd="1"), shop.customer("globex", usd="1")
    seals.seal()
    written, commit = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                shop.record(acme, id="slow", input_tokens=1000)
                written.set()
                commit.wait(60)
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    try:
        assert written.wait(60)
        shop.record(globex, id="quick", input_tokens=1000)
        seals.seal()
        assert right()
        seen = set(sealed("usage_event"))
    finally:
        commit.set()
        thread.join(60)

    seals.seal()
    assert len(sealed("usage_event")) == len(set(sealed("usage_event"))) == 2
    # The control: with a cut-off by id or by time the slow one would have been passed by.
    assert len(seen) < 2
    assert right()


def test_a_charge_that_comes_long_after_its_event_is_sealed(committed_db: None, shop: Shop) -> None:
    """What could not be paid is charged later: the event has been sealed by then."""
    acme = shop.customer(on_insufficient_funds="overdraft")
    assert shop.record(acme, input_tokens=1_000_000).status == "unpaid"
    seals.seal()
    assert sealed("charge") == []
    shop.fund(acme, "100")
    assert unpaid.collect_due() == 1

    seals.seal()

    assert len(sealed("charge")) == Charge.objects.count() > 0
    assert right()


def test_a_database_restored_from_a_dump_is_sealed_on(committed_db: None, shop: Shop) -> None:
    """There PostgreSQL numbers its transactions anew, and what it called itself is another name."""
    acme = shop.customer(usd="1")
    shop.record(acme, id="before", input_tokens=1000)
    seals.seal()
    shop.record(acme, id="unsealed", input_tokens=1000)
    with pytest.MonkeyPatch.context() as restored:
        restored.setattr(chain, "cluster", lambda: "another")
        seals.seal()
        assert len(sealed("usage_event")) == len(set(sealed("usage_event"))) == 2
        shop.record(acme, id="after", input_tokens=1000)
        seals.seal()
        assert len(sealed("usage_event")) == len(set(sealed("usage_event"))) == 3
        assert right()


def test_the_world_is_told_and_the_head_is_noted_outside(
    committed_db: None, shop: Shop, settings: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    shop.customer(usd="1")

    seal_ledger()
    seal_ledger()

    head = chain.newest()
    assert head is not None
    assert anchors.read(anchors.path()) == [(head.number, bytes(head.hash).hex())]
    (message,) = OutboxEvent.objects.filter(type="ledger.sealed")
    assert (message.payload["number"], message.payload["hash"]) == (head.number, bytes(head.hash).hex())


def test_only_one_seals_at_a_time(committed_db: None, shop: Shop) -> None:
    shop.customer(usd="1")
    with transaction.atomic():
        assert locks.only_one("seal")
        results: list[object] = []
        thread = threading.Thread(target=lambda: (results.append(seals.seal()), connection.close()))
        thread.start()
        thread.join(60)
        assert results == [None]
    assert not Seal.objects.exists()


def test_nothing_is_sealed_where_nothing_is(committed_db: None) -> None:
    assert seals.seal() is None
    assert right()
