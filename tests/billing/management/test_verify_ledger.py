"""``verify_ledger`` proves every invariant and fails where one does not hold."""

import io

import pytest
from django.core.management import call_command

from billing.models import Balance
from billing.selectors import books
from tests.builders import Shop


def verify() -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("verify_ledger", stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_right_books_pass(committed_db: None, shop: Shop) -> None:
    shop.record(shop.customer(usd="1"), input_tokens=1000)

    code, printed = verify()

    assert code == 0
    assert printed.startswith("2 entries\n")
    assert printed.count("holds") == len(books.INVARIANTS)
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
    assert f"2 of {len(books.INVARIANTS)} invariants do not hold." in printed
