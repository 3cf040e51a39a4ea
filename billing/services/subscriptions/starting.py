"""Starting a subscription."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F, Q, Sum
from django.utils import timezone

from accounts.services import audit
from billing.engine.money import EXACT, ZERO, amount_string, exact_sum
from billing.errors import AlreadyExists, InvalidRequest, InvalidState
from billing.models import Approval, Customer, Fee, Grant, Plan, PlanVersion, Subscription, SubscriptionPhase
from billing.services import four_eyes
from billing.services.catalog import plans
from billing.services.catalog.prices import PriceTerms
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried
from billing.services.subscriptions import agreeing, periods

PERIODS_BACK_MAX = 1000
_SHORTEST = {"day": 1, "week": 7, "month": 28, "quarter": 90, "year": 365}
TRIAL_DAYS_MAX = 730


@retried
def start(
    *,
    actor: audit.Actor,
    customer: Customer,
    plan: Plan,
    version: int | None = None,
    starts_at: datetime | None = None,
    anchor: datetime | None = None,
    trial_days: int | None = None,
    discount: Decimal | None = None,
    price_overrides: Sequence[PriceTerms] = (),
    minimum_commitment: Decimal | None = None,
    spend_cap: Decimal | None = None,
    reason: str = "",
    own_choice: bool = False,
    approval: Approval | None = None,
) -> Subscription:
    """Put the customer on the plan's latest version, or that ``version``, from ``starts_at`` (now) on.

    Its periods are counted from ``anchor`` (its start, or the end of its trial) in the customer's time zone of today.
    What differs from the plan's own terms is agreed with this customer alone; without a ``discount`` (or 0) it is the
    one that the plan has for the commitment. Where ``starts_at`` has come, the first period is opened here; in the
    past, all of them until now. A wallet that cannot pay the fee makes it past due.

    Raises ``AlreadyExists`` where the customer is on the plan then, ``InvalidRequest`` for terms that cannot be. What
    the terms give away, and what the plan puts into the wallet beyond its fees or lets be owed, counts as moved by
    hand: ``ApprovalRequired`` (``four_eyes``); unless it is the customer's ``own_choice`` of what everybody may have.
    """
    spend_cap = spend_cap or None
    chosen = public_version(plan, version)
    discount = discount or ZERO
    trial_days = chosen.trial_days if trial_days is None else trial_days
    if not 0 <= discount <= 1:
        raise InvalidRequest.field("discount", "must be from 0 to 1, such as 0.15")
    with transaction.atomic():
        journal = Journal.open([customer.pk])
        begin = starts_at or journal.now
        if (journal.now - begin).days / _SHORTEST[chosen.interval] > PERIODS_BACK_MAX:
            raise InvalidRequest.field("starts_at", f"lies more than {PERIODS_BACK_MAX:,} periods of the plan back")
        refuse_second(customer, plan, begin)
        agreed = plans.agree(
            chosen,
            customer=customer,
            discount=discount,
            minimum_commitment=minimum_commitment,
            spend_cap=spend_cap,
            overrides=price_overrides,
        )
        free_days = _free_days(customer, trial_days)
        # Somebody may change the customer's zone at this moment: it is read once, here.
        zone = Customer.objects.values_list("timezone", flat=True).get(pk=customer.pk)
        trial_ends_at = trial_end(begin, trial_days, zone)
        subscription = Subscription.objects.create(
            customer=customer,
            plan=plan,
            plan_version=agreed,
            starts_at=begin,
            trial_ends_at=trial_ends_at,
            anchor=anchor or trial_ends_at or begin,
            timezone=zone,
            discount=discount,
            minimum_commitment=minimum_commitment,
            spend_cap=spend_cap,
            renews_at=begin,
            settled_until=begin,
        )
        add_phases(subscription, agreed)
        open_until_now(journal, subscription)
        journal.write()
        if not own_choice:
            four_eyes.check(
                actor=actor,
                kind=Approval.Kind.AGREED_TERMS,
                amounts=_given_away(subscription, trial_days, now=journal.now),
                endless=plan.currency_id if free_days > _free_days_alone(chosen) else None,
                customer_id=customer.pk,
                approval=approval,
            )
        audit.record(
            actor=actor,
            action="subscription.started",
            object_type="subscription",
            object_id=str(subscription.pk),
            organization_id=customer.organization_id,
            after={
                "customer": customer.external_id,
                "plan": plan.code,
                "version": agreed.number,
                **({"trial_days": trial_days} if trial_days else {}),
                **({"discount": amount_string(discount)} if discount else {}),
                **({"price_overrides": len(price_overrides)} if price_overrides else {}),
                **({"minimum_commitment": amount_string(minimum_commitment)} if minimum_commitment is not None else {}),
                **({"spend_cap": amount_string(spend_cap)} if spend_cap is not None else {}),
                **({"reason": reason} if reason else {}),
            },
        )
    return subscription


@dataclass(frozen=True, slots=True)
class Started:
    """What starting comes to: the fees of the periods that have begun, and whether the wallet can pay them."""

    subscription: Subscription
    fees: Sequence[Fee]
    given_away: Mapping[str, Decimal]
    """What its terms give the customer, by asset (``agreeing``)."""

    @property
    def total(self) -> Decimal:
        return exact_sum(fee.amount for fee in self.fees)


def preview_start(**terms: Any) -> Started:
    """What ``start`` with these ``terms`` would post. Nothing is written, and nobody's approval is asked for."""
    with transaction.atomic():
        subscription = start(actor=audit.SYSTEM, **terms)
        agreed, fees = subscription.plan_version, Fee.objects.filter(subscription=subscription).order_by("pk")
        days = terms.get("trial_days")
        trial_days = agreed.trial_days if days is None else days
        given_away = _given_away(subscription, trial_days, now=timezone.now())
        found = Started(subscription, list(fees), given_away)
        transaction.set_rollback(True)
    return found


