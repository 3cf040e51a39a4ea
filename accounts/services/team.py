"""Who acts for an organization: inviting, accepting, changing roles, leaving.

Every change runs under the lock of the organization's row, so that of two owners who remove each other one stays.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from accounts import roles
from accounts.models import Invitation, Membership, Organization, Role, User
from accounts.services import audit, factors, mail

INVITATION_DAYS = 7
OPEN_MAX = 50
SENT_A_DAY_MAX = 100
"""Of one organization: each is a letter from the operator to whatever address somebody enters."""


class Refused(Exception):
    """What the rules of the team do not allow, in words for the person who asked."""


def invite(
    *, organization: Organization, email: str, role: str, by: Membership, actor: audit.Actor
) -> tuple[Invitation, str]:
    """An offer of ``role`` to the owner of ``email``, and its link's token, which is not stored. Raises ``Refused``.

    An open invitation of the same address is replaced.
    """
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise Refused(gettext("This is no e-mail address.")) from None
    with transaction.atomic():
        lock(organization.pk)
        _check_may_give(_acting(by), role)
        if Membership.objects.filter(organization=organization, user__email=email).exists():
            raise Refused(gettext("{email} is in the team already.").format(email=email))
        now = timezone.now()
        open_ones = Invitation.objects.filter(organization=organization, email=email, accepted_at=None, revoked_at=None)
        open_ones.update(revoked_at=now)
        _check_number(organization, now)
        token = secrets.token_urlsafe(32)
        invitation = Invitation.objects.create(
            organization=organization,
            email=email,
            role=role,
            token_hash=_digest(token),
            invited_by=by.user,
            expires_at=now + timedelta(days=INVITATION_DAYS),
        )
        _record(actor, "invitation.sent", invitation.organization, invitation, {"email": email, "role": role})
        mail.queue(
            email,
            gettext("{name} invites you to {organization}").format(
                name=mail.harmless(by.user.get_full_name()), organization=mail.harmless(organization.name)
            ),
            gettext(
                "{name} invites you to {organization} as {role}.\n\nAccept within {days} days: {link}\n\n"
                "The link works once, and only for this address."
            ).format(
                name=mail.harmless(by.user.get_full_name()),
                organization=mail.harmless(organization.name),
                role=Role(role).label,
                days=INVITATION_DAYS,
                link=f"{settings.BASE_URL}/invitations/{token}",
            ),
        )
    return invitation, token


def _check_number(organization: Organization, now: datetime) -> None:
    """Whether one more may be sent. Raises ``Refused``."""
    sent = organization.invitations
    if sent.filter(accepted_at=None, revoked_at=None, expires_at__gt=now).count() >= OPEN_MAX:
        raise Refused(gettext("{count} invitations are open: withdraw some first.").format(count=OPEN_MAX))
    if sent.filter(created_at__gt=now - timedelta(days=1)).count() >= SENT_A_DAY_MAX:
        raise Refused(gettext("{count} invitations were sent within a day: go on later.").format(count=SENT_A_DAY_MAX))


def find(token: str) -> Invitation | None:
    """The invitation behind a link, if it can still be accepted."""
    return open_invitations().filter(token_hash=_digest(token)).select_related("organization", "invited_by").first()


def open_invitations() -> QuerySet[Invitation]:
    """Those that can be accepted now.

    None lasts longer than the power of who sent it to give that role, however they lost it.
    """
    sender = Membership.objects.filter(
        organization=OuterRef("organization"), user=OuterRef("invited_by"), user__is_active=True
    )
    to_all, to_owners = (
        Exists(sender.filter(role__in=[role for role in Role.values if roles.may(role, scope)]))
        for scope in ("team:write", "owners:write")
    )
    return Invitation.objects.filter(
        to_owners | (to_all & ~Q(role=Role.OWNER)),
        accepted_at=None,
        revoked_at=None,
        expires_at__gt=timezone.now(),
    )


def accept(invitation: Invitation, user: User, *, actor: audit.Actor) -> Membership:
    """Join. Raises ``Refused`` where it was used, withdrawn or has lapsed, or was sent to somebody else."""
    if user.email != invitation.email:
        raise Refused(
            gettext("This invitation is for {email}. You are signed in as {other}.").format(
                email=invitation.email, other=user.email
            )
        )
    with transaction.atomic():
        lock(invitation.organization_id)
        if not open_invitations().filter(pk=invitation.pk).update(accepted_at=timezone.now()):
            raise Refused(gettext("This invitation was used, withdrawn or has lapsed. Ask for a new one."))
        membership, _ = Membership.objects.get_or_create(
            organization=invitation.organization, user=user, defaults={"role": invitation.role}
        )
        _record(actor, "membership.created", invitation.organization, membership, _named(membership))
    return membership


def withdraw(invitation: Invitation, *, actor: audit.Actor) -> bool:
    """The link works no more. False where it did not before."""
    with transaction.atomic():
        done = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None).update(
            revoked_at=timezone.now()
        )
        if done:
            _record(actor, "invitation.withdrawn", invitation.organization, invitation, {"email": invitation.email})
    return bool(done)


def change_role(membership: Membership, role: str, *, by: Membership, actor: audit.Actor) -> None:
    """Give another role; the person's sessions end, and so do invitations beyond the new role. Raises ``Refused``."""
    with transaction.atomic():
        lock(membership.organization_id)
        membership, acting = _now(membership), _acting(by)
        if membership.role == role:
            return
        _check_may_give(acting, role)
        _check_may_touch(acting, membership)
        before = _named(membership)
        membership.role = role
        membership.save(update_fields=["role"])
        factors.end_sessions(membership.user)
        _record(actor, "membership.changed", membership.organization, membership, _named(membership), before)
        withdraw_beyond(role, membership, actor=actor)


