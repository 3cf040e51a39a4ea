"""What an event costs: prices are functions of the period's running quantity.

An event that takes the running quantity from a to b costs F(b) − F(a), where F is rounded half even at the asset's
precision: rounding the running total, never the single event, makes any split of a quantity into events add up to
exactly F(total).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import chain

from billing.engine.money import EXACT, ZERO, round_half_even
from billing.engine.prices.function import Part, PriceFunction, add

_UNLIMITED = Decimal(10) ** 15


@dataclass(frozen=True, slots=True)
class ExplainedLine:
    """One line of why an event costs what it costs. The amounts of all lines add up to the charge, to the last digit.

    ``kind`` is ``units`` (``quantity`` ÷ ``per`` × ``unit_amount``), ``packages``, ``flat_amount``, ``free_units``,
    ``maximum`` (what is beyond the most of the period), ``discount``, ``covered`` (units from another asset),
    ``refused`` (what a budget left out of a capture), ``not_paid`` (what a cheaper tier would give
    back, had it been paid).
    """

    kind: str
    amount: Decimal
    quantity: Decimal | None = None
    unit_amount: Decimal | None = None
    per: Decimal | None = None
    tier: int | None = None


def charge(price: PriceFunction, *, before: Decimal, quantity: Decimal, precision: int) -> Decimal:
    """What the event costs that takes the running quantity from ``before`` to ``before + quantity``.

    Negative where the quantity is, or where the whole becomes cheaper: then it is value given back.
    """
    after = EXACT.add(before, quantity)
    assert before >= 0
    assert after >= 0
    total = round_half_even(price.total(after), precision=precision)
    if not before:
        return total  # F(0) is 0.
    return EXACT.subtract(total, round_half_even(price.total(before), precision=precision))


def explain(price: PriceFunction, *, before: Decimal, quantity: Decimal, precision: int) -> list[ExplainedLine]:
    """The lines of that charge, tier by tier. They are rounded one after the other on their running sum."""
    old, new = _by_key(price.parts(before)), _by_key(price.parts(EXACT.add(before, quantity)))
    lines: list[ExplainedLine] = []
    exact: Decimal | Fraction = price.total(before)
    booked = round_half_even(exact, precision=precision)
    for key in {key: None for key in chain(old, new)}:
        was, becomes = old.get(key), new.get(key)
        part = becomes or was
        assert part is not None
        amount = Fraction(becomes.amount if becomes else 0) - Fraction(was.amount if was else 0)
        units = EXACT.subtract(_quantity(becomes), _quantity(was))
        if not amount and not units:
            continue
        exact = add(exact, amount)
        total = round_half_even(exact, precision=precision)
        lines.append(
            ExplainedLine(
                part.kind,
                EXACT.subtract(total, booked),
                None if part.quantity is None else units,
                part.unit_amount,
                part.per,
                part.tier,
            )
        )
        booked = total
    return lines


def _by_key(parts: Sequence[Part]) -> dict[tuple[int, str], Part]:
    return {(part.tier or 0, part.kind): part for part in parts}


def _quantity(part: Part | None) -> Decimal:
    return ZERO if part is None or part.quantity is None else part.quantity


def affordable(
    price: PriceFunction,
    *,
    before: Decimal,
    budget: Decimal,
    precision: int,
    basis: Callable[[Decimal], Decimal] = lambda quantity: quantity,
) -> Decimal | None:
    """How many whole units ``budget`` pays for, on top of ``before``; None where it pays for any number.

    ``basis`` says what of a quantity the price counts; it must not fall as the quantity grows.

    Every whole quantity up to the answer is paid for. Of a price that falls when the next tier is reached, so that a
    larger quantity could be paid for again, the answer stays below the first quantity that cannot.
    """
    if budget < 0:
        return ZERO

    def pays(quantity: Decimal) -> bool:
        return charge(price, before=before, quantity=basis(quantity), precision=precision) <= budget

    paid = ZERO
    for end in [*(EXACT.subtract(end, before) // 1 for end in price.falls_after), _UNLIMITED]:
        # Up to here the price does not fall, so that its middle tells which half the answer is in.
        if end <= paid:
            continue
        if pays(end):
            paid = end
            continue
        unpaid = end
        while unpaid - paid > 1:
            middle = (paid + unpaid) // 2
            if pays(middle):
                paid = middle
            else:
                unpaid = middle
        return paid
    return None
