"""Webhooks: endpoints, what was sent to them, and sending it again; and spending that was far from usual."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts.backoffice import ReadOnlyAdmin, actor_of, detail_action, labelled
from billing.admin import ask, display, lookup
from billing.admin.adding import AddOnlyAdmin, ServiceForm
from billing.admin.base import BookAdmin, CustomerMixin
from billing.admin.periods import CreatedPeriodFilter
from billing.engine.webhooks import EVERYTHING, TYPES
from billing.models import SpendAnomaly, WebhookDelivery, WebhookEndpoint
from billing.services.webhooks import endpoints
from billing.services.webhooks.reading import anything


class EndpointForm(ServiceForm):
    """A new endpoint: the operator's own, or for one customer."""

    events = forms.MultipleChoiceField(
        choices=[(EVERYTHING, "Everything but single usage events"), *((name, name) for name in TYPES)],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        initial=[EVERYTHING],
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("url", "customer", "events", "format", "description")

    def make(self, fields: dict[str, Any]) -> WebhookEndpoint:
        endpoint, _ = endpoints.create(actor=self.actor, may=anything, **{"customer": None, **fields})
        return endpoint


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(CustomerMixin, AddOnlyAdmin):
    """Named by staff or by customers; tested and switched on and off here."""

    form = EndpointForm
    list_display = ("url", "customer_link", "state_shown", "failures", "created_at")
    list_filter = ("enabled", ("customer", AutocompleteSelectFilter))
    list_select_related = ("customer",)
    search_fields = ("url", "customer__external_id", "customer__name")
    ordering = ("-id",)
    autocomplete_fields = ("customer",)
    actions_detail = ("test_endpoint", "switch_endpoint", "renew_secret")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(deleted_at=None)

    def get_fields(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> Any:
        if obj is None:
            return EndpointForm.Meta.fields
        return (
            *("url", "customer_link", "events", "format", "description", "state_shown", "disabled_because", "failures"),
            *("failing_since", "rests_until", "created_at"),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> Any:
        return () if obj is None else self.get_fields(request, obj)

    def response_add(self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: str | None = None) -> Any:
        return self._secret(request, obj, obj.secret)

    def has_change_endpoint_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_webhookendpoint")

    @detail_action(description="Send a test", url_path="test", icon="send", permissions=["change_endpoint"])
    def test_endpoint(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint = self._endpoint(object_id)
        return ask.view(self, request, endpoint, "Send a test", lambda: endpoints.test(endpoint, may=anything))

    @detail_action(description="Switch on or off", url_path="switch", icon="toggle_on", permissions=["change_endpoint"])
    def switch_endpoint(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint, actor = self._endpoint(object_id), actor_of(request)
        question = "Switch it off" if endpoint.enabled else "Switch it on, and send what waits"
        enabled = not endpoint.enabled
        return ask.view(
            self,
            request,
            endpoint,
            question,
            lambda: endpoints.change(actor=actor, may=anything, endpoint=endpoint, enabled=enabled),
        )

    @detail_action(description="New secret", url_path="renew", icon="key", permissions=["change_endpoint"])
    def renew_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint = self._endpoint(object_id)
        if request.method == "POST":
            secret = endpoints.rotate(actor=actor_of(request), may=anything, endpoint=endpoint)
            return self._secret(request, endpoint, secret)
        return ask.put(self, request, endpoint, "Give it a new secret; for a day both sign")

    def _endpoint(self, object_id: str) -> WebhookEndpoint:
        rows = WebhookEndpoint.objects.select_related("customer").filter(deleted_at=None)
        return lookup.row(rows, object_id)

    def _secret(self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "The signing secret",
            "subtitle": endpoint.url,
            "object": endpoint,
            "secret": secret,
            "endpoint": endpoint,
        }
        response = TemplateResponse(request, "admin/ante/webhook_secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @labelled(description="State", label={"On": "success", "Failing": "warning", "Off": "danger"})
    def state_shown(self, endpoint: WebhookEndpoint) -> str:
        return "Off" if not endpoint.enabled else "Failing" if endpoint.failing_since else "On"


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(BookAdmin):
    """What was sent, and what became of it."""

    booked_field = "created_at"
    list_display = ("created", "type", "endpoint", "customer_link", "state_shown", "attempts")
    list_display_links = ("created",)
    list_filter = (CreatedPeriodFilter, ("state", ChoicesDropdownFilter), ("customer", AutocompleteSelectFilter))
    indexed = ()
    list_select_related = ("customer", "endpoint")
    search_help_text = "A customer, or the id of a delivery"
    fields = (
        *("id", "message", "created", "type", "endpoint", "customer_link", "state_shown", "attempts", "due_at"),
        *("delivered_at", "log_shown", "data_shown"),
    )
    actions_detail = ("replay_delivery",)

    def has_replay_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_webhookendpoint")

    @detail_action(description="Send again", url_path="replay", icon="replay", permissions=["replay"])
    def replay_delivery(self, request: HttpRequest, object_id: str) -> HttpResponse:
        rows = WebhookDelivery.objects.select_related("endpoint__customer")
        delivery, actor = lookup.row(rows, object_id), actor_of(request)
        return ask.view(
            self,
            request,
            delivery,
            "Send it again, under the same id",
            lambda: endpoints.replay(actor=actor, may=anything, delivery=delivery),
        )

    @admin.display(description="Written")
    def created(self, delivery: WebhookDelivery) -> SafeString:
        return display.moment(delivery.created_at)

    @labelled(description="State", label={"Waiting": "info", "Delivered": "success", "Given up": "danger"})
    def state_shown(self, delivery: WebhookDelivery) -> str:
        return delivery.get_state_display()

    @admin.display(description="Attempts made")
    def log_shown(self, delivery: WebhookDelivery) -> SafeString:
        return display.pretty_json(delivery.log)

    @admin.display(description="Data")
    def data_shown(self, delivery: WebhookDelivery) -> SafeString:
        return display.pretty_json(delivery.data)


@admin.register(SpendAnomaly)
class SpendAnomalyAdmin(ReadOnlyAdmin):
    """Hours in which far more was spent than usual."""

    list_display = ("hour", "customer", "level", "scope", "value", "num_spent", "num_usual", "paused")
    list_select_related = ("customer",)
    list_filter = (("customer", AutocompleteSelectFilter), ("level", ChoicesDropdownFilter))
    search_fields = ("customer__external_id", "customer__name")
    ordering = ("-id",)
    fields = ("customer", "hour", "asset", "scope", "value", "level", "num_spent", "num_usual", "paused", "created_at")

    @admin.display(description="Spent")
    def num_spent(self, anomaly: SpendAnomaly) -> SafeString:
        return display.quantity(anomaly.spent)

    @admin.display(description="Usual")
    def num_usual(self, anomaly: SpendAnomaly) -> SafeString:
        return display.quantity(anomaly.usual)
