"""Letters to people. Written in the transaction of what they tell of, sent afterwards by a worker."""

import logging
import re
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext

from accounts import reading
from accounts.models import OutgoingMail, User
from accounts.services import audit
from accounts.working import for_a_while

BATCH = 50
FIRST_DELAY_SECONDS = 30
DELAY_MAX_SECONDS = 3600

logger = logging.getLogger(__name__)


def queue(recipient: str, subject: str, text: str) -> None:
    """Send this soon, if the transaction commits.

    To nobody, where the recipient is empty: it is written down like any other, so that whoever caused it cannot tell by
    the time that it took, and a worker drops it. However many there are, nobody waits longer for theirs.
    """
    OutgoingMail.objects.create(recipient=recipient, subject=subject, text=f"{text}\n\n{settings.BASE_URL}\n")


def harmless(name: str) -> str:
    """A name that somebody gave themselves, for letters to others: on one line, and nothing that becomes a link."""
    return re.sub(r"[.:/@](?=\S)", "\\g<0>\u200b", " ".join(name.split()))


def tell(user: User, subject: Promise, text: Promise, **facts: object) -> None:
    """A notice to a person about their own account, in their language. ``text`` has a place for each of the facts.

    To nobody where that is a ``User()`` without an address.
    """
    with reading.reading_as(reading.of_user(user)):
        warning = gettext("If this was not you, change your password and end your sessions at once.")
        queue(user.email, str(subject), f"{str(text).format(**facts)}\n\n{warning}")


def send_due() -> int:
    """Send what is due, oldest first, for a minute; what cannot be sent is tried later and later. Says how many."""
    OutgoingMail.objects.filter(recipient="").delete()
    due = OutgoingMail.objects.filter(_due()).values_list("pk", flat=True)[:BATCH]
    return sum(_send(pk) for pk in for_a_while(list(due)))


def retry(*, actor: audit.Actor, message: OutgoingMail) -> None:
    """Have it sent again, now, and as often as a new one where that fails. Nothing where it has gone out meanwhile."""
    with transaction.atomic():
        if OutgoingMail.objects.filter(pk=message.pk).update(attempts=0, due_at=timezone.now()):
            audit.record(
                actor=actor,
                action="letter.retried",
                object_type="letter",
                object_id=str(message.pk),
                after={"attempts": message.attempts, "last_error": message.last_error},
            )


def _due() -> Q:
    return Q(attempts__lt=OutgoingMail.ATTEMPTS_MAX, due_at__lte=timezone.now())


def _send(pk: UUID) -> bool:
    """One message, claimed for a while before the network is touched, so that no two workers send it."""
    with transaction.atomic():
        message = OutgoingMail.objects.select_for_update(skip_locked=True).filter(_due(), pk=pk).first()
        if message is None:
            return False
        message.attempts += 1
        delay = min(FIRST_DELAY_SECONDS * 2 ** (message.attempts - 1), DELAY_MAX_SECONDS)
        message.due_at = timezone.now() + timedelta(seconds=delay)
        message.save(update_fields=["attempts", "due_at"])
    try:
        send_mail(message.subject, message.text, settings.DEFAULT_FROM_EMAIL, [message.recipient])
    except Exception as error:
        logger.warning("The message %s could not be sent: %s", message.pk, type(error).__name__)
        OutgoingMail.objects.filter(pk=message.pk).update(last_error=type(error).__name__[:200])
        return False
    message.delete()
    return True