def _given_away(subscription: Subscription, trial_days: int, *, now: datetime) -> Mapping[str, Decimal]:
    """By asset: what its terms give, what its plan lets be owed, and what its periods have put into the wallet beyond
    the fees paid for them, or a period will where that is more."""
    version, customer_id = subscription.plan_version, subscription.customer_id
    extra = trial_days - version.trial_days
    agreed = agreeing.given_away(customer_id=customer_id, before=(), version=version, free_days=extra, now=now)
    grants = Grant.objects.filter(period__subscription=subscription).values("asset_id")
    put_in = {row["asset_id"]: row["total"] for row in grants.annotate(total=Sum(F("amount") - F("expired")))}
    fees = Fee.objects.filter(subscription=subscription, state=Fee.State.PAID).values_list("amount", flat=True)
    currency = subscription.plan.currency_id
    put_in[currency] = EXACT.subtract(put_in.get(currency, ZERO), exact_sum(fees))
    return agreeing.added(agreed, agreeing.comes_with(version, now=put_in))


def _free_days(customer: Customer, trial_days: int) -> int:
    """The days of this trial, and of those that the customer had before; 0 without a trial."""
    had = Subscription.objects.filter(customer=customer, trial_ends_at__isnull=False)
    spans = had.values_list("starts_at", "trial_ends_at", "ends_at")
    lengths = (min(until, end or until) - begin for begin, until, end in spans if until is not None)
    return trial_days + ceil(sum(lengths, timedelta()) / timedelta(days=1)) if trial_days else 0


def _free_days_alone(version: PlanVersion) -> int:
    """What one person may give: beyond the plan's own days, where those are few."""
    alone = plans.FREE_DAYS_ALONE
    return alone + version.trial_days if version.trial_days <= alone else alone


@retried
def choose(*, actor: audit.Actor, customer: Customer, plan: Plan) -> Subscription:
    """What a customer does without anybody's help: start on the plan's latest version, where there is no other plan.

    There is one trial for each customer, whatever the plan. Raises as ``start``, and ``InvalidState``.
    """
    with transaction.atomic():
        journal = Journal.open([customer.pk])
        journal.write()
        had = Subscription.objects.filter(customer=customer)
        if had.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=journal.now)).exists():
            raise InvalidState("There is a plan already: change it instead.")
        tried = had.filter(trial_ends_at__isnull=False).exists()
        return start(actor=actor, customer=customer, plan=plan, trial_days=0 if tried else None, own_choice=True)


def public_version(plan: Plan, number: int | None) -> PlanVersion:
    """The plan's version with this number, or the latest."""
    if number is None:
        latest = plan.latest()
        if latest is None:
            raise InvalidState(f"The plan {plan.code} has no published version yet.")
        return latest
    found = plan.versions.filter(number=number, derived_from__isnull=True).first()
    if found is None:
        raise InvalidRequest.field("version", f"{plan.code} has no version {number}", code="not_found")
    return found


def refuse_second(customer: Customer, plan: Plan, begin: datetime) -> None:
    """Nobody is on one plan twice at the same time. Under the customer's lock."""
    on_it = Subscription.objects.filter(customer=customer, plan=plan).exclude(ends_at=F("starts_at"))
    if on_it.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=begin)).exists():
        raise AlreadyExists(f"{customer.external_id} is on the plan {plan.code} already.")


def add_phases(subscription: Subscription, version: PlanVersion) -> None:
    """The trial, in which usage costs nothing, and what comes after it."""
    begin = subscription.starts_at
    if subscription.trial_ends_at is not None:
        SubscriptionPhase.objects.create(
            customer_id=subscription.customer_id,
            subscription=subscription,
            plan_version=plans.trial_of(version),
            anchor=begin,
            starts_at=begin,
            ends_at=subscription.trial_ends_at,
        )
    SubscriptionPhase.objects.create(
        customer_id=subscription.customer_id,
        subscription=subscription,
        plan_version=version,
        anchor=subscription.anchor,
        starts_at=subscription.trial_ends_at or begin,
    )


def open_until_now(journal: Journal, subscription: Subscription) -> None:
    """Open the periods whose time has come."""
    while subscription.renews_at is not None and subscription.renews_at <= journal.now:
        periods.open_next(journal, subscription)


def trial_end(begin: datetime, days: int, zone: str) -> datetime | None:
    """The same time of day so many days later, in the customer's calendar."""
    if not 0 <= days <= TRIAL_DAYS_MAX:
        raise InvalidRequest.field("trial_days", f"must be from 0 to {TRIAL_DAYS_MAX}")
    if days == 0:
        return None
    try:
        return (begin.astimezone(ZoneInfo(zone)) + timedelta(days=days)).astimezone(UTC)
    except OverflowError:
        raise InvalidRequest.field("starts_at", "lies too far ahead") from None
