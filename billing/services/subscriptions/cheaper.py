"""What the usage of a month would come to on another version, as far as its sums say."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing.engine import rating as engine
from billing.engine.money import EXACT, ZERO
from billing.engine.prices import terms
from billing.models import PlanVersion, Price
from billing.selectors.catalog.catalog import price_function, price_terms
from billing.selectors.usage import usage

LOOK_BACK = timedelta(days=30)
Prices = Mapping[str, Sequence[Price]]
"""By the meter's code."""


def changed(version: PlanVersion, before: Sequence[PlanVersion]) -> Prices:
    """The version's prices for each meter for which none of ``before`` has the very same ones."""
    new, known = _by_meter(version), [_by_meter(each) for each in before]
    return {
        meter: prices
        for meter, prices in new.items()
        if all(_said(old.get(meter, ())) != _said(prices) for old in known)
    }


def less(customer_id: UUID, prices: Prices, *, currency: str, now: datetime) -> Decimal:
    """How much less usage like that of the last 30 days would cost at most with these ``prices``, in the currency.

    Each meter at the cheapest that there is for it. A price that is no function of the metered quantity, or is in
    another asset, may come to nothing.
    """
    found = ZERO
    if not prices:
        return found
    for row in usage.totals(customer_id=customer_id, start=now - LOOK_BACK, end=now, group_by=("meter",)):
        offered = prices.get(row.group[0] or "", ())
        if offered and row.asset == currency and row.amount > 0:
            least = min(_cost(price, row.quantity, currency) for price in offered)
            found = EXACT.add(found, max(ZERO, EXACT.subtract(row.amount, least)))
    return found


def _by_meter(version: PlanVersion) -> Prices:
    found: dict[str, list[Price]] = {}
    for price in version.prices.select_related("meter", "asset").prefetch_related("tiers"):
        found.setdefault(price.meter.code, []).append(price)
    return found


def _said(prices: Sequence[Price]) -> list[Any]:
    return [
        (price_terms(price), price.asset_id, price.match, price.valid, price.covered_by_id, price.cached_of_id)
        for price in prices
    ]


def _cost(price: Price, quantity: Decimal, asset: str) -> Decimal:
    if price.asset_id != asset or price.model not in terms.COUNTING or quantity <= 0:
        return ZERO
    return engine.charge(price_function(price), before=ZERO, quantity=quantity, precision=price.asset.precision)
