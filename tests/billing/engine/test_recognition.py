"""What a movement of the ledger is in the journal: every one of them is something, and nothing gets lost."""

from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from billing.engine.postings import TEMPLATES, Posting
from billing.engine.recognition import (
    LIABILITY,
    MOVEMENTS,
    Group,
    Obligation,
    Paid,
    lines_of_paid,
    lines_of_unpaid,
    lines_without_grant,
)

D = Decimal
WALLET = {"wallet_available", "wallet_held", "receivable"}
INVOICED_TAX = {"receivable", "tax_payable", "cash_clearing"}
"""Tax of an invoice is owed beside the wallet."""
ON = date(2026, 11, 2)
POSTINGS = [
    (f"{code}:{name}", posting) for code, template in TEMPLATES.items() for name, posting in template.postings.items()
]
CUSTOMER = UUID(int=1)


def group(posting: Posting, units: str = "1", *, currency: bool = True) -> Group:
    sides = {posting.debit, posting.credit}
    beside = not sides & WALLET or sides <= INVOICED_TAX
    return Group(
        CUSTOMER, "usd" if currency else "images", currency, beside, None, posting.kind, posting.debit,
        posting.credit, "", ON, D(units), 1,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "posting"), POSTINGS, ids=[name for name, _ in POSTINGS])
def test_every_posting_has_its_place(name: str, posting: Posting) -> None:
    for currency in (True, False):
        found = group(posting, currency=currency)
        if "wallet_available" in {posting.debit, posting.credit}:
            lines_of_paid(Paid("usd", D(10), D(10), Obligation(D(10), D(10), D(5), D(5))), [found])
            list(lines_of_unpaid("promotional", [found]))
        else:
            list(lines_without_grant([found]))


def test_what_was_paid_is_recognised_to_the_last_digit_in_whatever_parts() -> None:
    paid = Paid("usd", D("0.000000000100"), D(7))
    used = Posting("wallet_available", "usage", "usage")
    billed = lines_of_paid(paid, [group(Posting("cash_clearing", "wallet_available", "top_up"), "7")])
    parts = [line.amount for _ in range(7) for line in lines_of_paid(paid, [group(used)])]

    assert [line.amount for line in billed] == [D("0.0000000001")]
    assert sum(parts) == D("0.0000000001")
    assert paid.obligation.left == 0


def test_what_is_given_back_is_a_liability_again() -> None:
    paid = Paid("usd", D(1), D(3), Obligation(D(1), D(3), D(3), D(1)))

    (line,) = lines_of_paid(paid, [group(Posting("usage", "wallet_available", "reversal"), "2")])

    assert (line.movement, line.amount, paid.obligation.left) == (
        "recognised",
        D("-0.666666666667"),
        D("0.666666666667"),
    )


def test_a_debt_in_another_currency_goes_through_foreign_exchange() -> None:
    paid = Paid("eur", D(9), D(10), Obligation(D(9), D(10)))

    lines = lines_of_paid(paid, [group(Posting("wallet_available", "receivable", "settlement"), "5")])

    assert [(line.debit, line.credit, line.currency, line.amount) for line in lines] == [
        ("deferred_revenue", "fx", "eur", D("4.5")),
        ("fx", "receivable", "usd", D(5)),
    ]


def test_a_debt_in_units_was_no_revenue_until_something_that_was_paid_for_settles_it() -> None:
    owed = group(Posting("receivable", "usage", "usage"), "5", currency=False)
    paid = Paid("usd", D(9), D(10), Obligation(D(9), D(10)))
    settled = group(Posting("wallet_available", "receivable", "settlement"), "5", currency=False)

    assert list(lines_without_grant([owed])) == []
    assert [(line.movement, line.amount) for line in lines_of_paid(paid, [settled])] == [("recognised", D("4.5"))]


PURCHASE = Posting("cash_clearing", "wallet_available", "top_up")
USE = Posting("wallet_available", "usage", "usage")
GIVEN_BACK = Posting("usage", "wallet_available", "reversal")
EXPIRY = Posting("wallet_available", "breakage", "expiry")
REFUND = Posting("wallet_available", "refunds", "refund")
REFUND_MONEY = Posting("wallet_available", "refunds", "money")


@pytest.mark.parametrize(
    ("days", "usage", "breakage", "left"),
    [
        # A hundred dollars for a hundred units, of which ten are expected to stay unused.
        ([(USE, "45")], "45", "5", "50"),
        ([(USE, "45"), (USE, "45")], "90", "10", "0"),
        ([(USE, "90"), (EXPIRY, "10")], "90", "10", "0"),
        ([(USE, "95")], "95", "5", "0"),
        ([(USE, "90"), (USE, "10")], "100", "0", "0"),
        ([(USE, "45"), (EXPIRY, "55")], "45", "55", "0"),
        ([(USE, "45"), (GIVEN_BACK, "45")], "0", "0", "100"),
        ([(EXPIRY, "100")], "0", "100", "0"),
        ([(USE, "1")], "1", "0.111111111111", "98.888888888889"),
    ],
    ids=["half", "as expected", "and expires", "more", "all of it", "less", "taken back", "nothing used", "a third"],
)
def test_breakage_in_proportion_to_what_is_used(
    days: list[tuple[Posting, str]], usage: str, breakage: str, left: str
) -> None:
    paid = Paid("usd", D(100), D(100), lapses=True)
    lines = lines_of_paid(paid, [group(PURCHASE, "100")], expected=D("0.1"))
    for posting, units in days:
        lines += lines_of_paid(paid, [group(posting, units)], expected=D("0.1"))

    def sums(account: str) -> Decimal:
        return sum((line.amount for line in lines if line.credit == account), D(0))

    assert (sums("usage"), sums("breakage"), paid.obligation.left) == (D(usage), D(breakage), D(left))


def test_what_is_paid_back_takes_the_place_of_what_was_expected_to_stay_unused() -> None:
    paid = Paid("usd", D(100), D(100), lapses=True)
    lines_of_paid(paid, [group(PURCHASE, "100")], expected=D("0.1"))
    lines_of_paid(paid, [group(USE, "90")], expected=D("0.1"))

    lines = lines_of_paid(paid, [group(REFUND, "10"), group(REFUND_MONEY, "10")], expected=D("0.1"))

    assert [(line.movement, line.amount) for line in lines] == [("refunded", D(10)), ("breakage_expected", D(-10))]


def test_what_never_lapses_has_no_breakage_and_another_share_comes_with_the_next_movement() -> None:
    for_ever = Paid("usd", D(100), D(100))
    lines_of_paid(for_ever, [group(PURCHASE, "100"), group(USE, "45")], expected=D("0.1"))
    assert for_ever.obligation.ahead == 0

    paid = Paid("usd", D(100), D(100), lapses=True)
    lines_of_paid(paid, [group(PURCHASE, "100"), group(USE, "45")], expected=D("0.1"))
    lines_of_paid(paid, [group(USE, "15")], expected=D("0.25"))
    assert (paid.obligation.ahead, paid.obligation.left) == (20, 20)


def test_every_movement_of_the_liability_has_its_column() -> None:
    between = {"fee_deferred"}
    for code, (column, meaning) in MOVEMENTS.items():
        assert meaning
        assert code not in between or not column
    assert {"deferred_revenue", "deferred_fees"} == LIABILITY
