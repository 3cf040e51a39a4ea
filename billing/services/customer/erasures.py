"""Who was erased stays erased where the database is restored from a backup of before.

The sealed trail says who was, and a file outside of the database says it too (``billing.gateways.erasures``). Whom the
file names and the trail does not was erased after the backup, and is erased again.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from accounts.models import AuditEvent, User
from accounts.services import audit
from billing.errors import BillingError
from billing.gateways import erasures
from billing.gateways.erasures import ORGANIZATION, PERSON, Erased
from billing.models import Customer
from billing.services import subscriptions
from billing.services.customer import privacy

REASON = "Erased before, and again after a restore"
_KINDS = {"customer.erased": ORGANIZATION, "user.erased": PERSON}
"""By the action in the trail."""

logger = logging.getLogger(__name__)


def keep() -> None:
    """Note who was erased, and erase again who should not be there any more."""
    note()
    for erased, left in again():
        logger.warning("Erased again after a restore: %s %s. %s", erased.kind, erased.id, " ".join(left))


def note() -> int:
    """Note in the file who was erased since the last time. Returns how many."""
    known = set(erasures.read(erasures.path())) if erasures.path().exists() else set()
    fresh = [each for each in _in_trail() if each not in known]
    if fresh:
        erasures.note(fresh)
    return len(fresh)


def again(file: Path | None = None) -> Iterator[tuple[Erased, list[str]]]:
    """Erase whom the file names and the database still knows. What would stand in the way does not; plans are ended.

    Gives each who was erased, with what else stood there and wants a look. Without ``file`` it is the one in the data
    directory, if there is any. Raises ``ValueError`` where a line names nobody, before anybody is erased.
    """
    if file is None and not erasures.path().exists():
        return
    done = set(_in_trail())
    for each in dict.fromkeys(erasures.read(file or erasures.path())):
        if each in done:
            continue
        if each.kind == PERSON:
            for user in User.objects.filter(pk=each.id):
                privacy.erase_person(actor=audit.SYSTEM, user=user, reason=REASON, again=True)
                yield each, []
        else:
            for customer in Customer.objects.filter(organization_id=each.id):
                yield each, _erase_customer(customer)


def _in_trail() -> list[Erased]:
    """In the order in which they were erased: people before the organization that they were erased with."""
    lines = AuditEvent.objects.filter(action__in=_KINDS).order_by("id")
    return [
        Erased(_KINDS[action], UUID(object_id) if _KINDS[action] == PERSON else UUID(str(organization_id)))
        for action, object_id, organization_id in lines.values_list("action", "object_id", "organization_id")
    ]


def _erase_customer(customer: Customer) -> list[str]:
    """Erase the customer, after ending its plans. Says what else stood in the way, a plan that cannot be ended too."""
    for subscription in customer.subscriptions.filter(Q(ends_at=None) | Q(ends_at__gt=timezone.now())):
        with suppress(BillingError):
            subscriptions.cancel(actor=audit.SYSTEM, subscription=subscription, when="now", reason=REASON)
    found = privacy.obstacles(customer)
    privacy.erase_customer(actor=audit.SYSTEM, customer=customer, reason=REASON, again=True)
    return found
