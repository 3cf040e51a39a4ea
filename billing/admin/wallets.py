"""Wallets and grants. Value is put in with a form that calls the service; nothing here writes a row."""

from collections.abc import Collection
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    RelatedDropdownFilter,
)

from accounts.backoffice import OffersWhatFits, ReadOnlyAdmin, actor_of, detail_action, labelled
from accounts.lists import MadeFilter, MomentFilter
from accounts.models import AuditEvent
from billing.admin import adjust_form, authorizations, by_hand, confirm, display, grant_form, lookup, summaries, support
from billing.admin.base import CustomerMixin, SummaryAdmin, SummaryMixin
from billing.admin.ledger import entry_row
from billing.engine.money import EXACT
from billing.engine.postings import TEMPLATES
from billing.models import Approval, Grant, LedgerEntry, Wallet
from billing.services import approvals


@admin.register(Wallet)
class WalletAdmin(SummaryAdmin):
    change_form_template = "admin/ante/wallet.html"
    list_display = ("customer", "external_id", "num_currency", "other_assets", "created_at")
    list_display_links = ("customer",)
    list_select_related = ("customer__currency",)
    list_filter = (("customer", AutocompleteSelectFilter), ("created_at", MadeFilter))
    search_fields = ("customer__external_id", "customer__name")
    ordering = ("-id",)
    actions_detail = ("grant_credit", "adjust")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("balances")

    def summary(self, request: HttpRequest, obj: Wallet) -> dict[str, Any]:
        return {
            "wallet": obj,
            "customer": display.link(obj.customer),
            "balances": summaries.balance_cards(obj.customer),
            "grants": summaries.grant_stack(obj.customer),
            "holds": authorizations.open_holds(obj.customer),
            "entries": summaries.latest_entries(obj.customer),
        }

    def has_grant_credit_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.add_grant")

    @detail_action(
        description="Grant credit",
        url_path="grant-credit",
        icon="add_card",
        permissions=["grant_credit"],
    )
    def grant_credit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        wallet = lookup.row(Wallet.objects.select_related("customer__currency"), object_id)
        return grant_form.view(self, request, customer=wallet.customer, back=wallet)

    def has_adjust_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perms(["billing.add_grant", "billing.change_grant"])

    @detail_action(description="Adjust…", url_path="adjust", icon="tune", permissions=["adjust"])
    def adjust(self, request: HttpRequest, object_id: str) -> HttpResponse:
        wallet = lookup.row(Wallet.objects.select_related("customer__currency"), object_id)
        return adjust_form.view(self, request, customer=wallet.customer, back=wallet)

    @admin.display(description="External id", ordering="customer__external_id")
    def external_id(self, wallet: Wallet) -> str:
        return wallet.customer.external_id

    @admin.display(description="Available")
    def num_currency(self, wallet: Wallet) -> SafeString:
        own = wallet.customer.currency_id
        available = next((row.available for row in wallet.balances.all() if row.asset_id == own), None)
        return display.amount(available, own)

    @admin.display(description="Besides")
    def other_assets(self, wallet: Wallet) -> str:
        own = wallet.customer.currency_id
        others = [row for row in wallet.balances.all() if row.asset_id != own]
        return " · ".join(display.written(row.available, row.asset_id).exact for row in others) or "–"


