"""What a price that need not exist would cost: at a few quantities, and as a curve. By the engine that charges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.engine import rating
from billing.engine.metering import BadQuantity
from billing.engine.money import EXACT, LIMIT, ZERO
from billing.engine.prices import Share, terms
from billing.services.catalog.prices import PriceTerms

QUANTITIES = (Decimal(1), Decimal(1000), Decimal(1_000_000))
STEPS = 60
_REACH = Decimal(1000)
_PACKAGES = Decimal(3)
_BEYOND = Decimal("1.3")
_DOUBLINGS_MAX = 40
_ROUND_NUMBERS = tuple(Decimal(number) for number in ("1.2", "1.5", "2.4", "3", "4.5", "6", "9", "12"))
_FARTHEST = Decimal(6).scaleb(17)


@dataclass(frozen=True, slots=True)
class Point:
    """What a quantity costs in all, as a period's whole usage; None beyond what the books can hold."""

    quantity: Decimal
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Preview:
    """``rows`` at telling quantities, ``curve`` at ``STEPS`` + 1 even ones from 0."""

    rows: Sequence[Point]
    curve: Sequence[Point]


def preview(price: PriceTerms) -> Preview:
    """For a price that ``prices.check_one`` has passed. A flat price is asked for numbers of events, a percentage with
    a part for each event for what one event costs."""
    function, measure = terms.function(price), terms.measure(price)

    def point(quantity: Decimal) -> Point:
        try:
            basis = measure.of(quantity, {}) if isinstance(measure, Share) else quantity
            amount = rating.charge(function, before=ZERO, quantity=basis, precision=price.asset.precision)
        except BadQuantity:
            return Point(quantity, None)
        return Point(quantity, amount if amount < LIMIT else None)

    ends = [tier.up_to for tier in price.tiers or () if tier.up_to is not None]
    telling = sorted({*QUANTITIES, *ends, *([price.free_units] if price.free_units else [])})
    step = EXACT.divide(_reach(price, ends, point), Decimal(STEPS))
    return Preview(
        [point(quantity) for quantity in telling],
        [point(EXACT.multiply(step, Decimal(number))) for number in range(STEPS + 1)],
    )


def _reach(price: PriceTerms, ends: Sequence[Decimal], point: Callable[[Decimal], Point]) -> Decimal:
    """How far the curve goes: beyond the last tier, the free units, a few packages, and where the maximum is met."""
    reach = EXACT.multiply(ends[-1], _BEYOND) if ends else max(_REACH, EXACT.multiply(price.per or ZERO, _PACKAGES))
    if price.free_units:
        reach = max(reach, EXACT.multiply(price.free_units, Decimal(2)))
    if price.maximum_amount:
        for _ in range(_DOUBLINGS_MAX):
            met = point(reach).amount
            if met is None or met >= price.maximum_amount:
                break
            reach = EXACT.multiply(reach, Decimal(2))
    return _round_up(reach)


def _round_up(number: Decimal) -> Decimal:
    """The next number, from this one on, that divides well by the steps and by the marks of an axis."""
    unit = Decimal(1).scaleb(number.adjusted())
    fitting = (EXACT.multiply(factor, unit) for factor in _ROUND_NUMBERS)
    return min(next(each for each in fitting if each >= number), _FARTHEST)
