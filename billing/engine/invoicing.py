"""Invoices: exact amounts of the ledger as coins on paper, so that the parts add up to the total. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing.engine.money import EXACT, ZERO, round_half_even


@dataclass(frozen=True, slots=True)
class Item:
    """What something came to in the ledger, exact. ``quantity`` is what was metered, where anything was;
    ``metadata`` what of the events the line is for."""

    kind: str
    product: str
    description: str
    exact: Decimal
    quantity: Decimal | None = None
    unit: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Totals:
    """In coins: ``total`` is what the lines come to, ``prepaid`` what the wallet has paid of it, ``due`` the rest."""

    amounts: list[Decimal]
    total: Decimal
    prepaid: Decimal
    due: Decimal


def in_coins(items: Iterable[Item], *, owed: Decimal, owed_before: Decimal, places: int) -> Totals:
    """The items' amounts in coins of so many decimals, each cut from the running sum, and what of them is due.

    ``owed`` is what of the items was taken beyond the wallet, ``owed_before`` all that earlier invoices are for, both
    exact. What is due is cut from the running sum as well: over any number of invoices it is what is owed.
    """
    amounts, exact, cut = [], ZERO, ZERO
    for item in items:
        exact = EXACT.add(exact, item.exact)
        upto = round_half_even(exact, precision=places)
        amounts.append(EXACT.subtract(upto, cut))
        cut = upto
    due = EXACT.subtract(
        round_half_even(EXACT.add(owed_before, owed), precision=places), round_half_even(owed_before, precision=places)
    )
    return Totals(amounts, cut, EXACT.subtract(cut, due), due)


def paid_of(due: Decimal, *, due_before: Decimal, settled: Decimal) -> Decimal:
    """How much of an invoice is paid, where the oldest is paid first: ``due_before`` is what was due on those before,
    ``settled`` all that came in for debts."""
    if due <= 0:
        return ZERO
    return min(due, max(ZERO, EXACT.subtract(settled, due_before)))
