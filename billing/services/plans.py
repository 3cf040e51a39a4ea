"""Plans and their published, unchangeable versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from django.db import IntegrityError, transaction

from accounts.services import audit
from billing.engine.money import amount_string
from billing.errors import AlreadyExists, InvalidRequest
from billing.models import Asset, Meter, Plan, PlanVersion, Price
from billing.services.retrying import retried


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """What one meter shall cost in one asset: ``unit_amount`` for every ``per`` units, where ``match`` holds."""

    meter: Meter
    asset: Asset
    model: str
    unit_amount: Decimal
    per: Decimal = Decimal(1)
    match: Mapping[str, Sequence[str]] = field(default_factory=dict)
    failure_policy: str = Price.FailurePolicy.PORTION


def create(
    *, actor: audit.Actor, code: str, name: str, currency: Asset, interval: str, prices: Sequence[PriceTerms]
) -> PlanVersion:
    """A new plan, published as version 1. Raises ``AlreadyExists`` where the code is taken."""
    _check(prices)
    try:
        with transaction.atomic():
            plan = Plan.objects.create(code=code, name=name, currency=currency)
            return _publish(actor, plan, 1, interval, prices)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a plan {code} already.") from error


@retried
def publish_version(*, actor: audit.Actor, plan: Plan, interval: str, prices: Sequence[PriceTerms]) -> PlanVersion:
    """The plan's next version. Subscriptions stay on theirs until they are moved."""
    _check(prices)
    with transaction.atomic():
        plan = Plan.objects.select_for_update().get(pk=plan.pk)
        latest = plan.versions.order_by("-number").values_list("number", flat=True).first() or 0
        return _publish(actor, plan, latest + 1, interval, prices)


def _publish(actor: audit.Actor, plan: Plan, number: int, interval: str, prices: Sequence[PriceTerms]) -> PlanVersion:
    version = PlanVersion.objects.create(plan=plan, number=number, interval=interval)
    Price.objects.bulk_create(
        Price(
            plan_version=version,
            meter=terms.meter,
            asset=terms.asset,
            model=terms.model,
            unit_amount=terms.unit_amount,
            per=terms.per,
            match={dimension: list(values) for dimension, values in terms.match.items()},
            failure_policy=terms.failure_policy,
            position=position,
        )
        for position, terms in enumerate(prices)
    )
    audit.record(
        actor=actor,
        action="plan.published",
        object_type="plan",
        object_id=plan.code,
        after={
            "version": number,
            "interval": interval,
            "prices": [
                {
                    "meter": terms.meter.code,
                    "asset": terms.asset.code,
                    "unit_amount": amount_string(terms.unit_amount),
                    "per": amount_string(terms.per),
                    "match": terms.match,
                    "failure_policy": terms.failure_policy,
                }
                for terms in prices
            ],
        },
    )
    return version


def _check(prices: Sequence[PriceTerms]) -> None:
    """Refuse prices that could not be told apart when an event comes in."""
    if not prices:
        raise InvalidRequest.field("prices", "a plan needs at least one price")
    for position, terms in enumerate(prices):
        unknown = sorted(set(terms.match) - set(terms.meter.dimensions))
        if unknown:
            raise InvalidRequest.field(
                f"prices.{position}.match", f"{unknown[0]} is not a dimension of the meter {terms.meter.code}"
            )
        if terms.failure_policy == Price.FailurePolicy.PROMPT_ONLY and not terms.meter.phase:
            raise InvalidRequest.field(
                f"prices.{position}.failure_policy",
                f"needs the meter {terms.meter.code} to say its phase: whether it counts input or output",
            )
        for other_position, other in enumerate(prices[:position]):
            if other.meter == terms.meter and _ambiguous(terms.match, other.match):
                raise InvalidRequest.field(
                    f"prices.{position}.match",
                    f"usage could match this price and prices.{other_position} equally well",
                    code="ambiguous",
                )


def _ambiguous(one: Mapping[str, Sequence[str]], other: Mapping[str, Sequence[str]]) -> bool:
    """Whether some usage fits both, with neither naming more dimensions than the other."""
    if len(one) != len(other):
        return False
    return all(set(values) & set(other[dimension]) for dimension, values in one.items() if dimension in other)
