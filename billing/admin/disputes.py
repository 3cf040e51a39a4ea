"""What payers' banks want back, standing orders to top up, and our books against the provider's."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.backoffice import ReadOnlyAdmin, detail_action, labelled
from accounts.services.audit import actor_of
from billing.admin import display, lookup
from billing.admin.base import BookAdmin
from billing.admin.evidence import EvidenceMixin
from billing.admin.funding import LOOK_UP, asked, at_provider
from billing.admin.periods import CreatedPeriodFilter
from billing.models import AutoTopUp, Discrepancy, Dispute, Reconciliation
from billing.selectors import evidence, standing
from billing.services.funding import answering, disputes, rules


@admin.register(Dispute)
class DisputeAdmin(EvidenceMixin, BookAdmin):
    booked_field = "created_at"
    list_display = ("opened", "customer_link", "status_shown", "num_amount", "reason", "answer_until")
    list_display_links = ("opened",)
    list_filter = (CreatedPeriodFilter, ("customer", AutocompleteSelectFilter), ("status", ChoicesDropdownFilter))
    list_select_related = ("customer",)
    search_help_text = "A customer, or a dispute's id"
    actions_detail = ("evidence", "evidence_json", "send_evidence", "look_up")
    fields = (
        *("id", "opened", "customer_link", "status_shown", "top_up_link", "num_amount", "reason", "answer_until"),
        *("evidence_sent", "num_frozen", "num_bonus", "num_recovered", "num_tax", "num_withdrawn", "provider_link"),
        "closed",
    )

    def pack(self, dispute: Any) -> dict[str, Any]:
        return evidence.of_payment_dispute(dispute)

    def has_look_up_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_dispute")

    has_send_evidence_permission = has_look_up_permission

    @detail_action(
        description="Send the evidence", url_path="send-evidence", icon="send", permissions=["send_evidence"]
    )
    def send_evidence(self, request: HttpRequest, object_id: str) -> HttpResponse:
        dispute = lookup.row(Dispute.objects.select_related("customer", "top_up"), object_id)
        run = lambda: answering.send(actor=actor_of(request), dispute=dispute)  # noqa: E731
        return asked(self, request, dispute, "Send the payer's bank all that the books know. It takes one answer", run)

    @detail_action(description="Look up again", url_path="look-up", icon="sync", permissions=["look_up"])
    def look_up(self, request: HttpRequest, object_id: str) -> HttpResponse:
        dispute = lookup.row(Dispute, object_id)
        return asked(self, request, dispute, LOOK_UP, lambda: disputes.look_again(dispute))

    @admin.display(description="Opened")
    def opened(self, dispute: Dispute) -> SafeString:
        return display.moment(dispute.opened_at)

    @admin.display(description="Customer")
    def customer_link(self, dispute: Dispute) -> SafeString:
        return display.link(dispute.customer)

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

    @admin.display(description="The provider took")
    def num_withdrawn(self, dispute: Dispute) -> SafeString:
        return display.amount(dispute.withdrawn, dispute.currency_id)

    @admin.display(description="At the provider")
    def provider_link(self, dispute: Dispute) -> SafeString:
        return at_provider(dispute.provider_id)

    @admin.display(description="Closed")
    def closed(self, dispute: Dispute) -> SafeString:
        return display.moment(dispute.closed_at)


@admin.register(AutoTopUp)
class AutoTopUpAdmin(ReadOnlyAdmin):
    list_display = ("customer_link", "purpose", "status_shown", "num_threshold", "num_bought", "declines", "reason")
    list_display_links = ("purpose",)
    list_filter = (
        ("customer", AutocompleteSelectFilter),
        ("purpose", ChoicesDropdownFilter),
        ("state", ChoicesDropdownFilter),
    )
    list_select_related = ("customer", "pack", "method")
    search_fields = ("customer__external_id", "customer__name")
    ordering = ("-id",)
    actions_detail = ("resume", "switch_off")
    fields = (
        *("id", "customer_link", "purpose", "status_shown", "num_threshold", "num_bought", "num_target", "pack"),
        *("every", "next_time", "method", "num_limit", "count_limit", "cooldown_seconds", "num_used", "declines"),
        *("reason_code", "reason", "updated_at"),
    )

    def has_resume_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_autotopup")

    has_switch_off_permission = has_resume_permission

    @detail_action(description="Let it run again", url_path="resume", icon="play_arrow", permissions=["resume"])
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        rule = lookup.row(AutoTopUp.objects.select_related("customer"), object_id)
        run = lambda: rules.resume(actor=actor_of(request), rule=rule)  # noqa: E731
        return asked(self, request, rule, "Let this automatic top-up charge again", run)

    @detail_action(description="Switch off", url_path="switch-off", icon="block", permissions=["switch_off"])
    def switch_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        rule = lookup.row(AutoTopUp.objects.select_related("customer"), object_id)
        run = lambda: rules.switch_off(actor=actor_of(request), rule=rule)  # noqa: E731
        return asked(self, request, rule, "Charge nothing more by itself", run)

    @admin.display(description="Customer")
    def customer_link(self, rule: AutoTopUp) -> SafeString:
        return display.link(rule.customer)

    @labelled(
        description="Status",
        label={"suspended": "danger", "charging": "info", "cooling": "info", "armed": "success", "off": ""},
    )
    def status_shown(self, rule: AutoTopUp) -> str:
        return standing.status(rule, timezone.now())

    @admin.display(description="Below")
    def num_threshold(self, rule: AutoTopUp) -> SafeString:
        return display.amount(rule.threshold, rule.asset_id)

    @admin.display(description="Buys")
    def num_bought(self, rule: AutoTopUp) -> SafeString:
        return display.amount(rule.amount, rule.customer.currency_id)

    @admin.display(description="Fills up to")
    def num_target(self, rule: AutoTopUp) -> SafeString:
        return display.amount(rule.target, rule.asset_id)

    @admin.display(description="At most in a month")
    def num_limit(self, rule: AutoTopUp) -> SafeString:
        return display.amount(rule.monthly_limit, rule.customer.currency_id)

    @admin.display(description="Bought this month")
    def num_used(self, rule: AutoTopUp) -> SafeString:
        return display.amount(standing.used(rule, timezone.now()).amount, rule.customer.currency_id)

    @admin.display(description="Not before")
    def next_time(self, rule: AutoTopUp) -> SafeString:
        return display.moment(rule.due_at)


@admin.register(Discrepancy)
class DiscrepancyAdmin(BookAdmin):
    booked_field = "created_at"
    list_display = ("created", "kind_shown", "state_shown", "customer_link", "num_amount", "words")
    list_display_links = ("created",)
    list_filter = (CreatedPeriodFilter, ("state", ChoicesDropdownFilter), ("kind", ChoicesDropdownFilter))
    list_select_related = ("customer",)
    search_help_text = "A customer, or an id"
    fields = (
        *("id", "created", "kind_shown", "state_shown", "customer_link", "num_amount", "words", "provider_link"),
        *("first_run", "last_run"),
    )

    @admin.display(description="Found")
    def created(self, row: Discrepancy) -> SafeString:
        return display.moment(row.created_at)

    @admin.display(description="What")
    def kind_shown(self, row: Discrepancy) -> str:
        return row.get_kind_display()

    @labelled(description="State", label={"To be looked at": "danger", "Put right": "success", "Found no more": ""})
    def state_shown(self, row: Discrepancy) -> str:
        return row.get_state_display()

    @admin.display(description="Customer")
    def customer_link(self, row: Discrepancy) -> SafeString:
        return display.link(row.customer)

    @admin.display(description="Amount")
    def num_amount(self, row: Discrepancy) -> SafeString:
        return display.amount(row.amount, row.currency)

    @admin.display(description="At the provider")
    def provider_link(self, row: Discrepancy) -> SafeString:
        return at_provider(row.object_id)


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    list_display = ("started", "span", "state_shown", "found", "repaired", "sums")
    list_display_links = ("started",)
    ordering = ("-id",)
    fields = ("id", "started", "finished", "span", "mode", "state_shown", "found", "repaired", "sums", "note")

    @admin.display(description="Started")
    def started(self, run: Reconciliation) -> SafeString:
        return display.moment(run.started_at)

    @admin.display(description="Finished")
    def finished(self, run: Reconciliation) -> SafeString:
        return display.moment(run.finished_at)

    @admin.display(description="Span")
    def span(self, run: Reconciliation) -> str:
        return str(run)

    @labelled(description="State", label={"Done": "success", "Running": "info", "Failed": "danger"})
    def state_shown(self, run: Reconciliation) -> str:
        return run.get_state_display()

    @admin.display(description="At the provider")
    def sums(self, run: Reconciliation) -> str:
        parts: list[Any] = [
            f"{currency} " + ", ".join(f"{name} {amount}" for name, amount in sums.items())
            for currency, sums in run.totals.items()
        ]
        return "; ".join(parts) or "–"
