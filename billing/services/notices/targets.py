"""Where else a person is told: a telephone or a chat, once they have shown that they can read what goes there."""

import logging
import secrets
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.ids import first_id
from accounts.models import AuditEvent, User
from accounts.services import audit
from accounts.working import for_a_while
from billing.errors import AlreadyExists, InvalidRequest, InvalidState, RateLimited
from billing.gateways import messengers
from billing.models import Customer, NoticeTarget
from billing.services.notices.texts import TOPICS

CODE_LIFE = timedelta(minutes=15)
TRIES_MAX = 5
ADDED_A_DAY_MAX = 10
"""By one person: each costs the operator a message."""
ADDED_BY_ALL_MAX = 30
TELEPHONES_MAX = 500
"""In a day by all people of one organization; and telephones by everybody."""
BATCH = 50

logger = logging.getLogger(__name__)


def offered() -> list[str]:
    """The channels that people can choose."""
    return messengers.offered()


def add(
    *, actor: audit.Actor, user: User, customer: Customer, channel: str, address: str, topics: Collection[str]
) -> NoticeTarget:
    """Tell this person there as well, about these topics, once they have entered the code that is sent there.

    Raises ``InvalidRequest`` for what cannot be sent to, ``AlreadyExists`` where they have one of that channel.
    """
    if channel not in offered():
        raise InvalidRequest.field("channel", "is none that there is")
    if unknown := sorted(set(topics) - set(TOPICS)):
        raise InvalidRequest.field("topics", f"{unknown[0]} is no topic")
    try:
        address = messengers.check(channel, address)
    except messengers.Refused as refusal:
        raise InvalidRequest.field("address", str(refusal)) from None
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if NoticeTarget.objects.filter(user=user, customer=customer, channel=channel).exists():
            raise AlreadyExists("There is one already: remove it first.")
        since = timezone.now() - timedelta(days=1)
        if any(found.count() >= most for found, most in _added_since(since, user, customer, channel)):
            raise RateLimited("That is enough for a day.", retry_after=3600)
        target = NoticeTarget.objects.create(
            user=user,
            customer=customer,
            channel=channel,
            address=address,
            shown=messengers.shown(channel, address),
            topics=[topic for topic in TOPICS if topic in topics],
            code=f"{secrets.randbelow(10**6):06}",
        )
        _record(actor, "notice_target.added", target)
    return target


def _added_since(
    since: datetime, user: User, customer: Customer, channel: str
) -> Iterator[tuple[QuerySet[AuditEvent], int]]:
    """What counts against one more, and how much of it there may be."""
    added = AuditEvent.objects.filter(
        action="notice_target.added", object_type="notice_target", pk__gte=first_id(since)
    )
    yield added.filter(actor_id=user.pk), ADDED_A_DAY_MAX
    yield added.filter(organization_id=customer.organization_id), ADDED_BY_ALL_MAX
    if channel == "sms":
        yield added.filter(sealed_after__channel=channel), TELEPHONES_MAX


def confirm(*, actor: audit.Actor, target: NoticeTarget, code: str) -> NoticeTarget:
    """The code that came there. Raises ``InvalidRequest`` for another one, ``InvalidState`` once it is too late."""
    with transaction.atomic():
        target = NoticeTarget.objects.select_for_update().get(pk=target.pk)
        if target.confirmed_at is not None:
            return target
        late = target.code_sent_at is None or timezone.now() - target.code_sent_at > CODE_LIFE
        if late or target.tries >= TRIES_MAX:
            raise InvalidState("This code is no longer valid: remove it and add it again.")
        right = constant_time_compare(target.code, code.strip())
        target.tries += 1
        if right:
            target.confirmed_at = timezone.now()
            _record(actor, "notice_target.confirmed", target)
        target.save(update_fields=["tries", "confirmed_at"])
    if not right:
        raise InvalidRequest.field("code", "is not the one that was sent")
    return target


def remove(*, actor: audit.Actor, target: NoticeTarget) -> None:
    """Nothing is sent there any more."""
    with transaction.atomic():
        _record(actor, "notice_target.removed", target)
        target.delete()


def send_codes() -> int:
    """Send the codes that are due. Returns how many went out. One that a crash cuts off is not sent again."""
    due = NoticeTarget.objects.filter(code_sent_at=None).order_by("id").values_list("pk", flat=True)[:BATCH]
    return sum(_send_code(pk) for pk in for_a_while(list(due)))


def _send_code(pk: UUID) -> bool:
    with transaction.atomic():
        waiting = NoticeTarget.objects.select_for_update(skip_locked=True).filter(pk=pk, code_sent_at=None)
        target = waiting.select_related(None).first()
        if target is None:
            return False
        target.code_sent_at = timezone.now()
        target.save(update_fields=["code_sent_at"])
    text = f"{target.code} is your code. Enter it on the page Alerts, within 15 minutes."
    try:
        messengers.send(target.channel, target.address, title="Confirm that you are told here", text=text)
    except messengers.NotSent as failure:
        logger.warning("The code for %s could not be sent: %s", target.pk, failure)
        NoticeTarget.objects.filter(pk=pk).update(last_error=str(failure)[:200])
        return False
    return True


def _record(actor: audit.Actor, action: str, target: NoticeTarget) -> None:
    audit.record(
        actor=actor,
        action=action,
        object_type="notice_target",
        object_id=str(target.pk),
        organization_id=target.customer.organization_id,
        after={"channel": target.channel, "address": target.shown, "topics": target.topics},
    )
