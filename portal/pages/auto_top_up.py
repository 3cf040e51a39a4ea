"""Standing orders to top up: what the customer wants, what suspended it, and how to put that right."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts import reading
from accounts.services.audit import actor_of
from billing.engine.money import amount_string, fits, parse
from billing.errors import BillingError, InvalidRequest
from billing.models import AutoTopUp, PaymentMethod
from billing.selectors.funding import standing
from billing.services.funding import profiles, rules
from portal import access, refusals
from portal.pages.funding import kept, paying

_NAMES = {"threshold": _("Balance"), "target": _("Fill-up amount"), "monthly_limit": _("Monthly limit")}


@dataclass(frozen=True, slots=True)
class Shown:
    """One order as the page shows it."""

    rule: AutoTopUp | None
    status: str = "off"
    used: standing.Used | None = None

    @classmethod
    def of(cls, visit: access.Visit, purpose: str) -> "Shown":
        rows = AutoTopUp.objects.select_related("customer", "pack", "method")
        rule = rows.filter(customer=visit.customer, purpose=purpose).first()
        if rule is None:
            return cls(None)
        now = timezone.now()
        return cls(rule, standing.status(rule, now), standing.used(rule, now))


@require_http_methods(["GET", "HEAD"])
@access.signed_in
def page(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    return _page(request, visit)


@require_POST
@paying
def save(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """Take the form for when the balance falls."""
    values = _texts(request)
    try:
        fill = values.get("buy") == "target"
        order = rules.Order(
            asset=visit.customer.currency,
            threshold=_amount(values, "threshold"),
            amount=None if fill else _amount(values, "amount"),
            target=_amount(values, "target") if fill else None,
            monthly_limit=_amount(values, "monthly_limit", needed=False),
            method=_method(values, visit),
        )
        rules.put(actor=actor_of(request), customer=visit.customer, order=order)
    except BillingError as refusal:
        return _page(request, visit, values=values, error=refusals.words(refusal, _NAMES), status=refusal.status)
    messages.success(request, _("Saved. Your wallet is topped up when the balance falls."))
    return redirect("portal:auto-top-up")


@require_POST
@paying
def save_schedule(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """Take the form for fixed times. Other ones begin one period from now."""
    values = _texts(request)
    try:
        every = values.get("every", "")
        if every not in AutoTopUp.Every.values:
            raise InvalidRequest.field("every", "is day, week or month")
        order = rules.Order(
            asset=visit.customer.currency,
            amount=_amount(values, "regular"),
            every=every,
            method=_method(values, visit),
        )
        rules.put(actor=actor_of(request), customer=visit.customer, order=order)
    except BillingError as refusal:
        return _page(request, visit, values=values, error=refusals.words(refusal, _NAMES), status=refusal.status)
    messages.success(request, _("Saved. Your wallet is topped up at these times."))
    return redirect("portal:auto-top-up")


@require_POST
@paying
def switch(request: HttpRequest, visit: access.Visit, purpose: str, to: str) -> HttpResponseBase:
    """Off, or on again after it was suspended."""
    rule = Shown.of(visit, purpose).rule
    if rule is None:
        raise Http404
    try:
        if to == "off":
            rules.switch_off(actor=actor_of(request), rule=rule)
        else:
            rules.resume(actor=actor_of(request), rule=rule)
    except BillingError as refusal:
        return _page(request, visit, error=refusals.said(refusal.detail), status=refusal.status)
    messages.success(request, _("Switched off.") if to == "off" else _("It runs again."))
    return redirect("portal:auto-top-up")


def _page(
    request: HttpRequest,
    visit: access.Visit,
    *,
    values: dict[str, str] | None = None,
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    auto = Shown.of(visit, AutoTopUp.Purpose.AUTO_TOP_UP)
    regular = Shown.of(visit, AutoTopUp.Purpose.SCHEDULED)
    return access.render_for(
        request,
        visit,
        "portal/auto_top_up.html",
        status=status,
        shown_orders=[auto, regular],
        auto=auto,
        regular=regular,
        values=_filled(auto.rule, regular.rule) | (values or {}),
        every=AutoTopUp.Every.choices,
        methods=kept(visit),
        may_pay=visit.may("wallet:fund"),
        currency=visit.customer.currency_id,
        ready=profiles.payable(),
        error=error,
    )


def _filled(rule: AutoTopUp | None, regular: AutoTopUp | None) -> dict[str, Any]:
    """What the forms hold at first: the orders as they are, or something sensible."""
    values: dict[str, Any] = {"threshold": "10", "amount": "50", "target": "", "buy": "amount", "monthly_limit": ""}
    if rule is not None:
        names = ("threshold", "amount", "target", "monthly_limit")
        values = {name: _filled_in(getattr(rule, name)) for name in names}
        values |= {"buy": "amount" if rule.target is None else "target", "method": str(rule.method_id or "")}
    regular_amount = _filled_in(regular.amount) if regular is not None else ""
    return values | {"regular": regular_amount or "50", "every": regular.every if regular is not None else "month"}


def _filled_in(amount: Decimal | None) -> str:
    return "" if amount is None else reading.ungrouped(amount_string(amount))


def _texts(request: HttpRequest) -> dict[str, str]:
    return {name: str(value).replace("\x00", "").strip()[:64] for name, value in request.POST.items()}


def _amount(values: dict[str, str], name: str, *, needed: bool = True) -> Any:
    text = reading.typed(values.get(name, ""))
    if not text and not needed:
        return None
    amount = parse(text)
    if amount is None or not fits(amount):
        raise InvalidRequest.field(name, "is not a number")
    return amount


def _method(values: dict[str, str], visit: access.Visit) -> PaymentMethod | None:
    wanted = values.get("method", "")
    found = [method for method in kept(visit) if str(method.pk) == wanted]
    if wanted and not found:
        raise InvalidRequest.field("method", "is not kept any more")
    return found[0] if found else None
