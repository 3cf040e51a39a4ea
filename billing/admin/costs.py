"""What providers charge us: the catalogue of costs, set by hand here or imported from lists, and overheads."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.backoffice import actor_of, detail_action
from billing.admin import confirm, display, lookup
from billing.admin.adding import AddOnlyAdmin, ServiceForm
from billing.engine.money import amount_string
from billing.models import Overhead, ProviderCost
from billing.services.catalog import costs


class ProviderCostForm(ServiceForm):
    class Meta:
        model = ProviderCost
        fields = ("provider", "model", "aliases", "unit", "unit_cost", "per", "above", "effective_from", "effective_to")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "effective_from" in self.fields:
            self.fields["effective_from"].required = False
            self.fields["effective_from"].help_text = "Empty: from now on."

    def make(self, fields: dict[str, Any]) -> ProviderCost:
        return costs.create(actor=self.actor, **fields)


class OverheadForm(ServiceForm):
    class Meta:
        model = Overhead
        fields = ("provider", "share", "fixed_amount", "cache_apart", "effective_from")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "effective_from" in self.fields:
            self.fields["effective_from"].required = False
            self.fields["effective_from"].help_text = "Empty: from now on. The rule before it ends there."

    def make(self, fields: dict[str, Any]) -> Overhead:
        return costs.set_overhead(actor=self.actor, **fields)


@admin.register(ProviderCost)
class ProviderCostAdmin(AddOnlyAdmin):
    form = ProviderCostForm
    list_display = ("model", "provider", "unit", "num_cost", "num_per", "above", "source", "since", "until")
    list_filter = (("source", ChoicesDropdownFilter), ("unit", ChoicesDropdownFilter), "provider")
    search_fields = ("model", "aliases")
    ordering = ("model", "provider", "unit", "above", "-effective_from")
    actions_detail = ("end_cost",)

    def has_end_cost_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_providercost")

    @detail_action(description="End now", url_path="end", icon="event_busy", permissions=["end_cost"])
    def end_cost(self, request: HttpRequest, object_id: str) -> HttpResponse:
        cost = lookup.row(ProviderCost, object_id)
        return confirm.view(
            self,
            request,
            obj=cost,
            question="This cost is to hold no longer, from this moment on",
            figure=display.figure(cost.unit_cost, "usd"),
            lines=[("Provider", cost.provider), ("Model", cost.model), ("Unit", cost.get_unit_display())],
            button="End now",
            run=lambda reason: costs.end(actor=actor_of(request), cost=cost, reason=reason),
            done="It has ended. Events keep the cost that they were recorded with.",
        )

    @admin.display(description="Cost", ordering="unit_cost")
    def num_cost(self, cost: ProviderCost) -> SafeString:
        return display.amount(cost.unit_cost, "usd")

    @admin.display(description="Per")
    def num_per(self, cost: ProviderCost) -> SafeString:
        return display.quantity(cost.per)

    @admin.display(description="From", ordering="effective_from")
    def since(self, cost: ProviderCost) -> Any:
        return "always" if cost.effective_from.year <= 1970 else display.moment(cost.effective_from)

    @admin.display(description="Until", ordering="effective_to")
    def until(self, cost: ProviderCost) -> SafeString:
        return display.moment(cost.effective_to)


@admin.register(Overhead)
class OverheadAdmin(AddOnlyAdmin):
    form = OverheadForm
    list_display = ("provider_shown", "share_shown", "num_fixed", "cache_apart", "since", "until")
    search_fields = ("provider",)

    @admin.display(description="Provider")
    def provider_shown(self, rule: Overhead) -> str:
        return str(rule)

    @admin.display(description="Of the model's cost")
    def share_shown(self, rule: Overhead) -> str:
        return f"{amount_string(rule.share * 100)} %"

    @admin.display(description="Each request")
    def num_fixed(self, rule: Overhead) -> SafeString:
        return display.amount(rule.fixed_amount, "usd")

    @admin.display(description="From")
    def since(self, rule: Overhead) -> SafeString:
        return display.moment(rule.effective_from)

    @admin.display(description="Until")
    def until(self, rule: Overhead) -> SafeString:
        return display.moment(rule.effective_to)
