"""From a notice to the people who are to have it, each over the channels that they want."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import roles
from accounts.models import Membership
from billing.models import Notice, NoticeDelivery, NoticePreference, NoticeTarget
from billing.services import one_by_one
from billing.services.notices import texts

EMAILED = "limits:write"
"""Who gets e-mail without asking for it: those whose role has this scope."""


def address() -> int:
    """Make the deliveries of new notices. Returns how many notices. Safe to run twice and at the same time.

    Everybody who acts for the customer has it in the inbox, if their role sees what it is about. By e-mail, telephone
    and chat it goes to those of them who want its topic there; a customer for whom nobody acts gets it at its own
    address. ``FOR_OPERATOR`` is told to the operator.
    """
    fresh = Notice.objects.filter(addressed=False).order_by("id").values_list("id")
    addressed = 0
    for (notice_id,) in one_by_one.in_turn(fresh, "notices"):
        with one_by_one.apart("notice", notice_id):
            addressed += _address(notice_id)
    return addressed


def _address(notice_id: UUID) -> bool:
    with transaction.atomic():
        rows = Notice.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=notice_id, addressed=False)
        notice = rows.select_related("customer").first()
        if notice is None:
            return False
        NoticeDelivery.objects.bulk_create(_deliveries(notice, timezone.now()))
        Notice.objects.filter(pk=notice_id).update(addressed=True)
    return True


def _deliveries(notice: Notice, now: datetime) -> list[NoticeDelivery]:
    people = Membership.objects.filter(
        organization_id=notice.customer.organization_id, user__is_active=True
    ).select_related("user")
    everybody = list(people)
    found = [member for member in everybody if may_be_told(member, notice)]
    common: dict[str, Any] = {"notice": notice, "customer_id": notice.customer_id}
    deliveries = []
    if settings.OPERATOR_NOTIFY_URL and notice.kind in texts.FOR_OPERATOR:
        deliveries.append(NoticeDelivery(**common, channel=NoticeDelivery.Channel.OPERATOR, due_at=now))
    if not everybody and notice.customer.email:
        deliveries.append(NoticeDelivery(**common, channel=NoticeDelivery.Channel.EMAIL, due_at=now))
    deliveries += [
        NoticeDelivery(
            **common,
            user=member.user,
            channel=NoticeDelivery.Channel.INBOX,
            state=NoticeDelivery.State.SENT,
            due_at=now,
            sent_at=now,
        )
        for member in found
    ]
    wishes = preferences(notice.customer_id, [member.user_id for member in found])
    zone = ZoneInfo(notice.customer.timezone)
    for member in found:
        wish = wishes.get(member.user_id) or default(member)
        if texts.topic(notice.kind) in wish.email_topics:
            due_at = after_quiet(now, wish, zone)
            deliveries.append(
                NoticeDelivery(**common, user=member.user, channel=NoticeDelivery.Channel.EMAIL, due_at=due_at)
            )
    members = {member.user_id: member for member in found}
    for target in NoticeTarget.objects.filter(customer_id=notice.customer_id, confirmed_at__isnull=False):
        if target.user_id in members and texts.topic(notice.kind) in target.topics:
            member = members[target.user_id]
            due_at = after_quiet(now, wishes.get(member.user_id) or default(member), zone)
            deliveries.append(NoticeDelivery(**common, user=member.user, channel=target.channel, due_at=due_at))
    return deliveries


def may_be_told(member: Membership, notice: Notice) -> bool:
    """Whether the member's role sees what the notice is about."""
    return texts.topic(notice.kind) in texts.topics_for(member.role)


def still_addressed(delivery: NoticeDelivery) -> bool:
    """Whether the person still acts for the customer, and in a role that may be told of it. Others have no person."""
    if delivery.user_id is None:
        return True
    members = Membership.objects.filter(organization_id=delivery.customer.organization_id, user__is_active=True)
    member = members.filter(user_id=delivery.user_id).first()
    return member is not None and may_be_told(member, delivery.notice)


def preferences(customer_id: UUID, user_ids: Sequence[UUID]) -> dict[UUID, NoticePreference]:
    """What these people have chosen, if they have."""
    found = NoticePreference.objects.filter(customer_id=customer_id, user_id__in=user_ids)
    return {preference.user_id: preference for preference in found}


def default(member: Membership) -> NoticePreference:
    """What holds for somebody who has chosen nothing."""
    topics = texts.topics_for(member.role) if roles.may(member.role, EMAILED) else []
    return NoticePreference(user_id=member.user_id, email_topics=topics)


def after_quiet(now: datetime, wish: NoticePreference, zone: ZoneInfo) -> datetime:
    """``now``, or, within the person's quiet hours, when they are over."""
    start, end = wish.quiet_from, wish.quiet_until
    if start is None or end is None:
        return now
    local = now.astimezone(zone)
    moment = local.time()
    within = start <= moment < end if start < end else moment >= start or moment < end
    if not within:
        return now
    day = local.date() if moment < end else local.date() + timedelta(days=1)
    return datetime.combine(day, end, tzinfo=zone)
