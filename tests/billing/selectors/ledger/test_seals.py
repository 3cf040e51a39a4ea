"""Whatever somebody changes who may change everything is found, and the row is named.

The changes are made as the tables' owner, with their triggers switched off, and leave every sum as it should be where
the case says so: only the seals can tell.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from django.db import transaction

from accounts.models import AuditEvent
from billing.engine.sealing import COVERED, Header, joined
from billing.gateways import anchors
from billing.models import Charge, Correction, LedgerEntry, LedgerTransaction, Seal, UsageEvent
from billing.selectors.ledger import books
from billing.selectors.ledger import seals as chain
from billing.selectors.ledger.differences import Difference
from billing.services.ledger import seals
from tests.builders import Shop
from tests.owner import as_owner

MODELS = {
    "ledger_transaction": LedgerTransaction,
    "ledger_entry": LedgerEntry,
    "usage_event": UsageEvent,
    "charge": Charge,
    "correction": Correction,
    "audit_event": AuditEvent,
}
NOT_COVERED = {
    "correction": {"written_in"},
    "usage_event": {"data", "extensions", "origin", "written_in"},
    "ledger_transaction": {"written_in"},
    "audit_event": {"written_in"},
    "charge": {"written_in"},
}
pytestmark = pytest.mark.corrupts_books


@pytest.fixture
def story(committed_db: None, shop: Shop, settings: Any, tmp_path: Path) -> Shop:
    """Three events of one customer and one of another, all sealed, and the head noted outside."""
    settings.DATA_DIR = tmp_path
    acme, globex = shop.customer(usd="10"), shop.customer("globex", usd="10")
    for number in range(3):
        shop.record(acme, id=f"acme-{number}", input_tokens=1000 * (number + 1), text="Ünïcode")
    shop.record(globex, id="globex", input_tokens=1000)
    seal()
    return shop


def seal() -> None:
    head = seals.seal()
    assert head is not None
    anchors.note(head)


def found(notes: list[anchors.Note] | None = None) -> dict[str, Difference]:
    with transaction.atomic():
        books.freeze()
        noted = anchors.read(anchors.path()) if notes is None else notes
        return {difference.invariant: difference for difference in chain.differences(notes=noted)}


def first_entry() -> LedgerEntry:
    return LedgerEntry.objects.filter(kind="usage").order_by("id")[0]


def test_right_books_have_no_difference(story: Shop) -> None:
    story.record("acme", id="unsealed", input_tokens=1000)

    assert found() == {}


def test_1_another_amount(story: Shop) -> None:
    entry = first_entry()
    as_owner("UPDATE billing_ledgerentry SET amount = amount * 2 WHERE id = %s", entry.pk)

    difference = found()["seals"]
    assert (difference.row["ledger_entry"], difference.row["problem"]) == (entry.pk, "changed: amount")


def test_2_an_entry_that_is_gone(story: Shop) -> None:
    entry = first_entry()
    as_owner("DELETE FROM billing_ledgerentry WHERE id = %s", entry.pk)

    difference = found()["seals"]
    assert (difference.row["ledger_entry"], difference.row["problem"]) == (entry.pk, "gone")


def test_3_a_whole_transaction_that_is_gone_without_a_trace(story: Shop) -> None:
    """The last event of a wallet, with its charges, entries and transaction, and the balance set back: sums agree."""
    event = UsageEvent.objects.get(event_id="acme-2")
    entries = LedgerEntry.objects.filter(transaction_id=event.pk)
    gone, spent, count = set(entries.values_list("pk", flat=True)), sum(entry.amount for entry in entries), len(entries)
    balance = entries[0].balance_id
    as_owner("DELETE FROM billing_ledgerentry WHERE transaction_id = %s", event.pk)
    as_owner("DELETE FROM billing_ledgertransaction WHERE id = %s", event.pk)
    as_owner("DELETE FROM billing_charge WHERE event_id = %s", event.pk)
    as_owner("DELETE FROM billing_usageevent WHERE id = %s", event.pk)
    as_owner(
        "UPDATE billing_balance SET available = available + %s, seq = seq - %s, lifetime_spent = lifetime_spent - %s"
        " WHERE id = %s",
        *(spent, count, spent, balance),
    )
    as_owner(
        "UPDATE billing_grant SET remaining = remaining + %s, drawn = drawn - %s WHERE balance_id = %s",
        *(spent, spent, balance),
    )

    assert list(books.differences()) == []
    difference = found()["seals"]
    assert (difference.row["ledger_transaction"], difference.row["problem"]) == (event.pk, "gone")
    as_owner("DELETE FROM billing_seal WHERE covers = 'ledger_transaction'")
    assert found()["chain"].row["problem"] == "is where number 1 should be"
    assert gone


FORGED = """
    WITH t AS (
        INSERT INTO billing_ledgertransaction SELECT (jsonb_populate_record(l, jsonb_build_object(
            'id', '01900000-0000-7000-8000-000000000001', 'reference', 'forged', 'occurred_at', {posted},
            'posted_at', {posted}, 'written_in', {written_in}))).* FROM billing_ledgertransaction l
         WHERE l.id = %s RETURNING id)
    INSERT INTO billing_ledgerentry SELECT (jsonb_populate_record(e, jsonb_build_object(
        'id', '01900000-0000-7000-8000-000000000002', 'transaction_id', '01900000-0000-7000-8000-000000000001',
        'seq', e.seq + 100, 'posted_at', {posted}, 'occurred_at', {posted}))).*
      FROM billing_ledgerentry e WHERE e.transaction_id = %s
