"""``/subscriptions``: starting, changing and ending them, and their periods and fees."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, pagination, prices, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import amount_or_none, moment_or_none, moment_string
from billing.api.schema import subscriptions as schema
from billing.engine.money import amount_string
from billing.models import Fee, Subscription, SubscriptionPeriod
from billing.selectors.usage import levels
from billing.selectors.usage.levels import Accrued
from billing.services import subscriptions
from billing.services.idempotency import Answer


class SubscriptionsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "subscriptions:write", "GET": "customers:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("customer", *base.PAGE)}

    @schema.SUBSCRIBE
    def post(self, request: Request) -> Response:
        access.operator(principal=principal(request))

        def start() -> Answer:
            data = serializers.read(serializers.SubscriptionCreate, request)
            customer = access.customer(principal=principal(request), external_id=data.pop("customer"))
            data["price_overrides"] = [prices.wanted(price) for price in data.get("price_overrides", [])]
            return Answer(201, show(subscriptions.start(actor=actor(request), customer=customer, **data)))

        return self.once(request, start)

    @schema.SUBSCRIPTIONS
    def get(self, request: Request) -> Response:
        rows = Subscription.objects.select_related("customer", "plan__currency", "plan_version", "next_version__plan")
        rows = access.listed(rows, principal=principal(request), external_id=base.text(request, "customer"))
        return Response(pagination.page_together(request, rows, _show_all))


class SubscriptionView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "customers:read"}

    @schema.SUBSCRIPTION
    def get(self, request: Request, subscription_id: UUID) -> Response:
        found = access.subscription(principal=principal(request), subscription_id=subscription_id)
        return Response(show(found))


class ChangeView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "subscriptions:write"}

    @schema.CHANGE
    def post(self, request: Request, subscription_id: UUID) -> Response:
        access.operator(principal=principal(request))
        found = access.subscription(principal=principal(request), subscription_id=subscription_id)

        def change() -> Answer:
            return Answer(200, show(subscriptions.change(actor=actor(request), subscription=found, **_wanted(request))))

        return self.once(request, change)


class PreviewChangeView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "subscriptions:write"}

    @schema.PREVIEW_CHANGE
    def post(self, request: Request, subscription_id: UUID) -> Response:
        access.operator(principal=principal(request))
        found = access.subscription(principal=principal(request), subscription_id=subscription_id)
        return Response(_show_change(subscriptions.preview(subscription=found, **_wanted(request))))


class CancelView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "subscriptions:write"}

    @schema.CANCEL
    def post(self, request: Request, subscription_id: UUID) -> Response:
        access.operator(principal=principal(request))
        found = access.subscription(principal=principal(request), subscription_id=subscription_id)

        def cancel() -> Answer:
            data = serializers.read(serializers.SubscriptionCancel, request)
            return Answer(200, show(subscriptions.cancel(actor=actor(request), subscription=found, **data)))

        return self.once(request, cancel)


class ReactivateView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "subscriptions:write"}

    @schema.REACTIVATE
    def post(self, request: Request, subscription_id: UUID) -> Response:
        access.operator(principal=principal(request))
        found = access.subscription(principal=principal(request), subscription_id=subscription_id)

        def reactivate() -> Answer:
            serializers.read(serializers.Nothing, request)
            return Answer(200, show(subscriptions.reactivate(actor=actor(request), subscription=found)))

        return self.once(request, reactivate)


class PeriodsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "customers:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.PERIODS
    def get(self, request: Request, subscription_id: UUID) -> Response:
        found = access.subscription(principal=principal(request), subscription_id=subscription_id)
        rows = found.periods.select_related("plan_version__plan").prefetch_related("fees", "grants")
        return Response(pagination.page(request, rows, _show_period))


def _wanted(request: Request) -> dict[str, Any]:
    data = serializers.read(serializers.SubscriptionChange, request)
    when, at = data.pop("when"), data.pop("at", None)
    data["price_overrides"] = [prices.wanted(price) for price in data.get("price_overrides", [])]
    return {"wanted": subscriptions.Wanted(**data), "when": when, "at": at}


def show(subscription: Subscription) -> dict[str, Any]:
    """One of them."""
    (shown,) = _show_all([subscription])
    return shown


def _show_all(found: Sequence[Subscription]) -> list[dict[str, Any]]:
    """The same of any number, with as many questions as for one."""
    now = timezone.now()
    owners = list({each.customer_id for each in found})
    periods = SubscriptionPeriod.objects.filter(
        customer_id__in=owners, subscription__in=found, start__lte=now, end__gt=now
    ).order_by("number")
    current = {period.subscription_id: period for period in periods}
    accrued = levels.accrued_by_subscription(owners, moment=now)
    return [_shown(each, current.get(each.pk), accrued.get(each.pk, []), now) for each in found]


def _shown(
    subscription: Subscription, current: SubscriptionPeriod | None, accruing: Sequence[Accrued], now: datetime
) -> dict[str, Any]:
    version, following = subscription.plan_version, subscription.next_version
    return {
        "id": str(subscription.pk),
        "customer": subscription.customer.external_id,
        "plan": subscription.plan.code,
        "plan_version": version.number,
        "status": subscription.status_at(now).value,
        "starts_at": moment_string(subscription.starts_at),
        "ends_at": moment_or_none(subscription.ends_at),
        "trial_ends_at": moment_or_none(subscription.trial_ends_at),
        "anchor": moment_string(subscription.anchor),
        "timezone": subscription.timezone,
        "base_fee": amount_string(version.base_fee),
        "currency": subscription.plan.currency_id.upper(),
        "discount": amount_string(version.discount),
        "minimum_commitment": amount_string(version.minimum_commitment),
        "spend_cap": amount_or_none(subscription.spend_cap),
        "current_period": None
        if current is None
        else {"number": current.number, "start": moment_string(current.start), "end": moment_string(current.end)},
        "next_change": None
        if following is None
        else {
            "plan": following.plan.code,
            "plan_version": following.number,
            "at": moment_or_none(subscription.renews_at),
        },
        "accruing": [
            {
                "meter": each.meter.code,
                "level": amount_string(each.level),
                "since": moment_string(each.since),
                "until": moment_string(each.until),
                "quantity": amount_string(each.unit_hours),
                "asset": each.asset,
                "amount": amount_string(each.amount),
            }
            for each in accruing
        ],
    }


def _show_period(period: SubscriptionPeriod) -> dict[str, Any]:
    return {
        "id": str(period.pk),
        "number": period.number,
        "start": moment_string(period.start),
        "end": moment_string(period.end),
        "plan": period.plan_version.plan.code,
        "plan_version": period.plan_version.number,
        "trial": period.trial,
        "state": period.state,
        "settled_at": moment_or_none(period.settled_at),
        "fees": [show_fee(fee) for fee in sorted(period.fees.all(), key=lambda fee: fee.pk)],
        "allowances": [
            {
                "grant": str(grant.pk),
                "asset": grant.asset_id,
                "kind": grant.kind,
                "amount": amount_string(grant.amount),
                "remaining": amount_string(grant.remaining),
            }
            for grant in sorted(period.grants.all(), key=lambda grant: grant.pk)
        ],
    }


def show_fee(fee: Fee) -> dict[str, Any]:
    """A fee, as it was charged or, for a credit, given back."""
    return {
        "id": str(fee.pk),
        "kind": fee.kind,
        "description": fee.description,
        "asset": fee.asset_id,
        "list_amount": amount_string(fee.list_amount),
        "amount": amount_string(fee.amount),
        "start": moment_string(fee.start),
        "end": moment_string(fee.end),
        "state": fee.state,
        "transaction": str(fee.pk) if fee.state == Fee.State.PAID else None,
    }


def _show_change(change: subscriptions.Change) -> dict[str, Any]:
    period = change.period
    return {
        "at": moment_string(change.at),
        "plan": change.version.plan.code,
        "plan_version": change.version.number,
        "currency": change.version.plan.currency_id.upper(),
        "period": None if period is None else {"start": moment_string(period[0]), "end": moment_string(period[1])},
        "lines": [
            {
                "kind": line.kind,
                "description": line.description,
                "asset": line.asset.pk,
                "list_amount": amount_string(line.list_amount),
                "amount": amount_string(line.amount),
                "start": moment_string(line.start),
                "end": moment_string(line.end),
            }
            for line in change.lines
        ],
        "allowances": [
            {"asset": line.asset.pk, "before": amount_string(line.before), "after": amount_string(line.after)}
            for line in change.allowances
        ],
        "total": amount_string(change.total),
    }
