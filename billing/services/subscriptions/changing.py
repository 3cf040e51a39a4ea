"""Changing to another plan or version: what it comes to, to be looked at first, and then exactly that.

Now: the unused part of the period's fee comes back and the rest of the period is charged anew, to the second; of the
old allowances what belongs to the time that is left goes, and the new ones come for that time. The period stays where
both plans have the same interval; otherwise it ends here and a new one starts. What the customer bought is not touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from uuid import UUID

from django.db import transaction

from accounts.services import audit
from billing.engine.money import EXACT, ZERO, amount_string
from billing.engine.proration import WHOLE, share
from billing.errors import AlreadyExists, InsufficientFunds, InvalidRequest, InvalidState
from billing.models import (
    Approval,
    Fee,
    Plan,
    PlanVersion,
    Subscription,
    SubscriptionPeriod,
    SubscriptionPhase,
)
from billing.services import four_eyes
from billing.services.catalog import plans
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried
from billing.services.subscriptions import agreeing, fees, included, overage, periods
from billing.services.subscriptions.starting import public_version, trial_end
from billing.services.subscriptions.unused import FeeLine, credit, post_credit, raise_line
from billing.services.subscriptions.wanted import Change, Wanted

NOW, PERIOD_END = "now", "period_end"
BACK_MAX = timedelta(hours=1)
"""How long ago a change may be dated, so that what a preview showed can still be had."""


@retried
def preview(*, subscription: Subscription, wanted: Wanted, when: str = NOW, at: datetime | None = None) -> Change:
    """What ``change`` with the same ``at`` would post, or be refused for by the wallet. Nothing is written."""
    with transaction.atomic():
        prepared = _Prepared.of(subscription, wanted, when, at)
        found = prepared.allowed()
        if found.total > 0:
            try:
                prepared.post(found)
            except InsufficientFunds as refusal:
                found = replace(found, refusal=refusal.detail)
        transaction.set_rollback(True)
    return found


@retried
def change(
    *,
    actor: audit.Actor,
    subscription: Subscription,
    wanted: Wanted,
    when: str = NOW,
    at: datetime | None = None,
    reason: str = "",
    approval: Approval | None = None,
    weighed: bool = False,
) -> Subscription:
    """Put the subscription on another plan or version, ``now`` or at the ``period_end``.

    ``at`` (with ``now``) is a moment up to an hour ago, as a preview gave it. All or nothing: raises
    ``InsufficientFunds`` where the wallet cannot pay the difference. What the terms give away, and what the plan
    includes beyond its fee, or lets be owed, more than the one that is left, counts as moved by hand:
    ``ApprovalRequired`` (``four_eyes``); unless it was ``weighed`` with the whole plan that moves.
    """
    with transaction.atomic():
        prepared = _Prepared.of(subscription, wanted, when, at)
        if approval is not None and when == NOW:
            prepared.check_still(asked_at=approval.created_at)
        figures = prepared.allowed()
        current = prepared.subscription
        before = current.plan_version
        if not weighed:
            four_eyes.check(
                actor=actor,
                kind=Approval.Kind.AGREED_TERMS,
                amounts=figures.given_away,
                customer_id=current.customer_id,
                approval=approval,
            )
        if when == PERIOD_END and prepared.period is not None:
            # To stay where it is takes back a change that was to come.
            stays = figures.version.pk == current.plan_version_id
            current.next_version = None if stays else figures.version
            prepared.agree(current)
            current.save()
        else:
            prepared.post(figures)
        prepared.journal.write()
        audit.record(
            actor=actor,
            action="subscription.changed",
            object_type="subscription",
            object_id=str(current.pk),
            organization_id=current.customer.organization_id,
            before={"plan": before.plan.code, "version": before.number},
            after={
                "customer": current.customer.external_id,
                "plan": figures.version.plan.code,
                "version": figures.version.number,
                "when": when,
                "total": amount_string(figures.total),
                **({"reason": reason} if reason else {}),
            },
        )
    return current


@dataclass(slots=True)
class _Prepared:
    """A change under the customer's locks, checked."""

    journal: Journal
    subscription: Subscription
    version: PlanVersion
    discount: Decimal
    """What is agreed; 0: what the plan itself has for the commitment."""
    commitment: Decimal | None
    spend_cap: Decimal | None
    when: str
    at: datetime
    period: SubscriptionPeriod | None
    own_choice: bool

    @classmethod
    def of(cls, subscription: Subscription, wanted: Wanted, when: str, at: datetime | None) -> "_Prepared":
        journal = Journal.open([subscription.customer_id])
        current = load(subscription.pk)
        period = running(journal, current)
        moment = _moment(journal, current, period, when, at)
        if wanted.leaving is not None and current.plan_id != wanted.leaving.pk:
            raise InvalidState(f"The subscription is on {current.plan.name} by now.")
        if wanted.own_choice and current.has_agreed_terms:
            raise InvalidState("Something was agreed for this plan. Ask the operator for another one.")
        public = public_version(wanted.plan, wanted.version)
        if public.plan_id != current.plan_id and _is_on(current, public.plan):
            raise AlreadyExists(f"{current.customer.external_id} is on the plan {public.plan.code} already.")
        if public.plan.currency_id != current.plan.currency_id:
            raise InvalidRequest.field("plan", f"charges in {public.plan.currency_id}, not {current.plan.currency_id}")
        commitment = current.minimum_commitment if wanted.minimum_commitment is None else wanted.minimum_commitment
        discount = current.discount if wanted.discount is None else wanted.discount
        spend_cap = current.spend_cap if wanted.spend_cap is None else wanted.spend_cap or None
        if when == PERIOD_END and not wanted.has_terms and _stays(current, public):
            version = current.plan_version
        else:
            version = plans.agree(
                public,
                customer=current.customer,
                discount=discount,
                minimum_commitment=commitment,
                spend_cap=spend_cap,
                overrides=wanted.price_overrides,
            )
        return cls(
            journal=journal,
            subscription=current,
            version=version,
            discount=discount,
            commitment=commitment,
            spend_cap=spend_cap,
            when=when,
            at=moment,
            period=period,
            own_choice=wanted.own_choice,
        )

    def allowed(self) -> Change:
        """The figures, where whoever asks may have them."""
        figures, current = self.figures(), self.subscription
        if self.own_choice and (figures.lines or figures.allowances) and figures.total <= 0:
            raise InvalidState("Only a plan that costs more can begin now. This one can begin with the next period.")
        beyond_trial = self._days_beyond_trial()
        if self.own_choice and beyond_trial:
            raise InvalidState("This plan has no trial as long as yours. It can begin when yours is over.")
        if self.own_choice:
            return figures  # What everybody may have is given by nobody.
        agreed = [each for each in (current.plan_version, current.next_version) if each is not None]
        given_away = agreeing.given_away(
            customer_id=current.customer_id,
            before=agreed,
            version=self.version,
            less_committed=EXACT.subtract(current.minimum_commitment or ZERO, self.commitment or ZERO),
            free_days=beyond_trial,
            total=figures.total,
            now=self.journal.now,
        )
        put_in = {each.asset.pk: EXACT.subtract(each.after, each.before) for each in figures.allowances}
        currency = current.plan.currency_id
        put_in[currency] = EXACT.subtract(put_in.get(currency, ZERO), max(ZERO, figures.total))
        comes = agreeing.comes_with(self.version, before=agreed, now=put_in)
        return replace(figures, given_away=agreeing.added(given_away, comes))

    def check_still(self, *, asked_at: datetime) -> None:
        """Refuse what was decided on before this period, or this plan, began: another fee would come back."""
        begun = SubscriptionPhase.objects.filter(subscription=self.subscription, starts_at__gt=asked_at)
        if (self.period is not None and self.period.start > asked_at) or begun.filter(starts_at__lte=self.at).exists():
            raise InvalidState("A period or a plan has begun since this was asked for. It has to be asked for anew.")

    def figures(self) -> Change:
        """The lines, to the last digit."""
        if self.when == PERIOD_END or self.period is None or self.period.trial:
            return Change(self.at, self.version, self._span())
        start, end = self.at, self.period.end
        credited = credit(self.journal, self.subscription, self.period, self.at)
        lines = [] if credited is None else [credited]
        old, new = self.subscription.plan_version, self.version
        if new.interval == old.interval:
            whole = periods.bounds(start, version=new, anchor=self.subscription.anchor, zone=self.subscription.timezone)
            of = share(start, end, of=whole)
        else:
            start, end = periods.bounds(start, version=new, anchor=start, zone=self.subscription.timezone)
            of = WHOLE
        list_amount, amount = periods.base_fee(new, of)
        if amount > 0:
            name = f"{new.plan.name}, {periods.span(start, end, self.subscription.timezone)}"
            lines.append(FeeLine(Fee.Kind.CHANGE, name, new.plan.currency, list_amount, amount, start, end))
        allowances = included.lines(
            self.journal,
            self.subscription,
            self.period,
            new,
            at=self.at,
            of=of,
            credited=credited is not None and credited.amount > 0,
        )
        return Change(self.at, new, (start, end), lines, allowances)

    def post(self, figures: Change) -> None:
        """Do what the figures say."""
        subscription, journal, at = self.subscription, self.journal, self.at
        previous = subscription.plan.code
        period = self.period
        if period is None:
            _replace_future(subscription, self.version)
        elif period.trial:
            _change_trial(subscription, self.version, at)
            period.plan_version = self.version
            period.save(update_fields=["plan_version"])
        else:
            included.take(journal, period)
            if figures.period == (at, period.end):
                periods.enter(subscription, self.version, at=at, anchor=subscription.anchor)
                period.plan_version = self.version
                period.save(update_fields=["plan_version"])
            else:
                periods.enter(subscription, self.version, at=at, anchor=at)
                period = self._restart(period, figures)
            self._charge(period, figures.lines)
            for line in figures.allowances:
                name = subscription.plan.name
                periods.grant(journal, subscription, period, line.asset, line.after, name=name, effective_at=at)
        subscription.next_version = None
        self.agree(subscription)
        subscription.save()
        overage.follow(journal, subscription)
        journal.messages.append(
            periods.message("subscription.changed", subscription, version=self.version.number, previous=previous)
        )

    def agree(self, subscription: Subscription) -> None:
        """What goes along to another plan."""
        subscription.discount, subscription.minimum_commitment = self.discount, self.commitment
        subscription.spend_cap = self.spend_cap

    def _days_beyond_trial(self) -> int:
        """For how many days it would be tried for longer than this plan may be, counted from the same day."""
        current, given = self.subscription, self.subscription.trial_ends_at
        if given is None or self.at >= given:
            return 0
        own = trial_end(current.starts_at, self.version.trial_days, current.timezone) or current.starts_at
        return max(0, ceil((given - max(own, self.at)) / timedelta(days=1)))

    def _span(self) -> tuple[datetime, datetime] | None:
        return None if self.period is None else (self.period.start, self.period.end)

    def _restart(self, period: SubscriptionPeriod, figures: Change) -> SubscriptionPeriod:
        """End the period here and open one of the new interval."""
        assert figures.period is not None
        period.end = self.at
        period.save(update_fields=["end"])
        start, end = figures.period
        self.subscription.renews_at = end
        return SubscriptionPeriod.objects.create(
            customer_id=self.subscription.customer_id,
            subscription=self.subscription,
            plan_version=self.version,
            number=period.number + 1,
            start=start,
            end=end,
            granted=True,
            opened_at=self.journal.now,
        )

    def _charge(self, period: SubscriptionPeriod, lines: Sequence[FeeLine]) -> None:
        for line in lines:
            if line.kind == Fee.Kind.CREDIT:
                post_credit(self.journal, self.subscription, self.period, line)
                continue
            fee = raise_line(self.journal, self.subscription, period, line)
            if not fees.pay(self.journal, fee):
                available = fees.payable(self.journal, self.subscription.customer_id, line.asset.pk)
                raise InsufficientFunds(
                    f"The rest of the period costs {amount_string(line.amount)} {line.asset.pk}, and the wallet of "
                    f"{self.subscription.customer.external_id} has {amount_string(available)} for it.",
                    asset=line.asset.pk,
                    available=available,
                    required=line.amount,
                )


