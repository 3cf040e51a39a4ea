"""Plan versions, compiled for rating. A published version never changes, so each process keeps those it has used."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from uuid import UUID

from billing.engine import expressions
from billing.engine import rating as engine
from billing.engine.metering import MeterRule
from billing.engine.money import EXACT, ZERO, exact_sum
from billing.engine.prices import Discounted, Measure, PerEvent, PriceFunction, Terms, TierTerms, hours, terms
from billing.engine.rating import ExplainedLine
from billing.models import FairUse, Meter, PlanVersion, Price


@dataclass(frozen=True, slots=True)
class CompiledPrice:
    """A price ready to be asked. ``match`` says for which dimension values it holds."""

    id: UUID
    asset: str
    precision: int
    function: PriceFunction
    """What it costs by the list, before any discount."""
    match: Mapping[str, frozenset[str]]
    charges_failed_runs: bool
    """Whether a run that failed is charged for what it used of this."""
    net: PriceFunction
    """What is charged: the function itself, or it less the discount."""
    measure: Measure | None = None
    """What of an event the function runs on; None for its quantity."""
    minimum_amount: Decimal | None = None
    """The least that a period costs."""
    covered_by: str | None = None
    """The asset that its units are taken from first, one for one."""
    covered_precision: int = 0
    time: hours.TimeRule | None = None
    """When it holds; None for always."""
    given: bool = False
    """Whether the event itself says what it costs."""

    @property
    def may_go_uncounted(self) -> bool:
        """Whether events that come out even need no running quantity, nor does what follows miss them."""
        return self.net.linear and (self.measure is None or isinstance(self.measure, PerEvent))

    def may_give_back(self, aggregation: str) -> bool:
        """Whether more of a meter of that ``aggregation`` may cost less in all."""
        return aggregation == "latest" or bool(self.net.falls_after)

    def fits(self, groups: Mapping[str, str], moment: datetime) -> bool:
        for field, wanted in self.match.items():
            if groups.get(field) not in wanted:
                return False
        return self.time is None or self.time.holds(moment)

    def explain(self, *, before: Decimal, moved: Decimal, amount: Decimal) -> list[ExplainedLine]:
        """The lines of a charge that moved the period on from ``before``; they add up to ``amount``."""
        lines = engine.explain(self.function, before=before, quantity=moved, precision=self.precision)
        if self.given:
            lines = [ExplainedLine("event", line.amount) for line in lines]
        listed = exact_sum(line.amount for line in lines)
        if listed != amount:
            lines.append(ExplainedLine("discount", EXACT.subtract(amount, listed)))
        return lines


@dataclass(frozen=True, slots=True)
class CompiledMeter:
    """A meter and its prices on one plan version: for each asset a row of them, the most specific first."""

    id: UUID
    rule: MeterRule
    prices: tuple[tuple[CompiledPrice, ...], ...]

    def prices_for(self, groups: Mapping[str, str], moment: datetime) -> list[CompiledPrice]:
        """At most one price for each asset."""
        found = []
        for row in self.prices:
            for price in row:
                if price.fits(groups, moment):
                    found.append(price)
                    break
        return found


@dataclass(frozen=True, slots=True)
class CompiledFairUse:
    """How much of a meter's quantity, or of what usage is charged in an asset, a period may have."""

    counts: UUID | str
    """The meter's id, or the asset's code."""
    unit: str
    """The meter's code, or the asset's."""
    limit: Decimal
    rule: MeterRule | None
    """The meter's; None for an asset."""


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    """What a plan version charges for, by event type."""

    version_id: UUID
    plan: str
    number: int
    interval: str
    meters: Mapping[str, tuple[CompiledMeter, ...]]
    fair_use: tuple[CompiledFairUse, ...] = ()

    def price(self, price_id: UUID) -> tuple[CompiledMeter, CompiledPrice]:
        """One of its prices, with its meter. Raises ``KeyError`` where it has no such price."""
        for meters in self.meters.values():
            for meter in meters:
                for row in meter.prices:
                    for price in row:
                        if price.id == price_id:
                            return meter, price
        raise KeyError(price_id)

    @property
    def covering(self) -> set[str]:
        """The assets that cover units of it."""
        meters = (meter for group in self.meters.values() for meter in group)
        prices = (price for meter in meters for row in meter.prices for price in row)
        return {price.covered_by for price in prices if price.covered_by is not None}

    def prices_of(self, meter_id: UUID) -> list[UUID]:
        """The ids of the meter's prices."""
        meters = (meter for group in self.meters.values() for meter in group if meter.id == meter_id)
        return [price.id for meter in meters for row in meter.prices for price in row]