def remove(membership: Membership, *, by: Membership, actor: audit.Actor) -> None:
    """The person acts for the organization no more; their sessions and open invitations end. Oneself, too.

    Raises ``Refused``.
    """
    with transaction.atomic():
        lock(membership.organization_id)
        membership = _now(membership)
        _check_may_touch(membership if by.pk == membership.pk else _acting(by), membership)
        _record(actor, "membership.deleted", membership.organization, membership, None, _named(membership))
        factors.end_sessions(membership.user)
        withdraw_beyond(None, membership, actor=actor)
        membership.delete()


def withdraw_beyond(role: str | None, membership: Membership, *, actor: audit.Actor) -> None:
    """End the open invitations of this person that somebody with ``role`` (None: of no role) could not have sent."""
    sent = Invitation.objects.filter(
        organization=membership.organization, invited_by=membership.user, accepted_at=None, revoked_at=None
    )
    if role is not None and roles.may(role, "team:write"):
        sent = sent.none() if roles.may(role, "owners:write") else sent.filter(role=Role.OWNER)
    for invitation in sent.select_related("organization").order_by("pk"):
        withdraw(invitation, actor=actor)


def _now(membership: Membership) -> Membership:
    """The same as it is now, under the lock. Raises ``Refused`` where it has ended."""
    found = Membership.objects.select_related("organization", "user").filter(pk=membership.pk).first()
    if found is None:
        raise Refused(gettext("The team has changed meanwhile. Load the page again."))
    return found


def _acting(by: Membership) -> Membership:
    """Who asks, as they are now, under the lock. Raises ``Refused`` where they look after the team no more."""
    found = _now(by)
    if not roles.may(found.role, "team:write"):
        raise Refused(gettext("The team has changed meanwhile. Load the page again."))
    return found


def _check_may_give(by: Membership, role: str) -> None:
    if role not in Role.values:
        raise Refused(gettext("There is no such role."))
    if role == Role.OWNER and not roles.may(by.role, "owners:write"):
        raise Refused(gettext("Only an owner makes somebody an owner."))


def _check_may_touch(by: Membership, membership: Membership) -> None:
    if membership.role != Role.OWNER:
        return
    if not roles.may(by.role, "owners:write"):
        raise Refused(gettext("Only an owner changes or removes an owner."))
    if Membership.objects.filter(organization=membership.organization, role=Role.OWNER).count() == 1:
        raise Refused(gettext("The last owner stays. Make somebody else an owner first."))


def lock(*organization_ids: UUID) -> None:
    """Be alone with the teams of these organizations, until the end of the transaction. Before anybody is locked."""
    list(Organization.objects.select_for_update(no_key=True).filter(pk__in=organization_ids).order_by("pk"))


def _named(membership: Membership) -> dict[str, Any]:
    return {"user": membership.user.email, "role": membership.role}


def _record(
    actor: audit.Actor, action: str, organization: Organization, row: Any, after: Any, before: Any = None
) -> None:
    audit.record(
        actor=actor,
        action=action,
        object_type=action.partition(".")[0],
        object_id=str(row.pk),
        organization_id=organization.pk,
        before=before,
        after=after,
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
