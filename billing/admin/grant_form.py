"""Granting credit: a form, a page that says what will happen, and then the service.

Each form bears a key of its own, and the service for idempotency runs the same key once: a second click, or a page sent
again, grants nothing more.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.backoffice import actor_of
from accounts.ids import uuid7
from billing.admin import adding, by_hand, display
from billing.admin.amounts import typed
from billing.admin.confirm import DayInput
from billing.admin.once import begin_anew
from billing.engine.money import EXACT, ZERO, amount_string, fits
from billing.engine.postings import TEMPLATES
from billing.errors import BillingError
from billing.models import Approval, Asset, Customer, Grant
from billing.selectors.ledger import balances
from billing.services import approvals

_KINDS = (Grant.Kind.PROMOTIONAL, Grant.Kind.ADJUSTMENT, Grant.Kind.PURCHASE)


class GrantForm(forms.Form):
    """What to put in. Amounts are decimal numbers in the asset's unit; days are the operator's."""

    kind = forms.ChoiceField(
        choices=[(kind.value, kind.label) for kind in _KINDS],
        help_text="Promotional: a gift, booked to promotional expense. Adjustment: puts something right. "
        "Purchase: paid for outside, booked to cash clearing.",
        widget=UnfoldAdminSelectWidget,
    )
    asset = forms.ModelChoiceField(Asset.objects.all(), empty_label=None, widget=UnfoldAdminSelectWidget)
    amount = forms.CharField(
        max_length=40, widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "autocomplete": "off"})
    )
    paid_amount = forms.CharField(
        label="Paid for it",
        required=False,
        max_length=40,
        help_text="Only for a purchase of something other than money: what was paid, in the customer's currency.",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )
    name = forms.CharField(
        max_length=200, required=False, help_text="What the customer sees.", widget=UnfoldAdminTextInputWidget
    )
    expires_on = forms.DateField(
        label="Expires after",
        required=False,
        help_text="The last day on which it can be used. Empty: never.",
        widget=DayInput(attrs={"class": "ante-day"}),
    )
    reason = forms.CharField(
        max_length=500,
        help_text="For the trail: why, and who agreed. The customer does not see it.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)

    def clean_amount(self) -> Decimal:
        return _positive(self.cleaned_data["amount"])

    def clean_paid_amount(self) -> Decimal:
        text = self.cleaned_data["paid_amount"]
        return _positive(text) if text else ZERO

    def clean_expires_on(self) -> Any:
        day = self.cleaned_data["expires_on"]
        if day is not None and day < timezone.localdate():
            raise ValidationError("That day is over.")
        return day

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        kind, asset = data.get("kind"), data.get("asset")
        if asset is not None and "paid_amount" in data:
            pays = kind == Grant.Kind.PURCHASE and asset.kind != Asset.Kind.CURRENCY
            if pays and data["paid_amount"] == 0:
                self.add_error("paid_amount", "What was paid for it? The books need it to recognise revenue.")
            if not pays and data["paid_amount"] > 0:
                self.add_error("paid_amount", "Only for a purchase of something other than money.")
        return data

    def expires_at(self) -> datetime | None:
        """The end of the chosen day, where the operator is."""
        day = self.cleaned_data["expires_on"]
        if day is None:
            return None
        return timezone.make_aware(datetime.combine(day + timedelta(days=1), datetime.min.time()))


def view(page: Any, request: HttpRequest, *, customer: Customer, back: Model) -> HttpResponse:
    """The form; sent, a page to confirm; confirmed, the grant."""
    back_url = reverse(f"admin:billing_{back._meta.model_name}_change", args=[back.pk])
    form = GrantForm(
        request.POST or None,
        initial={"asset": customer.currency_id, "kind": Grant.Kind.PROMOTIONAL, "key": uuid7()},
    )
    review = None
    if request.method == "POST" and form.is_valid() and "change" not in request.POST:
        if "confirm" in request.POST:
            refusal = _grant(request, customer, form)
            if refusal is None:
                return HttpResponseRedirect(back_url)
            adding.say(form, refusal, names={"expires_at": "expires_on"})
            begin_anew(form)
        else:
            review = _review(request, customer, form)
    context = {
        **page.admin_site.each_context(request),
        "title": "Grant credit",
        "subtitle": customer.name,
        "object": customer,
        "form": form,
        "review": review,
        "customer": customer,
        "customer_link": display.link(customer),
        "back_url": back_url,
        "balances": [display.written(row.available, row.asset).exact for row in balances.current([customer.pk])],
    }
    return TemplateResponse(request, "admin/ante/grant_credit.html", context)


def _review(request: HttpRequest, customer: Customer, form: GrantForm) -> dict[str, Any]:
    data = form.cleaned_data
    asset: Asset = data["asset"]
    now = {row.asset: row.available for row in balances.current([customer.pk])}.get(asset.code, ZERO)
    posting = TEMPLATES[f"grant.{data['kind']}"].postings["value"]
    return {
        "amount": display.figure(data["amount"], asset.code),
        "asset": asset.name,
        "before": display.written(now, asset.code).exact,
        "after": display.written(EXACT.add(now, data["amount"]), asset.code).exact,
        "posting": display.posting(posting.debit, posting.credit),
        "kind": Grant.Kind(data["kind"]).label,
        "name": data["name"],
        "reason": data["reason"],
        "expires": f"after {data['expires_on']:%Y-%m-%d}" if data["expires_on"] else "never",
        "paid": display.written(data["paid_amount"], customer.currency_id).exact if data["paid_amount"] else "",
        "warning": by_hand.warning(request, {asset.code: data["amount"]}),
    }


def _grant(request: HttpRequest, customer: Customer, form: GrantForm) -> BillingError | None:
    """Call the service, once for this form. Returns the refusal, if it was one."""
    data = form.cleaned_data
    asset: Asset = data["asset"]
    is_purchase = data["kind"] == Grant.Kind.PURCHASE
    paid_in_itself = asset.kind == Asset.Kind.CURRENCY
    expires_at = form.expires_at()

    def ask() -> Approval | None:
        return approvals.perform(
            actor=actor_of(request),
            kind=Approval.Kind.GRANT,
            customer=customer,
            terms={
                "asset": asset.pk,
                "amount": amount_string(data["amount"]),
                "kind": data["kind"],
                "expires_at": expires_at and expires_at.isoformat(),
                "paid_amount": amount_string(data["paid_amount"] or data["amount"]) if is_purchase else None,
                "paid_currency": (asset.pk if paid_in_itself else customer.currency_id) if is_purchase else None,
                "name": data["name"],
            },
            reason=data["reason"],
        )

    shown = display.written(data["amount"], asset.code).exact
    done = f"Granted {shown} to {customer.name}. It is in the wallet and in the ledger."
    try:
        by_hand.once(request, about=customer.pk, data=data, ask=ask, done=done)
    except BillingError as error:
        return error
    return None


def _positive(text: str) -> Decimal:
    amount = typed(text)
    if amount is None:
        raise ValidationError("Write a number, such as 25 or 12.50.")
    if not fits(amount):
        raise ValidationError("At most 18 digits before the point and 12 after it.")
    if amount <= 0:
        raise ValidationError("More than zero.")
    return Decimal(amount_string(amount))
