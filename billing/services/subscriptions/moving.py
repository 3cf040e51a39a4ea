"""Moving everybody on a plan to one of its versions: first what it would come to, then one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.services import audit
from billing.engine.money import EXACT, ZERO
from billing.errors import BillingError
from billing.models import Approval, Plan, PlanVersion, Subscription
from billing.services import four_eyes
from billing.services.catalog import plan_sheets, plans
from billing.services.subscriptions import changing, cheaper
from billing.services.subscriptions.agreeing import monthly
from billing.services.subscriptions.starting import public_version
from billing.services.subscriptions.wanted import Wanted


@dataclass(frozen=True, slots=True)
class PriceDifference:
    """A price as it is on the version that customers are on, and on the one they move to; None where there is none."""

    version: int
    what: str
    before: str | None
    after: str | None


@dataclass(slots=True)
class MovePlan:
    """What a move comes to."""

    target: PlanVersion
    counts: dict[int, int] = field(default_factory=dict)
    """How many subscriptions are on each version that is left."""
    agreed: int = 0
    """How many of them have terms of their own; price overrides among them do not go along."""
    prices: list[PriceDifference] = field(default_factory=list)
    monthly_before: Decimal = ZERO
    monthly_after: Decimal = ZERO
    weight: Decimal = ZERO
    """What four eyes look at: for each the larger fee of a month, before or after, without any discount."""

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Moved:
    """One subscription, and why it could not be moved, if it could not."""

    subscription_id: UUID
    customer: str
    refusal: str | None = None


def preview_move(*, plan: Plan, version: int | None = None) -> MovePlan:
    """How many would move, which prices differ, and what it does to the monthly recurring fees. Nothing is written."""
    target = public_version(plan, version)
    found = MovePlan(target)
    sources: dict[int, PlanVersion] = {}
    for subscription in _concerned(plan, target):
        current = subscription.plan_version
        found.counts[current.number] = found.counts.get(current.number, 0) + 1
        found.agreed += current.agreed_with_id is not None
        sources[current.number] = current.derived_from or current
        found.monthly_before = EXACT.add(found.monthly_before, monthly(current, current.discount))
        off = subscription.discount or plans.discount_of(target, subscription.minimum_commitment)
        found.monthly_after = EXACT.add(found.monthly_after, monthly(target, off))
        found.weight = EXACT.add(found.weight, max(monthly(current, ZERO), monthly(target, ZERO)))
    for number, source in sorted(sources.items()):
        sheet = plan_sheets.of_version(source)
        for each in plan_sheets.differences(sheet, plan_sheets.of_version(target)):
            found.prices.append(PriceDifference(number, each.what, each.before, each.after))
    return found


def agree_to_move(
    *, actor: audit.Actor, plan: Plan, version: int | None = None, approval: Approval | None = None
) -> MovePlan:
    """What a move would come to, if this actor may make it. Its ``weight`` counts, and what usage costs less.

    Raises ``ApprovalRequired`` (``four_eyes``).
    """
    with transaction.atomic():
        found = preview_move(plan=plan, version=version)
        weight = {plan.currency_id: _with_usage(plan, found)}
        four_eyes.check(actor=actor, kind=Approval.Kind.PLAN_MOVE, amounts=weight, approval=approval)
    return found


def _with_usage(plan: Plan, found: MovePlan) -> Decimal:
    """The weight, and by how much usage like that of the last 30 days would cost less: counted until it takes two."""
    weight, now = found.weight, timezone.now()
    prices: dict[UUID, cheaper.Prices] = {}
    for subscription in _concerned(plan, found.target):
        if four_eyes.at_once({plan.currency_id: weight}) is not None:
            break
        before = subscription.plan_version
        if before.pk not in prices:
            prices[before.pk] = cheaper.changed(found.target, [before])
        less = cheaper.less(subscription.customer_id, prices[before.pk], currency=plan.currency_id, now=now)
        weight = EXACT.add(weight, less)
    return weight


def move(
    *,
    actor: audit.Actor,
    plan: Plan,
    version: int | None = None,
    when: str = changing.PERIOD_END,
    reason: str = "",
) -> Iterator[Moved]:
    """Move every running subscription of the plan to the version, each in a transaction of its own.

    People are asked first (``agree_to_move``). One that cannot be moved is named with the reason and does not stop the
    others. Run again, it moves only the rest.
    """
    target = public_version(plan, version)
    for subscription in list(_concerned(plan, target)):
        wanted = Wanted(plan, target.number)
        try:
            changing.change(
                actor=actor, subscription=subscription, wanted=wanted, when=when, reason=reason, weighed=True
            )
        except BillingError as refusal:
            yield Moved(subscription.pk, subscription.customer.external_id, refusal.detail)
        else:
            yield Moved(subscription.pk, subscription.customer.external_id)


def _concerned(plan: Plan, target: PlanVersion) -> Iterator[Subscription]:
    rows = (
        Subscription.objects.filter(plan=plan, ends_at__isnull=True)
        .exclude(plan_version__number=target.number)
        .exclude(next_version__plan=plan, next_version__number=target.number)
        .select_related("customer", "plan_version__plan__currency", "plan_version__derived_from")
        .order_by("pk")
    )
    return rows.iterator(chunk_size=500)
