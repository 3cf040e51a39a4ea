"""Invoices: exact amounts of the ledger as coins on paper, so that the parts add up to the total. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.engine.currencies import grouped
from billing.engine.money import DECIMALS_MAX, EXACT, ZERO, exact_sum, round_half_even


@dataclass(frozen=True, slots=True)
class Item:
    """What something came to in the ledger, exact. ``quantity`` is what was metered, where anything was, at
    ``unit_amount`` for ``per`` of it, where there is one such rate; ``metadata`` what of the events the line is for."""

    kind: str
    product: str
    description: str
    exact: Decimal
    quantity: Decimal | None = None
    unit: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    unit_amount: Decimal | None = None
    per: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What fell in a tier: units beyond ``beyond`` and up to ``up_to``, and ``flat`` for having reached it."""

    beyond: Decimal
    up_to: Decimal | None
    unit_amount: Decimal
    per: Decimal
    quantity: Decimal
    flat: Decimal


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


def by_tier(item: Item, steps: Sequence[Step], *, places: int) -> list[Item]:
    """The item as one for each tier that something fell in; none where the tiers do not account for its amount to the
    coin of so many decimals, as below a most of the period. They add up to it exactly: the last has what rounding
    left."""
    exact = [Fraction(step.quantity) * Fraction(step.unit_amount) / Fraction(step.per) for step in steps]
    whole = sum(exact) + sum(Fraction(step.flat) for step in steps)
    if not steps or abs(whole - Fraction(item.exact)) >= Fraction(1, 2 * 10**places):
        return []
    found = []
    for step, amount in zip(steps, exact, strict=True):
        name = f"{item.description}, {_span(step)}"
        if step.quantity:
            worth = round_half_even(amount, precision=DECIMALS_MAX)
            found.append(
                replace(
                    item,
                    description=name,
                    exact=worth,
                    quantity=step.quantity,
                    unit_amount=step.unit_amount,
                    per=step.per,
                )
            )
        if step.flat:
            found.append(
                replace(item, description=f"{name}: flat amount", exact=step.flat, quantity=None, unit_amount=None)
            )
    if found:
        rest = EXACT.subtract(item.exact, exact_sum(each.exact for each in found))
        found[-1] = replace(found[-1], exact=EXACT.add(found[-1].exact, rest))
    return found


def _span(step: Step) -> str:
    if step.up_to is None:
        return f"above {grouped(step.beyond)}" if step.beyond else "all units"
    if not step.beyond:
        return f"up to {grouped(step.up_to)}"
    return f"above {grouped(step.beyond)} to {grouped(step.up_to)}"


def merged(items: Iterable[Item]) -> Iterator[Item]:
    """Items that read the same as one: prices of two versions of a plan may be the same."""
    found: dict[tuple[Any, ...], Item] = {}
    for item in items:
        key = (item.kind, item.product, item.description, repr(item.metadata), item.unit_amount, item.per)
        known = found.get(key)
        found[key] = item if known is None else _together(known, item)
    yield from found.values()


def _together(one: Item, other: Item) -> Item:
    quantity = EXACT.add(one.quantity or ZERO, other.quantity or ZERO)
    return replace(one, exact=EXACT.add(one.exact, other.exact), quantity=quantity or None)


def paid_of(due: Decimal, *, due_before: Decimal, settled: Decimal) -> Decimal:
    """How much of an invoice is paid, where the oldest is paid first: ``due_before`` is what was due on those before,
    ``settled`` all that came in for debts."""
    if due <= 0:
        return ZERO
    return min(due, max(ZERO, EXACT.subtract(settled, due_before)))
