"""The books: entries, transactions and balances. Seen, never touched."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    RelatedDropdownFilter,
)

from accounts.backoffice import ReadOnlyAdmin, labelled
from accounts.lists import MomentFilter
from billing.admin import display
from billing.admin.base import BookAdmin, SummaryMixin
from billing.admin.periods import LaterBookedPeriodFilter, PeriodFilter
from billing.models import Balance, Charge, EntryKind, Grant, LedgerEntry, LedgerTransaction, UsageEvent
from billing.selectors.revenue import revenue_lines

KIND_TONES = {
    EntryKind.TOP_UP: "success",
    EntryKind.GRANT: "success",
    EntryKind.USAGE: "info",
    EntryKind.EXPIRY: "warning",
    EntryKind.VOID: "warning",
    EntryKind.REFUND: "danger",
    EntryKind.ADJUSTMENT: "primary",
    EntryKind.REVERSAL: "success",
    EntryKind.REINSTATEMENT: "success",
}
_LABELS = {str(kind.label): tone for kind, tone in KIND_TONES.items()}


@admin.register(LedgerEntry)
class LedgerEntryAdmin(BookAdmin):
    list_display = (
        "posted",
        "customer_link",
        "kind_shown",
        "posting",
        "num_amount",
        "num_available_after",
        "num_seq",
        "transaction_link",
    )
    list_display_links = ("posted",)
    list_filter = (
        PeriodFilter,
        ("customer", AutocompleteSelectFilter),
        ("kind", ChoicesDropdownFilter),
        ("debit", ChoicesDropdownFilter),
        ("credit", ChoicesDropdownFilter),
        ("asset", RelatedDropdownFilter),
        ("occurred_at", MomentFilter),
    )
    search_ids = ("id", "transaction_id", "grant_id")
    search_event = "transaction_id"
    search_help_text = "A customer, the sender's event id, or the id of an entry, a transaction or a grant"
    fields = (
        "id",
        "posted",
        "occurred",
        "customer_link",
        "kind",
        "posting",
        "num_amount",
        "asset",
        "num_seq",
        "num_available_after",
        "num_held_after",
        "transaction_link",
        "grant_link",
        "charge_link",
        "journal",
    )

    @admin.display(description="Posted")
    def posted(self, entry: LedgerEntry) -> SafeString:
        return display.moment(entry.posted_at)

    @admin.display(description="Occurred")
    def occurred(self, entry: LedgerEntry) -> SafeString:
        return display.moment(entry.occurred_at)

    @labelled(description="Kind", label=_LABELS)
    def kind_shown(self, entry: LedgerEntry) -> str:
        return entry.get_kind_display()

    @admin.display(description="Debit → credit")
    def posting(self, entry: LedgerEntry) -> SafeString:
        return display.posting(entry.debit, entry.credit)

    @admin.display(description="Amount")
    def num_amount(self, entry: LedgerEntry) -> SafeString:
        return display.amount(entry.amount, entry.asset_id)

    @admin.display(description="Available after")
    def num_available_after(self, entry: LedgerEntry) -> SafeString:
        return display.amount(entry.available_after, entry.asset_id)

    @admin.display(description="Held after")
    def num_held_after(self, entry: LedgerEntry) -> SafeString:
        return display.amount(entry.held_after, entry.asset_id)

    @admin.display(description="Seq.")
    def num_seq(self, entry: LedgerEntry) -> SafeString:
        return display.NOTHING if entry.seq is None else display.count(entry.seq)

    @admin.display(description="Transaction")
    def transaction_link(self, entry: LedgerEntry) -> SafeString:
        return display.link_to(LedgerTransaction, entry.transaction_id, display.short_id(entry.transaction_id))

    @admin.display(description="Grant")
    def grant_link(self, entry: LedgerEntry) -> SafeString:
        return display.link_to(Grant, entry.grant_id, entry.grant_id)

    @admin.display(description="In the journal")
    def journal(self, entry: LedgerEntry) -> SafeString | str:
        found = [
            (reverse("admin:billing_revenue_line", args=[line.pk]), line.number, line.day)
            for line in revenue_lines.of_entry(entry)
        ]
        if not found:
            return "Its day is not closed yet, or no journal has it"
        return format_html_join(", ", '<a class="ante-link" href="{}">Line {} of {}</a>', found)

    @admin.display(description="Charge")
    def charge_link(self, entry: LedgerEntry) -> SafeString:
        return display.link_to(Charge, entry.charge_id, entry.charge_id)


@admin.register(LedgerTransaction)
class LedgerTransactionAdmin(SummaryMixin, BookAdmin):
    change_form_template = "admin/ante/transaction.html"
    list_display = ("posted", "customer_link", "template", "reference", "occurred")
    list_display_links = ("posted",)
    list_filter = (
        LaterBookedPeriodFilter,  # That of usage has the event's id, and that of a fee the fee's, whenever it is paid.
        ("customer", AutocompleteSelectFilter),
        ("occurred_at", MomentFilter),
    )
    search_ids = ("id",)
    search_event = "id"
    search_help_text = "A customer, the sender's event id, or a transaction's id"
    fields = ("id", "posted", "occurred", "customer_link", "template", "reference", "reverses", "description")
    list_select_related = ("customer",)

    def summary(self, request: HttpRequest, obj: LedgerTransaction) -> dict[str, Any]:
        entries = obj.entries.filter(customer_id=obj.customer_id).select_related("grant").order_by("id")
        return {
            "entries": [entry_row(entry) for entry in entries],
            "event": UsageEvent.objects.filter(pk=obj.pk).first(),
        }

    @admin.display(description="Posted")
    def posted(self, transaction: LedgerTransaction) -> SafeString:
        return display.moment(transaction.posted_at)

    @admin.display(description="Occurred")
    def occurred(self, transaction: LedgerTransaction) -> SafeString:
        return display.moment(transaction.occurred_at)


@admin.register(Balance)
class BalanceAdmin(ReadOnlyAdmin):
    list_display = (
        "customer_link",
        "asset",
        "num_available",
        "num_held",
        "num_owed",
        "num_overdraft",
        "num_granted",
        "num_spent",
        "num_seq",
    )
    list_display_links = ("asset",)
    list_filter = (("asset", RelatedDropdownFilter), ("customer", AutocompleteSelectFilter))
    list_select_related = ("customer", "asset")
    search_fields = ("customer__external_id", "customer__name")
    ordering = ("-id",)
    fields = (
        "customer_link",
        "wallet",
        "asset",
        "num_available",
        "num_held",
        "num_owed",
        "num_overdraft",
        "num_granted",
        "num_spent",
        "num_seq",
        "created_at",
    )

    @admin.display(description="Customer", ordering="customer")
    def customer_link(self, balance: Balance) -> SafeString:
        return display.link_to(type(balance).wallet.field.related_model, balance.wallet_id, balance.customer)

    @admin.display(description="Available", ordering="available")
    def num_available(self, balance: Balance) -> SafeString:
        return display.amount(balance.available, balance.asset_id)

    @admin.display(description="Held", ordering="held")
    def num_held(self, balance: Balance) -> SafeString:
        return display.amount(balance.held, balance.asset_id)

    @admin.display(description="Owed", ordering="owed")
    def num_owed(self, balance: Balance) -> SafeString:
        return display.amount(balance.owed, balance.asset_id)

    @admin.display(description="Overdraft", ordering="overdraft_limit")
    def num_overdraft(self, balance: Balance) -> SafeString:
        return display.amount(balance.overdraft_limit, balance.asset_id)

    @admin.display(description="Granted ever", ordering="lifetime_granted")
    def num_granted(self, balance: Balance) -> SafeString:
        return display.amount(balance.lifetime_granted, balance.asset_id)

    @admin.display(description="Spent ever", ordering="lifetime_spent")
    def num_spent(self, balance: Balance) -> SafeString:
        return display.amount(balance.lifetime_spent, balance.asset_id)

    @admin.display(description="Entries", ordering="seq")
    def num_seq(self, balance: Balance) -> SafeString:
        return display.count(balance.seq)


def entry_row(entry: LedgerEntry) -> dict[str, Any]:
    """An entry as the tables of summaries show it. The entry's grant must be loaded."""
    return {
        "posted": display.link_to(LedgerEntry, entry.pk, display.moment(entry.posted_at)),
        "occurred": display.moment(entry.occurred_at),
        "kind": entry.get_kind_display(),
        "tone": KIND_TONES.get(EntryKind(entry.kind), ""),
        "posting": display.posting(entry.debit, entry.credit),
        "amount": display.amount(entry.amount, entry.asset_id),
        "asset": entry.asset_id,
        "after": display.amount(entry.available_after, entry.asset_id),
        "seq": entry.seq,
        "grant": display.link(entry.grant),
        "transaction": display.link_to(LedgerTransaction, entry.transaction_id, display.short_id(entry.transaction_id)),
    }
