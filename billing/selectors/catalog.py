"""Plan versions, compiled for rating. A published version never changes, so each process keeps those it has used."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from uuid import UUID

from billing.engine import expressions
from billing.engine.discount import Discounted
from billing.engine.metering import MeterRule
from billing.engine.rating import PerUnit, PriceFunction
from billing.models import Meter, PlanVersion, Price


@dataclass(frozen=True, slots=True)
class CompiledPrice:
    """A price ready to be asked. ``match`` says for which dimension values it holds."""

    id: UUID
    asset: str
    precision: int
    function: PriceFunction
    match: Mapping[str, frozenset[str]]
    charges_failed_runs: bool
    """Whether a run that failed is charged for what it used of this."""

    def fits(self, groups: Mapping[str, str]) -> bool:
        return all(groups.get(field) in wanted for field, wanted in self.match.items())


@dataclass(frozen=True, slots=True)
class CompiledMeter:
    """A meter and its prices on one plan version, the most specific price first."""

    id: UUID
    rule: MeterRule
    prices: tuple[CompiledPrice, ...]

    def price_for(self, groups: Mapping[str, str]) -> CompiledPrice | None:
        return next((price for price in self.prices if price.fits(groups)), None)


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    """What a plan version charges for, by event type."""

    version_id: UUID
    plan: str
    number: int
    interval: str
    meters: Mapping[str, tuple[CompiledMeter, ...]]


@lru_cache(maxsize=1024)
def compiled_plan(version_id: UUID) -> CompiledPlan:
    """The plan version with this id. The version must be published, hence immutable."""
    version = PlanVersion.objects.select_related("plan").get(pk=version_id)
    prices: dict[Meter, list[CompiledPrice]] = {}
    for price in version.prices.select_related("meter", "asset").order_by("position"):
        prices.setdefault(price.meter, []).append(_compile_price(price, version.discount))
    meters: dict[str, list[CompiledMeter]] = {}
    for meter, compiled in prices.items():
        specific_first = sorted(compiled, key=lambda price: -len(price.match))
        meters.setdefault(meter.event_type, []).append(
            CompiledMeter(id=meter.id, rule=meter_rule(meter), prices=tuple(specific_first))
        )
    return CompiledPlan(
        version_id=version.id,
        plan=version.plan.code,
        number=version.number,
        interval=version.interval,
        meters={event_type: tuple(group) for event_type, group in meters.items()},
    )


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


def price_function(price: Price) -> PriceFunction:
    """The price as a function of the running quantity."""
    assert price.model == Price.Model.PER_UNIT
    return PerUnit(unit_amount=price.unit_amount, per=price.per)


def _charges_failed_runs(price: Price) -> bool:
    if price.failure_policy == Price.FailurePolicy.PROMPT_ONLY:
        return price.meter.phase == Meter.Phase.INPUT
    return price.failure_policy == Price.FailurePolicy.PORTION


def _compile_price(price: Price, discount: Decimal) -> CompiledPrice:
    return CompiledPrice(
        id=price.id,
        asset=price.asset_id,
        precision=price.asset.precision,
        function=Discounted(price_function(price), discount) if discount else price_function(price),
        match={field: frozenset(values) for field, values in price.match.items()},
        charges_failed_runs=_charges_failed_runs(price),
    )
