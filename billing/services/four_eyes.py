"""What staff move by hand above a limit waits for a second person.

``check`` is called by each service that such a movement goes through, in the transaction and under the locks of the
movement: whichever page, task or command calls the service, it cannot go around. It concerns people alone. A key is
issued by an administrator with its scopes, a program acts with it, and its limits are those of the program.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.services import audit, staff
from billing import locks, pipeline
from billing.engine.money import EXACT, ZERO, amount_string, amount_strings
from billing.errors import ApprovalRequired, InvalidState, InvariantViolation, PermissionDenied
from billing.models import Approval, ManualMovement

DAY = timedelta(hours=24)
HANDS_OFF = timedelta(days=7)
"""So long before nobody may have had both people's accounts in hand, nor staff those of whom they say they act for."""
_PUTS_IN = {Approval.Kind.GRANT, Approval.Kind.ADJUSTMENT}
"""An adjustment upwards is made as a grant."""
_SHRINKS = {Approval.Kind.VOID, Approval.Kind.CANCELLATION, Approval.Kind.WRITE_OFF}
"""What is left to move grows less while it waits: what was asked for is the most."""

_NO_DAY = {Approval.Kind.PLAN, Approval.Kind.PLAN_MOVE}
"""They are about many customers at once and in no person's sum of a day."""
_BY_TERMS = {Approval.Kind.PLAN_MOVE, Approval.Kind.AGREED_TERMS}
"""Their worth is an estimate, which may be another one by then: what was approved are the terms, which never change."""


def check(
    *,
    actor: audit.Actor,
    kind: str,
    amounts: Mapping[str, Decimal],
    customer_id: UUID | None = None,
    endless: str | None = None,
    approval: Approval | None = None,
) -> None:
    """Refuse, or note, that a person moves ``amounts`` (by asset, each at least zero) by hand. The last lock taken.

    ``endless`` is an asset of which it may come to any amount besides: above every limit, where there is one. With an
    ``approval`` it must be exactly what was approved, and uses it up. Raises ``ApprovalRequired``.
    """
    moved = {asset: amount for asset, amount in amounts.items() if amount}
    if actor.kind != AuditEvent.Actor.USER or not (moved or endless):
        return
    assert actor.id is not None
    if approval is not None:
        _compare(approval, actor, kind, moved, customer_id)
    else:
        pipeline.run([locks.manual_movements(actor.id)])
        if (why := reason(actor.id, moved, is_plan=kind in _NO_DAY, endless=endless)) is not None:
            raise ApprovalRequired(why, amounts=moved)
    ManualMovement.objects.bulk_create(
        ManualMovement(
            person_id=actor.id, customer_id=customer_id, kind=kind, asset_id=asset, amount=amount, approval=approval
        )
        for asset, amount in moved.items()
    )


def check_apart(actor: audit.Actor, maker_id: UUID, *, asked_at: datetime) -> None:
    """One administrator alone cannot be both: neither by an account made for it, nor by another's that they reset.

    Raises ``PermissionDenied`` where one person may sit behind the accounts of ``actor`` and of who asked.
    """
    assert actor.id is not None
    since = asked_at - HANDS_OFF
    if staff.behind(actor.id, since=since) & staff.behind(maker_id, since=since):
        raise PermissionDenied(
            f"Since {since:%Y-%m-%d} one person made, changed or reset both accounts, yours and that of who asked, or "
            "one of you did so to the other's. A third person decides on it."
        )


def reason(
    person_id: UUID, amounts: Mapping[str, Decimal], *, is_plan: bool = False, endless: str | None = None
) -> str | None:
    """Why this person may not move ``amounts``, or what is ``endless``, alone now; None where they may. What a plan
    says is in no day's sum."""
    if endless is not None and _limit(settings.APPROVAL_ABOVE, endless) is not None:
        return "What may come to any amount needs a second person."
    if (why := at_once(amounts)) is not None:
        return why
    for asset, amount in amounts.items():
        daily = None if is_plan else _limit(settings.APPROVAL_DAILY_ABOVE, asset)
        if daily is not None and EXACT.add(_moved_alone(person_id, asset), amount) > daily:
            return f"More than {amount_string(daily)} {asset} of one person within 24 hours needs a second person."
    return None


def at_once(amounts: Mapping[str, Decimal]) -> str | None:
    """Why nobody may move ``amounts`` alone, whatever else they moved; None where somebody may."""
    for asset, amount in amounts.items():
        limit = _limit(settings.APPROVAL_ABOVE, asset)
        if limit is not None and amount > limit:
            return f"More than {amount_string(limit)} {asset} at once needs a second person."
    return None


def _limit(limits: Mapping[str, Decimal], asset: str) -> Decimal | None:
    return limits.get(asset, limits.get("*"))


def _moved_alone(person_id: UUID, asset: str) -> Decimal:
    found: dict[str, Any] = (
        ManualMovement.objects.filter(
            person_id=person_id, asset_id=asset, approval=None, created_at__gt=timezone.now() - DAY
        )
        .exclude(kind__in=_NO_DAY)
        .aggregate(total=Sum("amount"))
    )
    return found["total"] or ZERO


def _compare(
    approval: Approval, actor: audit.Actor, kind: str, moved: Mapping[str, Decimal], customer_id: UUID | None
) -> None:
    """What is done must be what was asked for and approved. The approval is locked by whoever decides on it."""
    stored = Approval.objects.get(pk=approval.pk)
    if stored.state != Approval.State.APPROVED or stored.decided_by_id != actor.id:
        raise InvariantViolation(f"Approval {stored.pk} is {stored.state}, and not by this person")
    if stored.kind != kind and not {stored.kind, kind} <= _PUTS_IN:
        raise InvariantViolation(f"Approval {stored.pk} is for another kind of movement")
    if stored.requested_by_id == actor.id or stored.customer_id != customer_id:
        raise InvariantViolation(f"Approval {stored.pk} is one's own, or another customer's")
    asked = {asset: Decimal(amount) for asset, amount in stored.amounts.items()}
    within = stored.kind in _SHRINKS and all(amount <= asked.get(asset, ZERO) for asset, amount in moved.items())
    if not within and stored.kind not in _BY_TERMS and stored.amounts != amount_strings(moved):
        raise InvalidState("What would be moved is no longer what was asked for. It has to be asked for anew.")
