"""At the cap: moving the customer to another plan, once, so that what would have passed the budget is rated there.

Several such budgets are a ladder, by their limits: usage climbs it rung by rung, as far as it must, and never down.
Whoever is on the plan of a rung is past those below it, so that each is taken once at most however usage goes on.
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.engine.money import amount_string
from billing.errors import BillingError, InvalidState
from billing.models import Budget, Subscription
from billing.services import four_eyes, outbox, subscriptions
from billing.services.ledger import bulk
from billing.services.notices import Told, publication
from billing.services.retrying import retried


class PlanMoves(Exception):
    """Usage would pass this budget, which wants another plan then. Raised before anything is written."""

    def __init__(self, budget_id: UUID) -> None:
        super().__init__(budget_id)
        self.budget_id = budget_id


def move(budget_id: UUID, *, again: bool = False) -> None:
    """Put the budget's customer on its plan, from now on, in a transaction of its own. Nothing where they are on it, or
    past it.

    Where that cannot be done the budget says why, and refuses; for the next minute it is not tried again. So it is
    where this work has moved them there before (``again``), and something else moved them away.
    """
    try:
        if again:
            raise InvalidState("Something else has moved the customer to another plan meanwhile.")
        _move(budget_id)
    except BillingError as refusal:
        _note(budget_id, refusal)


@retried
def _move(budget_id: UUID) -> None:
    with transaction.atomic():
        now = timezone.now()
        budget = _kept(budget_id)
        if budget is None or budget.plan is None or _is_past(budget, now):
            return
        subscription = _running(budget, now).filter(plan__currency=budget.plan.currency_id).first()
        if subscription is None:
            raise InvalidState("There is no subscription that could move.")
        # Of two at the same moment the second finds the subscription elsewhere, under its lock.
        wanted = subscriptions.Wanted(budget.plan, leaving=subscription.plan)
        _check_second_person(subscription, wanted)
        reason = f"The budget {budget.name} is used up."
        subscriptions.change(actor=SYSTEM, subscription=subscription, wanted=wanted, reason=reason)
        Budget.objects.filter(pk=budget_id).update(plan_failed_at=None, plan_failure="")
        _tell(budget, "budget.plan_changed", now, previous=subscription.plan.name)


def _check_second_person(subscription: Subscription, wanted: subscriptions.Wanted) -> None:
    """One person sets a budget, and so must not get by it what takes two: a large fee back into the wallet, or an
    agreed discount where it is worth much more."""
    given_away = subscriptions.preview(subscription=subscription, wanted=wanted).given_away
    if (why := four_eyes.at_once(given_away)) is not None:
        raise InvalidState(f"What comes back, or what was agreed, is worth much. {why}")


def _note(budget_id: UUID, refusal: BillingError) -> None:
    """That it failed; people are told the first time."""
    with transaction.atomic():
        budget, now = _kept(budget_id), timezone.now()
        if budget is None or _is_past(budget, now):
            return
        first = Budget.objects.filter(pk=budget_id, plan_failed_at=None).exists()
        Budget.objects.filter(pk=budget_id).update(plan_failed_at=now, plan_failure=refusal.detail[:300])
        if first:
            _tell(budget, "budget.plan_not_changed", now, reason=refusal.detail)


def _kept(budget_id: UUID) -> Budget | None:
    kept = Budget.objects.select_related("customer", "plan").filter(pk=budget_id, removed_at=None)
    return kept.first()


def _is_past(budget: Budget, now: datetime) -> bool:
    """Whether the customer is on its plan, or on that of a higher rung."""
    rungs = Budget.objects.filter(customer_id=budget.customer_id, removed_at=None, plan__isnull=False)
    higher = rungs.filter(Q(limit__gt=budget.limit) | Q(limit=budget.limit, pk__gte=budget.pk))
    return _running(budget, now).filter(plan__in=higher.values("plan")).exists()


def _running(budget: Budget, now: datetime) -> QuerySet[Subscription]:
    """The customer's subscriptions that run on, the latest first."""
    running = Subscription.objects.filter(customer_id=budget.customer_id, starts_at__lte=now)
    return running.filter(Q(ends_at=None)).select_related("plan")


def _tell(budget: Budget, kind: str, now: datetime, **more: str) -> None:
    assert budget.plan is not None
    facts = {
        "budget": str(budget.pk),
        "name": budget.name,
        "unit": budget.asset_id or "events",
        "limit": amount_string(budget.limit),
        "plan": budget.plan.code,
        "plan_name": budget.plan.name,
        **more,
    }
    bulk.run(
        publication([Told(budget.customer_id, kind, facts)], now=now),
        outbox.publication([outbox.Message(kind, budget.customer_id, facts)], now=now),
    )
