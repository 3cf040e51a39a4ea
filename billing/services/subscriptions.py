"""Subscriptions: which plan version a customer's usage is rated by, and from when."""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.services import audit
from billing.errors import AlreadyExists
from billing.models import Customer, Plan, Subscription
from billing.services.retrying import retried


@retried
def start(*, actor: audit.Actor, customer: Customer, plan: Plan, starts_at: datetime | None = None) -> Subscription:
    """Put the customer on the plan's latest version, from ``starts_at`` (now) on. It may lie in the past.

    Raises ``AlreadyExists`` where the customer is on the plan already.
    """
    version = plan.versions.order_by("-number").first()
    assert version is not None, "A plan is created with its first version"
    try:
        with transaction.atomic():
            subscription = Subscription.objects.create(
                customer=customer, plan=plan, plan_version=version, starts_at=starts_at or timezone.now()
            )
            audit.record(
                actor=actor,
                action="subscription.started",
                object_type="subscription",
                object_id=str(subscription.pk),
                organization_id=customer.organization_id,
                after={"customer": customer.external_id, "plan": plan.code, "version": version.number},
            )
    except IntegrityError as error:
        raise AlreadyExists(f"{customer.external_id} is on the plan {plan.code} already.") from error
    return subscription
