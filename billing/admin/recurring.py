"""Recurring grants with their periods; paused, resumed and canceled by the service, after a page that says what for."""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.backoffice import ReadOnlyAdmin, actor_of, detail_action, labelled
from accounts.lists import MomentFilter
from billing.admin import confirm, display, lookup
from billing.admin.catalog import ReadOnlyInline
from billing.models import RecurringGrant, RecurringGrantPeriod
from billing.services.wallet import recurring

_TONES = {"Active": "success", "Scheduled": "info", "Paused": "warning", "Ended": "", "Canceled": ""}


class PeriodInline(ReadOnlyInline):
    model = RecurringGrantPeriod
    fields = readonly_fields = ("number", "start", "end", "grant_link", "carried_link", "created_at")
    ordering = ("-number",)
    per_page = 24
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("grant", "carried")

    @admin.display(description="Grant")
    def grant_link(self, period: RecurringGrantPeriod) -> SafeString | str:
        return display.link(period.grant) if period.grant else "Was over before it could be granted"

    @admin.display(description="Carried over")
    def carried_link(self, period: RecurringGrantPeriod) -> SafeString:
        return display.link(period.carried) if period.carried else display.NOTHING


@admin.register(RecurringGrant)
class RecurringGrantAdmin(ReadOnlyAdmin):
    list_display = ("customer", "name_shown", "num_amount", "interval", "status_shown", "next_at", "kind")
    list_select_related = ("customer",)
    list_filter = (
        ("customer", AutocompleteSelectFilter),
        ("interval", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("next_at", MomentFilter),
    )
    ordering = ("-id",)
    search_fields = ("name", "customer__external_id", "customer__name")
    inlines = (PeriodInline,)
    actions_detail = ("pause", "resume", "cancel")
    fields = (
        ("customer", "name"),
        ("num_amount", "interval", "kind"),
        ("status_shown", "next_at"),
        ("starts_at", "ends_at", "times"),
        ("lapses", "num_rollover", "priority"),
        ("timezone", "created_at"),
        "applies_to",
    )

    @admin.display(description="Name", ordering="name")
    def name_shown(self, row: RecurringGrant) -> str:
        return row.name or row.get_kind_display()

    @admin.display(description="Amount", ordering="amount")
    def num_amount(self, row: RecurringGrant) -> SafeString:
        return display.amount(row.amount, row.asset_id)

    @admin.display(description="Carried over, at most")
    def num_rollover(self, row: RecurringGrant) -> SafeString:
        return display.amount(row.rollover_limit, row.asset_id)

    @labelled(description="Status", label=_TONES)
    def status_shown(self, row: RecurringGrant) -> str:
        return str(row.status_at(timezone.now()).label)

    def has_manage_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_grant")

    @detail_action(description="Pause…", url_path="pause", icon="pause", permissions=["manage"])
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        lines = [("Until it is resumed", "Periods that begin are not granted"), ("What was granted", "Stays")]
        return self._step(request, object_id, "Let it rest", lines, recurring.pause)

    @detail_action(description="Resume…", url_path="resume", icon="play_arrow", permissions=["manage"])
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        lines = [("Periods that began meanwhile", "Are not granted"), ("The next one", "Is granted when it begins")]
        return self._step(request, object_id, "Let it go on", lines, recurring.resume)

    @detail_action(description="Cancel…", url_path="cancel", icon="block", permissions=["manage"])
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        lines = [("From now on", "Nothing more is granted"), ("What was granted", "Stays")]
        return self._step(request, object_id, "End it", lines, recurring.cancel)

    def _step(
        self,
        request: HttpRequest,
        object_id: str,
        button: str,
        lines: Sequence[tuple[str, object]],
        step: Callable[..., RecurringGrant],
    ) -> HttpResponse:
        found = lookup.row(RecurringGrant.objects.select_related("customer"), object_id)
        return confirm.view(
            self,
            request,
            obj=found,
            question=f"{button}, for {found.customer}:",
            figure=str(found),
            lines=lines,
            button=button,
            run=lambda reason: step(actor=actor_of(request), recurring=found, reason=reason),
            done=f"{found}: done.",
        )
