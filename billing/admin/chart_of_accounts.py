"""The chart of accounts: what our accounts are called where the journal goes."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.services import audit
from billing.errors import InvalidRequest
from billing.models import AccountMapping, Meter, Plan
from billing.services.revenue import chart

VIEW, CHANGE = "billing.view_accountmapping", "billing.change_accountmapping"


class MappingForm(forms.Form):
    """An empty number takes the entry out."""

    account = forms.ChoiceField(choices=list(chart.ACCOUNTS.items()), widget=UnfoldAdminSelectWidget)
    product = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget, help_text="Only for this one.")
    number = forms.CharField(
        label="Number or name",
        required=False,
        max_length=40,
        widget=UnfoldAdminTextInputWidget,
        help_text="As your books have it. Empty: our own code again.",
    )
    department = forms.CharField(
        required=False, max_length=60, widget=UnfoldAdminTextInputWidget, help_text="For SAP the cost center."
    )
    account_class = forms.CharField(
        label="Class", required=False, max_length=60, widget=UnfoldAdminTextInputWidget, help_text="The profit center."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        codes = [*Meter.objects.values_list("code", flat=True), *Plan.objects.values_list("code", flat=True)]
        product = self.fields["product"]
        assert isinstance(product, forms.ChoiceField)
        product.choices = [("", "All products"), *((code, code) for code in sorted(set(codes)))]


def view(request: HttpRequest) -> HttpResponse:
    """The accounts with their names in the operator's books, and the form that gives them."""
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    may_change = request.user.has_perm(CHANGE)
    chosen = {name: request.GET.get(name, "") for name in ("account", "product")}
    form = MappingForm(request.POST or None, initial=_initial(**chosen))
    if request.method == "POST":
        if not may_change:
            raise PermissionDenied
        if form.is_valid():
            try:
                chart.set_account(actor=audit.actor_of(request), **form.cleaned_data)
            except InvalidRequest as refusal:
                for problem in refusal.errors:
                    form.add_error(problem.field, problem.detail)
            else:
                return HttpResponseRedirect(reverse("admin:billing_chart_of_accounts"))
    context = {
        **admin.site.each_context(request),
        "title": "Chart of accounts",
        "form": form,
        "may_change": may_change,
        "rows": _rows(),
    }
    return TemplateResponse(request, "admin/ante/chart_of_accounts.html", context)


def _initial(account: str, product: str) -> dict[str, str]:
    row = AccountMapping.objects.filter(account=account[:24], product=product[:100]).first()
    shown = {"account": account, "product": product}
    if row is None:
        return shown
    return shown | {"number": row.number, "department": row.department, "account_class": row.account_class}


def _rows() -> list[dict[str, Any]]:
    found: dict[str, list[AccountMapping]] = {}
    for row in AccountMapping.objects.order_by("account", "product"):
        found.setdefault(row.account, []).append(row)
    rows: list[dict[str, Any]] = []
    for code, title in chart.ACCOUNTS.items():
        own = found.get(code, [])
        if not any(row.product == "" for row in own):
            rows.append({"code": code, "title": title, "row": None})
        rows += [{"code": code, "title": title, "row": row} for row in own]
    return rows
