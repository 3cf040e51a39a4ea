"""What is known about a person: all of it on request, none of it afterwards, and no longer than it is needed.

The trail is sealed and stays; who acted stands in it by id alone, and what names people lies beside it
(``AuditDetail``), where it can be forgotten.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django_otp import devices_for_user

from accounts import sessions, steps
from accounts.models import (
    ApiKey,
    AuditDetail,
    AuditEvent,
    Consent,
    Identity,
    Invitation,
    Membership,
    OutgoingMail,
    RecoverySet,
    Role,
    Session,
    TrustedDevice,
    User,
)
from accounts.services import audit, factors, team

FORGOTTEN = "erased-{id}@erased.invalid"


class Refused(Exception):
    """Why somebody cannot be forgotten now, in words for the person who asked."""


def of_person(user: User) -> dict[str, Any]:
    """All that is kept about the person as plain values, without secrets; what the trail says is ``trail_of``."""
    return {
        "person": {
            **_plain(
                user,
                "id",
                "email",
                "name",
                "timezone",
                "language",
                "number_style",
                "date_style",
                "is_active",
                "is_staff",
                "created_at",
                "last_login",
            )
        },
        "memberships": [
            {"organization": member.organization.name, "role": member.role, "since": member.created_at}
            for member in user.memberships.select_related("organization")
        ],
        "second_factors": [
            {"kind": factors.kind_of(device), "name": device.name, "since": device.created_at}
            for device in factors.of(user)
        ],
        "company_sign_ins": [
            _plain(row, "issuer", "subject", "created_at", "last_used_at") for row in user.identities.all()
        ],
        "recovery_codes_left": factors.recovery_codes_left(user),
        "sessions": [
            _plain(row, "created_at", "seen_at", "ip_address", "agent") for row in sessions.open_sessions(user.pk)
        ],
        "trusted_browsers": [
            _plain(row, "name", "ip_address", "created_at", "last_used_at", "expires_at")
            for row in user.trusted_devices.all()
        ],
        "invitations": [
            {"organization": row.organization.name, **_plain(row, "role", "created_at", "accepted_at", "revoked_at")}
            for row in Invitation.objects.filter(email=user.email).select_related("organization")
        ],
        "api_keys_made": [
            _plain(key, "name", "prefix", "created_at", "revoked_at") for key in ApiKey.objects.filter(created_by=user)
        ],
        "letters_waiting": [
            _plain(row, "subject", "created_at") for row in OutgoingMail.objects.filter(recipient=user.email)
        ],
        "consents": [_plain(row, "version", "url", "given_at", "ip_address") for row in user.consents.all()],
    }


def trail_of(user: User) -> Iterator[dict[str, Any]]:
    """What the person did, and what was done to their account, line by line, the oldest first."""
    operators = audit.operators() - {user.pk}
    lines = AuditEvent.objects.filter(Q(actor_id=user.pk) | Q(object_type="user", object_id=str(user.pk)))
    return (line_of(row, operators) for row in steps.every(lines))


def line_of(row: AuditEvent, operators: frozenset[UUID]) -> dict[str, Any]:
    """A line of the trail as plain values, without what ``operators`` wrote down for themselves."""
    said = audit.outward(row, operators)
    kept = ("created_at", "action", "actor_label", "object_type", "object_id", "before", "after", "ip_address")
    return {"id": said["pk"], **{name: said[name] for name in kept}}


def _plain(row: Any, *fields: str) -> dict[str, Any]:
    return {field: getattr(row, field) for field in fields}


def obstacles(user: User) -> list[str]:
    """Why the person cannot be forgotten now; empty where they can."""
    found = []
    if user.is_staff or user.is_superuser:
        found.append("People of the back office stay named in what they decided, for as long as the books are kept.")
    for member in user.memberships.filter(role=Role.OWNER).select_related("organization"):
        others = Membership.objects.filter(organization=member.organization, role=Role.OWNER).exclude(user=user)
        if not others.exists():
            found.append(
                f"{member.organization} has no other owner. Make somebody an owner first, or erase it as well."
            )
    return found


def erase_person(*, actor: audit.Actor, user: User, again: bool = False) -> None:
    """Forget the person: the account is closed for ever under a name that says nothing. Raises ``Refused``.

    ``again``, in a restored database, nothing stands in the way. Rows that point at the account still do; none of them
    says who that was. In the caller's transaction or its own.
    """
    with transaction.atomic():
        # Of two owners who go at once the second finds that the first has gone.
        team.lock(*user.memberships.values_list("organization_id", flat=True))
        user = User.objects.select_for_update().get(pk=user.pk)
        if not again and (reasons := obstacles(user)):
            raise Refused(" ".join(reasons))
        address = user.email
        for device in devices_for_user(user, confirmed=None):
            device.delete()
        RecoverySet.objects.filter(user=user).delete()
        TrustedDevice.objects.filter(user=user).delete()
        Session.objects.filter(user_id=user.pk).delete()
        Identity.objects.filter(user=user).delete()
        for membership in user.memberships.select_related("organization"):
            team.withdraw_beyond(None, membership, actor=_nameless(actor, user))
            membership.delete()
        invited = Invitation.objects.filter(invited_by=user).values_list("email", flat=True)
        OutgoingMail.objects.filter(recipient__in=[address, *invited]).delete()
        Invitation.objects.filter(email=address).delete()
        Consent.objects.filter(user=user).delete()
        forget_who(AuditDetail.objects.filter(line__actor_id=user.pk))
        forget_said(AuditDetail.objects.filter(line__object_type="user", line__object_id=str(user.pk)))
        named = Q()
        for side in ("before", "after"):
            for field in ("email", "user"):
                named |= Q(**{f"{side}__contains": {field: address}})
        forget_said(AuditDetail.objects.filter(named))
        user.email, user.name = FORGOTTEN.format(id=user.pk), ""
        user.timezone = user.language = user.number_style = user.date_style = ""
        user.is_active, user.last_login = False, None
        user.set_unusable_password()
        user.security_epoch += 1
        user.save()
        user.groups.clear()
        audit.record(actor=_nameless(actor, user), action="user.erased", object_type="user", object_id=str(user.pk))


def _nameless(actor: audit.Actor, user: User) -> audit.Actor:
    """Who erases themselves leaves no name in the line about it."""
    return audit.Actor(actor.kind, actor.id, request_id=actor.request_id) if actor.id == user.pk else actor


def forget_said(details: QuerySet[AuditDetail]) -> None:
    """Take out what these lines say about people."""
    details.update(before=None, after=None)


def forget_who(details: QuerySet[AuditDetail]) -> None:
    """Take out who acted, in words, and from where."""
    details.update(label="", ip_address=None)


def forget_old() -> dict[str, int]:
    """Forget what is kept for a while only, by the settings. Says how many rows of each."""
    now = timezone.now()

    def before(days: int) -> datetime:
        return now - timedelta(days=days)

    addresses = AuditDetail.objects.filter(
        line__created_at__lt=before(settings.AUDIT_ADDRESS_DAYS), ip_address__isnull=False
    )
    lapsed = Q(expires_at__lt=before(settings.INVITATION_DAYS)) | Q(revoked_at__lt=before(settings.INVITATION_DAYS))
    return {
        "audit_addresses": addresses.update(ip_address=None),
        "sessions": Session.objects.filter(expire_date__lt=now).delete()[0],
        "devices": TrustedDevice.objects.filter(expires_at__lt=now).delete()[0],
        "letters": OutgoingMail.objects.filter(created_at__lt=before(settings.LETTER_DAYS)).delete()[0],
        "invitations": Invitation.objects.filter(lapsed, accepted_at=None).delete()[0],
    }
