"""What a workload would cost on a plan: so many requests a day of the same kind, for thirty days.

Each plan is asked for a whole period of its own, so that tiers and allowances count as they would, and the answer is
brought to thirty days.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from django.utils.translation import gettext

from billing.engine.metering import MeterRule
from billing.engine.money import DECIMALS_MAX, EXACT, ZERO, round_half_even
from billing.errors import BillingError, UnpricedUsage
from billing.models import PlanVersion, Price
from billing.selectors.catalog.catalog import meter_rule
from billing.services.catalog import estimates
from billing.services.catalog.estimates import Estimate, Usage
from billing.services.subscriptions.periods import base_fee
from billing.services.usage import IncomingEvent
from portal import refusals

DAYS = 30
INTERVAL_DAYS = {"day": 1, "week": 7, "month": DAYS, "quarter": 91, "year": 365}
REQUESTS_MAX = 1_000_000_000
USUAL = {"input_tokens": Decimal(1000), "cached_input_tokens": Decimal(0), "output_tokens": Decimal(300)}
"""What a field is filled in with; any other with 1."""


@dataclass(slots=True)
class Kind:
    """One type of event that the plans price: which numbers it has, and which texts decide about the price."""

    type: str
    numbers: dict[str, Decimal] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)
    """Of each field the values that prices name, and nothing, for all others."""
    given: dict[str, str] = field(default_factory=dict)
    """What the meters' filters ask for."""


@dataclass(frozen=True, slots=True)
class Workload:
    """``requests`` a day of events with this data."""

    kind: Kind
    requests: int
    data: Mapping[str, Decimal | str]


@dataclass(frozen=True, slots=True)
class Cost:
    """What it comes to in thirty days: the fee, the usage, and what else it takes, by asset."""

    version: PlanVersion
    fee: Decimal
    usage: Decimal
    others: dict[str, Decimal]
    estimate: Estimate | None
    """For a period of the plan; None where it cannot be charged there, and ``refusal`` says why."""
    refusal: str = ""

    @property
    def total(self) -> Decimal:
        return EXACT.add(self.fee, self.usage)


def kinds(versions: Sequence[PlanVersion]) -> list[Kind]:
    """What these plan versions have prices for, by type of event; the one with most prices first."""
    found: dict[str, Kind] = {}
    prices = Price.objects.filter(plan_version__in=versions).select_related("meter").order_by("position")
    many = Counter(price.meter.event_type for price in prices)
    for price in prices:
        kind = found.setdefault(price.meter.event_type, Kind(price.meter.event_type))
        _count(kind, meter_rule(price.meter))
        for name, values in price.match.items():
            listed = kind.choices.setdefault(name, [])
            listed += [value for value in values if value not in listed]
    for kind in found.values():
        kind.choices = {name: values for name, values in kind.choices.items() if name not in kind.given}
    return sorted(found.values(), key=lambda kind: (-many[kind.type], kind.type))


def _count(kind: Kind, rule: MeterRule) -> None:
    for name in rule.value.fields if rule.value is not None else ():
        kind.numbers.setdefault(name, USUAL.get(name, Decimal(1)))
    for name, values in rule.filter.items():
        kind.given.setdefault(name, min(values))


def cost(version: PlanVersion, workload: Workload) -> Cost:
    """What the workload comes to on the plan version for a new customer."""
    days = INTERVAL_DAYS[version.interval]
    share = Fraction(DAYS, days)
    fee = _brought(base_fee(version, Fraction(1))[1], share)
    usage = Usage(workload.kind.type, {**workload.kind.given, **workload.data}, workload.requests * days)
    event = IncomingEvent(id="", source="", type="", subject="a new customer", time=None, data={}, may_price=False)
    try:
        estimate = estimates.for_plan(version=version, usage=[usage], event=event)
    except UnpricedUsage:
        return Cost(version, fee, ZERO, {}, None, gettext("This plan has no price for it."))
    except BillingError as refusal:
        return Cost(version, fee, ZERO, {}, None, refusals.said(refusal.detail))
    currency = version.plan.currency_id
    charged = max(estimate.cost.get(currency, ZERO), version.minimum_commitment)
    others = {asset: _brought(amount, share) for asset, amount in estimate.cost.items() if asset != currency and amount}
    return Cost(version, fee, _brought(charged, share), others, estimate)


def _brought(amount: Decimal, share: Fraction) -> Decimal:
    return amount if share == 1 else round_half_even(Fraction(amount) * share, precision=DECIMALS_MAX)
