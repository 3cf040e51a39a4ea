"""The prices of a plan version: checked together, and stored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing.engine.costs import CURRENCY
from billing.engine.money import amount_string
from billing.engine.prices import BadPrice, Terms, hours
from billing.engine.prices import terms as engine
from billing.errors import InvalidRequest
from billing.models import Asset, Meter, PlanVersion, Price, Tier

_SUMS = {Meter.Aggregation.SUM, Meter.Aggregation.COUNT}


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTerms(Terms):
    """What one meter shall cost in one asset, by a model's numbers (``Terms``), where ``match`` and ``valid`` hold."""

    meter: Meter
    asset: Asset
    match: Mapping[str, Sequence[str]] = field(default_factory=dict)
    valid: Mapping[str, Any] = field(default_factory=dict)
    covered_by: Asset | None = None
    """Units are first taken one for one from this asset; only the rest is priced."""
    cached_of: Meter | None = None
    """The meter whose price holds instead, where the plan charges cached tokens at retail."""
    failure_policy: str = Price.FailurePolicy.PORTION


def check(prices: Sequence[PriceTerms], *, where: str = "prices", beside: Sequence[Price] | None = None) -> None:
    """Raise ``InvalidRequest`` for prices that make no sense, or that could not be told apart when an event comes in.

    Each is checked by itself and against the others, and against the stored prices ``beside`` them, which overrides
    leave in place; ``where`` is what the list is called in the request.
    """
    if not prices and beside is None:
        raise InvalidRequest.field(where, "a plan needs at least one price")
    everything: list[PriceTerms | Price] = [*prices, *(beside or ())]
    for position, terms in enumerate(prices):
        try:
            check_one(terms)
            _check_cached(terms, everything)
        except BadPrice as bad:
            raise InvalidRequest.field(f"{where}.{position}.{bad.field}", bad.detail, code=bad.code) from bad
        for other_position, other in enumerate(prices[:position]):
            if ambiguous(terms, other):
                raise InvalidRequest.field(
                    f"{where}.{position}.match",
                    f"usage could match this price and {where}.{other_position} equally well",
                    code="ambiguous",
                )
        if any(ambiguous(terms, price) for price in beside or ()):
            raise InvalidRequest.field(
                f"{where}.{position}.match",
                f"usage could match this price and one of the plan's for {terms.meter.code} equally well",
                code="ambiguous",
            )


def check_minimums(prices: Sequence[PriceTerms], currency: Asset, *, where: str = "prices") -> None:
    """Refuse a ``minimum_amount`` that could not be charged with the plan's fees when a period is settled."""
    for position, price in enumerate(prices):
        if price.minimum_amount is not None and price.asset != currency:
            raise InvalidRequest.field(
                f"{where}.{position}.minimum_amount", f"is for prices in the plan's currency, {currency.code}"
            )


def check_one(terms: PriceTerms) -> None:
    """Raise ``BadPrice`` for a price that makes no sense by itself."""
    engine.check(terms)
    hours.parse(terms.valid)
    if terms.model == "cost_plus" and not terms.cost_field and terms.asset.code != CURRENCY:
        raise BadPrice("asset", f"must be {CURRENCY}, in which the cost catalogue is kept, or cost_field is needed")
    unknown = sorted(set(terms.match) - set(terms.meter.dimensions))
    if unknown:
        raise BadPrice("match", f"{unknown[0]} is not a dimension of the meter {terms.meter.code}")
    if terms.failure_policy == Price.FailurePolicy.PROMPT_ONLY and not terms.meter.phase:
        raise BadPrice(
            "failure_policy",
            f"needs the meter {terms.meter.code} to say its phase: whether it counts input or output",
        )
    if terms.meter.aggregation not in _SUMS:
        if terms.model not in engine.COUNTING:
            raise BadPrice(
                "model", f"{terms.model} is worked out event by event, and {terms.meter.code} is not a sum of events"
            )
        if terms.failure_policy != Price.FailurePolicy.PORTION:
            raise BadPrice("failure_policy", f"is about single runs, and {terms.meter.code} is not a sum of them")
    if terms.covered_by is not None:
        if terms.model not in engine.COVERABLE:
            raise BadPrice("covered_by", f"needs a price for units, which {terms.model} is not")
        if terms.meter.aggregation not in _SUMS:
            raise BadPrice("covered_by", f"needs units that are used up, and {terms.meter.code} is not a sum")
        if terms.covered_by == terms.asset:
            raise BadPrice("covered_by", "must be another asset than the one that the rest is charged in")


