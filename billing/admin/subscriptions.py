"""Subscriptions with their periods and fees; ended and moved by the services, after a page that says what happens."""

from collections.abc import Collection
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from accounts.backoffice import OffersWhatFits, ReadOnlyAdmin, actor_of, detail_action, labelled
from accounts.lists import MomentFilter
from billing.admin import change_plan, confirm, display, lookup
from billing.admin.catalog import ReadOnlyInline
from billing.engine.money import amount_string
from billing.models import Approval, Fee, Subscription, SubscriptionPeriod
from billing.selectors import waiting
from billing.selectors.usage import levels
from billing.services import approvals, subscriptions

_STATUS_TONES = {"Active": "success", "Trialing": "info", "Scheduled": "info", "Past due": "danger", "Canceled": ""}
_FEE_TONES = {"Paid": "success", "Due": "danger", "Lapsed": "warning"}


class StatusFilter(admin.SimpleListFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("running", "Running"),
            ("past_due", "Past due"),
            ("ending", "Ending"),
            ("canceled", "Canceled"),
            ("unsettled", "Not settled for days"),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        now = timezone.now()
        match self.value():
            case "running":
                return queryset.filter(starts_at__lte=now).exclude(ends_at__lte=now)
            case "past_due":
                return queryset.filter(past_due_since__isnull=False)
            case "ending":
                return queryset.filter(ends_at__gt=now)
            case "canceled":
                return queryset.filter(ends_at__lte=now)
            case "unsettled":
                return queryset.filter(pk__in=waiting.unsettled())
        return queryset


class PeriodInline(ReadOnlyInline):
    model = SubscriptionPeriod
    fields = readonly_fields = ("number", "start", "end", "plan_version", "trial", "state", "settled_at")
    ordering = ("-number",)
    per_page = 24
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("plan_version__plan")


class FeeInline(ReadOnlyInline):
    model = Fee
    fields = readonly_fields = ("description", "kind", "num_list", "num_amount", "state_shown", "start", "end")
    ordering = ("-id",)
    per_page = 50
    show_change_link = False

    @admin.display(description="Before discount")
    def num_list(self, fee: Fee) -> SafeString:
        return display.amount(fee.list_amount, fee.asset_id)

    @admin.display(description="Amount")
    def num_amount(self, fee: Fee) -> SafeString:
        return display.amount(-fee.amount if fee.kind == Fee.Kind.CREDIT else fee.amount, fee.asset_id)

    @labelled(description="State", label=_FEE_TONES)
    def state_shown(self, fee: Fee) -> str:
        return fee.get_state_display()


@admin.register(Subscription)
class SubscriptionAdmin(OffersWhatFits, ReadOnlyAdmin):
    list_display = ("customer", "plan_version", "status_shown", "num_fee", "starts_at", "renews_at", "ends_at")
    list_select_related = ("customer", "plan_version__plan")
    list_filter = (
        StatusFilter,
        ("plan", AutocompleteSelectFilter),
        ("customer", AutocompleteSelectFilter),
        ("starts_at", MomentFilter),
        ("renews_at", MomentFilter),
    )
    ordering = ("-id",)
    search_fields = ("customer__external_id", "customer__name", "plan__code")
    inlines = (PeriodInline, FeeInline)
    actions_detail = ("cancel_later", "cancel_now", "reactivate", "change_plan")
    fields = (
        ("customer", "plan_version"),
        ("status_shown", "past_due_since"),
        ("num_fee", "discount_shown", "cap_shown"),
        ("starts_at", "trial_ends_at", "ends_at"),
        ("renews_at", "next_version"),
        ("anchor", "timezone"),
        ("settled_until", "created_at"),
        "accruing",
    )

    @labelled(description="Status", label=_STATUS_TONES)
    def status_shown(self, subscription: Subscription) -> str:
        return str(subscription.status_at(timezone.now()).label)

    @admin.display(description="Base fee", ordering="plan_version__base_fee")
    def num_fee(self, subscription: Subscription) -> SafeString:
        return display.amount(subscription.plan_version.base_fee, subscription.plan_version.plan.currency_id)

    @admin.display(description="Discount")
    def discount_shown(self, subscription: Subscription) -> str:
        return f"{subscription.plan_version.discount:.2%}" if subscription.plan_version.discount else "–"

    @admin.display(description="Spend cap, each period")
    def cap_shown(self, subscription: Subscription) -> SafeString:
        return display.amount(subscription.spend_cap, subscription.plan_version.plan.currency_id)

    @admin.display(description="Running up")
    def accruing(self, subscription: Subscription) -> SafeString:
        found = (
            (one.meter, amount_string(one.level), display.moment(one.since), display.amount(one.amount, one.asset))
            for one in levels.accrued(subscription, moment=timezone.now())
        )
        return format_html_join(SafeString("<br>"), "{}: {} since {}, {} so far", found) or display.NOTHING

    def idle(self, obj: Subscription) -> Collection[str]:
        if obj.ends_at is None:
            return ("reactivate",)
        return ("cancel_later",) if obj.ends_at > timezone.now() else self.actions_detail

    def has_manage_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_subscription")

    @detail_action(
        description="Cancel at the period's end…", url_path="cancel-later", icon="event_busy", permissions=["manage"]
    )
    def cancel_later(self, request: HttpRequest, object_id: str) -> HttpResponse:
        found = _load(object_id)
        return confirm.view(
            self,
            request,
            obj=found,
            question="You are about to let this end with its period:",
            figure=str(found),
            lines=[
                ("Runs until", display.moment(found.renews_at)),
                ("Until then", "Nothing changes; it can be undone"),
            ],
            button="Cancel at the period's end",
            run=lambda reason: subscriptions.cancel(actor=actor_of(request), subscription=found, reason=reason),
            done=f"{found} ends with its period.",
        )

    @detail_action(description="Cancel now, with refund…", url_path="cancel-now", icon="block", permissions=["manage"])
    def cancel_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        found = _load(object_id)
        return confirm.view(
            self,
            request,
            obj=found,
            question="You are about to end this now:",
            figure=str(found),
            lines=[
                ("Base fee", "The unused part goes back into the wallet, to the second"),
                ("What the plan included", "Is taken back"),
                ("What the customer bought", "Stays"),
            ],
            button="Cancel now, with refund",
            run=lambda reason: approvals.perform(
                actor=actor_of(request),
                kind=Approval.Kind.CANCELLATION,
                customer=found.customer,
                terms={"subscription": str(found.pk)},
                reason=reason,
            ),
            done=f"{found} has ended.",
        )

    @detail_action(description="Reactivate…", url_path="reactivate", icon="undo", permissions=["manage"])
    def reactivate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        found = _load(object_id)
        return confirm.view(
            self,
            request,
            obj=found,
            question="You are about to take back the cancellation of:",
            figure=str(found),
            lines=[("Would end", display.moment(found.ends_at))],
            button="Reactivate",
            run=lambda reason: subscriptions.reactivate(actor=actor_of(request), subscription=found, reason=reason),
            done=f"{found} goes on.",
        )

    @detail_action(description="Change the plan…", url_path="change-plan", icon="swap_horiz", permissions=["manage"])
    def change_plan(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return change_plan.view(self, request, subscription=_load(object_id))


def _load(object_id: str) -> Subscription:
    rows = Subscription.objects.select_related("customer", "plan__currency", "plan_version__plan", "next_version__plan")
    return lookup.row(rows, object_id)
