"""Revenue: what a day's movements of the ledger are in money. Pure: rows in, lines of the journal out.

The ledger counts units of an asset; finance counts what was paid for them. A grant that was paid for, and a fee for a
span of time, is an **obligation**: so much was paid (``value``) for so much (``total`` units, or seconds), and so much
of that has been rendered (``done``). What has left the contract liability by then is ``value × done / total``, rounded
on the running sum: the parts always add up to what was paid. What nobody paid for recognises nothing.

A **line** moves an amount between two accounts of the finance journal. ``MOVEMENTS`` says which and what it is called;
a line that takes back has a negative amount, never the accounts the other way round.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from billing.engine.money import DECIMALS_MAX, EXACT, ZERO, exact_sum, round_half_even

DEFERRED = "deferred_revenue"
DEFERRED_FEES = "deferred_fees"
LIABILITY = frozenset({DEFERRED, DEFERRED_FEES})
"""The accounts of the contract liability: what was paid and is not rendered yet."""

COLUMNS = ("billed", "recognised", "breakage", "refunded", "settled", "exchanged", "adjusted", "disputed")
"""Of the roll-forward: opening + billed - all the others = closing."""

MOVEMENTS: dict[str, tuple[str, str]] = {
    "billed": ("billed", "Money came in for a grant"),
    "fee_billed": ("billed", "A fee beyond what the wallet held: it is owed"),
    "recognised": ("recognised", "Used: revenue, by what was paid for the units"),
    "fee_recognised": ("recognised", "A fee's time went by: revenue"),
    "recognised_owed": ("", "Used beyond what the wallet held: revenue that is owed"),
    "breakage": ("breakage", "Expired unused"),
    "breakage_expected": ("breakage", "Expected to stay unused: revenue as the rest is used"),
    "refunded": ("refunded", "Goes back to the payer"),
    "settled": ("settled", "Paid what was owed"),
    "conceded": ("", "What was owed, or is paid back, and came to more or less than what settled it"),
    "exchanged": ("exchanged", "Paid in one currency, owed in another"),
    "adjusted": ("adjusted", "Put right by hand"),
    "adjusted_owed": ("", "Taken out by hand beyond what the wallet held"),
    "disputed": ("disputed", "A payment is disputed"),
    "fee_deferred": ("", "A fee was paid from the wallet: its time is still to come"),
    "passed": ("", "Between the operator's own accounts: taxes, payment fees, refunds that were paid"),
    "promotional": ("memo", "Used of what was given: no revenue"),
    "included": ("memo", "Used of what a plan includes: no revenue beside the fee"),
}
"""Stored codes: in which column of the roll-forward each is, "memo" for what no journal has, and what it means."""

MEMO = frozenset(code for code, (column, _) in MOVEMENTS.items() if column == "memo")
_VALUE_KINDS = frozenset({"top_up", "grant", "adjustment", "fee", "reinstatement"})
_INCLUDED = frozenset({"allowance", "rollover"})
_EXERCISED = frozenset({"usage", "fees", "receivable"})
"""Where units go when the customer uses what was paid for; a fee, or what is owed for use, may be paid with them."""
_PUT_RIGHT = frozenset({"adjustment", "promotional_expense", "allowances"})


class Unclassified(Exception):
    """A movement of the ledger that has no place in the journal yet: the day cannot be closed."""


@dataclass(frozen=True, slots=True)
class Group:
    """Entries of one day that are alike, of one grant, or of one customer where no grant is named; ``units`` is their
    sum in ``asset``.

    ``beside``: no balance was touched. ``fee``: the fee that they paid or gave back. ``kind`` is the entries', or
    ``money`` for what refunds promised to pay back, in the currency that was paid.
    """

    customer: UUID
    asset: str
    is_currency: bool
    beside: bool
    fee: UUID | None
    kind: str
    debit: str
    credit: str
    product: str
    occurred_on: date
    units: Decimal
    entries: int


@dataclass(frozen=True, slots=True)
class Line:
    """``amount`` of ``currency`` from the ``debit`` to the ``credit`` account, negative where it takes back."""

    movement: str
    debit: str
    credit: str
    currency: str
    amount: Decimal
    product: str
    occurred_on: date
    fee: UUID | None = None
    units: Decimal | None = None
    entries: int = 0
    posted: tuple[str, str, str] = ("", "", "")
    """Kind, debit and credit of the ledger entries that it sums."""


@dataclass(slots=True)
class Obligation:
    """What was paid, for how much, and what of that is rendered and booked.

    ``used`` is what of ``booked`` was used; ``ahead`` is what is expected to stay unused and was recognised beside it.
    """

    value: Decimal = ZERO
    total: Decimal = ZERO
    done: Decimal = ZERO
    booked: Decimal = ZERO
    used: Decimal = ZERO
    ahead: Decimal = ZERO

    @property
    def left(self) -> Decimal:
        """What of the value is still a liability."""
        return EXACT.subtract(EXACT.subtract(self.value, self.booked), self.ahead)

    def render(self, units: Decimal) -> Decimal:
        """Book ``units`` more of it as rendered, or as not rendered after all; returns what that is worth."""
        self.done = EXACT.add(self.done, units)
        booked = round_half_even(
            Fraction(self.value) * Fraction(self.done) / Fraction(self.total), precision=DECIMALS_MAX
        )
        worth, self.booked = EXACT.subtract(booked, self.booked), booked
        return worth

    def expect_breakage(self, share: Decimal) -> Decimal:
        """Bring ``ahead`` to where it belongs where this ``share`` of the value is expected to stay unused; returns by
        how much it changes.

        With b as the share, what was used is 1 - b of what is earned with it. No more is ahead than is left: what turns
        out to be used after all, expires or is paid back takes its place.
        """
        earned = Fraction(max(self.used, ZERO)) * Fraction(share) / (1 - Fraction(share))
        most = max(EXACT.subtract(self.value, self.booked), ZERO)
        ahead = min(round_half_even(earned, precision=DECIMALS_MAX), most)
        change, self.ahead = EXACT.subtract(ahead, self.ahead), ahead
        return change


@dataclass(slots=True)
class Paid:
    """A grant that was paid for. ``price`` was paid for ``units`` of it, or of the grant that it stands in for.
    ``lapses``: what is left of it will expire some day."""

    currency: str
    price: Decimal
    units: Decimal
    obligation: Obligation = field(default_factory=Obligation)
    lapses: bool = False

    def grow(self, units: Decimal) -> Decimal:
        """``units`` came in with it; returns what was paid for them."""
        self.obligation.total = EXACT.add(self.obligation.total, units)
        value = round_half_even(
            Fraction(self.price) * Fraction(self.obligation.total) / Fraction(self.units), precision=DECIMALS_MAX
        )
        grown, self.obligation.value = EXACT.subtract(value, self.obligation.value), value
        return grown


def lines_of_paid(paid: Paid, groups: Sequence[Group], *, expected: Decimal = ZERO) -> list[Line]:
    """The day's lines of a grant that was paid for: what came in first, so that it is there to be used.

    ``expected`` is the share of what lapses that is expected to stay unused, zero where that is only recognised when it
    has lapsed.
    """
    promised = exact_sum(group.units for group in groups if group.kind == "money")
    moves = [group for group in groups if group.kind not in {"money", "hold", "release"}]
    coming = [group for group in moves if _comes_in(group)]
    lines = [line for group in coming for line in _came(paid, group)]
    taken_for_refunds = ZERO
    for group in moves:
        if not _comes_in(group):
            went = _went(paid, group)
            taken_for_refunds = EXACT.add(
                taken_for_refunds, exact_sum(line.amount for line in went if line.credit == "refunds")
            )
            lines += went
    # Units are whole where coins are not: what was given up beyond what is paid back was used.
    beyond = EXACT.subtract(taken_for_refunds, promised)
    last = max(group.occurred_on for group in groups)
    lines.append(Line("conceded", "refunds", "usage", paid.currency, beyond, "", last))
    ahead = paid.obligation.expect_breakage(expected if paid.lapses else ZERO)
    lines.append(Line("breakage_expected", DEFERRED, "breakage", paid.currency, ahead, "", last))
    return [line for line in lines if line.amount]


def lines_of_unpaid(kind: str, groups: Iterable[Group]) -> Iterator[Line]:
    """The day's lines of a grant of that kind for which nothing was paid: in a currency, what it was used for, and what
    of a debt it settled, which then is no revenue after all."""
    memo = "included" if kind in _INCLUDED else "promotional"
    for group in groups:
        if not group.is_currency or group.kind in {"money", "hold", "release"}:
            continue
        if "receivable" in (group.debit, group.credit):
            yield _line(group, "conceded", "usage", "receivable", group.asset, _signed(group, "receivable"))
        elif "usage" in (group.debit, group.credit) and group.kind in {"usage", "reversal", "adjustment"}:
            yield _line(group, memo, "promotional_expense", "usage", group.asset, _signed(group, "usage"))
        elif "fees" in (group.debit, group.credit) and not _comes_in(group):
            yield _line(group, memo, "promotional_expense", "fees", group.asset, _signed(group, "fees"))


def lines_without_grant(groups: Iterable[Group]) -> Iterator[Line]:
    """The day's lines of what no grant paid: what is owed, and what moved between the operator's own accounts.

    What is owed in something else than money has no price until a grant that was paid for settles it.
    """
    for group in groups:
        if group.kind in {"hold", "release"} or "fx" in (group.debit, group.credit) or not group.is_currency:
            # The exchange is the grants': they know what was paid, and in what.
            continue
        if group.beside:
            yield _line(group, "passed", group.debit, group.credit, group.asset, group.units)
            continue
        other = group.credit if group.debit == "receivable" else group.debit
        amount = _signed(group, other)
        if other == "usage":
            yield _line(group, "recognised_owed", "receivable", "usage", group.asset, amount)
        elif other == "fees":
            yield _line(group, "fee_billed", "receivable", DEFERRED_FEES, group.asset, amount)
        elif other == "adjustment":
            yield _line(group, "adjusted_owed", "receivable", "adjustment", group.asset, amount)
        elif other == "disputed":
            yield _line(group, "disputed", "receivable", "disputed", group.asset, amount)
        else:
            raise Unclassified(f"{group.debit} to {group.credit} ({group.kind}), without a grant")


def _comes_in(group: Group) -> bool:
    return group.credit == "wallet_available" and group.kind in _VALUE_KINDS


def _came(paid: Paid, group: Group) -> Iterator[Line]:
    """What was paid for units that came in, by where they came from."""
    amount = paid.grow(group.units)
    if group.debit == "cash_clearing":
        yield _line(group, "billed", "cash_clearing", DEFERRED, paid.currency, amount)
    elif group.debit == "tax_payable":
        yield _line(group, "billed", "tax_payable", DEFERRED, paid.currency, amount)
    elif group.debit == "fees":
        yield _line(group, "fee_deferred", DEFERRED, DEFERRED_FEES, paid.currency, amount.copy_negate())
    elif group.debit == "usage":
        yield _line(group, "recognised", DEFERRED, "usage", paid.currency, amount.copy_negate())
    elif group.debit == "receivable":
        yield from _settled(paid, group, amount=amount.copy_negate(), units=group.units.copy_negate())
    elif group.debit in _PUT_RIGHT:
        yield _line(group, "adjusted", DEFERRED, group.debit, paid.currency, amount.copy_negate())
    elif group.debit == "disputed":
        yield _line(group, "disputed", DEFERRED, "disputed", paid.currency, amount.copy_negate())
    else:
        raise Unclassified(f"{group.debit} to {group.credit} ({group.kind}), into a grant")


def _went(paid: Paid, group: Group) -> list[Line]:
    """What units were worth that left the grant, or came back to it, by where they went."""
    other = group.credit if group.debit == "wallet_available" else group.debit
    units = _signed(group, other)
    amount = paid.obligation.render(units)
    if other in _EXERCISED or (other == "promotional_expense" and group.kind == "refund"):
        paid.obligation.used = EXACT.add(paid.obligation.used, amount)
    if other == "usage" or (other == "promotional_expense" and group.kind == "refund"):
        # A refund also takes what the spent part of a bonus had stood for: that much of what was paid is used.
        found = [_line(group, "recognised", DEFERRED, "usage", paid.currency, amount)]
    elif other == "fees":
        found = [_line(group, "fee_deferred", DEFERRED, DEFERRED_FEES, paid.currency, amount)]
    elif other == "breakage":
        found = [_line(group, "breakage", DEFERRED, "breakage", paid.currency, amount)]
    elif other in {"refunds", "cash_clearing"}:
        found = [_line(group, "refunded", DEFERRED, other, paid.currency, amount)]
    elif other == "receivable":
        found = list(_settled(paid, group, amount=amount, units=units))
    elif other in _PUT_RIGHT:
        found = [_line(group, "adjusted", DEFERRED, other, paid.currency, amount)]
    elif other == "disputed":
        found = [_line(group, "disputed", DEFERRED, "disputed", paid.currency, amount)]
    else:
        raise Unclassified(f"{group.debit} to {group.credit} ({group.kind}), of a grant that was paid for")
    return found


def _settled(paid: Paid, group: Group, *, amount: Decimal, units: Decimal) -> Iterator[Line]:
    """A debt of ``units`` was paid with what had cost ``amount``: in money the two may differ, and be two currencies.

    What was owed in something else than money was no revenue yet.
    """
    if not group.is_currency:
        yield _line(group, "recognised", DEFERRED, "usage", paid.currency, amount)
    elif paid.currency == group.asset:
        yield _line(group, "settled", DEFERRED, "receivable", paid.currency, amount)
        yield _line(group, "conceded", "usage", "receivable", paid.currency, EXACT.subtract(units, amount))
    else:
        yield _line(group, "exchanged", DEFERRED, "fx", paid.currency, amount)
        yield _line(group, "exchanged", "fx", "receivable", group.asset, units)


def _signed(group: Group, other: str) -> Decimal:
    """The group's units, negative where they came from the ``other`` account instead of going there."""
    return group.units if group.credit == other else group.units.copy_negate()


def _line(group: Group, movement: str, debit: str, credit: str, currency: str, amount: Decimal) -> Line:
    return Line(
        movement,
        debit,
        credit,
        currency,
        amount,
        group.product,
        group.occurred_on,
        fee=group.fee,
        units=group.units,
        entries=group.entries,
        posted=(group.kind, group.debit, group.credit),
    )
