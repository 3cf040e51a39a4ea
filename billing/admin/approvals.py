"""The inbox of what waits for a second person, and what became of what was asked for."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter

from accounts.backoffice import ReadOnlyAdmin, actor_of, detail_action, labelled
from accounts.lists import MadeFilter
from accounts.second_factor import requires_fresh_second_factor
from billing.admin import approval_terms, confirm, display, lookup
from billing.admin.base import CustomerMixin, SummaryMixin
from billing.models import Approval
from billing.services import approvals

_TONES = {"Waiting": "warning", "Approved": "success", "Rejected": "danger", "Withdrawn": "", "Expired": ""}


@admin.register(Approval)
class ApprovalAdmin(CustomerMixin, SummaryMixin, ReadOnlyAdmin):
    change_form_template = "admin/ante/approval.html"
    list_display = ("asked", "kind_shown", "customer_link", "moves", "asked_by", "state_shown", "decider", "lapses")
    list_display_links = ("asked", "kind_shown")
    list_select_related = ("customer", "requested_by", "decided_by")
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("customer", AutocompleteSelectFilter),
        ("created_at", MadeFilter),
    )
    search_fields = ("customer__external_id", "customer__name", "requested_by__email")
    ordering = ("-id",)
    sortable_by = ()
    actions_detail = ("approve", "reject", "withdraw")
    fields = ()

    def summary(self, request: HttpRequest, obj: Approval) -> dict[str, Any]:
        return {"approval": obj, "figure": _figure(obj), "lines": [*approval_terms.lines(obj), *_decision(obj)]}

    def _asked_for(self, object_id: object) -> Approval | None:
        key = lookup.as_uuid(str(object_id))
        return Approval.objects.filter(pk=key).first() if key is not None else None

    def _waiting(self, object_id: object) -> Approval | None:
        approval = self._asked_for(object_id)
        waits = approval is not None and approval.status_at(timezone.now()) == Approval.State.WAITING
        return approval if waits else None

    def has_decide_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Offered while it waits. Whoever comes second with an answer is told by the service what became of it."""
        if not request.user.has_perm(approvals.DECIDE):
            return False
        approval = self._asked_for(object_id) if request.method == "POST" else self._waiting(object_id)
        return approval is not None and approval.requested_by_id != request.user.pk

    def has_withdraw_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        approval = self._waiting(object_id)
        return approval is not None and approval.requested_by_id == request.user.pk

    @detail_action(description="Approve…", url_path="approve", icon="check_circle", permissions=["decide"])
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return _ask(
            request,
            self,
            object_id,
            button="Approve and do it",
            question="You agree that this is done now",
            run=lambda found, note: approvals.approve(actor=actor_of(request), approval=found, note=note),
            done="Approved, and done.",
        )

    @detail_action(description="Reject…", url_path="reject", icon="cancel", permissions=["decide"])
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return _ask(
            request,
            self,
            object_id,
            button="Reject it",
            question="You do not agree with this",
            run=lambda found, note: approvals.reject(actor=actor_of(request), approval=found, note=note),
            done="Rejected. Nothing has moved.",
            note="",
        )

    @detail_action(description="Withdraw…", url_path="withdraw", icon="undo", permissions=["withdraw"])
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return _ask(
            request,
            self,
            object_id,
            button="Withdraw it",
            question="You ask for this no longer",
            run=lambda found, note: approvals.withdraw(actor=actor_of(request), approval=found, note=note),
            done="Withdrawn. Nothing has moved.",
            note="",
        )

    @admin.display(description="Asked for")
    def asked(self, approval: Approval) -> SafeString:
        return display.moment(approval.created_at)

    @admin.display(description="What")
    def kind_shown(self, approval: Approval) -> str:
        return approval.get_kind_display()

    @admin.display(description="Moves")
    def moves(self, approval: Approval) -> SafeString:
        return _figure(approval) or display.NOTHING

    @admin.display(description="By")
    def asked_by(self, approval: Approval) -> str:
        return str(approval.requested_by)

    @labelled(description="State", label=_TONES)
    def state_shown(self, approval: Approval) -> str:
        return str(approval.status_at(timezone.now()).label)

    @admin.display(description="Decided by")
    def decider(self, approval: Approval) -> str:
        return str(approval.decided_by) if approval.decided_by else "–"

    @admin.display(description="Lapses")
    def lapses(self, approval: Approval) -> SafeString:
        return display.moment(approval.expires_at if approval.state == Approval.State.WAITING else None)


@requires_fresh_second_factor
def _ask(
    request: HttpRequest,
    page: ApprovalAdmin,
    object_id: str,
    *,
    button: str,
    question: str,
    run: Callable[[Approval, str], object],
    done: str,
    note: str = confirm.BOOKED,
) -> HttpResponse:
    """What was asked for, in full, and a word to say to it."""
    approval = lookup.row(Approval.objects.select_related("customer", "requested_by", "decided_by"), object_id)
    if not page.has_view_permission(request, approval):
        raise PermissionDenied
    return confirm.view(
        page,
        request,
        obj=approval,
        question=question,
        figure=_figure(approval),
        lines=approval_terms.lines(approval),
        button=button,
        run=lambda said: run(approval, said),
        done=done,
        note=note,
    )


def _figure(approval: Approval) -> SafeString:
    """What moves; an adjustment that takes out stands below zero."""
    takes = approval.kind == Approval.Kind.ADJUSTMENT and str(approval.terms.get("amount")).startswith("-")
    moved = [(asset, Decimal(amount)) for asset, amount in approval.amounts.items()]
    figures = [
        (display.figure(amount.copy_negate() if takes else amount, asset), _unit(asset)) for asset, amount in moved
    ]
    return format_html_join(" + ", "{}{}", figures)


def _unit(asset: str) -> str:
    return "" if display.is_currency(asset) else f" {asset}"


def _decision(approval: Approval) -> Sequence[tuple[str, object]]:
    state = approval.status_at(timezone.now())
    lines: list[tuple[str, object]] = [("State", display.badge(state.label, _BADGES[state]))]
    if approval.decided_at is not None:
        who = str(approval.decided_by) if approval.decided_by else "nobody, in time"
        lines += [("Decided by", who), ("Decided", display.moment(approval.decided_at)), ("Said", approval.note or "–")]
    return lines


_BADGES = {
    Approval.State.WAITING: "warn",
    Approval.State.APPROVED: "good",
    Approval.State.REJECTED: "bad",
    Approval.State.WITHDRAWN: "quiet",
    Approval.State.EXPIRED: "quiet",
}
