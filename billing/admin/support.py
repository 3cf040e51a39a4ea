"""What a support call asks for, on the customer's page: the state of the wallet, payments, requests, keys and notes."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from accounts.backoffice import actor_of
from billing.admin import by_hand, confirm, display
from billing.admin.amounts import AmountField
from billing.admin.limits import budget_amount
from billing.admin.payments import paid_with
from billing.engine.money import EXACT, amount_string
from billing.models import Approval, Asset, Balance, Customer, Grant, Note, PaymentAttempt
from billing.selectors.spending import budgets
from billing.services import approvals
from billing.services.customer import notes
from billing.services.wallet import wallets

SHOWN = 6
_PAYMENT_TONES: dict[str, str] = {
    PaymentAttempt.Status.SUCCEEDED: "good",
    PaymentAttempt.Status.FAILED: "bad",
    PaymentAttempt.Status.UNKNOWN: "bad",
}


def summary(request: HttpRequest, customer: Customer) -> dict[str, Any]:
    """What the customer's page shows beside the wallet, each list cut to the latest few."""
    return {
        "payments": _payments(customer),
        "requests": _requests(customer),
        "limits": _limits(customer) if request.user.has_perm("billing.view_budget") else None,
        "keys": customer.organization.api_keys.filter(revoked_at=None).order_by("-id")[:SHOWN]
        if request.user.has_perm("accounts.view_apikey")
        else None,
        "notes": Note.objects.filter(customer=customer).select_related("author")[:SHOWN],
    }


def _payments(customer: Customer) -> list[dict[str, Any]]:
    rows = PaymentAttempt.objects.filter(customer=customer).order_by("-id")[:SHOWN]
    return [
        {
            "link": display.link(attempt, display.moment(attempt.created_at)),
            "amount": display.amount(attempt.amount, attempt.currency_id),
            "status": display.badge(attempt.get_status_display(), _PAYMENT_TONES.get(attempt.status, "info")),
            "method": paid_with(attempt),
            "failure": attempt.failure,
        }
        for attempt in rows
    ]


def _requests(customer: Customer) -> list[dict[str, Any]]:
    waiting = Approval.objects.filter(customer=customer, state=Approval.State.WAITING, expires_at__gt=timezone.now())
    return [
        {
            "link": display.link(row, row.get_kind_display()),
            "by": row.requested_by,
            "amounts": " + ".join(display.written(Decimal(total), asset).exact for asset, total in row.amounts.items()),
        }
        for row in waiting.select_related("requested_by")[:SHOWN]
    ]


def _limits(customer: Customer) -> list[dict[str, Any]]:
    """The customer's budgets, each with the standing that has used most of it."""
    rows = budgets.now(customer, list(budgets.kept(customer)[:SHOWN]))
    return [
        {
            "link": display.link(row.budget, row.budget.name),
            "spent": budget_amount(row.standings[0].spent, row.budget) if row.standings else display.NOTHING,
            "value": row.standings[0].value if row.standings else "",
            "limit": budget_amount(row.budget.limit, row.budget),
            "period": row.budget.get_period_display(),
            "hard": row.budget.hard,
            "used_up": bool(row.standings) and row.standings[0].left <= 0,
        }
        for row in rows
    ]


def freeze(page: Any, request: HttpRequest, customer: Customer) -> HttpResponse:
    """Have the wallet pay for nothing."""
    return confirm.view(
        page,
        request,
        obj=customer,
        question="From now on no usage is paid for by the wallet of",
        figure=customer.name,
        lines=[
            ("Usage", "Refused with the code wallet_frozen; nothing is charged"),
            ("What was set aside before", "Can still be captured, and no more"),
            ("Top-ups, grants and fees", "Go on"),
        ],
        button="Freeze the wallet",
        run=lambda reason: wallets.freeze(actor=actor_of(request), customer=customer, reason=reason),
        done=f"The wallet of {customer} is frozen.",
        note="",
    )


