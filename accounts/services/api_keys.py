"""Issuing API keys, and finding the one that a request brought."""

import hashlib
import re
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from accounts import addresses, reading, roles
from accounts.models import ApiKey, Membership, Organization, User
from accounts.services import audit, mail

OPERATOR_SCOPES = {
    "*": _("Everything"),
    "customers:read": _("See customers"),
    "customers:write": _("Add and change customers"),
    "wallets:read": _("See balances, grants and statements"),
    "wallets:write": _("Change overdraft limits"),
    "wallets:adjust": _("Put value into wallets and take it out, by hand"),
    "grants:write": _("Put value into wallets"),
    "catalog:read": _("See assets, meters and plans"),
    "catalog:write": _("Add assets, meters and plans"),
    "margins:read": _("See what usage costs and what is left of it"),
    "invoices:read": _("See invoices and credit notes"),
    "disputes:read": _("See disputes and their evidence"),
    "disputes:write": _("Dispute charges"),
    "revenue:read": _("See the days of the books and take their journals along"),
    "subscriptions:write": _("Put customers on plans"),
    "events:read": _("See usage events and usage"),
    "events:write": _("Record usage"),
    "events:price": _("Say in an event what it costs, where the plan leaves it to that"),
    "events:reverse": _("Take charges back, and refund a part of them"),
    "top_ups:write": _("Ask for payments, and charge kept payment methods"),
    "refunds:write": _("Pay top-ups back"),
    "authorizations:write": _("Set value aside for work, and settle it"),
    "limits:write": _("Set budgets and alerts"),
    "webhooks:read": _("See webhook endpoints and what they were sent"),
    "webhooks:write": _("Name webhook endpoints, change and test them, send again"),
}
CUSTOMER_SCOPES = {
    scope: OPERATOR_SCOPES[scope]
    for scope in (
        "wallets:read",
        "events:read",
        "events:write",
        "authorizations:write",
        "catalog:read",
        "limits:write",
        "invoices:read",
        "disputes:read",
        "disputes:write",
        "webhooks:read",
        "webhooks:write",
    )
}
LAST_USED_RESOLUTION = timedelta(minutes=1)
REMEMBERED_SECONDS = 1.0
"""How long a process goes on trusting a key it has looked up: so long may a revoked key live on."""
REMEMBERED_MAX = 10_000
LATELY_SECONDS = 2.0
LOOKED_UP_MAX = 500
"""So many keys that were used lately are looked up along with one that is asked for, at most."""

_MADE = gettext_noop(
    "{person} made or renewed the API key {name} of {organization}, and was shown its secret.\n\n"
    "Whoever has it acts for the organization as far as it reaches. If nobody was to make it, revoke it: {link}"
)
_FORM = re.compile(r"[cs]k_(live|test)_[A-Za-z0-9_-]{43}\Z")
_seen: dict[bytes, tuple[float, "Principal"]] = {}
_used: dict[bytes, float] = {}
"""When those were used that were at the last look-up or since."""
_owners: dict[UUID, UUID] = {}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from: an API key, and what it may reach."""

    key_id: UUID
    label: str
    scopes: frozenset[str]
    organization_id: UUID | None
    """The organization a customer's key is bound to; None for the operator's, which reach every customer."""
    networks: tuple[tuple[str, ...], ...] = ()
    """Lists of CIDR blocks, the key's and its organization's: the caller must be in one block of each list."""

    paused: str = ""
    """Why the key is paused: it is known, and may do nothing until somebody resumes it."""

    def may(self, scope: str) -> bool:
        return "*" in self.scopes or scope in self.scopes

    def admits(self, peer: str, forwarded: str) -> bool:
        """Whether a call may come from there: the socket's address and the ``X-Forwarded-For`` line."""
        if not self.networks:
            return True
        address = addresses.caller(peer, forwarded)
        return all(addresses.allows(blocks, address) for blocks in self.networks)


def mode() -> str:
    """``live``, or ``test`` where everything is for trying out: a deployment is one of them, and so are its keys."""
    return "test" if settings.TEST_MODE else "live"


