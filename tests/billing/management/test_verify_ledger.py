"""``verify_ledger`` proves every invariant and fails where one does not hold."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing.gateways import anchors
from billing.models import Balance, LedgerEntry
from billing.selectors.ledger import books, seals
from tests.builders import Shop
from tests.owner import as_owner


@pytest.fixture(autouse=True)
def _own_data_directory(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


def verify(*options: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("verify_ledger", *options, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_right_books_pass(committed_db: None, shop: Shop) -> None:
    shop.record(shop.customer(usd="1"), input_tokens=1000)

    code, printed = verify()

    assert code == 0
    assert printed.startswith("2 entries\n")
    assert printed.count("holds") == len(books.INVARIANTS) + 3
    assert printed.endswith("The books are right.\n")


@pytest.mark.corrupts_books
def test_wrong_books_fail_and_the_first_difference_is_named(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="1")
    Balance.objects.update(available=2)

    code, printed = verify()

    assert code == 1
    assert (
        f"BROKEN  balance-entries: A balance is the sum of its entries. Not so for balance {acme.balances.get().pk}"
        in (printed)
    )
    assert f"3 of {len(books.INVARIANTS) + len(seals.KINDS) + 2} invariants do not hold." in printed


def test_the_newest_seal_is_noted_and_is_what_is_verified(committed_db: None, shop: Shop) -> None:
    shop.record(shop.customer(usd="1"), input_tokens=1000)
    out = io.StringIO()
    call_command("seal_ledger", stdout=out)
    ((number, noted),) = anchors.read(anchors.path())
    assert out.getvalue() == f"Seal {number}  {noted}\n"

    assert verify()[0] == 0
    assert anchors.verified() == (number, noted)


@pytest.mark.corrupts_books
def test_a_note_that_the_chain_contradicts_fails(committed_db: None, shop: Shop, tmp_path: Path) -> None:
    shop.customer(usd="1")
    call_command("seal_ledger", stdout=io.StringIO())
    copy = tmp_path / "copy"
    copy.write_text(f"1 {'0' * 64} then\n")

    code, printed = verify("--anchor", str(copy))

    assert code == 1
    assert f"anchor: {seals.ANCHOR} Not so for seal 1, noted {'0' * 64}" in printed


def test_an_anchor_that_cannot_be_read_is_refused(committed_db: None, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("no note\n")

    for name, said in (("nowhere", "No such file"), ("words", "Line 1")):
        with pytest.raises(CommandError, match=said):
            verify("--anchor", str(tmp_path / name))


@pytest.mark.corrupts_books
def test_quick_looks_at_sums_and_at_what_was_sealed_since(committed_db: None, shop: Shop) -> None:
    acme = shop.customer(usd="9")
    shop.record(acme, id="old", input_tokens=1000)
    call_command("seal_ledger", stdout=io.StringIO())
    assert verify()[0] == 0
    shop.record(acme, id="new", input_tokens=1000)
    call_command("seal_ledger", stdout=io.StringIO())
    assert verify("--quick")[0] == 0

    old, new = LedgerEntry.objects.filter(kind="usage").order_by("id")
    as_owner("UPDATE billing_ledgerentry SET kind = 'fee' WHERE id = %s", old.pk)
    assert verify("--quick")[0] == 0
    assert str(old.pk) in verify()[1]
    as_owner("UPDATE billing_ledgerentry SET kind = 'fee' WHERE id = %s", new.pk)
    assert str(new.pk) in verify("--quick")[1]


def test_the_customers_are_looked_at_in_parts(committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c", "d"):
        shop.record(shop.customer(name, usd="1"), input_tokens=1000)
    monkeypatch.setattr(books, "ENTRIES_A_SLICE", 2)
    monkeypatch.setattr(books, "SLICES_MAX", 3)

    assert len(books.slices()) == 3
    assert verify()[0] == 0
    assert list(books.differences(slices=books.slices())) == []