def unfreeze(page: Any, request: HttpRequest, customer: Customer) -> HttpResponse:
    """And pay again."""
    return confirm.view(
        page,
        request,
        obj=customer,
        question="From now on usage is paid for again by the wallet of",
        figure=customer.name,
        lines=[("Frozen because", customer.wallet.frozen_reason), ("Since", display.moment(customer.wallet.frozen_at))],
        button="Unfreeze the wallet",
        run=lambda reason: wallets.unfreeze(actor=actor_of(request), customer=customer, reason=reason),
        done=f"The wallet of {customer} pays again.",
        note="",
    )


def set_overdraft_limit(page: Any, request: HttpRequest, customer: Customer) -> HttpResponse:
    """How far usage may take a balance below zero."""
    assets = Asset.objects.all()

    def run(reason: str, *, asset: Asset, limit: Decimal) -> Approval | None:
        return approvals.perform(
            actor=actor_of(request),
            kind=Approval.Kind.OVERDRAFT_LIMIT,
            customer=customer,
            terms={"asset": asset.pk, "limit": amount_string(limit)},
            reason=reason,
        )

    return confirm.view(
        page,
        request,
        obj=customer,
        question="How far usage may take a balance below zero, of",
        figure=customer.name,
        lines=[
            (f"Now, {row.asset_id}", display.amount(row.overdraft_limit, row.asset_id))
            for row in Balance.objects.filter(customer=customer)
        ],
        fields={
            "asset": forms.ModelChoiceField(
                assets, empty_label=None, initial=customer.currency_id, widget=UnfoldAdminSelectWidget
            ),
            "limit": AmountField(
                required=True,
                label="New limit",
                help_text="0: usage stops when the grants are used up. Less than the plans allow: it holds for later "
                "plans too.",
            ),
        },
        button="Change the limit",
        run=run,
        done=f"The overdraft limit of {customer} was changed.",
        note="",
    )


def add_note(page: Any, request: HttpRequest, customer: Customer) -> HttpResponse:
    """Something for whoever answers the next call."""
    text = forms.CharField(
        label="Note",
        max_length=2000,
        help_text="Staff see it, the customer does not. No card numbers, no passwords.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}),
    )
    return confirm.view(
        page,
        request,
        obj=customer,
        question="A note about",
        figure=customer.name,
        lines=[],
        fields={"reason": text},
        button="Keep the note",
        run=lambda text: notes.add(actor=actor_of(request), customer=customer, text=text),
        done="The note is kept.",
        note="",
    )


def extend(page: Any, request: HttpRequest, grant: Grant) -> HttpResponse:
    """A later end for a grant."""
    day = forms.DateField(
        label="Expires after",
        required=False,
        help_text="The last day on which it can be used. Empty: never.",
        widget=confirm.DayInput(attrs={"class": "ante-day"}),
    )

    def run(reason: str, *, expires_on: Any) -> Approval | None:
        end = ""
        if expires_on is not None:
            end = timezone.make_aware(datetime.combine(expires_on + timedelta(days=1), datetime.min.time())).isoformat()
        return approvals.perform(
            actor=actor_of(request),
            kind=Approval.Kind.GRANT,
            customer=grant.customer,
            terms={"extends": str(grant.pk), "expires_at": end, "endless": not end},
            reason=reason,
        )

    return confirm.view(
        page,
        request,
        obj=grant,
        question="A later end for",
        figure=display.written(grant.remaining, grant.asset_id).exact,
        lines=[("Of", display.link(grant.customer)), ("Expires now", display.moment(grant.expires_at))],
        fields={"expires_on": day},
        button="Extend it",
        run=run,
        done=f"{grant} can be used longer.",
        note="",
        names={"expires_at": "expires_on"},
        warning=by_hand.warning(request, {grant.asset_id: EXACT.add(grant.remaining, grant.held)}),
    )
