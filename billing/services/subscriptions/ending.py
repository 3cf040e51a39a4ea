"""Canceling a subscription, and thinking better of it."""

from datetime import datetime, timedelta

from django.db import transaction

from accounts.services import audit
from billing.engine.money import ZERO, amount_string
from billing.errors import AlreadyExists, InvalidRequest, InvalidState
from billing.models import Approval, Fee, Subscription, SubscriptionPeriod
from billing.services import four_eyes
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried
from billing.services.subscriptions import changing, fees, included, overage, periods, unused


@retried
def cancel(
    *,
    actor: audit.Actor,
    subscription: Subscription,
    when: str = changing.PERIOD_END,
    refund: bool = False,
    reason: str = "",
    approval: Approval | None = None,
) -> Subscription:
    """End the subscription ``now`` or at the ``period_end``.

    Now: what the plan included goes, with ``refund`` the unused part of the fee comes back into the wallet, and fees
    that are due lapse. What the customer bought stays. At the period's end nothing happens before then, and
    ``reactivate`` takes it back. What comes back counts as moved by hand: ``ApprovalRequired`` (``four_eyes``).
    """
    if refund and when != changing.NOW:
        raise InvalidRequest.field("refund", "is for canceling now: until the period's end it can be used")
    with transaction.atomic():
        journal = Journal.open([subscription.customer_id])
        current = changing.load(subscription.pk)
        period = changing.running(journal, current)
        refunded = ZERO
        if period is None:
            # It never starts.
            current.ends_at, current.renews_at = current.starts_at, None
        elif when == changing.PERIOD_END:
            if current.ends_at is not None:
                raise InvalidState("The subscription is canceled to its end already.", status="canceled")
            current.ends_at = period.end
        else:
            at = max(journal.now, period.start + timedelta.resolution)
            line = unused.credit(journal, current, period, at) if refund else None
            if line is not None:
                unused.post_credit(journal, current, period, line)
                refunded = line.amount
                four_eyes.check(
                    actor=actor,
                    kind=Approval.Kind.CANCELLATION,
                    amounts={line.asset.pk: refunded},
                    customer_id=current.customer_id,
                    approval=approval,
                )
            _end(journal, current, period, at)
        current.next_version = None
        current.save()
        overage.follow(journal, current)
        journal.messages.append(
            periods.message("subscription.canceled", current, ends_at=current.ends_at, refunded=amount_string(refunded))
        )
        journal.write()
        _record(
            actor, current, "subscription.canceled", when=when, refunded=amount_string(refunded), reason=reason or None
        )
    return current


@retried
def reactivate(*, actor: audit.Actor, subscription: Subscription, reason: str = "") -> Subscription:
    """Take back a cancellation whose time has not come."""
    with transaction.atomic():
        journal = Journal.open([subscription.customer_id])
        current = changing.load(subscription.pk)
        status = current.status_at(journal.now)
        if current.ends_at is None or status == Subscription.Status.CANCELED:
            raise InvalidState("There is no cancellation to take back.", status=status.value)
        others = Subscription.objects.filter(customer_id=current.customer_id, plan_id=current.plan_id)
        if others.filter(ends_at__isnull=True).exists():
            raise AlreadyExists(f"{current.customer.external_id} is to be on the plan {current.plan.code} by then.")
        current.ends_at = None
        current.save(update_fields=["ends_at"])
        journal.messages.append(periods.message("subscription.reactivated", current))
        journal.write()
        _record(actor, current, "subscription.reactivated", reason=reason or None)
    return current


def _end(journal: Journal, current: Subscription, period: SubscriptionPeriod, at: datetime) -> None:
    """It and its period end here, with what the plan included and the fees that are due."""
    included.take(journal, period)
    for fee in Fee.objects.filter(subscription=current, period=period, state=Fee.State.DUE):
        fees.close(journal, fee, Fee.State.LAPSED)
    if not Fee.objects.filter(subscription=current, state=Fee.State.DUE).exists():
        current.past_due_since = None
    period.end = current.ends_at = at
    period.save(update_fields=["end"])
    current.renews_at = None


def _record(actor: audit.Actor, subscription: Subscription, action: str, **more: object) -> None:
    audit.record(
        actor=actor,
        action=action,
        object_type="subscription",
        object_id=str(subscription.pk),
        organization_id=subscription.customer.organization_id,
        after={
            "customer": subscription.customer.external_id,
            "plan": subscription.plan.code,
            **{name: value for name, value in more.items() if value is not None},
        },
    )