@admin.register(Grant)
class GrantAdmin(CustomerMixin, SummaryMixin, OffersWhatFits, ReadOnlyAdmin):
    change_form_template = "admin/ante/grant.html"
    list_display = (
        "created",
        "customer_link",
        "name_shown",
        "kind_shown",
        "num_amount",
        "num_remaining",
        "status_shown",
        "expires",
        "priority",
    )
    list_display_links = ("created", "name_shown")
    list_select_related = ("customer",)
    list_filter = (
        ("customer", AutocompleteSelectFilter),
        ("kind", ChoicesDropdownFilter),
        ("asset", RelatedDropdownFilter),
        "open",
        ("created_at", MomentFilter),  # The grant of a top-up has its id from when that was asked for.
        ("expires_at", MomentFilter),
    )
    search_fields = ("name", "customer__external_id", "customer__name")
    ordering = ("-id",)
    sortable_by = ("expires", "num_amount", "num_remaining")
    actions_detail = ("void", "extend")
    fields = (
        "id",
        "created",
        "customer_link",
        "name",
        "kind",
        "status_shown",
        "asset",
        "num_amount",
        "num_remaining",
        "num_held",
        "num_drawn",
        "num_expired",
        "num_voided",
        "when_voided",
        "priority",
        "effective_at",
        "expires",
        "applies_to_shown",
        "num_paid",
        "metadata_shown",
        "reason",
    )

    def summary(self, request: HttpRequest, obj: Grant) -> dict[str, Any]:
        entries = LedgerEntry.objects.filter(grant=obj, customer_id=obj.customer_id).select_related("grant")
        return {
            "grant": summaries.grant_row(obj, timezone.now()),
            "entries": [entry_row(entry) for entry in entries.order_by("-id")[: summaries.ENTRIES_SHOWN]],
        }

    def has_void_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_grant")

    def idle(self, obj: Grant) -> Collection[str]:
        over = obj.status_at(timezone.now()) in {Grant.Status.EXPIRED, Grant.Status.VOIDED}
        if over or not (obj.remaining or obj.held):
            return self.actions_detail
        return () if obj.expires_at is not None and obj.period_id is None else ("extend",)

    @detail_action(description="Take back…", url_path="void", icon="undo", permissions=["void"])
    def void(self, request: HttpRequest, object_id: str) -> HttpResponse:
        grant = lookup.row(Grant.objects.select_related("customer"), object_id)
        posting = TEMPLATES["grant.voided"].postings[grant.kind]
        return confirm.view(
            self,
            request,
            obj=grant,
            question="You are about to take back",
            figure=display.written(grant.remaining, grant.asset_id).exact,
            lines=[
                ("From", display.link(grant.customer)),
                ("Spent already, stays spent", display.amount(grant.drawn, grant.asset_id)),
                ("Held, goes out when it is given back", display.amount(grant.held, grant.asset_id)),
                ("In the books", display.posting(posting.debit, posting.credit) if grant.posted else "no entry"),
            ],
            button="Take it back",
            run=lambda reason: approvals.perform(
                actor=actor_of(request),
                kind=Approval.Kind.VOID,
                customer=grant.customer,
                terms={"grant": str(grant.pk)},
                reason=reason,
            ),
            warning=by_hand.warning(request, {grant.asset_id: EXACT.add(grant.remaining, grant.held)}),
            done=f"{grant} was taken back.",
        )

    @detail_action(description="Extend…", url_path="extend", icon="more_time", permissions=["void"])
    def extend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        grant = lookup.row(Grant.objects.select_related("customer"), object_id)
        return support.extend(self, request, grant)

    @admin.display(description="Created")
    def created(self, grant: Grant) -> SafeString:
        return display.moment(grant.created_at)

    @admin.display(description="Name")
    def name_shown(self, grant: Grant) -> str:
        return str(grant)

    @labelled(description="Kind", label={"Purchase": "success", "Promotional": "info", "Adjustment": "primary"})
    def kind_shown(self, grant: Grant) -> str:
        return grant.get_kind_display()

    @labelled(
        description="Status",
        label={"Active": "success", "Scheduled": "info", "Expired": "warning", "Depleted": "", "Voided": ""},
    )
    def status_shown(self, grant: Grant) -> str:
        return str(grant.status_at(timezone.now()).label)

    @admin.display(description="Expires", ordering="expires_at")
    def expires(self, grant: Grant) -> str:
        return summaries.expiry(grant.expires_at, timezone.now())

    @admin.display(description="Amount", ordering="amount")
    def num_amount(self, grant: Grant) -> SafeString:
        return display.amount(grant.amount, grant.asset_id)

    @admin.display(description="Remaining", ordering="remaining")
    def num_remaining(self, grant: Grant) -> SafeString:
        return display.amount(grant.remaining, grant.asset_id)

    @admin.display(description="Held")
    def num_held(self, grant: Grant) -> SafeString:
        return display.amount(grant.held, grant.asset_id)

    @admin.display(description="Drawn")
    def num_drawn(self, grant: Grant) -> SafeString:
        return display.amount(grant.drawn, grant.asset_id)

    @admin.display(description="Expired")
    def num_expired(self, grant: Grant) -> SafeString:
        return display.amount(grant.expired, grant.asset_id)

    @admin.display(description="Voided")
    def num_voided(self, grant: Grant) -> SafeString:
        return display.amount(grant.voided, grant.asset_id)

    @admin.display(description="Voided at")
    def when_voided(self, grant: Grant) -> SafeString:
        return display.moment(grant.voided_at)

    @admin.display(description="Paid for it")
    def num_paid(self, grant: Grant) -> SafeString:
        return display.amount(grant.paid_amount, grant.paid_currency_id) if grant.paid_currency_id else display.NOTHING

    @admin.display(description="May pay for")
    def applies_to_shown(self, grant: Grant) -> SafeString:
        return display.pairs(grant.applies_to)

    @admin.display(description="Metadata")
    def metadata_shown(self, grant: Grant) -> SafeString:
        return display.pretty_json(grant.metadata)

    @admin.display(description="Reason, for staff")
    def reason(self, grant: Grant) -> str:
        line = AuditEvent.objects.filter(object_type="grant", object_id=str(grant.pk), action="grant.created").first()
        said = line.after if line is not None else None
        return str((said or {}).get("reason", "")) or "–"