def is_accepted(key: ApiKey) -> bool:
    """Whether the key is of the deployment's mode. One that was made before the mode was changed is not."""
    return key.live is not settings.TEST_MODE


def is_of_other_mode(secret: str) -> bool:
    """Whether this looks like a test key where live ones are taken, or the reverse: worth a word to who sent it."""
    other = "live" if settings.TEST_MODE else "test"
    return secret.startswith((f"sk_{other}_", f"ck_{other}_"))


def issue(
    *,
    name: str,
    scopes: Collection[str],
    organization: Organization | None = None,
    expires_at: datetime | None = None,
    allowed_networks: Collection[str] = (),
    renews: ApiKey | None = None,
    created_by: User | None = None,
    actor: audit.Actor = audit.SYSTEM,
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is not stored and cannot be shown again.

    Without an organization it is an operator's key (``sk_…``), with one a customer's (``ck_…``), and of the mode that
    the deployment is in (``…_live_`` or ``…_test_``). Where a person makes a customer's key, the organization's owners
    and administrators get a letter. Raises ``ValueError`` for a scope that such a key cannot have.
    """
    allowed = CUSTOMER_SCOPES if organization else OPERATOR_SCOPES
    unknown = sorted(set(scopes) - allowed.keys())
    if unknown or not scopes:
        raise ValueError(f"Unknown scopes: {', '.join(unknown) or 'none given'}. Known are: {', '.join(allowed)}.")
    prefix = f"{'ck' if organization else 'sk'}_{mode()}_"
    secret = prefix + secrets.token_urlsafe(32)
    with transaction.atomic():
        key = ApiKey.objects.create(
            kind=ApiKey.Kind.CUSTOMER if organization else ApiKey.Kind.OPERATOR,
            organization=organization,
            name=name,
            prefix=secret[: len(prefix) + 6],
            secret_hash=_digest(secret),
            scopes=sorted(scopes),
            live=not settings.TEST_MODE,
            expires_at=expires_at,
            allowed_networks=list(allowed_networks),
            renews=renews,
            created_by=created_by,
        )
        after = {
            "mode": mode(),
            "scopes": key.scopes,
            "expires_at": None if expires_at is None else expires_at.isoformat(),
        }
        _record(actor, "api_key.issued", key, after=after)
        if organization is not None and created_by is not None:
            _tell(key, organization, created_by)
    return key, secret


def _tell(key: ApiKey, organization: Organization, maker: User) -> None:
    """Write to who looks after the organization's people: an account that is not theirs to trust made itself a key."""
    members = Membership.objects.filter(organization=organization, user__is_active=True).select_related("user")
    facts = {
        "person": maker.email,
        "name": mail.harmless(key.name),
        "organization": mail.harmless(organization.name),
        "link": f"{settings.BASE_URL}{reverse('portal:keys')}",
    }
    for member in members:
        if roles.may(member.role, "team:write"):
            with reading.reading_as(reading.of_user(member.user)):
                mail.queue(member.user.email, gettext("A new API key"), gettext(_MADE).format(**facts))


def revoke(key: ApiKey, *, actor: audit.Actor = audit.SYSTEM) -> bool:
    """End the key: here at once, in other processes within ``REMEMBERED_SECONDS``. False where it had ended before."""
    with transaction.atomic():
        ended = ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=timezone.now())
        if ended:
            _record(actor, "api_key.revoked", key)
    forget()
    return bool(ended)


def pause(key_ids: Collection[UUID], *, reason: str, actor: audit.Actor = audit.SYSTEM) -> int:
    """Stop these keys until somebody resumes them. Returns how many were not paused or revoked before."""
    with transaction.atomic():
        keys = ApiKey.objects.select_for_update(of=("self",)).filter(pk__in=key_ids, revoked_at=None, paused_at=None)
        found = list(keys.order_by("pk").select_related("organization"))
        ApiKey.objects.filter(pk__in=[key.pk for key in found]).update(
            paused_at=timezone.now(), paused_because=reason[:200]
        )
        for key in found:
            _record(actor, "api_key.paused", key, after={"reason": reason})
    forget()
    return len(found)