def load(subscription_id: UUID) -> Subscription:
    """The subscription as it is now, with all that changing it needs."""
    return Subscription.objects.select_related(
        "customer", "plan__currency", "plan_version__plan__currency", "next_version__plan"
    ).get(pk=subscription_id)


def running(journal: Journal, subscription: Subscription) -> SubscriptionPeriod | None:
    """The open period that holds now; None where the subscription has not started."""
    periods.open_due(journal, subscription)
    if subscription.status_at(journal.now) == Subscription.Status.CANCELED:
        raise InvalidState("The subscription has ended.", status="canceled")
    return subscription.periods.order_by("-number").first()


def _moment(
    journal: Journal, subscription: Subscription, period: SubscriptionPeriod | None, when: str, at: datetime | None
) -> datetime:
    if subscription.ends_at is not None:
        raise InvalidState("The subscription is canceled to its end; reactivate it first.", status="canceled")
    if when == PERIOD_END:
        if at is not None:
            raise InvalidRequest.field("at", "is for a change now")
        return period.end if period is not None else subscription.starts_at
    if subscription.past_due_since is not None:
        raise InvalidState(
            "The subscription is past due: what is owed is to be paid first, or change at the period's end.",
            status="past_due",
        )
    if period is None:
        return subscription.starts_at
    if at is not None and not journal.now - BACK_MAX <= at <= journal.now:
        raise InvalidRequest.field("at", "must be within the last hour")
    phase = SubscriptionPhase.objects.filter(subscription=subscription, starts_at__lte=journal.now).latest("starts_at")
    earliest = max(period.start, phase.starts_at)
    if at is not None and at <= earliest:
        raise InvalidRequest.field("at", "lies before the period, or before the last change")
    # Two changes in one moment would leave the first no time at all.
    return max(at or journal.now, earliest + timedelta.resolution)


