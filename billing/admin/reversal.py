"""Reversing a charge: what will come back, to which grants, and why; then the service."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts.backoffice import actor_of
from billing.admin import by_hand, confirm, display
from billing.engine.money import EXACT, ZERO
from billing.engine.postings import TEMPLATES
from billing.models import Approval, Grant, UsageEvent
from billing.selectors.ledger import balances, corrections
from billing.selectors.usage import events
from billing.services import approvals

NOTHING = {False: "cost nothing", True: "was not paid"}


def view(page: Any, request: HttpRequest, event: UsageEvent) -> HttpResponse:
    """The figures that will change, and a reason to give."""
    standing = corrections.standing(event)
    left = {asset: amount for asset, amount in standing.left.items() if amount}
    forgiven = corrections.unpaid(event)
    available = {row.asset: row.available for row in balances.current([event.customer_id])}
    lines: list[tuple[str, object]] = [
        ("Customer", display.link(event.customer)),
        ("Event", event.event_id),
        ("It is now", events.STATUSES[events.status(event)]),
    ]
    for asset, amount in left.items():
        now = available.get(asset, ZERO)
        lines += [
            (f"Available now, {asset}", display.amount(now, asset)),
            (f"Afterwards, {asset}", display.amount(EXACT.add(now, amount), asset)),
        ]
    lines += [("Unpaid, never to be paid then", display.amount(owed, asset)) for asset, owed in forgiven.items()]
    grants = Grant.objects.in_bulk([payment.grant_id for payment in standing.payments if payment.grant_id])
    for payment in standing.payments:
        where = "What is owed" if payment.grant_id is None else f"Back to {grants[payment.grant_id]}"
        lines.append((where, display.amount(payment.amount, payment.charge.asset_id)))
    posting = TEMPLATES["usage.reversed"].postings["returned"]
    lines.append(("In the books", display.posting(posting.debit, posting.credit) if left else "no entry"))
    figures = [display.written(amount, asset).exact for asset, amount in left.items()]
    return confirm.view(
        page,
        request,
        obj=event,
        question="You are about to give back",
        figure=" + ".join(figures) or f"nothing: it {NOTHING[bool(forgiven)]}",
        lines=lines,
        button="Reverse it",
        run=lambda reason: approvals.perform(
            actor=actor_of(request),
            kind=Approval.Kind.REVERSAL,
            customer=event.customer,
            terms={"event": str(event.pk)},
            reason=reason,
        ),
        warning=by_hand.warning(request, {**forgiven, **left}),
        done=f"The charge of {event.event_id} was reversed.",
    )