def _check_cached(terms: PriceTerms, prices: Iterable[PriceTerms | Price]) -> None:
    """A meter's cached tokens stand for those of one other meter, which has prices of its own."""
    for other in prices:
        if other.meter == terms.meter and other.cached_of != terms.cached_of:
            raise BadPrice("cached_of", f"must be the same in all prices of {terms.meter.code}")
    if terms.cached_of is None:
        return
    if not any(other.meter == terms.cached_of and other.cached_of is None for other in prices):
        raise BadPrice("cached_of", f"{terms.cached_of.code} has no price of its own in this plan")
    if (terms.cached_of.event_type, terms.cached_of.aggregation) != (terms.meter.event_type, terms.meter.aggregation):
        raise BadPrice("cached_of", f"{terms.cached_of.code} counts something else")


def ambiguous(one: PriceTerms | Price, other: PriceTerms | Price) -> bool:
    """Whether some usage fits both, with neither having more conditions than the other."""
    if one.meter != other.meter or _asset(one) != _asset(other):
        return False
    if len(one.match) + bool(one.valid) != len(other.match) + bool(other.valid):
        return False
    times, others = hours.parse(one.valid), hours.parse(other.valid)
    if times is not None and others is not None and not times.overlaps(others):
        return False
    return all(set(values) & set(other.match[name]) for name, values in one.match.items() if name in other.match)


def conditions(price: PriceTerms | Price) -> tuple[Any, ...]:
    """What an override must share with a plan's price to take its place: the meter, and when it holds."""
    return (
        price.meter.pk,
        frozenset((name, frozenset(values)) for name, values in price.match.items()),
        str(price.valid),
    )


def _asset(price: PriceTerms | Price) -> str:
    return price.asset_id if isinstance(price, Price) else price.asset.pk


def add(version: PlanVersion, prices: Sequence[PriceTerms], *, position: int = 0) -> list[Price]:
    """Store checked prices with the version that is being published, from ``position`` on."""
    rows = Price.objects.bulk_create(
        Price(
            plan_version=version,
            meter=terms.meter,
            asset=terms.asset,
            model=terms.model,
            per=Decimal(1) if terms.per is None else terms.per,
            unit_amount=terms.unit_amount,
            rounding=terms.rounding or "",
            rate=terms.rate,
            fixed_amount=terms.fixed_amount,
            minimum=terms.minimum,
            maximum=terms.maximum,
            markup=terms.markup,
            cost_field=terms.cost_field or "",
            amount_field=terms.amount_field or "",
            free_units=terms.free_units or Decimal(0),
            minimum_amount=terms.minimum_amount,
            maximum_amount=terms.maximum_amount,
            covered_by=terms.covered_by,
            cached_of=terms.cached_of,
            match={dimension: list(values) for dimension, values in terms.match.items()},
            valid=dict(terms.valid),
            failure_policy=terms.failure_policy,
            position=place,
        )
        for place, terms in enumerate(prices, start=position)
    )
    Tier.objects.bulk_create(
        Tier(
            price=row,
            number=number,
            up_to=tier.up_to,
            unit_amount=tier.unit_amount or tier.rate or Decimal(0),
            flat_amount=tier.flat_amount or Decimal(0),
        )
        for row, terms in zip(rows, prices, strict=True)
        for number, tier in enumerate(terms.tiers or (), start=1)
    )
    return rows


def copy(prices: Iterable[Price], version: PlanVersion) -> list[Price]:
    """The same prices, with their tiers, for another version that is being published."""
    rows: list[Price] = []
    tiers: list[Tier] = []
    for price in prices:
        row = Price(**{**_values(price), "plan_version": version})
        rows.append(row)
        tiers += [Tier(**{**_values(tier), "price": row}) for tier in price.tiers.all()]
    Price.objects.bulk_create(rows)
    Tier.objects.bulk_create(tiers)
    return rows


def _values(row: Price | Tier) -> dict[str, Any]:
    own = {"id", "plan_version", "price"}
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if field.name not in own}


def written(terms: PriceTerms) -> dict[str, Any]:
    """The price with the fields that it has, for the audit trail."""
    numbers = {name: _written(getattr(terms, name)) for name in engine.given(terms) if name != "tiers"}
    more: dict[str, Any] = {}
    if terms.tiers:
        more["tiers"] = [
            {name: _written(getattr(tier, name)) for name in ("up_to", "unit_amount", "rate", "flat_amount")}
            for tier in terms.tiers
        ]
    if terms.valid:
        more["valid"] = terms.valid
    if terms.covered_by:
        more["covered_by"] = terms.covered_by.code
    if terms.cached_of:
        more["cached_of"] = terms.cached_of.code
    return {
        "meter": terms.meter.code,
        "asset": terms.asset.code,
        "model": terms.model,
        **numbers,
        **more,
        "match": terms.match,
        "failure_policy": terms.failure_policy,
    }


def _written(value: Any) -> Any:
    return amount_string(value) if isinstance(value, Decimal) else value
