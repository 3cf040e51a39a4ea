"""Charges that customers dispute: what they say, the evidence, and the decision."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.backoffice import actor_of, detail_action, labelled
from billing.admin import confirm, display, lookup
from billing.admin.base import BookAdmin
from billing.admin.evidence import EvidenceMixin
from billing.admin.periods import CreatedPeriodFilter
from billing.models import ChargeDispute, UsageEvent
from billing.selectors.funding import charge_disputes as selector
from billing.selectors.funding import evidence
from billing.selectors.usage import events
from billing.services.wallet import charge_disputes


def _answer() -> forms.CharField:
    return forms.CharField(
        max_length=1000,
        label="Answer",
        help_text="The customer reads this.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )


@admin.register(ChargeDispute)
class ChargeDisputeAdmin(EvidenceMixin, BookAdmin):
    booked_field = "created_at"
    list_display = ("opened", "customer_link", "status_shown", "num_amount", "reason")
    list_display_links = ("opened",)
    list_filter = (CreatedPeriodFilter, ("customer", AutocompleteSelectFilter), ("status", ChoicesDropdownFilter))
    search_help_text = "A customer, or a case's id"
    actions_detail = ("accept", "decline", "evidence", "evidence_json")
    fields = (
        "id",
        "opened",
        "customer_link",
        "status_shown",
        "reason",
        "events_shown",
        "num_amount",
        "answer",
        "closed",
    )

    def pack(self, dispute: Any) -> dict[str, Any]:
        return evidence.of_charge_dispute(dispute)

    def has_decide_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_chargedispute") and request.user.has_perm("billing.add_correction")

    @detail_action(description="Accept…", url_path="accept", icon="check", permissions=["decide"])
    def accept(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, accepted=True)

    @detail_action(description="Decline…", url_path="decline", icon="close", permissions=["decide"])
    def decline(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, accepted=False)

    def _decide(self, request: HttpRequest, object_id: str, *, accepted: bool) -> HttpResponse:
        dispute = lookup.row(ChargeDispute.objects.select_related("customer"), object_id)
        service = charge_disputes.accept if accepted else charge_disputes.decline
        return confirm.view(
            self,
            request,
            obj=dispute,
            question="You are about to give back" if accepted else "You are about to let stand",
            figure=self.num_amount(dispute),
            lines=[
                ("Customer", display.link(dispute.customer)),
                ("They say", dispute.reason),
                ("Events", self.events_shown(dispute)),
            ],
            button="Accept it" if accepted else "Decline it",
            run=lambda answer: service(actor=actor_of(request), dispute=dispute, answer=answer),
            done="The dispute was accepted." if accepted else "The dispute was declined.",
            fields={"reason": _answer()},
        )

    @admin.display(description="Opened")
    def opened(self, dispute: ChargeDispute) -> SafeString:
        return display.moment(dispute.created_at)

    @labelled(
        description="Status", label={"Open": "warning", "Accepted": "success", "Declined": "info", "Withdrawn": ""}
    )
    def status_shown(self, dispute: ChargeDispute) -> str:
        return dispute.get_status_display()

    @admin.display(description="Charged")
    def num_amount(self, dispute: ChargeDispute) -> SafeString:
        found = selector.amounts([dispute])[dispute.pk]
        return format_html_join("", "{}", ((display.amount(amount, asset),) for asset, amount in found.items()))

    @admin.display(description="Events")
    def events_shown(self, dispute: ChargeDispute) -> SafeString:
        found = [line.event for line in dispute.lines.select_related("event")]
        rows = (
            (display.link_to(UsageEvent, event.pk, event.event_id), events.STATUSES[events.status(event)])
            for event in found
        )
        return format_html_join("", '<div>{} <span class="ante-soft">{}</span></div>', rows)

    @admin.display(description="Closed")
    def closed(self, dispute: ChargeDispute) -> SafeString:
        return display.moment(dispute.closed_at)
