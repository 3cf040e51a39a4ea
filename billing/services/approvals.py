"""What staff do by hand with value: done at once, or, above a limit, when a second person has approved it.

``approval_kinds`` says how each kind is done. Whether it needs a second person is decided by the service that does it
(``four_eyes``); here the request is written down, decided on, and carried out exactly as it was asked for.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import audit, mail
from billing import locks, pipeline
from billing.engine.money import amount_strings
from billing.errors import ApprovalRequired, InvalidState, NotFound, PermissionDenied
from billing.models import Approval, Customer
from billing.services import four_eyes, one_by_one
from billing.services.approval_kinds import ACTIONS
from billing.services.retrying import retried

DECIDE = "billing.decide_approval"
State = Approval.State


def perform(
    *, actor: audit.Actor, kind: str, terms: Mapping[str, Any], reason: str, customer: Customer | None = None
) -> Approval | None:
    """Do it; or, where a second person is needed, write down what is asked for and return that.

    ``terms`` are plain values: amounts as decimal strings, rows by id. Raises what the service raises.
    """
    action = ACTIONS[kind]
    terms = {**terms, "reason": reason}
    if customer is not None:
        terms["customer"] = str(customer.pk)
    try:
        with transaction.atomic():
            done = action.run(actor, terms, None)
    except ApprovalRequired as needed:
        return _request(actor, kind, terms, amounts=needed.figures["amounts"], customer=customer)
    if action.afterwards is not None:
        action.afterwards(done)
    return None


def _request(
    actor: audit.Actor,
    kind: str,
    terms: Mapping[str, Any],
    *,
    amounts: Mapping[str, Decimal],
    customer: Customer | None,
) -> Approval:
    assert actor.id is not None
    with transaction.atomic():
        approval = Approval.objects.create(
            customer=customer,
            kind=kind,
            terms=dict(terms),
            amounts=amount_strings(amounts),
            reason=terms["reason"],
            requested_by_id=actor.id,
            expires_at=timezone.now() + timedelta(hours=settings.APPROVAL_HOURS),
        )
        _record(actor, approval, "requested")
        for person in User.objects.filter(is_staff=True, is_active=True).exclude(pk=actor.id):
            if person.has_perm(DECIDE):
                mail.queue(
                    person.email,
                    "Somebody asks for your approval",
                    f"{actor.label} asks for: {approval.get_kind_display()}. It waits in the back office, under "
                    f"Approvals, until {approval.expires_at:%Y-%m-%d %H:%M} UTC.",
                )
    return approval


def approve(*, actor: audit.Actor, approval: Approval, note: str = "") -> Approval:
    """Decide that it is done, and do it, in one transaction. Not to be called in one.

    Raises ``PermissionDenied`` for whoever asked for it, for whoever may not decide, and where one person may sit
    behind both of them; ``InvalidState`` where it was decided on, lapsed, or would move something else by now, and what
    the service raises: then it goes on waiting.
    """
    decided, done = _approve(actor, approval.pk, note)
    afterwards = ACTIONS[decided.kind].afterwards
    if afterwards is not None:
        afterwards(done)
    return decided


@retried
def _approve(actor: audit.Actor, approval_id: UUID, note: str) -> tuple[Approval, Any]:
    with transaction.atomic():
        approval = _locked(approval_id)
        _check_second_person(actor, approval)
        four_eyes.check_apart(actor, approval.requested_by_id, asked_at=approval.created_at)
        maker, action = approval.requested_by, ACTIONS[approval.kind]
        if not maker.is_active or not maker.is_staff or not maker.has_perms(action.permissions):
            raise PermissionDenied(f"{maker.email} may not do this any more, so it cannot be approved.")
        _decide(approval, State.APPROVED, actor.id, note)
        done = action.run(actor, approval.terms, approval)
        _record(actor, approval, "approved")
    return approval, done


@retried
def reject(*, actor: audit.Actor, approval: Approval, note: str) -> Approval:
    """Decide that it is not done. Raises as ``approve`` does."""
    with transaction.atomic():
        approval = _locked(approval.pk)
        _check_second_person(actor, approval)
        _decide(approval, State.REJECTED, actor.id, note)
        _record(actor, approval, "rejected")
    return approval


@retried
def withdraw(*, actor: audit.Actor, approval: Approval, note: str = "") -> Approval:
    """Ask for it no longer; only whoever asked can."""
    with transaction.atomic():
        approval = _locked(approval.pk)
        if approval.requested_by_id != actor.id:
            raise PermissionDenied("Only whoever asked for it can withdraw it.")
        _decide(approval, State.WITHDRAWN, actor.id, note)
        _record(actor, approval, "withdrawn")
    return approval


def expire_due() -> int:
    """Let lapse what nobody decided on in time. Returns how many."""
    due = Approval.objects.filter(state=State.WAITING, expires_at__lte=timezone.now()).order_by("expires_at", "id")
    expired = 0
    for _, approval_id in one_by_one.in_turn(due.values_list("expires_at", "id"), "approvals"):
        with one_by_one.apart("approval", approval_id):
            expired += _expire(approval_id)
    return expired


@retried
def _expire(approval_id: UUID) -> bool:
    with transaction.atomic():
        pipeline.run([locks.approval(approval_id)])
        approval = Approval.objects.select_related("customer").get(pk=approval_id)
        if approval.state != State.WAITING:
            return False
        _decide(approval, State.EXPIRED, None, "")
        _record(audit.SYSTEM, approval, "expired")
    return True


def _locked(approval_id: UUID) -> Approval:
    """The request as it is now, if it still waits."""
    pipeline.run([locks.approval(approval_id)])
    approval = Approval.objects.select_related("customer", "requested_by").filter(pk=approval_id).first()
    if approval is None:
        raise NotFound("There is no such request.")
    status = approval.status_at(timezone.now())
    if status != State.WAITING:
        raise InvalidState(f"This request is {status.label.lower()} already.", status=status.value)
    return approval


def _check_second_person(actor: audit.Actor, approval: Approval) -> None:
    if approval.requested_by_id == actor.id:
        raise PermissionDenied("You asked for this yourself. Another person decides on it.")
    person = User.objects.filter(pk=actor.id, is_staff=True).first() if actor.id is not None else None
    if person is None or not person.has_perm(DECIDE):
        raise PermissionDenied("You may not decide on what others ask for.")


def _decide(approval: Approval, state: str, person_id: UUID | None, note: str) -> None:
    approval.state, approval.decided_by_id = state, person_id
    approval.note, approval.decided_at = note, timezone.now()
    approval.save(update_fields=["state", "decided_by", "note", "decided_at"])


def _record(actor: audit.Actor, approval: Approval, what: str) -> None:
    customer = approval.customer
    audit.record(
        actor=actor,
        action=f"approval.{what}",
        object_type="approval",
        object_id=str(approval.pk),
        organization_id=None,
        after={
            "kind": approval.kind,
            "customer": customer.external_id if customer is not None else None,
            "amounts": approval.amounts,
            **({"note": approval.note} if approval.note else {"reason": approval.reason}),
        },
    )
