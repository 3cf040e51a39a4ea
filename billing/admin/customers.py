"""The customer on one screen: what a support call asks about, and the plain fields to put right."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.enums import ActionVariant

from accounts.backoffice import OffersWhatFits, actor_of, detail_action
from accounts.lists import MadeFilter
from billing.admin import (
    adjust_form,
    by_hand,
    display,
    grant_form,
    lookup,
    people,
    recurring_form,
    start_plan,
    summaries,
    support,
)
from billing.admin.base import SummaryMixin
from billing.admin.customer_form import CustomerForm
from billing.models import Approval, Customer
from billing.selectors import waiting
from billing.services import approvals
from billing.services.customer import customers


class ErasureFilter(admin.SimpleListFilter):
    title = "erasure"
    parameter_name = "erasure"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("erased", "Erased"), ("unforgotten", "Not forgotten by the payment provider for a day")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        match self.value():
            case "erased":
                return queryset.filter(erased_at__isnull=False)
            case "unforgotten":
                return queryset.filter(pk__in=waiting.unforgotten())
        return queryset


@admin.register(Customer)
class CustomerAdmin(SummaryMixin, OffersWhatFits):
    """Plain fields are changed through the service, which keeps the trail. A customer is never deleted: books stay."""

    form = CustomerForm
    change_form_outer_before_template = "admin/ante/customer_summary.html"
    list_display = ("name", "external_id", "num_available", "plan", "on_insufficient_funds", "country", "created_at")
    list_select_related = ("currency",)
    list_filter = (
        ("on_insufficient_funds", ChoicesDropdownFilter),
        "currency",
        ErasureFilter,
        ("created_at", MadeFilter),
    )
    search_fields = ("external_id", "name", "email")
    actions = None
    # More than these side by side would push the page wider than the window.
    actions_detail = (
        *("grant_credit", "adjust", "start_plan", "add_note"),
        {
            "title": "More",
            "icon": "more_horiz",
            "variant": ActionVariant.PRIMARY,
            "items": ["grant_recurring", "set_overdraft_limit", "freeze", "unfreeze", "export_data", "erase"],
        },
    )
    readonly_fields = ("external_id", "currency", "organization_link", "created_at")
    fieldsets = (
        (
            "Change the plain fields",
            {
                "fields": (
                    *("name", "email", "country", "timezone", "on_insufficient_funds"),
                    *("overdue_action", "overdue_grace_days", "metadata"),
                )
            },
        ),
        ("Fixed", {"fields": ("external_id", "currency", "organization_link", "created_at")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = super().get_readonly_fields(request, obj)
        return fixed if self.has_limit_permission(request) else (*fixed, *customers.CREDIT)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        erased = isinstance(obj, Customer) and obj.erased_at is not None
        return super().has_change_permission(request, obj) and not erased

    def idle(self, obj: Customer) -> Collection[str]:
        if obj.wallet.frozen_at is None:
            return ("unfreeze",)
        return ("freeze",) if obj.erased_at is None else ("freeze", "unfreeze")

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request).select_related("currency", "organization", "wallet")
        in_list = (
            request.resolver_match is not None and request.resolver_match.url_name == "billing_customer_changelist"
        )
        return rows.prefetch_related("balances", "subscriptions__plan") if in_list else rows

    def save_model(self, request: HttpRequest, obj: Customer, form: Any, change: bool) -> None:
        changes = {field: form.cleaned_data[field] for field in form.changed_data if field in customers.CHANGEABLE}
        if changes.get("on_insufficient_funds") == Customer.FundsPolicy.OVERDRAFT:
            del changes["on_insufficient_funds"]
            asked = self._let_overdraw(request, obj)
            if asked is not None:
                by_hand.tell(request, asked, "")
                request.__dict__["only_asked"] = not changes
        customers.update(actor=actor_of(request), customer=obj, changes=changes)

    def message_user(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Nothing is said to have been changed where a second person was asked, and no more."""
        if not request.__dict__.get("only_asked"):
            super().message_user(request, *args, **kwargs)

    def _let_overdraw(self, request: HttpRequest, customer: Customer) -> Approval | None:
        return approvals.perform(
            actor=actor_of(request),
            kind=Approval.Kind.OVERDRAFT_LIMIT,
            customer=customer,
            terms={"on_insufficient_funds": Customer.FundsPolicy.OVERDRAFT},
            reason="Changed among the customer's plain fields",
        )

    def summary(self, request: HttpRequest, obj: Customer) -> dict[str, Any]:
        now = timezone.localtime()
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        wallet = obj.wallet
        return {
            "customer": obj,
            "wallet_link": display.link(wallet, "Wallet"),
            "balances": summaries.balance_cards(obj),
            "spent": [
                {"title": title, "amounts": [display.figure(total, asset) for asset, total in found.items()]}
                for title, found in (
                    ("Usage today", summaries.spent(obj, today)),
                    ("Last 30 days", summaries.spent(obj, today - timedelta(days=29))),
                )
            ],
            "plans": summaries.subscriptions(obj),
            "grants": summaries.grant_stack(obj),
            "entries": summaries.latest_entries(obj),
            "refused": summaries.refused_events(obj),
            "wallet": wallet,
            **support.summary(request, obj),
            "people": obj.organization.memberships.select_related("user").order_by("created_at")[:10],
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
        customer = _load(object_id)
        return grant_form.view(self, request, customer=customer, back=customer)

    @detail_action(
        description="Recurring grant…", url_path="grant-recurring", icon="event_repeat", permissions=["grant_credit"]
    )
    def grant_recurring(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return recurring_form.view(self, request, customer=_load(object_id))

    def has_adjust_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perms(["billing.add_grant", "billing.change_grant"])

    @detail_action(description="Adjust…", url_path="adjust", icon="tune", permissions=["adjust"])
    def adjust(self, request: HttpRequest, object_id: str) -> HttpResponse:
        customer = _load(object_id)
        return adjust_form.view(self, request, customer=customer, back=customer)

    def has_start_plan_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_subscription")

    @detail_action(description="Start a plan…", url_path="start-plan", icon="play_arrow", permissions=["start_plan"])
    def start_plan(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return start_plan.view(self, request, customer=_load(object_id))

    def has_limit_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_balance")

    @detail_action(
        description="Overdraft limit…", url_path="overdraft-limit", icon="data_thresholding", permissions=["limit"]
    )
    def set_overdraft_limit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return support.set_overdraft_limit(self, request, _load(object_id))

    def has_freeze_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_wallet")

    @detail_action(description="Freeze…", url_path="freeze", icon="ac_unit", permissions=["freeze"])
    def freeze(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return support.freeze(self, request, _load(object_id))

    @detail_action(description="Unfreeze…", url_path="unfreeze", icon="sunny", permissions=["freeze"])
    def unfreeze(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return support.unfreeze(self, request, _load(object_id))

    def has_note_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.add_note")

    @detail_action(description="Note…", url_path="note", icon="sticky_note_2", permissions=["note"], asks_first=False)
    def add_note(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return support.add_note(self, request, _load(object_id))

    def has_privacy_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm(people.POWER)

    @detail_action(description="Export all data", url_path="export-data", icon="download", permissions=["privacy"])
    def export_data(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return people.export_customer(request, _load(object_id))

    @detail_action(description="Erase…", url_path="erase", icon="person_remove", permissions=["privacy"])
    def erase(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return people.erase_customer(request, self, _load(object_id))

    @admin.display(description="Available")
    def num_available(self, customer: Customer) -> SafeString:
        own = customer.currency_id
        available = next((row.available for row in customer.balances.all() if row.asset_id == own), None)
        return display.amount(available, own)

    @admin.display(description="Plan")
    def plan(self, customer: Customer) -> str:
        now = timezone.now()
        running = [
            row.plan.name
            for row in customer.subscriptions.all()
            if row.starts_at <= now and (row.ends_at is None or row.ends_at > now)
        ]
        return ", ".join(running) or "–"

    @admin.display(description="Organization")
    def organization_link(self, customer: Customer) -> SafeString:
        return display.link(customer.organization)


def _load(object_id: str) -> Customer:
    return lookup.row(Customer.objects.select_related("currency", "wallet"), object_id)