def resume(key: ApiKey, *, actor: audit.Actor = audit.SYSTEM) -> bool:
    """Let a paused key work again. False where it was not paused."""
    with transaction.atomic():
        resumed = ApiKey.objects.filter(pk=key.pk).exclude(paused_at=None).update(paused_at=None, paused_because="")
        if resumed:
            _record(actor, "api_key.resumed", key)
    forget()
    return bool(resumed)


def renewed_elsewhere(key: ApiKey) -> str:
    """Where the key is renewed if not in the back office, in words; empty where it is renewed there.

    Whoever renews a key is shown its secret and could act as the program: what staff may not do alone, or not at all.
    """
    if key.organization_id is not None:
        return "A customer's key is renewed by their own people, in the portal: nobody else is shown its secret."
    if any(scope not in CUSTOMER_SCOPES and not scope.endswith(":read") for scope in key.scopes):
        return "This key may do what people may not do alone: renew it on the server, with manage.py renew_api_key."
    return ""


def rotate(
    key: ApiKey, *, overlap: timedelta, created_by: User | None = None, actor: audit.Actor = audit.SYSTEM
) -> tuple[ApiKey, str]:
    """A new key with the same name, powers and networks, and its secret. The old one works for ``overlap`` longer.

    Raises ``ValueError`` for a key that has ended, is paused, was renewed before, or is of the other mode.
    """
    now = timezone.now()
    with transaction.atomic():
        old = ApiKey.objects.select_for_update(no_key=True, of=("self",)).select_related("organization").get(pk=key.pk)
        if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
            raise ValueError("This key has ended: make a new one.")
        if not is_accepted(old):
            raise ValueError(f"This key is for another mode than {mode()}: make a new one.")
        if old.paused_at is not None:  # The new one would go on where this one was stopped.
            raise ValueError("This key is paused: resume it first.")
        if ApiKey.objects.filter(renews=old).exists():
            raise ValueError("This key was renewed before.")
        lifetime = None if old.expires_at is None else old.expires_at - old.created_at
        made, secret = issue(
            name=old.name,
            scopes=old.scopes,
            organization=old.organization,
            expires_at=None if lifetime is None else now + lifetime,
            allowed_networks=old.allowed_networks,
            renews=old,
            created_by=created_by,
            actor=actor,
        )
        end = now + overlap if old.expires_at is None else min(old.expires_at, now + overlap)
        ApiKey.objects.filter(pk=old.pk).update(expires_at=end)
        _record(actor, "api_key.rotated", old, after={"renewed_by": str(made.pk), "expires_at": end.isoformat()})
    forget()
    return made, secret


def allow_from(key: ApiKey, networks: Collection[str], *, actor: audit.Actor = audit.SYSTEM) -> None:
    """Let the key be used from these CIDR blocks only; from everywhere if there are none."""
    with transaction.atomic():
        row = ApiKey.objects.select_for_update(no_key=True).get(pk=key.pk)
        before, row.allowed_networks = row.allowed_networks, list(networks)
        row.save(update_fields=["allowed_networks"])
        _record(
            actor,
            "api_key.networks_changed",
            row,
            before={"allowed_networks": before},
            after={"allowed_networks": row.allowed_networks},
        )
    forget()


