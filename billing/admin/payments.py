"""What was asked of the payment provider, what it reported, and what it keeps for customers."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.backoffice import ReadOnlyAdmin, actor_of, detail_action, labelled
from billing.admin import ask, display, lookup
from billing.admin.base import BookAdmin
from billing.admin.periods import CreatedPeriodFilter, ReceivedPeriodFilter
from billing.models import PaymentAttempt, PaymentMethod, ProviderEvent, TopUp
from billing.services.funding import attempts, inbox, profiles

LOOK_UP = "Ask the provider what became of it"
TONES = {
    "Succeeded": "success",
    "Processing": "info",
    "Waits for the payer": "info",
    "Unknown": "danger",
    "Failed": "danger",
    "Canceled": "",
    "Expired": "",
}


def at_provider(object_id: str) -> SafeString:
    """An id as a link to the object's page at the provider; plain where no provider is set up."""
    if not object_id:
        return display.NOTHING
    if not profiles.payable():
        return format_html("<code>{}</code>", object_id)
    url = profiles.payments().page_of(object_id)
    return format_html(
        '<a class="ante-link" href="{}" target="_blank" rel="noopener noreferrer">{}</a>', url, object_id
    )


@admin.register(PaymentAttempt)
class PaymentAttemptAdmin(BookAdmin):
    booked_field = "created_at"
    list_display = (
        "created",
        "customer_link",
        "status_shown",
        "purpose",
        "way",
        "num_amount",
        "method_shown",
        "failure_code",
    )
    list_display_links = ("created",)
    list_filter = (
        CreatedPeriodFilter,
        ("customer", AutocompleteSelectFilter),
        ("status", ChoicesDropdownFilter),
        ("purpose", ChoicesDropdownFilter),
    )
    list_select_related = ("customer",)
    search_help_text = "A customer, or an attempt's id"
    actions_detail = ("look_up",)
    fields = (
        *(
            "id",
            "created",
            "customer_link",
            "status_shown",
            "purpose",
            "way",
            "mode",
            "num_amount",
            "num_fee",
            "method_shown",
        ),
        *("failure_code", "failure", "payment_link", "session_link", "charge_link", "top_up_link"),
        *("sent", "next_look", "looked_up", "finished"),
    )

    def has_look_up_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_paymentattempt")

    @detail_action(description="Look up again", url_path="look-up", icon="sync", permissions=["look_up"])
    def look_up(self, request: HttpRequest, object_id: str) -> HttpResponse:
        attempt = lookup.row(PaymentAttempt, object_id)
        return ask.view(self, request, attempt, LOOK_UP, lambda: attempts.settle(attempt.pk))

    @admin.display(description="Created")
    def created(self, attempt: PaymentAttempt) -> SafeString:
        return display.moment(attempt.created_at)

    @labelled(description="Status", label=TONES)
    def status_shown(self, attempt: PaymentAttempt) -> str:
        return attempt.get_status_display()

    @admin.display(description="Amount")
    def num_amount(self, attempt: PaymentAttempt) -> SafeString:
        return display.amount(attempt.amount, attempt.currency_id)

    @admin.display(description="The provider's fee")
    def num_fee(self, attempt: PaymentAttempt) -> SafeString:
        return display.amount(attempt.fee, attempt.fee_currency or attempt.currency_id)

    @admin.display(description="Method")
    def method_shown(self, attempt: PaymentAttempt) -> str:
        return paid_with(attempt) or "–"

    @admin.display(description="At the provider")
    def payment_link(self, attempt: PaymentAttempt) -> SafeString:
        return at_provider(attempt.payment_id)

    @admin.display(description="Page")
    def session_link(self, attempt: PaymentAttempt) -> SafeString:
        return at_provider(attempt.session_id)

    @admin.display(description="Charge")
    def charge_link(self, attempt: PaymentAttempt) -> SafeString:
        return at_provider(attempt.charge_id)

    @admin.display(description="Top-up")
    def top_up_link(self, attempt: PaymentAttempt) -> SafeString:
        return display.link(TopUp.objects.filter(attempt=attempt).first())

    @admin.display(description="Sent")
    def sent(self, attempt: PaymentAttempt) -> SafeString:
        return display.moment(attempt.sent_at)

    @admin.display(description="Next look")
    def next_look(self, attempt: PaymentAttempt) -> SafeString:
        return display.moment(attempt.check_at)

    @admin.display(description="Finished")
    def finished(self, attempt: PaymentAttempt) -> SafeString:
        return display.moment(attempt.finished_at)


@admin.register(PaymentMethod)
class PaymentMethodAdmin(ReadOnlyAdmin):
    list_display = ("customer", "type", "brand", "last4", "exp_month", "exp_year", "removed_at")
    list_filter = (("customer", AutocompleteSelectFilter),)
    list_select_related = ("customer",)
    search_fields = ("customer__external_id", "customer__name")
    ordering = ("-id",)
    fields = ("customer", "mode", "type", "brand", "last4", "exp_month", "exp_year", "provider_link", "removed_at")

    @admin.display(description="At the provider")
    def provider_link(self, method: PaymentMethod) -> SafeString:
        return at_provider(method.provider_id)


@admin.register(ProviderEvent)
class ProviderEventAdmin(BookAdmin):
    booked_field = "received_at"
    list_display = ("received", "type", "customer_link", "state_shown", "attempts", "note")
    list_display_links = ("received",)
    list_filter = (ReceivedPeriodFilter, ("state", ChoicesDropdownFilter), ("customer", AutocompleteSelectFilter))
    search_help_text = "A customer, or a message's id"
    actions_detail = ("retry",)
    fields = (
        *("id", "received", "happened", "type", "event_link", "about", "object_link", "customer_link"),
        *("live", "state_shown", "attempts", "due", "note"),
    )

    def has_retry_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_providerevent")

    @detail_action(description="Work through again", url_path="retry", icon="replay", permissions=["retry"])
    def retry(self, request: HttpRequest, object_id: str) -> HttpResponse:
        event = lookup.row(ProviderEvent, object_id)
        actor = actor_of(request)
        return ask.view(
            self, request, event, "Work through this message again", lambda: inbox.retry(event, actor=actor)
        )

    @admin.display(description="Received")
    def received(self, event: ProviderEvent) -> SafeString:
        return display.moment(event.received_at)

    @admin.display(description="Happened")
    def happened(self, event: ProviderEvent) -> SafeString:
        return display.moment(event.happened_at)

    @admin.display(description="Due")
    def due(self, event: ProviderEvent) -> SafeString:
        return display.moment(event.due_at)

    @labelled(description="State", label={"New": "info", "Done": "success", "Parked": "warning"})
    def state_shown(self, event: ProviderEvent) -> str:
        return event.get_state_display()

    @admin.display(description="Message")
    def event_link(self, event: ProviderEvent) -> SafeString:
        return at_provider(event.event_id)

    @admin.display(description="About")
    def object_link(self, event: ProviderEvent) -> SafeString:
        return at_provider(event.object_id)


def paid_with(attempt: PaymentAttempt) -> str:
    """``visa 4242``, ``us_bank_account 6789``; empty where the provider has not said yet."""
    return " ".join(filter(None, [attempt.method_brand or attempt.method_type, attempt.method_last4]))
