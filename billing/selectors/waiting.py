"""What waits for the workers: how much of each, since when, and what they gave up."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, QuerySet
from django.utils import timezone

from accounts.ids import first_id
from accounts.models import OutgoingMail
from billing.models import (
    Customer,
    Notice,
    NoticeDelivery,
    OutboxEvent,
    PaymentProfile,
    ProviderEvent,
    Subscription,
    SubscriptionPeriod,
    WebhookDelivery,
)

GIVEN_UP_WITHIN = timedelta(days=7)
SETTLED_WITHIN = timedelta(days=2)
"""How long after its end a period is usually settled, levels and usage that waits for the wallet included."""
FORGOTTEN_WITHIN = timedelta(days=1)
"""How long after somebody's erasure the payment provider has usually said that it forgot them."""


@dataclass(frozen=True, slots=True)
class Queue:
    """``waiting``: due now; ``oldest``: since when the first of them is. ``given_up`` of what was made this week."""

    title: str
    model: str
    waiting: int
    oldest: datetime | None
    given_up: int


def queues() -> list[Queue]:
    """Every kind of work that is handed over in the database, in the order in which it flows."""
    now = timezone.now()
    due = {"due_at__lte": now}
    recent = {"id__gte": first_id(now - GIVEN_UP_WITHIN)}
    sendable = WebhookDelivery.objects.filter(endpoint__enabled=True, endpoint__deleted_at=None)
    return [
        _queue(
            "Messages of the payment provider",
            ProviderEvent.objects.filter(state=ProviderEvent.State.NEW, **due),
            ProviderEvent.objects.filter(state=ProviderEvent.State.PARKED, **recent),
        ),
        _queue(
            "Messages to be passed on",
            OutboxEvent.objects.filter(state=OutboxEvent.State.NEW, **due),
            OutboxEvent.objects.filter(state=OutboxEvent.State.PARKED, **recent),
        ),
        _queue(
            "Webhooks to be sent",
            sendable.filter(state=WebhookDelivery.State.PENDING, **due),
            WebhookDelivery.objects.filter(state=WebhookDelivery.State.FAILED, **recent),
        ),
        _queue("Notices to be addressed", Notice.objects.filter(addressed=False), None, since="created_at"),
        _queue(
            "Notices to be sent",
            NoticeDelivery.objects.filter(state=NoticeDelivery.State.DUE, **due),
            NoticeDelivery.objects.filter(state=NoticeDelivery.State.FAILED, **recent),
        ),
        _queue(
            "Letters about accounts",
            OutgoingMail.objects.filter(attempts__lt=OutgoingMail.ATTEMPTS_MAX, **due),
            OutgoingMail.objects.filter(attempts__gte=OutgoingMail.ATTEMPTS_MAX, **recent),
        ),
    ]


def unsettled() -> QuerySet[Subscription]:
    """Subscriptions with a period that should have been settled by now: no later one is before it."""
    overdue = SubscriptionPeriod.objects.filter(
        state=SubscriptionPeriod.State.OPEN, end__lt=timezone.now() - SETTLED_WITHIN
    )
    return Subscription.objects.filter(pk__in=overdue.values("subscription"))


def unforgotten() -> QuerySet[Customer]:
    """Customers who were erased, and whom the payment provider should have forgotten by now, in whichever mode."""
    overdue = PaymentProfile.objects.filter(forget_asked_at__lt=timezone.now() - FORGOTTEN_WITHIN, forgotten_at=None)
    return Customer.objects.filter(pk__in=overdue.values("customer"))


def _queue(title: str, waiting: QuerySet[Any], given_up: QuerySet[Any] | None, *, since: str = "due_at") -> Queue:
    found = waiting.order_by().aggregate(number=Count("pk"), oldest=Min(since))
    lost = 0 if given_up is None else given_up.count()
    return Queue(title, waiting.model._meta.label_lower, found["number"], found["oldest"], lost)