def _record(
    actor: audit.Actor,
    action: str,
    key: ApiKey,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    audit.record(
        actor=actor,
        action=action,
        object_type="api_key",
        object_id=str(key.pk),
        organization_id=key.organization_id,
        before=before,
        after={"name": key.name, "prefix": key.prefix, **(after or {})},
    )


def authenticate(secret: str) -> Principal | None:
    """The principal behind ``secret``, or None where it is unknown, revoked, expired or of the other mode.

    Whichever other keys were used lately are looked up along, so that it is one query a second for all of them and not
    one for each.
    """
    seen = recently_seen(secret)
    if seen is not None:
        return seen
    if _FORM.match(secret) is None:
        return None
    digest = _digest(secret)
    now = time.monotonic()
    lately = [each for each, at in list(_used.items()) if now - at < LATELY_SECONDS]
    _used.clear()
    digests = {digest, *lately[:LOOKED_UP_MAX]}
    found = _look_up(digests)
    for ended in digests - found.keys():
        _seen.pop(ended, None)
    if len(_seen) + len(found) > REMEMBERED_MAX:
        _seen.clear()
    until = time.monotonic() + REMEMBERED_SECONDS
    _seen.update({each: (until, principal) for each, principal in found.items()})
    if digest in found:
        _used[digest] = now
    return found.get(digest)


def _look_up(digests: Collection[bytes]) -> dict[bytes, Principal]:
    now = timezone.now()
    keys = list(
        ApiKey.objects.select_related("organization")
        .filter(secret_hash__in=digests, live=not settings.TEST_MODE, revoked_at__isnull=True)
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    )
    stale = [key.pk for key in keys if key.last_used_at is None or now - key.last_used_at > LAST_USED_RESOLUTION]
    if stale:
        with transaction.atomic():  # Other processes note the same keys; none waits for another.
            free = ApiKey.objects.select_for_update(skip_locked=True, no_key=True).filter(pk__in=stale)
            ApiKey.objects.filter(pk__in=free.values("pk")).update(last_used_at=now)
    return {bytes(key.secret_hash): _principal(key) for key in keys}


def _principal(key: ApiKey) -> Principal:
    of_organization = [] if key.organization is None else key.organization.allowed_networks
    return Principal(
        key_id=key.id,
        label=f"{key.name} ({key.prefix}…)",
        scopes=frozenset(key.scopes),
        organization_id=key.organization_id,
        networks=tuple(tuple(blocks) for blocks in (key.allowed_networks, of_organization) if blocks),
        paused="" if key.paused_at is None else why_paused(key),
    )


def works(key_id: UUID) -> bool:
    """Whether this key could be used now: it has not ended and nobody paused it."""
    found = ApiKey.objects.filter(pk=key_id, live=not settings.TEST_MODE, revoked_at=None, paused_at=None)
    return found.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())).exists()


def obstacle(key: ApiKey) -> str:
    """Why this key could not be used now, in words; empty where it could."""
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= timezone.now()):
        return "This key is revoked or expired."
    if not is_accepted(key):
        return f"This key is for another mode than {mode()}."
    return "" if key.paused_at is None else f"This key is paused. {why_paused(key)}"


def why_paused(key: ApiKey) -> str:
    """Why a paused key is, in words."""
    return key.paused_because or "Somebody paused it."


def owners(key_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """The organizations that these keys belong to. Unknown ones are left out, and the operator's.

    A key never changes hands, so each process keeps those it has seen.
    """
    known = {key_id: owner for key_id in key_ids if (owner := _owners.get(key_id)) is not None}
    unknown = [key_id for key_id in key_ids if key_id not in known]
    if unknown:
        rows = ApiKey.objects.filter(pk__in=unknown, organization__isnull=False)
        found: dict[UUID, UUID] = dict(rows.values_list("pk", "organization_id"))
        if len(_owners) + len(found) > REMEMBERED_MAX:
            _owners.clear()
        _owners.update(found)
        known |= found
    return known


def recently_seen(secret: str) -> Principal | None:
    """The principal behind ``secret`` if it was looked up in the last second, without asking the database."""
    digest, now = _digest(secret), time.monotonic()
    found = _seen.get(digest)
    if found is None or found[0] <= now:
        return None
    _used[digest] = now
    return found[1]


def was_seen(secret: str) -> bool:
    """Whether this was a key when it was looked up last: nobody's guess, though it may have ended since."""
    return _digest(secret) in _seen


def forget() -> None:
    """Look every key up again."""
    _seen.clear()
    _used.clear()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
