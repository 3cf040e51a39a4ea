"""Taxes: what the operator is registered for, and what customers' taxes go by."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.backoffice import actor_of, detail_action
from billing.admin import confirm, display, lookup
from billing.admin.adding import AddOnlyAdmin, ServiceForm
from billing.admin.base import CustomerMixin
from billing.engine.money import amount_string
from billing.models import TaxProfile, TaxRule
from billing.services.invoicing import taxes


class TaxRuleForm(ServiceForm):
    class Meta:
        model = TaxRule
        fields = ("country", "region", "name", "rate", "reverse_charge", "included", "starts_on")

    def make(self, fields: dict[str, Any]) -> TaxRule:
        return taxes.add_rule(actor=self.actor, **fields)


@admin.register(TaxRule)
class TaxRuleAdmin(AddOnlyAdmin):
    form = TaxRuleForm
    list_display = ("name", "country", "region", "rate_shown", "reverse_charge", "included", "starts_on", "ends_on")
    search_fields = ("country", "name")
    ordering = ("country", "region", "name", "-starts_on")
    actions_detail = ("end_rule",)

    def has_end_rule_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_taxrule")

    @detail_action(description="End today", url_path="end", icon="event_busy", permissions=["end_rule"])
    def end_rule(self, request: HttpRequest, object_id: str) -> HttpResponse:
        rule = lookup.row(TaxRule, object_id)
        return confirm.view(
            self,
            request,
            obj=rule,
            question="Today is to be the last day of this tax",
            figure=f"{amount_string(rule.rate * 100)} %",
            lines=[("Tax", rule.name), ("Country", rule.country), ("Region", rule.region or "all")],
            button="End today",
            run=lambda reason: taxes.end_rule(
                actor=actor_of(request), rule=rule, on=timezone.localdate(), reason=reason
            ),
            done="It holds until the end of today. What was invoiced stays as it is.",
        )

    @admin.display(description="Rate")
    def rate_shown(self, rule: TaxRule) -> str:
        return f"{amount_string(rule.rate * 100)} %"


class TaxProfileForm(ServiceForm):
    address = forms.CharField(
        required=False,
        max_length=700,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="A line each, as it is to stand on invoices.",
    )

    class Meta:
        model = TaxProfile
        fields = ("customer", "tax_id", "region", "exempt_reason", "address")

    def make(self, fields: dict[str, Any]) -> TaxProfile:
        fields["address"] = fields["address"].splitlines()
        return taxes.set_profile(actor=self.actor, **fields)


@admin.register(TaxProfile)
class TaxProfileAdmin(CustomerMixin, AddOnlyAdmin):
    """Adding a customer's details again puts them in place of the former ones."""

    form = TaxProfileForm
    list_display = ("customer_link", "country", "tax_id", "region", "exempt_reason", "changed")
    list_display_links = ("tax_id",)
    list_select_related = ("customer",)
    search_fields = ("customer__external_id", "customer__name", "tax_id")
    autocomplete_fields = ("customer",)
    ordering = ("-id",)

    @admin.display(description="Country")
    def country(self, profile: TaxProfile) -> str:
        return profile.customer.country

    @admin.display(description="Changed")
    def changed(self, profile: TaxProfile) -> SafeString:
        return display.moment(profile.changed_at)
