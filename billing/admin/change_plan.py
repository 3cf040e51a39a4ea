"""Moving one subscription to any plan version: what it would come to, to the last digit, and then exactly that."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.backoffice import actor_of
from billing.admin import adding, by_hand, display
from billing.admin.agreed_terms import AGREED, AgreedTermsForm
from billing.engine.money import amount_string
from billing.errors import BillingError
from billing.models import Approval, Fee, Subscription
from billing.services import approvals, subscriptions

_WHEN = (("period_end", "With its next period"), ("now", "Now, with proration to the second"))


class ChangeForm(AgreedTermsForm):
    """Where to. What is left empty stays as it was agreed."""

    field_order = ("plan_version", "when", *AGREED, "reason")
    when = forms.ChoiceField(choices=_WHEN, widget=UnfoldAdminSelectWidget)
    at = forms.DateTimeField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in AGREED:
            self.fields[name].help_text += " Empty: as agreed so far."

    def wanted(self) -> subscriptions.Wanted:
        agreed: dict[str, Any] = self.agreed()
        return subscriptions.Wanted(self.version.plan, self.version.number, **agreed)

    def asked(self, subscription: Subscription) -> dict[str, Any]:
        """All of it as plain values, with what goes along to another version: that is what is approved, and stays what
        was approved whatever is agreed meanwhile."""
        at, on = self.moment(), subscription.plan_version
        moves = self.version.pk not in (on.pk, on.derived_from_id)
        so_far = {name: getattr(subscription, name) for name in AGREED} if moves else {}
        return {
            "subscription": str(subscription.pk),
            **self.terms(),
            **{name: amount_string(number) for name, number in (so_far | self.agreed()).items() if number is not None},
            "when": self.cleaned_data["when"],
            "at": None if at is None else at.isoformat(),
        }

    def moment(self) -> datetime | None:
        """When, for a change that holds now: as it was shown."""
        at: datetime | None = self.cleaned_data["at"]
        return at if self.cleaned_data["when"] == "now" else None


def view(page: Any, request: HttpRequest, *, subscription: Subscription) -> HttpResponse:
    """The form; sent, what will happen; confirmed, the change as it was shown."""
    back_url = reverse("admin:billing_subscription_change", args=[subscription.pk])
    form = ChangeForm(request.POST or None, initial={"plan_version": subscription.plan.latest()})
    review = None
    if request.method == "POST" and form.is_valid() and "change" not in request.POST:
        try:
            if "confirm" in request.POST:
                asked = approvals.perform(
                    actor=actor_of(request),
                    kind=Approval.Kind.AGREED_TERMS,
                    customer=subscription.customer,
                    terms=form.asked(subscription),
                    reason=form.cleaned_data["reason"],
                )
                done = f"{subscription.customer} goes to {form.cleaned_data['plan_version']}."
                by_hand.tell(request, asked, done)
                return HttpResponseRedirect(back_url)
            review = _review(request, subscription, form)
        except BillingError as refusal:
            adding.say(form, refusal)
    then = f", then on {subscription.next_version}" if subscription.next_version else ""
    context = {
        **page.admin_site.each_context(request),
        "title": "Change the plan",
        "subtitle": str(subscription),
        "object": subscription,
        "form": form,
        "review": review,
        "heading": "Another plan for",
        "customer_link": display.link(subscription.customer),
        "stands": f"Now on {subscription.plan_version}{then}.",
        "back_url": back_url,
    }
    return TemplateResponse(request, "admin/ante/agreed_terms.html", context)


def _review(request: HttpRequest, subscription: Subscription, form: ChangeForm) -> dict[str, Any]:
    """What the change would post, and the form with the moment that it was worked out for."""
    when = form.cleaned_data["when"]
    found = subscriptions.preview(
        subscription=subscription, wanted=form.wanted(), when=when, at=form.moment() or _now(when)
    )
    version, currency = found.version, subscription.plan.currency_id
    form.data = {**form.data.dict(), "at": found.at.isoformat()}  # type: ignore[attr-defined]
    return {
        "question": "You are about to move this subscription to",
        "version": f"{version.plan}, version {version.number}",
        "lines": [
            ("From", display.moment(found.at)),
            ("Base fee now", display.amount(subscription.plan_version.base_fee, currency)),
            ("Base fee then", display.amount(version.base_fee, currency)),
            ("Discount then", display.percent(version.discount)),
            ("Committed to then, each period", display.amount(version.minimum_commitment, currency)),
            *((line.description, display.amount(_signed(line), currency)) for line in found.lines),
            *(
                (
                    f"Included {line.asset.pk}, left now → then",
                    f"{amount_string(line.before)} → {amount_string(line.after)}",
                )
                for line in found.allowances
            ),
            ("Reason", form.cleaned_data["reason"]),
        ],
        "total": display.figure(found.total.copy_abs(), currency),
        "total_said": _said(found),
        "refusal": found.refusal and f"{display.said(found.refusal)} As it stands the move will be refused.",
        "note": "What the customer bought is not touched. Price overrides that were agreed do not go along.",
        "warning": by_hand.warning(request, found.given_away),
        "button": "Move it",
    }


def _said(found: subscriptions.Change) -> str:
    if found.refusal:
        return "more than the wallet can pay"
    return "back into the wallet" if found.total < 0 else "charged now"


def _signed(line: subscriptions.FeeLine) -> Decimal:
    """Below zero what comes back."""
    return line.amount.copy_negate() if line.kind == Fee.Kind.CREDIT else line.amount


def _now(when: str) -> datetime | None:
    return timezone.now() if when == "now" else None