@lru_cache(maxsize=1024)
def compiled_plan(version_id: UUID) -> CompiledPlan:
    """The plan version with this id. The version must be published, hence immutable."""
    version = PlanVersion.objects.select_related("plan").get(pk=version_id)
    prices: dict[Meter, list[Price]] = {}
    rows = version.prices.select_related("meter", "asset", "covered_by", "cached_of").prefetch_related("tiers")
    for price in rows.order_by("position"):
        prices.setdefault(price.meter, []).append(price)
    meters: dict[str, list[CompiledMeter]] = {}
    for meter, own in prices.items():
        retail = own[0].cached_of if version.cached_tokens == PlanVersion.CachedTokens.RETAIL else None
        meters.setdefault(meter.event_type, []).append(
            CompiledMeter(
                id=meter.id,
                rule=meter_rule(meter),
                prices=_rows(own if retail is None else prices[retail], version.discount),
            )
        )
    return CompiledPlan(
        version_id=version.id,
        plan=version.plan.code,
        number=version.number,
        interval=version.interval,
        meters={event_type: tuple(group) for event_type, group in meters.items()},
        fair_use=tuple(_fair_use(limit) for limit in version.fair_use.select_related("meter")),
    )


def _fair_use(limit: FairUse) -> CompiledFairUse:
    if limit.meter is not None:
        return CompiledFairUse(limit.meter.pk, limit.meter.code, limit.limit, meter_rule(limit.meter))
    assert limit.asset_id is not None
    return CompiledFairUse(limit.asset_id, limit.asset_id, limit.limit, None)


def meter_rule(meter: Meter) -> MeterRule:
    """The meter as the engine counts it."""
    return MeterRule(
        code=meter.code,
        event_type=meter.event_type,
        aggregation=meter.aggregation,
        value=expressions.parse(meter.value) if meter.value else None,
        filter={field: frozenset(values) for field, values in meter.filter.items()},
        dimensions=tuple(meter.dimensions),
    )


def price_terms(price: Price) -> Terms:
    """The price as the engine reads it. Its tiers should be prefetched."""
    rates = price.model == Price.Model.GRADUATED_PERCENTAGE
    tiers = tuple(
        TierTerms(
            up_to=tier.up_to,
            unit_amount=None if rates else tier.unit_amount,
            rate=tier.unit_amount if rates else None,
            flat_amount=tier.flat_amount or None,
        )
        for tier in price.tiers.all()
    )
    return Terms(
        model=price.model,
        unit_amount=price.unit_amount,
        per=price.per,
        rounding=price.rounding or None,
        tiers=tiers or None,
        rate=price.rate,
        fixed_amount=price.fixed_amount,
        minimum=price.minimum,
        maximum=price.maximum,
        markup=price.markup,
        cost_field=price.cost_field or None,
        amount_field=price.amount_field or None,
        free_units=price.free_units or None,
        minimum_amount=price.minimum_amount,
        maximum_amount=price.maximum_amount,
    )


def price_function(price: Price) -> PriceFunction:
    """The price as a function of the running quantity, before any discount."""
    return terms.function(price_terms(price))


def compile_price(price: Price, *, discount: Decimal = ZERO) -> CompiledPrice:
    """The price, ready to be asked; ``discount`` is the share off all that it charges."""
    wanted = price_terms(price)
    function = terms.function(wanted)
    return CompiledPrice(
        id=price.id,
        asset=price.asset_id,
        precision=price.asset.precision,
        function=function,
        match={field: frozenset(values) for field, values in price.match.items()},
        charges_failed_runs=_charges_failed_runs(price),
        net=Discounted(function, discount) if discount else function,
        measure=terms.measure(wanted),
        minimum_amount=price.minimum_amount,
        covered_by=price.covered_by_id,
        covered_precision=0 if price.covered_by is None else price.covered_by.precision,
        time=hours.parse(price.valid),
        given=price.model == Price.Model.EVENT,
    )


def _rows(prices: list[Price], discount: Decimal) -> tuple[tuple[CompiledPrice, ...], ...]:
    rows: dict[str, list[CompiledPrice]] = {}
    for price in prices:
        rows.setdefault(price.asset_id, []).append(compile_price(price, discount=discount))
    return tuple(
        tuple(sorted(row, key=lambda price: -(len(price.match) + (price.time is not None)))) for row in rows.values()
    )


def _charges_failed_runs(price: Price) -> bool:
    if price.failure_policy == Price.FailurePolicy.PROMPT_ONLY:
        return price.meter.phase == Meter.Phase.INPUT
    return price.failure_policy == Price.FailurePolicy.PORTION
