"""Operations: what waits to be told to the world, and what was answered to whom."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.backoffice import ReadOnlyAdmin, labelled
from accounts.lists import MadeFilter
from billing.admin import display
from billing.admin.base import BookAdmin
from billing.admin.periods import CreatedPeriodFilter
from billing.models import IdempotencyRecord, OutboxEvent, UsageCounter


@admin.register(OutboxEvent)
class OutboxEventAdmin(BookAdmin):
    booked_field = "created_at"
    list_display = ("created", "type", "customer_link", "state_shown", "attempts", "due", "relayed", "last_error")
    list_display_links = ("created",)
    list_filter = (CreatedPeriodFilter, ("state", ChoicesDropdownFilter), ("customer", AutocompleteSelectFilter))
    indexed = ()
    search_help_text = "A customer, or the id of a message"
    fields = (
        "id",
        "created",
        "type",
        "customer_link",
        "state_shown",
        "attempts",
        "due",
        "relayed",
        "last_error",
        "payload_shown",
    )

    @admin.display(description="Written")
    def created(self, event: OutboxEvent) -> SafeString:
        return display.moment(event.created_at)

    @admin.display(description="Due")
    def due(self, event: OutboxEvent) -> SafeString:
        return display.moment(event.due_at)

    @admin.display(description="Relayed")
    def relayed(self, event: OutboxEvent) -> SafeString:
        return display.moment(event.relayed_at)

    @labelled(description="State", label={"New": "info", "Relayed": "success", "Parked": "danger"})
    def state_shown(self, event: OutboxEvent) -> str:
        return event.get_state_display()

    @admin.display(description="Payload")
    def payload_shown(self, event: OutboxEvent) -> SafeString:
        return display.pretty_json(event.payload)


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ReadOnlyAdmin):
    """The stored answers to requests that moved value."""

    list_display = ("created", "principal", "key", "status")
    list_display_links = ("created", "key")
    list_filter = (("created_at", MadeFilter),)
    search_fields = ("=key", "=principal")
    search_help_text = "A key or a principal, whole"
    ordering = ("-id",)
    sortable_by = ()
    fields = ("created", "principal", "key", "status", "body_shown")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("secret")

    @admin.display(description="Answered")
    def created(self, record: IdempotencyRecord) -> SafeString:
        return display.moment(record.created_at)

    @admin.display(description="Answer")
    def body_shown(self, record: IdempotencyRecord) -> SafeString:
        body = record.body
        if isinstance(body, dict) and "secret" in body:
            body = {**body, "secret": "(hidden)"}
        return display.pretty_json(body)


@admin.register(UsageCounter)
class UsageCounterAdmin(ReadOnlyAdmin):
    """Running quantities of prices that depend on them."""

    list_display = ("price", "customer", "period_start", "num_quantity")
    list_select_related = ("customer", "price__meter")
    list_filter = (("customer", AutocompleteSelectFilter),)
    search_fields = ("customer__external_id", "customer__name")
    ordering = ("-id",)
    fields = ("customer", "subscription", "price", "period_start", "num_quantity")

    @admin.display(description="Quantity")
    def num_quantity(self, counter: UsageCounter) -> SafeString:
        return display.quantity(counter.quantity)
