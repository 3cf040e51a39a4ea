"""Spend controls: budgets, alerts, and what customers' people were told. Staff set budgets; actions call services."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.backoffice import ReadOnlyAdmin, actor_of, detail_action, labelled
from billing.admin import ask, display, lookup
from billing.admin.adding import AddOnlyAdmin, ServiceForm
from billing.admin.base import BookAdmin, CustomerMixin
from billing.admin.periods import CreatedPeriodFilter
from billing.engine.budgets import FIELDS
from billing.engine.money import amount_string, parse
from billing.models import Alert, Budget, Notice, NoticeDelivery, NoticeTarget
from billing.selectors.spending import budgets as selector
from billing.services import alerts, budgets, notices


class BudgetForm(ServiceForm):
    """A budget of the operator's: the customer sees it and cannot change it."""

    covers = forms.ChoiceField(
        choices=[("", "All usage"), *((name, name.capitalize()) for name in ("type", *FIELDS))],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    value = forms.CharField(
        max_length=255,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Of what it covers. Empty, or *: each value by itself.",
    )
    tell_at = forms.CharField(
        max_length=100,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Shares of the limit, such as 0.5, 0.8, 1.",
    )

    class Meta:
        model = Budget
        fields = ("customer", "name", "counts", "asset", "limit", "period", "hard", "at_cap", "plan")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "asset" in self.fields:
            self.fields["asset"].required = self.fields["plan"].required = False
            self.fields["period"].initial = Budget.Period.MONTH

    def clean_tell_at(self) -> list[Decimal]:
        numbers = [parse(part) for part in self.cleaned_data["tell_at"].replace(",", " ").split()]
        if any(number is None for number in numbers):
            raise forms.ValidationError("Numbers are needed, such as 0.5, 0.8, 1.")
        return [number for number in numbers if number is not None]

    def make(self, fields: dict[str, Any]) -> Budget:
        covers, value = fields.pop("covers"), fields.pop("value")
        customer, shares = fields.pop("customer"), fields.pop("tell_at")
        terms = budgets.Terms(**fields, scope={covers: value or "*"} if covers else {}, alert_at=shares)
        return budgets.create(actor=self.actor, customer=customer, terms=terms, set_by=Budget.SetBy.OPERATOR)


@admin.register(Budget)
class BudgetAdmin(CustomerMixin, AddOnlyAdmin):
    form = BudgetForm
    list_display = ("name", "customer_link", "covers_shown", "num_limit", "period", "hard", "set_by", "state_shown")
    indexed = ()
    list_filter = (
        ("customer", AutocompleteSelectFilter),
        ("period", ChoicesDropdownFilter),
        ("set_by", ChoicesDropdownFilter),
    )
    list_select_related = ("customer", "member", "api_key")
    search_fields = ("name", "customer__external_id", "customer__name")
    search_help_text = "A name, a customer, or the id that a refusal names"
    ordering = ("-id",)
    autocomplete_fields = ("customer",)
    actions_detail = ("remove_budget",)

    def get_fields(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        if obj is None:
            return (*BudgetForm.Meta.fields[:2], "covers", "value", *BudgetForm.Meta.fields[2:], "tell_at")
        return (
            *("id", "name", "customer_link", "covers_shown", "num_limit", "period", "num_spent", "num_left", "resets"),
            *("hard", "at_cap", "plan", "plan_failure", "tells", "set_by", "state_shown", "created_at", "removed_at"),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        return () if obj is None else self.get_fields(request, obj)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Budget], search_term: str
    ) -> tuple[QuerySet[Budget], bool]:
        wanted = lookup.as_uuid(search_term)
        if wanted is not None:
            return queryset.filter(pk=wanted), False
        found: tuple[QuerySet[Budget], bool] = super().get_search_results(request, queryset, search_term)
        return found

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """The budget, with where it stands as ``now``."""
        budget = super().get_object(request, object_id, from_field)
        if budget is not None:
            (budget.now,) = selector.now(budget.customer, [budget])
        return budget

    def has_remove_budget_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_budget")

    @detail_action(description="Remove", url_path="remove", icon="block", permissions=["remove_budget"])
    def remove_budget(self, request: HttpRequest, object_id: str) -> HttpResponse:
        budget = lookup.row(Budget.objects.select_related("customer"), object_id)
        actor = actor_of(request)
        return ask.view(
            self, request, budget, "Limit nothing by it any more", lambda: budgets.remove(actor=actor, budget=budget)
        )

    @admin.display(description="Covers")
    def covers_shown(self, budget: Budget) -> str:
        words = [f"{name} {value}" for name, value in budget.scope.items()]
        words += [f"key {budget.api_key}"] if budget.api_key else []
        words += [f"member {person}" for person in selector.people(budget)]
        return ", ".join(words) or "All usage"

    @admin.display(description="Limit")
    def num_limit(self, budget: Budget) -> SafeString:
        return budget_amount(budget.limit, budget)

    @admin.display(description="Spent")
    def num_spent(self, budget: Any) -> SafeString:
        only = budget.now.only
        return display.NOTHING if only is None else budget_amount(only.spent, budget)

    @admin.display(description="Left")
    def num_left(self, budget: Any) -> SafeString:
        only = budget.now.only
        return display.NOTHING if only is None else budget_amount(only.left, budget)

    @admin.display(description="Begins anew")
    def resets(self, budget: Any) -> SafeString:
        return display.moment(budget.now.end)

    @admin.display(description="Tells at")
    def tells(self, budget: Budget) -> str:
        return ", ".join(budget.alert_at) or "–"

    @labelled(description="State", label={"Kept": "success", "Removed": ""})
    def state_shown(self, budget: Budget) -> str:
        return "Kept" if budget.removed_at is None else "Removed"


@admin.register(Alert)
class AlertAdmin(CustomerMixin, ReadOnlyAdmin):
    list_display = ("kind", "customer_link", "thresholds", "of", "crossed", "created_at", "removed_at")
    indexed = ()
    list_filter = (("customer", AutocompleteSelectFilter), ("kind", ChoicesDropdownFilter))
    list_select_related = ("customer",)
    search_fields = ("customer__external_id", "customer__name")
    ordering = ("-id",)
    fields = ("kind", "customer_link", "asset", "thresholds", "of", "crossed", "created_at", "removed_at")
    actions_detail = ("remove_alert",)

    def has_remove_alert_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_alert")

    @detail_action(description="Remove", url_path="remove", icon="block", permissions=["remove_alert"])
    def remove_alert(self, request: HttpRequest, object_id: str) -> HttpResponse:
        alert = lookup.row(Alert.objects.select_related("customer"), object_id)
        actor = actor_of(request)
        return ask.view(self, request, alert, "Tell of it no more", lambda: alerts.remove(actor=actor, alert=alert))

    @admin.display(description="Thresholds")
    def thresholds(self, alert: Alert) -> str:
        return ", ".join(alert.at)

    @admin.display(description="Crossed", boolean=True)
    def crossed(self, alert: Alert) -> bool:
        return alert.level > 0


@admin.register(Notice)
class NoticeAdmin(BookAdmin):
    booked_field = "created_at"
    list_display = ("created", "customer_link", "kind", "title")
    list_display_links = ("created",)
    list_filter = (CreatedPeriodFilter, ("customer", AutocompleteSelectFilter))
    list_select_related = ("customer",)
    search_help_text = "A customer, or a notice's id"
    fields = ("id", "created", "customer_link", "kind", "title", "text", "facts_shown", "addressed")

    @admin.display(description="Created")
    def created(self, notice: Notice) -> SafeString:
        return display.moment(notice.created_at)

    @admin.display(description="Facts")
    def facts_shown(self, notice: Notice) -> SafeString:
        return display.pretty_json(notice.facts)


@admin.register(NoticeDelivery)
class NoticeDeliveryAdmin(ReadOnlyAdmin):
    list_display = ("notice", "recipient", "channel", "state_shown", "attempts", "due", "sent", "last_error")
    list_filter = (
        ("customer", AutocompleteSelectFilter),
        ("channel", ChoicesDropdownFilter),
        ("state", ChoicesDropdownFilter),
    )
    list_select_related = ("notice", "user", "customer")
    ordering = ("-id",)
    fields = ("notice", "recipient", "channel", "state_shown", "attempts", "due", "sent", "read", "last_error")
    actions_detail = ("send_again",)

    def has_send_again_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_noticedelivery")

    @detail_action(description="Send again", url_path="send-again", icon="send", permissions=["send_again"])
    def send_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        delivery = lookup.row(NoticeDelivery.objects.select_related("customer"), object_id)
        actor = actor_of(request)
        return ask.view(
            self, request, delivery, "Try it again now", lambda: notices.retry(actor=actor, delivery=delivery)
        )

    @admin.display(description="To")
    def recipient(self, delivery: NoticeDelivery) -> str:
        if delivery.channel == NoticeDelivery.Channel.OPERATOR:
            return "The operator"
        return delivery.user.email if delivery.user is not None else delivery.customer.email

    @labelled(description="State", label={"Sent": "success", "Due": "info", "Failed": "danger"})
    def state_shown(self, delivery: NoticeDelivery) -> str:
        return delivery.get_state_display()

    @admin.display(description="Due")
    def due(self, delivery: NoticeDelivery) -> SafeString:
        return display.moment(delivery.due_at)

    @admin.display(description="Sent")
    def sent(self, delivery: NoticeDelivery) -> SafeString:
        return display.moment(delivery.sent_at)

    @admin.display(description="Read")
    def read(self, delivery: NoticeDelivery) -> SafeString:
        return display.moment(delivery.read_at)


@admin.register(NoticeTarget)
class NoticeTargetAdmin(ReadOnlyAdmin):
    list_display = ("user", "customer", "channel", "shown", "topics", "state_shown", "last_error")
    list_filter = (("customer", AutocompleteSelectFilter), ("channel", ChoicesDropdownFilter))
    list_select_related = ("user", "customer")
    ordering = ("-id",)
    fields = ("user", "customer", "channel", "shown", "topics", "state_shown", "code_sent_at", "tries", "last_error")

    @labelled(description="State", label={"Confirmed": "success", "Waits for its code": "warning"})
    def state_shown(self, target: NoticeTarget) -> str:
        return "Waits for its code" if target.confirmed_at is None else "Confirmed"


def budget_amount(amount: Decimal, budget: Budget) -> SafeString:
    """An amount of what the budget counts: its asset, or events."""
    if budget.asset_id is None:
        return display.quantity(Decimal(amount_string(amount)))
    return display.amount(amount, budget.asset_id)
