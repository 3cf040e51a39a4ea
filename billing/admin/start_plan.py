"""Putting a customer on a plan: what the start would charge, to the last digit, and then exactly that."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from accounts.backoffice import actor_of
from billing.admin import adding, by_hand, display
from billing.admin.agreed_terms import AGREED, AgreedTermsForm
from billing.admin.confirm import DayInput
from billing.errors import BillingError
from billing.models import Approval, Customer, Subscription
from billing.services import approvals, subscriptions
from billing.services.subscriptions.starting import TRIAL_DAYS_MAX

FEES_SHOWN = 12


class StartForm(AgreedTermsForm):
    """Which plan, from when, on what terms. What is left empty is as the plan says."""

    field_order = ("plan_version", "starts_on", "trial_days", *AGREED, "reason")
    starts_on = forms.DateField(
        label="From",
        required=False,
        help_text="From midnight where the customer is; days in the past are charged too. Empty: now.",
        widget=DayInput(attrs={"class": "ante-day"}),
    )
    trial_days = forms.IntegerField(
        label="Days of trial",
        required=False,
        min_value=0,
        max_value=TRIAL_DAYS_MAX,
        help_text="Empty: as the plan says.",
        widget=UnfoldAdminIntegerFieldWidget,
    )

    def starts_at(self, customer: Customer) -> datetime | None:
        """The beginning of the chosen day, where the customer is."""
        day = self.cleaned_data["starts_on"]
        return day and datetime.combine(day, datetime.min.time(), tzinfo=ZoneInfo(customer.timezone))


def view(page: Any, request: HttpRequest, *, customer: Customer) -> HttpResponse:
    """The form; sent, what will happen; confirmed, the subscription."""
    back_url = reverse("admin:billing_customer_change", args=[customer.pk])
    form = StartForm(request.POST or None)
    review = None
    if request.method == "POST" and form.is_valid() and "change" not in request.POST:
        try:
            if "confirm" in request.POST:
                starts_at = form.starts_at(customer)
                asked = approvals.perform(
                    actor=actor_of(request),
                    kind=Approval.Kind.AGREED_TERMS,
                    customer=customer,
                    terms={
                        **form.terms(),
                        "starts_at": None if starts_at is None else starts_at.isoformat(),
                        "trial_days": form.cleaned_data["trial_days"],
                    },
                    reason=form.cleaned_data["reason"],
                )
                by_hand.tell(request, asked, f"{customer} is on {form.version}.")
                return HttpResponseRedirect(back_url)
            review = _review(request, customer, form)
        except BillingError as refusal:
            adding.say(form, refusal)
    running = Subscription.objects.filter(customer=customer, ends_at=None).select_related("plan_version__plan")
    context = {
        **page.admin_site.each_context(request),
        "title": "Start a plan",
        "subtitle": str(customer),
        "object": customer,
        "form": form,
        "review": review,
        "heading": "A plan for",
        "customer_link": display.link(customer),
        "stands": f"Now on {', '.join(str(each.plan_version) for each in running) or 'no plan'}.",
        "back_url": back_url,
    }
    return TemplateResponse(request, "admin/ante/agreed_terms.html", context)


def _review(request: HttpRequest, customer: Customer, form: StartForm) -> dict[str, Any]:
    """What starting would post."""
    agreed: dict[str, Any] = form.agreed()
    found = subscriptions.preview_start(
        customer=customer,
        plan=form.version.plan,
        version=form.version.number,
        starts_at=form.starts_at(customer),
        trial_days=form.cleaned_data["trial_days"],
        **agreed,
    )
    started, currency = found.subscription, form.version.plan.currency_id
    more = len(found.fees) - FEES_SHOWN
    return {
        "question": "You are about to put this customer on",
        "version": f"{form.version.plan}, version {form.version.number}",
        "lines": [
            ("From", display.moment(started.starts_at)),
            ("Trial until", display.moment(started.trial_ends_at)),
            ("Discount", display.percent(started.plan_version.discount)),
            ("Committed to, each period", display.amount(started.plan_version.minimum_commitment, currency)),
            ("Spend cap, each period", display.amount(started.spend_cap, currency)),
            *((fee.description, display.amount(fee.amount, fee.asset_id)) for fee in found.fees[:FEES_SHOWN]),
            *([("And further fees", display.count(more))] if more > 0 else []),
            ("Reason", form.cleaned_data["reason"]),
        ],
        "total": display.figure(found.total, currency),
        "total_said": "charged now" if started.past_due_since is None else "due: the wallet cannot pay it now",
        "note": "What the plan includes comes with each period, once its fee is paid.",
        "warning": by_hand.warning(request, found.given_away),
        "button": "Start it",
    }
