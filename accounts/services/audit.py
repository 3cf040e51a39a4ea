"""The trail of who changed what. Written in the transaction of the change, so that neither exists without the other."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model, Q
from django.http import HttpRequest

from accounts import addresses
from accounts.models import ApiKey, AuditDetail, AuditEvent, User


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, from where, in which request."""

    kind: str
    id: UUID | None = None
    label: str = ""
    ip_address: str | None = None
    request_id: str = ""

    @classmethod
    def of_key(cls, key_id: UUID, label: str, *, ip_address: str | None, request_id: str) -> "Actor":
        return cls(AuditEvent.Actor.API_KEY, key_id, label, ip_address, request_id)

    @classmethod
    def of_user(cls, user: User, *, ip_address: str | None, request_id: str) -> "Actor":
        return cls(AuditEvent.Actor.USER, user.pk, user.email, ip_address, request_id)


def actor_of(request: HttpRequest) -> Actor:
    """The person at the keyboard, as the trail names them."""
    assert isinstance(request.user, User)
    return Actor.of_user(request.user, ip_address=addresses.text_of(request), request_id=request_id_of(request))


def request_id_of(request: HttpRequest) -> str:
    """The id that was made here for the request. None where the caller brought one: it may name somebody for ever."""
    found: str = getattr(request, "request_id", "")
    return "" if found == request.META.get("HTTP_X_REQUEST_ID") else found


PERSONAL: Mapping[str, frozenset[str]] = {
    "user": frozenset({"email", "name", "issuer", "timezone", "language", "number_style", "date_style"}),
    "customer": frozenset({"email", "name", "metadata", "tax_id", "exempt_reason", "address"}),
    "organization": frozenset({"name", "user", "allowed_networks", "short_name", "issuer", "client_id"}),
    "membership": frozenset({"user", "organization"}),
    "invitation": frozenset({"email"}),
    "api_key": frozenset({"name", "allowed_networks"}),
    "budget": frozenset({"name", "scope"}),
    "payment_method": frozenset({"last4"}),
    "notice_target": frozenset({"address"}),
    "webhook_endpoint": frozenset({"url", "description"}),
}
"""What is about a person in lines about an object of this type, by the name of the field."""
_WORDS = frozenset({"reason", "note", "reference"})
"""What people write in words of their own: of an organization they may name somebody."""

SYSTEM = Actor(AuditEvent.Actor.SYSTEM, label="system")


def differing(row: Model, said: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of what is said of the row's fields, what is not so yet: as it is now, and as it was said."""
    after = {field: value for field, value in said.items() if getattr(row, field) != value}
    return {field: getattr(row, field) for field in after}, after


def record(
    *,
    actor: Actor,
    action: str,
    object_type: str,
    object_id: str,
    organization_id: UUID | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Add a line to the trail. ``action`` is a stored code such as ``customer.created``."""
    named = actor.kind != AuditEvent.Actor.SYSTEM
    personal = PERSONAL.get(object_type, frozenset()) | (_WORDS if organization_id is not None else frozenset())
    line = AuditEvent.objects.create(
        actor_kind=actor.kind,
        actor_id=actor.id,
        sealed_label="" if named else actor.label[:200],
        organization_id=organization_id,
        action=action,
        object_type=object_type,
        object_id=object_id,
        sealed_before=_part(before, lambda field: field not in personal),
        sealed_after=_part(after, lambda field: field not in personal),
        request_id=actor.request_id,
    )
    beside = AuditDetail(
        line=line,
        label=actor.label[:200] if named else "",
        ip_address=actor.ip_address,
        before=_part(before, lambda field: field in personal) or None,
        after=_part(after, lambda field: field in personal) or None,
    )
    if beside.label or beside.ip_address or beside.before or beside.after:
        beside.save(force_insert=True)
    return line


def _part(said: Mapping[str, Any] | None, wanted: Callable[[str], bool]) -> dict[str, Any] | None:
    return None if said is None else {field: value for field, value in said.items() if wanted(field)}


_INTERNAL = frozenset({"reason", "note"})


def operators() -> frozenset[UUID]:
    """The people of the back office, who was one of them once, and the operator's own keys, for ``outward``."""
    left = AuditEvent.objects.filter(action__in=("user.changed", "user.deleted"), sealed_before__is_staff=True)
    gone = frozenset(UUID(id) for id in left.values_list("object_id", flat=True))
    people = User.objects.filter(is_staff=True).values_list("pk", flat=True)
    return gone.union(people, ApiKey.objects.filter(organization=None).values_list("pk", flat=True))


_LABELS = """
WITH RECURSIVE found (label) AS (
    (SELECT label FROM accounts_auditdetail WHERE label ~>=~ %(start)s AND label ~<~ %(end)s
      ORDER BY label USING ~<~ LIMIT 1)
    UNION ALL
    SELECT (SELECT after.label FROM accounts_auditdetail after
             WHERE after.label ~>~ found.label AND after.label ~<~ %(end)s
             ORDER BY after.label USING ~<~ LIMIT 1)
      FROM found WHERE found.label IS NOT NULL
)
SELECT line.actor_id
  FROM (SELECT label FROM found WHERE label IS NOT NULL LIMIT %(most)s) AS named
 CROSS JOIN LATERAL (SELECT line_id FROM accounts_auditdetail one WHERE one.label = named.label LIMIT 1) AS detail
  JOIN accounts_auditevent line ON line.id = detail.line_id
"""
"""From one label to the next along the index, however many lines each of them has."""


def actors_called(start: str, *, most: int) -> set[UUID]:
    """The ids of people and keys whose address, name or prefix begins so, or did when they acted: ``most`` of each."""
    people = User.objects.filter(email__istartswith=start).values_list("pk", flat=True)
    keys = ApiKey.objects.filter(Q(name__istartswith=start) | Q(prefix__startswith=start)).values_list("pk", flat=True)
    with connection.cursor() as cursor:
        cursor.execute(_LABELS, {"start": start, "end": start + chr(sys.maxunicode), "most": most})
        acted = {actor for (actor,) in cursor.fetchall() if actor is not None}
    return acted.union(people[:most], keys[:most])


def outward(row: AuditEvent, operators: frozenset[UUID]) -> dict[str, Any]:
    """A line as the organization that it is about may read it, as plain values; ``by`` says who acted in words.

    Why the operator's people and programs did something, and from where, they write down for themselves.
    """
    ours = row.actor_id in operators
    told = (lambda field: field not in _INTERNAL) if ours else (lambda field: True)
    return {
        "pk": row.pk,
        "created_at": row.created_at,
        "action": row.action,
        "by": row.actor_label or row.get_actor_kind_display(),
        "actor_label": row.actor_label,
        "actor_kind": row.actor_kind,
        "object_type": row.object_type,
        "object_id": row.object_id,
        "before": _part(row.before, told),
        "after": _part(row.after, told),
        "ip_address": None if ours else row.ip_address,
    }