"""


@pytest.mark.parametrize(
    ("written_in", "kind"), [("1", "unsealed"), ("pg_current_xact_id()::text::bigint", "backdated")]
)
def test_4_a_forged_transaction(story: Shop, written_in: str, kind: str) -> None:
    event = UsageEvent.objects.get(event_id="globex")
    as_owner(FORGED.format(posted="now() - interval '2 days'", written_in=written_in), event.pk, event.pk)

    assert str(found()[kind].row["ledger_transaction"]) == "01900000-0000-7000-8000-000000000001"
    if kind == "backdated":
        # Sealed with the next, it is still found for ever.
        seal()
        assert str(found()[kind].row["ledger_transaction"]) == "01900000-0000-7000-8000-000000000001"


def test_5_two_entries_with_each_others_content(story: Shop) -> None:
    one, other = LedgerEntry.objects.filter(kind="usage", customer__external_id="acme").order_by("id")[:2]
    as_owner("UPDATE billing_ledgerentry SET seq = seq + 1000 WHERE id = %s", one.pk)
    columns = ("transaction_id", "seq", "amount", "charge_id", "available_after", "held_after", "occurred_at")
    for entry, content in ((other, one), (one, other)):
        changes = ", ".join(f"{column} = %s" for column in columns)
        values = [getattr(content, column) for column in columns]
        as_owner(f"UPDATE billing_ledgerentry SET {changes} WHERE id = %s", *values, entry.pk)

    assert list(books.differences()) == []
    difference = found()["seals"]
    assert difference.row["ledger_entry"] == one.pk
    assert {"amount", "available_after", "seq"} <= set(difference.row["problem"].removeprefix("changed: ").split(", "))


def test_6_another_time(story: Shop) -> None:
    event = UsageEvent.objects.get(event_id="acme-1")
    as_owner("UPDATE billing_usageevent SET occurred_at = occurred_at - interval '1 day' WHERE id = %s", event.pk)

    difference = found()["seals"]
    assert difference.row["usage_event"] == event.pk
    assert difference.row["problem"] in {"changed: occurred_at", "changed"}


def test_7_another_line_in_the_audit_trail(story: Shop) -> None:
    line = AuditEvent.objects.order_by("id")[0]
    as_owner("UPDATE accounts_auditevent SET actor_label = 'nobody' WHERE id = %s", line.pk)

    difference = found()["seals"]
    assert (difference.row["audit_event"], difference.row["problem"]) == (line.pk, "changed: actor_label")


def test_8_the_last_seal_written_anew(story: Shop) -> None:
    """Once clumsily, once with every hash computed as it should be: then only the note outside can tell."""
    line = AuditEvent.objects.order_by("id")[0]
    head = Seal.objects.order_by("-number")[0]
    assert head.covers == "audit_event"
    as_owner("UPDATE accounts_auditevent SET actor_label = 'nobody' WHERE id = %s", line.pk)
    block = chain.block("audit_event", head.row_ids)
    as_owner("UPDATE billing_seal SET digest = %s, checks = %s WHERE id = %s", block.digest, block.checks, head.pk)
    assert found()["chain"].row["seal"] == head.number
    head.refresh_from_db()
    as_owner("UPDATE billing_seal SET hash = %s WHERE id = %s", chain.header(head).hash(), head.pk)

    assert found(notes=[]) == {}
    assert found().keys() == {"anchor"}
    assert found()["anchor"].row["seal"] == head.number


def test_the_last_seals_taken_away_with_all_that_they_cover(story: Shop) -> None:
    as_owner("DELETE FROM billing_seal WHERE number > 1")

    assert found()["anchor"].row["found"] == "none"


def test_an_entry_added_to_a_transaction_that_is_sealed(story: Shop) -> None:
    event = UsageEvent.objects.get(event_id="globex")
    as_owner(
        "INSERT INTO billing_ledgerentry SELECT (jsonb_populate_record(e, jsonb_build_object("
        "'id', '01900000-0000-7000-8000-000000000002', 'seq', e.seq + 1))).*"
        " FROM billing_ledgerentry e WHERE transaction_id = %s",
        event.pk,
    )

    assert str(found()["unsealed"].row["ledger_entry"]) == "01900000-0000-7000-8000-000000000002"


@pytest.mark.parametrize("covers", COVERED)
def test_every_column_is_covered(covers: str) -> None:
    columns = {field.column for field in MODELS[covers]._meta.concrete_fields}

    assert columns - {column for column, _ in COVERED[covers].fields} == NOT_COVERED.get(covers, set())
    assert COVERED[covers].table == MODELS[covers]._meta.db_table


def test_the_bytes_that_are_hashed_can_be_made_without_the_database(story: Shop) -> None:
    """The format as documented, computed here: by whoever wants to verify with a program of his own."""
    digests = []
    for entry in LedgerEntry.objects.order_by("id"):
        digests.append(hashlib.sha256(joined([_text(entry, *field) for field in COVERED["ledger_entry"].fields])))
    seal = Seal.objects.get(covers="ledger_entry")

    assert bytes(seal.digest) == hashlib.sha256(b"".join(digest.digest() for digest in digests)).digest()


def _text(row: Any, column: str, kind: str) -> str | None:
    value = getattr(row, column)
    if value is None:
        return None
    if kind == "number":
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if kind == "time":
        return str(value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    return normalize("NFC", str(value))


def test_what_looks_alike_is_hashed_apart() -> None:
    assert joined(["ab", "c"]) != joined(["a", "bc"])
    assert joined([None]) != joined([""]) != joined(["-"])


def test_every_field_of_a_header_changes_its_hash() -> None:
    fields: dict[str, Any] = {
        **{"number": 1, "previous_hash": b"p", "covers": "charge", "rows": 1, "digest": b"d", "cluster": "1"},
        **{"first_id": "a", "last_id": "b", "written_before": 5, "made_at": datetime(2026, 1, 1, tzinfo=UTC)},
    }
    others: dict[str, Any] = {
        **{"number": 2, "previous_hash": b"q", "covers": "audit_event", "rows": 2, "digest": b"e", "cluster": "2"},
        **{"first_id": "c", "last_id": "d", "written_before": 6, "made_at": datetime(2026, 1, 2, tzinfo=UTC)},
    }
    hashes = {Header(**fields).hash(), *(Header(**fields | {name: others[name]}).hash() for name in fields)}

    assert len(hashes) == len(fields) + 1
    assert Header(**fields).hash() != Header(**fields, form=2).hash()
