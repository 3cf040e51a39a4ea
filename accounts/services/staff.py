"""The operator's own people: which groups there are, and what each may do in the back office.

The groups are made, and brought back to this table, after every migration. Further groups may be made by hand.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group, Permission

from accounts.models import AuditEvent, Membership, User

ADMINISTRATOR, FINANCE, SUPPORT, AUDITOR = "Administrator", "Finance", "Support", "Auditor"

# group: what it may do beside seeing everything, as Django names its permissions; ``app.*`` is all of an app's.
GROUPS: Mapping[str, tuple[str, ...]] = {
    ADMINISTRATOR: ("billing.*", "accounts.*", "auth.*"),
    FINANCE: ("billing.*", "accounts.change_outgoingmail"),
    SUPPORT: ("billing.change_customer", "billing.add_note", "accounts.change_outgoingmail"),
    AUDITOR: (),
}
DESCRIPTIONS: Mapping[str, str] = {
    ADMINISTRATOR: "Everything, people and keys included",
    FINANCE: "Puts value in and takes it back, changes limits and customers; sees everything",
    SUPPORT: "Changes customers' fields but credit, keeps notes, sends letters again; sees all but staff and keys",
    AUDITOR: "Sees everything, changes nothing",
}
UNSEEN: Mapping[str, tuple[str, ...]] = {
    SUPPORT: ("accounts.apikey", "auth.group", "billing.idempotencyrecord"),
}
APPS = ("accounts", "billing", "auth")
_TOUCHING = (
    *("user.created", "user.changed", "user.permissions_changed", "user.password_set"),
    "second_factor.reset",
)
"""What somebody does to another's account after which they could sign in to it."""
_PUTTING_IN = (
    *("membership.created", "membership.changed", "membership.deleted"),
    *("organization.membership_created", "organization.membership_changed", "organization.membership_deleted"),
)


def join(user: User, group: str) -> None:
    """Make this person staff, in one of the groups. Administrators are superusers: they give others their powers."""
    user.is_staff = True
    user.is_superuser = group == ADMINISTRATOR
    user.save(update_fields=["is_staff", "is_superuser"])
    if not Group.objects.filter(name=group).exists():
        make_groups()
    user.groups.add(Group.objects.get(name=group))


def make_groups(**_: Any) -> None:
    """The groups with the permissions of the table, whatever they had."""
    known = list(Permission.objects.filter(content_type__app_label__in=APPS).select_related("content_type"))
    for name, powers in GROUPS.items():
        group, _made = Group.objects.get_or_create(name=name)
        group.permissions.set(permission for permission in known if _has(name, powers, permission))


def _has(group: str, powers: Iterable[str], permission: Permission) -> bool:
    code = f"{permission.content_type.app_label}.{permission.codename}"
    if code in powers or f"{permission.content_type.app_label}.*" in powers:
        return True
    model = f"{permission.content_type.app_label}.{permission.content_type.model}"
    return permission.codename.startswith("view_") and model not in UNSEEN.get(group, ())


def behind(person_id: UUID, *, since: datetime) -> set[UUID]:
    """Who may be sitting behind the account: its person, whoever made it, changed it or reset its password or second
    factor ``since`` then, and whoever did so to theirs."""
    found, new = {person_id}, {person_id}
    while new:
        lines = AuditEvent.objects.filter(
            object_type="user", object_id__in=[str(each) for each in new], action__in=_TOUCHING, created_at__gte=since
        )
        hands = lines.filter(actor_kind=AuditEvent.Actor.USER).values_list("actor_id", flat=True)
        new = {hand for hand in hands if hand is not None} - found
        found |= new
    return found


def had_in_hand(organization_id: UUID, *, since: datetime) -> bool:
    """Whether staff said who acts for the organization ``since`` then, or could have signed in as who does or did: what
    is done in its name may be theirs."""
    lines = AuditEvent.objects.filter(created_at__gte=since, actor_kind=AuditEvent.Actor.USER)
    within = lines.filter(organization_id=organization_id)
    members = Membership.objects.filter(organization_id=organization_id).values_list("user_id", flat=True)
    people = {*members, *within.values_list("actor_id", flat=True).distinct()}
    theirs = lines.filter(object_type="user", object_id__in=[str(each) for each in people], action__in=_TOUCHING)
    hands = (within.filter(action__in=_PUTTING_IN) | theirs).values("actor_id")
    return User.objects.filter(pk__in=hands, is_staff=True).exists()
