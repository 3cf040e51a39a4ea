"""What is set aside for work that runs: authorizations, and the grants that their holds sit on. Seen, never touched."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    RelatedDropdownFilter,
)

from accounts.backoffice import labelled
from accounts.lists import MomentFilter
from accounts.models import ApiKey
from billing.admin import display
from billing.admin.base import BookAdmin, SummaryMixin
from billing.admin.periods import CreatedPeriodFilter
from billing.models import Authorization, Customer, Hold

HOLDS_SHOWN = 20

_TONES = {"Open": "info", "Captured": "success", "Voided": "", "Expired": "warning"}


@admin.register(Authorization)
class AuthorizationAdmin(SummaryMixin, BookAdmin):
    change_form_template = "admin/ante/authorization.html"
    booked_field = "created_at"
    list_display = ("created", "customer_link", "what", "status_shown", "num_amount", "num_captured", "expires")
    list_display_links = ("created",)
    list_filter = (
        CreatedPeriodFilter,
        ("customer", AutocompleteSelectFilter),
        ("status", ChoicesDropdownFilter),
        ("asset", RelatedDropdownFilter),
        ("expires_at", MomentFilter),
    )
    search_help_text = "A customer, or an authorization's id"
    fields = (
        "id",
        "created",
        "customer_link",
        "status_shown",
        "asset",
        "num_amount",
        "num_captured",
        "expires",
        "closed",
        "reason",
        "type",
        "data_shown",
        "key",
        "opened_by",
    )

    def summary(self, request: HttpRequest, obj: Authorization) -> dict[str, Any]:
        return {"holds": [hold_row(hold) for hold in obj.holds.select_related("grant", "authorization").order_by("id")]}

    @admin.display(description="Opened")
    def created(self, authorization: Authorization) -> SafeString:
        return display.moment(authorization.created_at)

    @admin.display(description="For")
    def what(self, authorization: Authorization) -> str:
        return authorization.type or "an amount"

    @labelled(description="Status", label=_TONES)
    def status_shown(self, authorization: Authorization) -> str:
        return authorization.get_status_display()

    @admin.display(description="Set aside")
    def num_amount(self, authorization: Authorization) -> SafeString:
        return display.amount(authorization.amount, authorization.asset_id)

    @admin.display(description="Captured")
    def num_captured(self, authorization: Authorization) -> SafeString:
        return display.amount(authorization.captured, authorization.asset_id)

    @admin.display(description="Expires")
    def expires(self, authorization: Authorization) -> SafeString:
        return display.moment(authorization.expires_at)

    @admin.display(description="Closed")
    def closed(self, authorization: Authorization) -> SafeString:
        return display.moment(authorization.closed_at)

    @admin.display(description="As it was announced")
    def data_shown(self, authorization: Authorization) -> SafeString:
        return display.pretty_json(authorization.data)

    @admin.display(description="API key")
    def key(self, authorization: Authorization) -> SafeString:
        return _key(authorization.api_key_id)

    @admin.display(description="Named by")
    def opened_by(self, authorization: Authorization) -> SafeString:
        return _key(authorization.opened_by_id)


def _key(key_id: UUID | None) -> SafeString:
    return display.NOTHING if key_id is None else display.link(ApiKey.objects.filter(pk=key_id).first())


def open_holds(customer: Customer) -> list[dict[str, Any]]:
    """What is set aside of the customer's wallet, the latest first."""
    rows = Hold.objects.filter(authorization__customer=customer, authorization__status="open", outstanding__gt=0)
    return [hold_row(hold) for hold in rows.select_related("grant", "authorization").order_by("-id")[:HOLDS_SHOWN]]


def hold_row(hold: Hold) -> dict[str, Any]:
    """A hold as the tables of summaries show it. Its grant and its authorization must be loaded."""
    authorization = hold.authorization
    return {
        "authorization": display.link(authorization, display.short_id(authorization.pk)),
        "what": authorization.type or "an amount",
        "on": display.link(hold.grant) if hold.grant else "Overdraft",
        "asset": hold.asset_id,
        "amount": display.amount(hold.amount, hold.asset_id),
        "outstanding": display.amount(hold.outstanding, hold.asset_id),
        "expires": display.moment(authorization.expires_at),
    }
