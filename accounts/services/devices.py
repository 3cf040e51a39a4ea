"""Browsers that a person trusts, and those that they were seen in before."""

import hashlib
import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core import signing
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _

from accounts import addresses
from accounts.models import TrustedDevice, User
from accounts.services import audit, mail
from accounts.sessions import agent_of

TRUSTED_DAYS = 30
KNOWN_DAYS = 365
PEOPLE_MAX = 5
_TRUST_SALT, _KNOWN_SALT = "accounts.trusted-device", "accounts.known-browser"


def trust(request: HttpRequest, response: HttpResponseBase, user: User, *, actor: audit.Actor) -> TrustedDevice:
    """Ask for no second factor in this browser for ``TRUSTED_DAYS``, where only looking is at stake.

    What lapsed of the person's, or was made under another password, is cleared away.
    """
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        TrustedDevice.objects.filter(user=user).exclude(pk__in=[device.pk for device in of(user)]).delete()
        device = TrustedDevice.objects.create(
            user=user,
            token_hash=_digest(token),
            bound_to=user.get_session_auth_hash(),
            name=agent_of(request),
            ip_address=addresses.text_of(request),
            expires_at=timezone.now() + timedelta(days=TRUSTED_DAYS),
        )
        _record(actor, "device.trusted", device)
    _set(request, response, "device", signing.dumps([str(user.pk), token], salt=_TRUST_SALT), TRUSTED_DAYS)
    return device


def trusted(request: HttpRequest, user: User) -> TrustedDevice | None:
    """The trusted device that this browser is, if it still is one of this very person's."""
    try:
        owner, token = signing.loads(request.COOKIES.get(_name(request, "device"), ""), salt=_TRUST_SALT)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    if owner != str(user.pk):
        return None
    device = TrustedDevice.objects.filter(user=user, token_hash=_digest(token)).first()
    if device is None or not _holds(device, user):
        return None
    TrustedDevice.objects.filter(pk=device.pk).update(last_used_at=timezone.now())
    return device


def still_trusted(user: User, device_id: str) -> bool:
    """Whether a session that was opened on the strength of this device may go on."""
    device = TrustedDevice.objects.filter(pk=UUID(device_id), user=user).first()
    return device is not None and _holds(device, user)


def revoke(device: TrustedDevice, *, actor: audit.Actor) -> None:
    """Trust it no more: from the next request on."""
    with transaction.atomic():
        _record(actor, "device.revoked", device)
        device.delete()


def of(user: User) -> list[TrustedDevice]:
    """The devices that the person trusts now."""
    return [device for device in TrustedDevice.objects.filter(user=user) if _holds(device, user)]


def notice(request: HttpRequest, response: HttpResponseBase, user: User, *, first_time: bool, by: str = "") -> None:
    """After a sign-in: remember this browser, and write to the person if they were never seen in it.

    A browser that single sign-on opened, ``by`` its mark, is known to that alone: whoever sent somebody in as this
    person gets no more attempts at their password by it, and a later sign-in with the password is told.
    """
    if not knows(request, user) and not knows(request, user, by=by) and not first_time:
        where = addresses.text_of(request) or _("an unknown address")
        mail.tell(
            user,
            _("Sign-in from a new browser"),
            _("Somebody signed in with {browser} from {address}."),
            browser=agent_of(request),
            address=where,
        )
    remember(request, response, user, by=by)


def knows(request: HttpRequest, user: User, *, by: str = "") -> bool:
    """Whether this person was seen in this browser before: signed in with their password, or ``by`` this way."""
    return _mark(user, by) in _known(request)


def remember(request: HttpRequest, response: HttpResponseBase, user: User, *, by: str = "") -> None:
    """This person is seen in this browser."""
    mark = _mark(user, by)
    kept = [mark, *(other for other in _known(request) if other != mark)][:PEOPLE_MAX]
    _set(request, response, "known", signing.dumps(kept, salt=_KNOWN_SALT), KNOWN_DAYS)


def _known(request: HttpRequest) -> list[str]:
    try:
        return list(signing.loads(request.COOKIES.get(_name(request, "known"), ""), salt=_KNOWN_SALT))
    except signing.BadSignature:
        return []


def _mark(user: User, by: str) -> str:
    return hashlib.sha256(f"{user.pk}{by}".encode()).hexdigest()[:16]


def _holds(device: TrustedDevice, user: User) -> bool:
    same = constant_time_compare(device.bound_to, user.get_session_auth_hash())
    return same and device.expires_at > timezone.now()


def _name(request: HttpRequest, kind: str) -> str:
    return f"__Host-{kind}" if request.is_secure() else f"ante_{kind}"


def _set(request: HttpRequest, response: HttpResponseBase, kind: str, value: str, days: int) -> None:
    response.set_cookie(
        _name(request, kind),
        value,
        max_age=days * 86_400,
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )


def _record(actor: audit.Actor, action: str, device: TrustedDevice) -> None:
    after: dict[str, Any] = {"name": device.name}
    audit.record(actor=actor, action=action, object_type="user", object_id=str(device.user_id), after=after)


def _digest(token: str) -> bytes:
    return hashlib.sha256(str(token).encode()).digest()
