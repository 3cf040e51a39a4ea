"""Adjusting a wallet by hand: a form, a page that says what will happen, and then the service, once."""

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.backoffice import actor_of
from accounts.ids import uuid7
from billing.admin import by_hand, display
from billing.admin.amounts import typed
from billing.admin.once import begin_anew
from billing.engine.money import EXACT, ZERO, amount_string, fits
from billing.engine.postings import TEMPLATES
from billing.errors import BillingError
from billing.models import Approval, Asset, Customer
from billing.selectors.ledger import balances
from billing.services import approvals


class AdjustForm(forms.Form):
    """What to put in or take out, in the asset's unit."""

    asset = forms.ModelChoiceField(Asset.objects.all(), empty_label=None, widget=UnfoldAdminSelectWidget)
    amount = forms.CharField(
        max_length=40,
        help_text="12.50 puts in, -12.50 takes out.",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )
    allow_debt = forms.BooleanField(
        label="May take from the overdraft",
        required=False,
        help_text="Otherwise no more than is available is taken out.",
        widget=UnfoldBooleanSwitchWidget,
    )
    reason = forms.CharField(
        max_length=500,
        help_text="For the trail: why, and who agreed. The customer does not see it.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)

    def clean_amount(self) -> Decimal:
        amount = typed(self.cleaned_data["amount"])
        if amount is None:
            raise ValidationError("Write a number, such as 25 or -12.50.")
        if not fits(amount):
            raise ValidationError("At most 18 digits before the point and 12 after it.")
        if amount == 0:
            raise ValidationError("More or less than zero.")
        return Decimal(amount_string(amount))


def view(page: Any, request: HttpRequest, *, customer: Customer, back: Model) -> HttpResponse:
    """The form; sent, a page to confirm; confirmed, the adjustment."""
    back_url = reverse(f"admin:billing_{back._meta.model_name}_change", args=[back.pk])
    form = AdjustForm(request.POST or None, initial={"asset": customer.currency_id, "key": uuid7()})
    review = None
    if request.method == "POST" and form.is_valid() and "change" not in request.POST:
        if "confirm" not in request.POST:
            review = _review(request, customer, form) if _is_there(customer, form) else None
        elif _adjust(request, customer, form):
            return HttpResponseRedirect(back_url)
    context = {
        **page.admin_site.each_context(request),
        "title": "Adjust the wallet",
        "subtitle": customer.name,
        "object": back,
        "form": form,
        "review": review,
        "customer_link": display.link(customer),
        "back_url": back_url,
        "balances": [display.written(row.available, row.asset).exact for row in balances.current([customer.pk])],
    }
    return TemplateResponse(request, "admin/ante/adjust.html", context)


def _is_there(customer: Customer, form: AdjustForm) -> bool:
    """Whether the wallet has what would be taken out; otherwise that is said, before anybody is asked to approve it."""
    data, code = form.cleaned_data, form.cleaned_data["asset"].code
    row = next((each for each in balances.current([customer.pk]) if each.asset == code), None)
    room = ZERO if row is None else EXACT.add(row.available, row.overdraft_limit if data["allow_debt"] else ZERO)
    missing = data["amount"].copy_negate() > max(room, ZERO)
    if missing:
        form.add_error("amount", f"There is only {display.written(max(room, ZERO), code).exact} to take out.")
    return not missing


def _review(request: HttpRequest, customer: Customer, form: AdjustForm) -> dict[str, Any]:
    data = form.cleaned_data
    code = data["asset"].code
    now = {row.asset: row.available for row in balances.current([customer.pk])}.get(code, ZERO)
    template, name = ("grant.adjustment", "value") if data["amount"] > 0 else ("adjustment.debited", "drawn")
    posting = TEMPLATES[template].postings[name]
    return {
        "question": "You are about to put into this wallet" if data["amount"] > 0 else "You are about to take out",
        "amount": display.figure(data["amount"].copy_abs(), code),
        "asset": data["asset"].name,
        "before": display.written(now, code).exact,
        "after": display.written(EXACT.add(now, data["amount"]), code).exact,
        "posting": display.posting(posting.debit, posting.credit),
        "reason": data["reason"],
        "warning": by_hand.warning(request, {code: data["amount"].copy_abs()}),
    }


def _adjust(request: HttpRequest, customer: Customer, form: AdjustForm) -> bool:
    """Call the service, once for this form. A refusal is shown beside it; the next try is another request."""
    data = form.cleaned_data

    def ask() -> Approval | None:
        return approvals.perform(
            actor=actor_of(request),
            kind=Approval.Kind.ADJUSTMENT,
            customer=customer,
            terms={
                "asset": data["asset"].pk,
                "amount": amount_string(data["amount"]),
                "allow_debt": data["allow_debt"],
            },
            reason=data["reason"],
        )

    shown = display.written(data["amount"], data["asset"].code, signed=True).exact
    done = f"Adjusted {customer.name} by {shown}. It is in the wallet and in the ledger."
    try:
        by_hand.once(request, about=customer.pk, data=data, ask=ask, done=done)
    except BillingError as refusal:
        form.add_error("amount", display.said(refusal.detail))
        begin_anew(form)
        return False
    return True
