"""Reopening a closed day: one person asks, another agrees, and the day is closed again as a further version.

Only the newest closed day can be: what is older rests under the days after it, and what is found about it later belongs
to the day that is open. The further version also takes in what has been posted since and occurred before the day's end;
what was closed before stays beside it, file and hash.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts.models import AuditEvent
from accounts.services import audit
from billing import locks
from billing.errors import InvalidState
from billing.models import RevenueDay
from billing.selectors.revenue import revenue_days
from billing.services import four_eyes

State = RevenueDay.State
ASKED = "revenue_day.reopening_asked"


def reopen(*, actor: audit.Actor, day: RevenueDay, reason: str) -> RevenueDay:
    """Ask for a further version of the day. Nothing happens until somebody else agrees.

    Raises ``InvalidState`` where it is not the newest closed day, the day after it is being closed, or somebody has
    asked already.
    """
    with transaction.atomic():
        _alone()
        newest = _newest(day)
        if RevenueDay.objects.filter(date=day.date, version__gt=newest.version).exists():
            raise InvalidState("Somebody has asked for that already.")
        asked = RevenueDay.objects.create(
            date=day.date,
            version=newest.version + 1,
            zone=newest.zone,
            start=newest.start,
            end=newest.end,
            reopened_by=actor.label,
            reason=reason,
        )
        _record(actor, ASKED, asked)
    return asked


def approve(*, actor: audit.Actor, day: RevenueDay) -> RevenueDay:
    """Agree to a further version that somebody else asked for: the next closing makes it.

    Raises ``InvalidState`` where it is the same person, or the day after has been closed meanwhile, and
    ``PermissionDenied`` where one person may sit behind both accounts (``four_eyes``).
    """
    with transaction.atomic():
        _alone()
        asked = RevenueDay.objects.get(pk=day.pk)
        if asked.state != State.OPEN or asked.version == 1 or asked.approved_by:
            raise InvalidState("There is nothing to agree to.")
        makers = _who_asked(asked)
        if asked.reopened_by == actor.label or actor.id in makers:
            raise InvalidState("It takes another person than the one who asked.")
        for maker_id, asked_at in makers.items():
            four_eyes.check_apart(actor, maker_id, asked_at=asked_at)
        _newest(asked)
        asked.approved_by = actor.label
        asked.save(update_fields=["approved_by"])
        _record(actor, "revenue_day.reopened", asked)
    return asked


def _who_asked(day: RevenueDay) -> Mapping[UUID, datetime]:
    """Whoever asked for this version, by id, and when: a person's address can change, their row in the trail cannot."""
    trail = AuditEvent.objects.filter(
        action=ASKED, object_type="revenue_day", object_id=day.date.isoformat(), sealed_after__version=day.version
    )
    asked = trail.order_by("-id").values_list("actor_id", "created_at")
    return {actor_id: asked_at for actor_id, asked_at in asked if actor_id is not None}


def _alone() -> None:
    """No day is opened or closed until this transaction ends."""
    if not locks.only_one("open day") or not locks.only_one("close day"):
        raise InvalidState("A day is being closed just now. Try again in a moment.")


def _newest(day: RevenueDay) -> RevenueDay:
    """The day's closed version. Raises ``InvalidState`` where a later day is closed or being closed."""
    newest = revenue_days.final().first()
    later = RevenueDay.objects.filter(date__gt=day.date).exclude(state=State.OPEN)
    if newest is None or newest.date != day.date or later.exists():
        raise InvalidState("Only the newest closed day can be reopened, and not while the next one is being closed.")
    return newest


def _record(actor: audit.Actor, action: str, day: RevenueDay) -> None:
    audit.record(
        actor=actor,
        action=action,
        object_type="revenue_day",
        object_id=day.date.isoformat(),
        after={"version": day.version, "reason": day.reason},
    )
