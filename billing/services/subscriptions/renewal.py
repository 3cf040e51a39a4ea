"""What the worker does with subscriptions: open the periods that are due, collect what is due, settle what is over.

Each step is one small transaction under the customer's locks, and finds its work in the rows: a second worker, or a
second run, finds it done. Customers that somebody else has locked are for the next run.
"""

from collections.abc import Collection
from datetime import timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from billing.models import Subscription, SubscriptionPeriod
from billing.services import one_by_one
from billing.services.ledger import sweeping
from billing.services.ledger.posting import Journal
from billing.services.subscriptions import periods, settling

SWEEP_MAX = 500
COLLECT_SECONDS = 5
"""Most who owe still cannot pay: so much of each run is for them, and the next one goes on with the others."""

_alone = partial(sweeping.alone, what="subscriptions")


def renew_due() -> int:
    """Open every period whose time has come, in order, one after the other. Returns how many were opened.

    After a time without workers each subscription gets all the periods that it missed, with their own dates.
    """
    return _renew_due(Subscription.objects.all())


def renew(customer_ids: Collection[UUID]) -> int:
    """The same for these customers alone: somebody needs their periods now."""
    return _renew_due(Subscription.objects.filter(customer_id__in=customer_ids))


def _renew_due(subscriptions: QuerySet[Subscription]) -> int:
    opened = 0
    skipped: set[UUID] = set()
    while True:
        due = (
            subscriptions.filter(renews_at__lte=timezone.now())
            .exclude(pk__in=skipped)
            .order_by("renews_at", "pk")
            .values_list("pk", "customer_id")[:SWEEP_MAX]
        )
        found = list(due)
        if not found:
            return opened
        for subscription_id, customer_id in found:
            done = _alone(customer_id, partial(_renew, subscription_id))
            opened += done == 1
            if done != 1:
                skipped.add(subscription_id)


def collect_due() -> int:
    """Try again to collect what subscriptions owe. Returns how many are not past due any more."""
    due = Subscription.objects.filter(past_due_since__isnull=False).order_by("customer_id")
    customers = one_by_one.in_turn(due.values_list("customer_id").distinct(), "past-due", seconds=COLLECT_SECONDS)
    return sum(_alone(customer_id, partial(_collect, customer_id)) for (customer_id,) in customers)


def collect(customer_id: UUID) -> None:
    """Collect what this customer's subscriptions owe, now that value came in. One that is busy is for the sweep."""
    if Subscription.objects.filter(customer_id=customer_id, past_due_since__isnull=False).exists():
        _alone(customer_id, partial(_collect, customer_id))


def settle_due() -> int:
    """Settle the periods that ended more than the grace ago, in order. Returns how many."""
    settled = 0
    skipped: set[UUID] = set()
    while True:
        before = timezone.now() - timedelta(seconds=settings.PERIOD_GRACE_SECONDS)
        found = list(
            SubscriptionPeriod.objects.filter(state=SubscriptionPeriod.State.OPEN, end__lte=before)
            .exclude(subscription_id__in=skipped)
            .order_by("end", "pk")
            .values_list("subscription_id", "customer_id")[:SWEEP_MAX]
        )
        if not found:
            return settled
        for subscription_id, customer_id in found:
            done = _alone(customer_id, partial(settling.settle_next, subscription_id))
            settled += done
            if not done:
                skipped.add(subscription_id)


def _renew(subscription_id: UUID, journal: Journal) -> int:
    # Read again under the lock: somebody else may have been here.
    subscription = Subscription.objects.select_related("plan__currency", "plan_version__plan__currency").get(
        pk=subscription_id
    )
    if subscription.renews_at is None or subscription.renews_at > journal.now:
        return 0
    return 0 if periods.open_next(journal, subscription) is None else 1


def _collect(customer_id: UUID, journal: Journal) -> int:
    recovered = 0
    due = Subscription.objects.filter(customer_id=customer_id, past_due_since__isnull=False)
    for subscription in due.select_related("plan__currency", "plan_version__plan__currency").order_by("pk"):
        # What nobody paid while its period lasted is not paid any more.
        periods.open_due(journal, subscription)
        if subscription.past_due_since is not None:
            periods.collect(journal, subscription)
        recovered += subscription.past_due_since is None
    return recovered
