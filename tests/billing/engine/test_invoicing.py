"""Coins on paper add up, line by line and invoice by invoice."""

from decimal import Decimal

from billing.engine.invoicing import Item, in_coins, paid_of

D = Decimal


def items(*amounts: str) -> list[Item]:
    return [Item("usage", "x", "X", D(amount)) for amount in amounts]


def test_the_lines_add_up_to_the_total() -> None:
    found = in_coins(items("0.004", "0.004", "0.004", "0.004"), owed=D("0.016"), owed_before=D(0), places=2)

    assert found.amounts == [D("0.00"), D("0.01"), D("0.00"), D("0.01")]
    assert (found.total, found.prepaid, found.due) == (D("0.02"), 0, D("0.02"))


def test_what_the_wallet_paid_is_shown_and_not_due() -> None:
    found = in_coins(items("10", "2.5"), owed=D("0.5"), owed_before=D(0), places=2)

    assert (found.total, found.prepaid, found.due) == (D("12.5"), 12, D("0.5"))


def test_invoices_add_up_to_what_is_owed() -> None:
    before, due = D(0), D(0)
    for _ in range(10):
        found = in_coins(items("0.333"), owed=D("0.333"), owed_before=before, places=2)
        before, due = before + D("0.333"), due + found.due

    assert due == D("3.33")


def test_the_oldest_is_paid_first() -> None:
    assert paid_of(D(5), due_before=D(3), settled=D(2)) == 0
    assert paid_of(D(5), due_before=D(3), settled=D(7)) == 4
    assert paid_of(D(5), due_before=D(3), settled=D(99)) == 5
    assert paid_of(D(-5), due_before=D(3), settled=D(99)) == 0
