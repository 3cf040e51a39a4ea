"""Moving everybody on a plan, to the end: also where the request in which somebody agreed to it was cut off.

Each customer has a transaction, after the one in which it was approved. The trail says when all of them are through.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import AuditEvent
from accounts.services import audit
from billing.models import Approval, Plan
from billing.services import one_by_one, subscriptions

DONE = "approval.carried_out"
PATIENCE = timedelta(minutes=15)
"""How long the request has for it before it counts as cut off."""
LOOK_BACK = timedelta(days=3)
NAMED_MAX = 100
"""How many customers that could not be moved the trail names."""


def carry_out(*, actor: audit.Actor, terms: Mapping[str, Any], approval: Approval | None) -> None:
    """Move all that have not moved yet, as the ``terms`` of an approval say. Not to be called in a transaction."""
    plan = Plan.objects.select_related("currency").get(pk=terms["plan"])
    moves = list(subscriptions.move(actor=actor, plan=plan, version=terms["version"], reason=terms["reason"]))
    if approval is None:
        return
    refused = [each.customer for each in moves if each.refusal is not None]
    audit.record(
        actor=actor,
        action=DONE,
        object_type="approval",
        object_id=str(approval.pk),
        organization_id=None,
        after={"kind": approval.kind, "moved": len(moves) - len(refused), "refused": refused[:NAMED_MAX]},
    )


def finish_due() -> int:
    """Go on with what was approved and did not come to its end. Returns how many. Safe to run twice."""
    now = timezone.now()
    approved = Approval.objects.filter(
        kind=Approval.Kind.PLAN_MOVE,
        state=Approval.State.APPROVED,
        decided_at__range=(now - LOOK_BACK, now - PATIENCE),
    ).select_related("decided_by")
    cut_off = [each for each in approved if not _is_done(each)]
    for approval in cut_off:
        assert approval.decided_by is not None
        actor = audit.Actor.of_user(approval.decided_by, ip_address=None, request_id="")
        with one_by_one.apart("plan move", approval.pk):
            carry_out(actor=actor, terms=approval.terms, approval=approval)
    return len(cut_off)


def _is_done(approval: Approval) -> bool:
    return AuditEvent.objects.filter(object_type="approval", object_id=str(approval.pk), action=DONE).exists()
