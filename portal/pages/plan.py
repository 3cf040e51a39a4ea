"""The plan: what it costs, what of it is left, and choosing another one, with what that comes to shown before."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import second_factor
from accounts.services.audit import actor_of
from billing.errors import BillingError
from billing.models import Fee, Subscription
from billing.services import subscriptions
from billing.services.subscriptions import Wanted
from portal import access, plans, refusals
from portal.tables import Column, Filter, Table

FEES = Table(
    "plan",
    columns=[
        Column("for", _("For")),
        Column("when", _("When"), by="created_at"),
        Column("state", _("State"), by="state"),
        Column("amount", _("Amount"), by="amount", number=True),
    ],
    usual="-when",
    anchor="fees",
    filters=[Filter("kind", _("Kind"), Fee.Kind.choices), Filter("state", _("State"), Fee.State.choices)],
    page_rows=12,
)
NOW, PERIOD_END = "now", "period_end"


@require_GET
@access.signed_in
@access.requires("catalog:read")
def plan(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The subscriptions with their prices and fees, and the other plans that may be chosen."""
    return _page(request, visit)


@require_http_methods(["GET", "POST"])
@access.signed_in
@access.requires("wallet:fund")
@second_factor.requires_fresh_second_factor
def change(request: HttpRequest, visit: access.Visit, subscription_id: UUID, code: str) -> HttpResponseBase:
    """What another plan comes to, now or from the next period; sent, the change."""
    subscription, offer = _changeable(visit, subscription_id), _offered(visit, code)
    wanted = Wanted(offer.plan, own_choice=True)
    if request.method == "POST":
        when = NOW if request.POST.get("when") == NOW else PERIOD_END
        at = _moment(request.POST.get("at", "")) if when == NOW else None
        try:
            subscriptions.change(
                actor=actor_of(request), subscription=subscription, wanted=wanted, when=when, at=at, reason="by request"
            )
        except BillingError as refusal:
            messages.error(request, refusals.words(refusal))
            return redirect(request.path)
        messages.success(
            request,
            (_("You are on {plan}.") if when == NOW else _("{plan} begins with the next period.")).format(
                plan=offer.plan.name
            ),
        )
        return redirect("portal:plan")
    return access.render_for(
        request,
        visit,
        "portal/change_plan.html",
        subscription=subscription,
        offer=offer,
        **_previews(subscription, wanted),
    )


@require_POST
@access.signed_in
@access.requires("wallet:fund")
@second_factor.requires_fresh_second_factor
def start(request: HttpRequest, visit: access.Visit, code: str) -> HttpResponseBase:
    """The first plan of a customer who has none."""
    chosen = _offered(visit, code).plan
    return _done(
        request,
        lambda: subscriptions.choose(actor=actor_of(request), customer=visit.customer, plan=chosen),
        _("You are on {plan}.").format(plan=chosen.name),
    )


@require_POST
@access.signed_in
@access.requires("wallet:fund")
@second_factor.requires_fresh_second_factor
def cancel(request: HttpRequest, visit: access.Visit, subscription_id: UUID) -> HttpResponseBase:
    """Let the subscription end with its period."""
    subscription = _changeable(visit, subscription_id)
    return _done(
        request,
        lambda: subscriptions.cancel(actor=actor_of(request), subscription=subscription, reason="by request"),
        _("The plan ends with its period. Until then you can take that back."),
    )


@require_POST
@access.signed_in
@access.requires("wallet:fund")
@second_factor.requires_fresh_second_factor
def reactivate(request: HttpRequest, visit: access.Visit, subscription_id: UUID) -> HttpResponseBase:
    """Take a cancellation back."""
    subscription = _changeable(visit, subscription_id)
    return _done(
        request,
        lambda: subscriptions.reactivate(actor=actor_of(request), subscription=subscription, reason="by request"),
        _("The plan goes on."),
    )


def _page(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    now = timezone.now()
    running = plans.running(visit.customer, now)
    taken = {one.subscription.plan_id for one in running}
    return access.render_for(
        request,
        visit,
        "portal/plan.html",
        running=running,
        leaving=next((one for one in running if one.may_change and one.subscription.ends_at is None), None),
        offers=[offer for offer in plans.offers(visit.customer.currency_id) if offer.plan.pk not in taken],
        fees=FEES.page(request, Fee.objects.filter(customer=visit.customer)),
    )


def _previews(subscription: Subscription, wanted: Wanted) -> dict[str, Any]:
    """What the change comes to now and from the next period; why not, where one of them cannot be."""
    previews: dict[str, Any] = {}
    for when in (NOW, PERIOD_END):
        try:
            preview = subscriptions.preview(subscription=subscription, wanted=wanted, when=when)
            previews |= {when: preview, f"{when}_total": abs(preview.total)}
        except BillingError as refusal:
            previews[f"{when}_refusal"] = refusals.words(refusal)
    return previews


def _changeable(visit: access.Visit, subscription_id: UUID) -> Subscription:
    """One of the customer's own that is theirs to change; 404 otherwise."""
    running = plans.running(visit.customer, timezone.now())
    found = next((one for one in running if one.subscription.pk == subscription_id and one.may_change), None)
    if found is None:
        raise Http404
    return found.subscription


def _offered(visit: access.Visit, code: str) -> plans.Offer:
    found = next((one for one in plans.offers(visit.customer.currency_id) if one.plan.code == code), None)
    if found is None:
        raise Http404
    return found


def _moment(text: str) -> datetime | None:
    """What a preview was for; None where that is no time, and then it is now."""
    with suppress(ValueError):
        moment = parse_datetime(text)
        return moment if moment is not None and moment.tzinfo is not None else None
    return None


def _done(request: HttpRequest, act: Callable[[], object], said: str | Promise) -> HttpResponseBase:
    try:
        act()
    except BillingError as refusal:
        messages.error(request, refusals.words(refusal))
    else:
        messages.success(request, str(said))
    return redirect("portal:plan")