def _stays(subscription: Subscription, public: PlanVersion) -> bool:
    """Whether a change was to come away from this version, on which what is agreed now holds already."""
    version, agreed = subscription.plan_version, subscription
    if agreed.next_version_id is None or public.pk not in (version.pk, version.derived_from_id):
        return False
    off = agreed.discount or plans.discount_of(public, agreed.minimum_commitment)
    committed = public.minimum_commitment if agreed.minimum_commitment is None else agreed.minimum_commitment
    cap = agreed.spend_cap or _cap(public)
    return (version.discount, version.minimum_commitment, _cap(version)) == (off, committed, cap)


def _cap(version: PlanVersion) -> Decimal | None:
    limit = version.fair_use.filter(asset=version.plan.currency_id).first()
    return None if limit is None else limit.limit


def _is_on(subscription: Subscription, plan: Plan) -> bool:
    others = Subscription.objects.filter(customer_id=subscription.customer_id, plan=plan, ends_at__isnull=True)
    return others.exclude(pk=subscription.pk).exists()


def _replace_future(subscription: Subscription, version: PlanVersion) -> None:
    """One that has not started: it starts on the other plan."""
    SubscriptionPhase.objects.filter(subscription=subscription, ends_at__isnull=True).update(plan_version=version)
    SubscriptionPhase.objects.filter(subscription=subscription, ends_at__isnull=False).update(
        plan_version=plans.trial_of(version)
    )
    subscription.plan, subscription.plan_version = version.plan, version


def _change_trial(subscription: Subscription, version: PlanVersion, at: datetime) -> None:
    """The trial goes on to its end, on the other plan."""
    trial = SubscriptionPhase.objects.get(subscription=subscription, ends_at=subscription.trial_ends_at)
    ends_at, trial.ends_at = trial.ends_at, at
    trial.save(update_fields=["ends_at"])
    SubscriptionPhase.objects.create(
        customer_id=subscription.customer_id,
        subscription=subscription,
        plan_version=plans.trial_of(version),
        anchor=trial.anchor,
        starts_at=at,
        ends_at=ends_at,
    )
    SubscriptionPhase.objects.filter(subscription=subscription, ends_at__isnull=True).update(plan_version=version)
    subscription.plan, subscription.plan_version = version.plan, version
