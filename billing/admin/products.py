"""A metered product in one form: what counts, and what it costs. It goes on in the plan's editor."""

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.backoffice import actor_of
from billing.admin import adding
from billing.admin.amounts import AmountField
from billing.admin.meters import DimensionsField
from billing.errors import BillingError
from billing.models import Asset
from billing.services.catalog import products

PERMISSIONS = ("billing.add_meter", "billing.add_plandraft")
_CODE = r"^[a-z][a-z0-9_-]{0,63}\Z"
_PER = (("1", "each unit"), ("1000", "1,000 units"), ("1000000", "1,000,000 units"))


class ProductForm(forms.Form):
    name = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget)
    code = forms.RegexField(
        _CODE,
        help_text="Of the plan and of its meter: api_usage.",
        widget=UnfoldAdminTextInputWidget,
        error_messages={"invalid": "Lower case a-z, 0-9, _ and -, beginning with a letter."},
    )
    event_type = forms.CharField(
        max_length=255, help_text="Of the events that count: llm.completion.", widget=UnfoldAdminTextInputWidget
    )
    value = forms.CharField(
        label="What counts",
        required=False,
        max_length=500,
        help_text="A field of the event's data, or arithmetic on fields: input_tokens - cached_input_tokens. "
        "Empty: each event counts as one.",
        widget=UnfoldAdminTextInputWidget,
    )
    unit = forms.CharField(
        required=False, max_length=32, help_text="What one of it is called: token.", widget=UnfoldAdminTextInputWidget
    )
    dimensions = DimensionsField(label="Grouped by", help_text="Fields that usage is told apart by: model, user.")
    unit_amount = AmountField(label="Price", required=True)
    per = forms.ChoiceField(choices=_PER, widget=UnfoldAdminSelectWidget)
    currency = forms.ModelChoiceField(
        Asset.objects.filter(kind=Asset.Kind.CURRENCY), empty_label=None, widget=UnfoldAdminSelectWidget
    )

    def clean_per(self) -> Decimal:
        return Decimal(self.cleaned_data["per"])


def view(page: Any, request: HttpRequest) -> HttpResponse:
    """The form; sent, meter and draft are there, and the draft's editor opens."""
    if not request.user.has_perms(PERMISSIONS):
        raise PermissionDenied
    usd = Asset.objects.filter(pk="usd").first()
    form = ProductForm(request.POST or None, initial={"dimensions": "model, user", "per": "1000000", "currency": usd})
    if request.method == "POST" and form.is_valid():
        try:
            draft = products.create(actor=actor_of(request), **form.cleaned_data)
        except BillingError as refusal:
            adding.say(form, refusal, whole="code")
        else:
            return HttpResponseRedirect(reverse("admin:billing_plandraft_change", args=[draft.pk]))
    context = {
        **page.admin_site.each_context(request),
        "title": "A metered product",
        "opts": page.opts,
        "form": form,
        "back_url": reverse("admin:billing_plan_changelist"),
    }
    return TemplateResponse(request, "admin/ante/product.html", context)
