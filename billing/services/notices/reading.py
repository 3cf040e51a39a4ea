"""What people do with notices: read them, and say which they want by e-mail."""

from collections.abc import Collection
from datetime import time

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from billing.errors import InvalidRequest
from billing.models import Customer, NoticeDelivery, NoticePreference
from billing.services.notices.texts import TOPICS, hidden_from


def inbox(*, user: User, customer: Customer, role: str) -> QuerySet[NoticeDelivery]:
    """What the person was told, and may see with the role that they have now."""
    told = NoticeDelivery.objects.filter(user=user, customer=customer, channel=NoticeDelivery.Channel.INBOX)
    hidden = hidden_from(role)
    return told.exclude(notice__kind__in=hidden) if hidden else told


def read(*, user: User, customer: Customer) -> int:
    """The person has read all that is in their inbox. Returns how many were new."""
    unread = NoticeDelivery.objects.filter(
        user=user, customer=customer, channel=NoticeDelivery.Channel.INBOX, read_at=None
    )
    return unread.update(read_at=timezone.now())


def prefer(
    *,
    user: User,
    customer: Customer,
    email_topics: Collection[str],
    quiet_from: time | None = None,
    quiet_until: time | None = None,
) -> NoticePreference:
    """Which topics the person wants by e-mail, and between which hours of the customer's day nothing is sent.

    Raises ``InvalidRequest`` for a topic that there is not, and for quiet hours that do not begin, end or differ.
    """
    if unknown := sorted(set(email_topics) - set(TOPICS)):
        raise InvalidRequest.field("email_topics", f"{unknown[0]} is no topic")
    if (quiet_from is None) != (quiet_until is None):
        raise InvalidRequest.field("quiet_until", "quiet hours need a beginning and an end")
    if quiet_from is not None and quiet_from == quiet_until:
        raise InvalidRequest.field("quiet_until", "must differ from the beginning")
    preference, _ = NoticePreference.objects.update_or_create(
        user=user,
        customer=customer,
        defaults={
            "email_topics": [topic for topic in TOPICS if topic in email_topics],
            "quiet_from": quiet_from,
            "quiet_until": quiet_until,
        },
    )
    return preference
