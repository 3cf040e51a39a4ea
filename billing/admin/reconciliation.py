"""Our books against the payment provider's."""

from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.backoffice import ReadOnlyAdmin, labelled
from billing.admin import display
from billing.admin.base import BookAdmin
from billing.admin.payments import at_provider
from billing.admin.periods import CreatedPeriodFilter
from billing.models import Discrepancy, Reconciliation


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
