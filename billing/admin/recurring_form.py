"""Granting something anew each period: a form, a page that says what will happen, and then the service, once."""

from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.backoffice import actor_of
from accounts.ids import uuid7
from billing.admin import adding, by_hand, display
from billing.admin.amounts import AmountField
from billing.admin.confirm import DayInput
from billing.admin.once import begin_anew
from billing.engine.money import ZERO, amount_string
from billing.errors import BillingError, InvalidRequest
from billing.models import Approval, Asset, Customer, PlanVersion, RecurringGrant
from billing.services import approvals
from billing.services.wallet import recurring

SHOWN = 3
_LEFT = (("period_end", "Expires with the period"), ("never", "Stays until it is used"))


class RecurringForm(forms.Form):
    """What to give, how often, for how long. Days are the customer's."""

    kind = forms.ChoiceField(
        choices=RecurringGrant.Kind.choices,
        help_text="Promotional: a gift. Allowance: a part of what was agreed. Neither is money that was paid.",
        widget=UnfoldAdminSelectWidget,
    )
    asset = forms.ModelChoiceField(Asset.objects.all(), empty_label=None, widget=UnfoldAdminSelectWidget)
    amount = AmountField(required=True)
    interval = forms.ChoiceField(label="Every", choices=PlanVersion.Interval.choices, widget=UnfoldAdminSelectWidget)
    starts_on = forms.DateField(
        label="From",
        required=False,
        help_text="From midnight where the customer is. Empty: now.",
        widget=DayInput(attrs={"class": "ante-day"}),
    )
    times = forms.IntegerField(
        label="How many times",
        required=False,
        min_value=1,
        max_value=recurring.TIMES_MAX,
        help_text="Empty: until it is canceled.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    expires = forms.ChoiceField(label="What is left", choices=_LEFT, widget=UnfoldAdminSelectWidget)
    rollover_limit = AmountField(
        label="Carried over", help_text="At most so much of what expires comes again with the next one. Empty: nothing."
    )
    name = forms.CharField(
        max_length=200, required=False, help_text="What the customer sees.", widget=UnfoldAdminTextInputWidget
    )
    reason = forms.CharField(
        max_length=500,
        help_text="For the trail: why, and who agreed. The customer does not see it.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)

    def terms(self, customer: Customer) -> recurring.Terms:
        data, day = self.cleaned_data, self.cleaned_data["starts_on"]
        return recurring.Terms(
            starts_at=day and datetime.combine(day, datetime.min.time(), tzinfo=ZoneInfo(customer.timezone)),
            lapses=data["expires"] == "period_end",
            rollover_limit=data["rollover_limit"] or ZERO,
            **{name: data[name] for name in ("kind", "asset", "amount", "interval", "times", "name")},
        )


def view(page: Any, request: HttpRequest, *, customer: Customer) -> HttpResponse:
    """The form; sent, what will happen; confirmed, the recurring grant."""
    back_url = reverse("admin:billing_customer_change", args=[customer.pk])
    initial = {"asset": customer.currency_id, "interval": PlanVersion.Interval.MONTH, "key": uuid7()}
    form = RecurringForm(request.POST or None, initial=initial)
    review = None
    if request.method == "POST" and form.is_valid() and "change" not in request.POST:
        try:
            if "confirm" in request.POST:
                _create(request, customer, form)
                return HttpResponseRedirect(back_url)
            review = _review(request, customer, form)
        except BillingError as refusal:
            adding.say(form, refusal, names={"starts_at": "starts_on", "lapses": "expires"})
            begin_anew(form)
    running = RecurringGrant.objects.filter(customer=customer, next_at__isnull=False)
    context = {
        **page.admin_site.each_context(request),
        "title": "Recurring grant",
        "subtitle": str(customer),
        "object": customer,
        "form": form,
        "review": review,
        "heading": "A recurring grant for",
        "customer_link": display.link(customer),
        "stands": f"So far: {', '.join(map(str, running)) or 'none'}.",
        "back_url": back_url,
    }
    return TemplateResponse(request, "admin/ante/agreed_terms.html", context)


def _review(request: HttpRequest, customer: Customer, form: RecurringForm) -> dict[str, Any]:
    terms = form.terms(customer)
    terms.check()
    now = timezone.now()
    if terms.starts_at is not None and terms.starts_at < now:
        raise InvalidRequest.field("starts_at", "must not lie in the past; leave it empty for now")
    row = recurring.drawn_up(customer, terms, starts_at=terms.starts_at or now, zone=customer.timezone)
    shown = list(islice(recurring.periods_of(row), min(SHOWN, terms.times or SHOWN)))
    asset = terms.asset.code
    return {
        "question": "You are about to give this customer, each time:",
        "version": display.figure(terms.amount, asset),
        "lines": [
            ("Every", row.get_interval_display()),
            ("Kind", row.get_kind_display()),
            *((f"Grant {number}", display.moment(start)) for number, (start, _) in enumerate(shown, 1)),
            ("How many times", terms.times or "until it is canceled"),
            ("What is left", dict(_LEFT)[form.cleaned_data["expires"]]),
            ("Carried over, at most", display.amount(terms.rollover_limit, asset)),
            ("The customer sees", terms.name or "–"),
            ("Reason", form.cleaned_data["reason"]),
        ],
        "total": display.figure(terms.given(), asset),
        "total_said": "within a year, or until it ends",
        "note": "Each grant is booked when its period begins. It can be paused and canceled at any time.",
        "warning": by_hand.warning(request, {asset: terms.given()}),
        "button": "Grant it each time",
    }


def _create(request: HttpRequest, customer: Customer, form: RecurringForm) -> None:
    """Call the service, once for this form."""
    wanted = form.terms(customer)

    def ask() -> Approval | None:
        return approvals.perform(
            actor=actor_of(request),
            kind=Approval.Kind.GRANT,
            customer=customer,
            terms={
                "asset": wanted.asset.pk,
                "amount": amount_string(wanted.amount),
                "rollover_limit": amount_string(wanted.rollover_limit),
                "starts_at": wanted.starts_at and wanted.starts_at.isoformat(),
                **{name: getattr(wanted, name) for name in ("interval", "kind", "name", "times", "lapses")},
            },
            reason=form.cleaned_data["reason"],
        )

    shown = display.written(wanted.amount, wanted.asset.code).exact
    done = f"{customer.name} is given {shown} every {wanted.interval}."
    by_hand.once(request, about=customer.pk, data=form.cleaned_data, ask=ask, done=done)
