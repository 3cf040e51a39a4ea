"""The other ends: voided, or expired when its time is over."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from billing.errors import InvalidState
from billing.models import Authorization
from billing.services import one_by_one
from billing.services.ledger import bulk, holds
from billing.services.ledger.holds import AuthorizationState
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried


def void(*, authorization: Authorization, reason: str = "") -> Authorization:
    """Give everything back. Raises ``InvalidState`` where the authorization is closed or its time is over."""
    if not _end(
        authorization_id=authorization.pk, customer_id=authorization.customer_id, status="voided", reason=reason
    ):
        raise over(authorization)
    return load(authorization.pk)


def expire_due() -> int:
    """Give back what authorizations hold whose time is over. Returns how many. Safe to run twice, at the same time."""
    due = Authorization.objects.filter(status="open", expires_at__lte=timezone.now()).order_by("expires_at", "id")
    ended = 0
    for _, authorization_id, customer_id in one_by_one.in_turn(
        due.values_list("expires_at", "id", "customer_id"), "authorizations"
    ):
        with one_by_one.apart("authorization", authorization_id):
            ended += _end(authorization_id=authorization_id, customer_id=customer_id, status="expired")
    return ended


@retried
def _end(*, authorization_id: UUID, customer_id: UUID, status: str, reason: str = "") -> bool:
    """Close with ``status``; False where it is closed already, or expires instead."""
    with transaction.atomic():
        read = holds.reading([authorization_id])
        journal = Journal.open([customer_id], read)
        state = holds.states(read.rows, journal)[authorization_id]
        if state.status != "open":
            return False
        late = state.is_late(journal.now)
        if status == "expired" and not late:
            return False
        journal.write(*end(journal, state, status="expired" if late else status))
        if reason and not late:
            Authorization.objects.filter(pk=authorization_id).update(reason=reason)
        return status == "expired" or not late


def end(journal: Journal, state: AuthorizationState, *, status: str) -> list[bulk.Write | None]:
    """Give back all that is set aside; the writes that close it with ``status``, none for one that is closed."""
    if state.status != "open":
        return []
    holds.settle_rest(journal, state, holds.release(journal, state))
    return holds.close(state, status=status, now=journal.now)


def load(authorization_id: UUID) -> Authorization:
    """The authorization as it is now, with its customer."""
    return Authorization.objects.select_related("customer").get(pk=authorization_id)


def over(authorization: Authorization) -> InvalidState:
    """The refusal of whoever comes after the end. What went back because time was over stays given back."""
    now = load(authorization.pk)
    hint = " Record the usage as an event instead." if now.status == "expired" else ""
    refusal = InvalidState(f"The authorization is {now.status} already.{hint}", status=now.status)
    refusal.stands = True
    return refusal
