"""What payers' banks want back."""

from collections.abc import Collection
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.backoffice import OffersWhatFits, actor_of, detail_action, labelled
from billing.admin import ask, display, lookup
from billing.admin.base import BookAdmin
from billing.admin.evidence import EvidenceMixin
from billing.admin.payments import LOOK_UP, at_provider
from billing.admin.periods import CreatedPeriodFilter
from billing.models import Dispute
from billing.selectors.funding import evidence
from billing.services.funding import answering, disputes


@admin.register(Dispute)
class DisputeAdmin(EvidenceMixin, OffersWhatFits, BookAdmin):
    booked_field = "created_at"
    list_display = ("opened", "customer_link", "status_shown", "num_amount", "reason", "answer_until")
    list_display_links = ("opened",)
    list_filter = (CreatedPeriodFilter, ("customer", AutocompleteSelectFilter), ("status", ChoicesDropdownFilter))
    list_select_related = ("customer",)
    search_help_text = "A customer, or a dispute's id"
    actions_detail = ("evidence", "evidence_json", "send_evidence", "look_up")
    fields = (
        *("id", "opened", "customer_link", "status_shown", "top_up_link", "num_amount", "reason", "answer_until"),
        *("evidence_sent", "num_frozen", "num_bonus", "num_recovered", "num_tax"),
        *("num_returned", "num_withdrawn", "provider_link"),
        "closed",
    )

    def pack(self, dispute: Any) -> dict[str, Any]:
        return evidence.of_payment_dispute(dispute)

    def idle(self, obj: Dispute) -> Collection[str]:
        return () if obj.status in answering.ANSWERABLE else ("send_evidence",)

    def has_look_up_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_dispute")

    has_send_evidence_permission = has_look_up_permission

    @detail_action(
        description="Send the evidence…", url_path="send-evidence", icon="send", permissions=["send_evidence"]
    )
    def send_evidence(self, request: HttpRequest, object_id: str) -> HttpResponse:
        dispute = lookup.row(Dispute.objects.select_related("customer", "top_up"), object_id)
        return ask.view(
            self,
            request,
            dispute,
            "Send the payer's bank all that the books know. It takes one answer",
            lambda: answering.send(actor=actor_of(request), dispute=dispute),
            button="Send the evidence",
        )

    @detail_action(description="Look up again", url_path="look-up", icon="sync", permissions=["look_up"])
    def look_up(self, request: HttpRequest, object_id: str) -> HttpResponse:
        dispute = lookup.row(Dispute, object_id)
        return ask.view(self, request, dispute, LOOK_UP, lambda: disputes.look_again(dispute))

    @admin.display(description="Opened")
    def opened(self, dispute: Dispute) -> SafeString:
        return display.moment(dispute.opened_at)

    @labelled(
        description="Status",
        label={
            "Needs an answer": "danger",
            "Under review": "warning",
            "Won": "success",
            "Lost": "danger",
            "The bank asks": "info",
            "Closed": "",
        },
    )
    def status_shown(self, dispute: Dispute) -> str:
        return dispute.get_status_display()

    @admin.display(description="Top-up")
    def top_up_link(self, dispute: Dispute) -> SafeString:
        return display.link(dispute.top_up)

    @admin.display(description="Disputed")
    def num_amount(self, dispute: Dispute) -> SafeString:
        return display.amount(dispute.amount, dispute.currency_id)

    @admin.display(description="Answer until")
    def answer_until(self, dispute: Dispute) -> SafeString:
        return display.moment(dispute.answer_by)

    @admin.display(description="Evidence sent")
    def evidence_sent(self, dispute: Dispute) -> SafeString:
        return display.moment(dispute.evidence_sent_at)

    @admin.display(description="Frozen or gone of what was bought")
    def num_frozen(self, dispute: Dispute) -> SafeString:
        return display.amount(dispute.frozen, dispute.top_up.asset_id)

    @admin.display(description="Of the bonus")
    def num_bonus(self, dispute: Dispute) -> SafeString:
        return display.amount(dispute.frozen_bonus, dispute.top_up.asset_id)

    @admin.display(description="Taken elsewhere, or owed")
    def num_recovered(self, dispute: Dispute) -> SafeString:
        return display.amount(dispute.recovered, dispute.top_up.asset_id)

    @admin.display(description="Credited tax, taken back")
    def num_tax(self, dispute: Dispute) -> SafeString:
        return display.amount(dispute.recovered_tax, dispute.currency_id)

    @admin.display(description="Tax that came back, in the wallet")
    def num_returned(self, dispute: Dispute) -> SafeString:
        return display.amount(dispute.returned_tax, dispute.currency_id)

    @admin.display(description="The provider took")
    def num_withdrawn(self, dispute: Dispute) -> SafeString:
        return display.amount(dispute.withdrawn, dispute.currency_id)

    @admin.display(description="At the provider")
    def provider_link(self, dispute: Dispute) -> SafeString:
        return at_provider(dispute.provider_id)

    @admin.display(description="Closed")
    def closed(self, dispute: Dispute) -> SafeString:
        return display.moment(dispute.closed_at)
