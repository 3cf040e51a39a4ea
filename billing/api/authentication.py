"""Who sent the request, and whether its key has the scope that the view asks for."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import addresses
from accounts.services import api_keys, audit
from accounts.services.api_keys import Principal
from billing.api import pace
from billing.errors import IpNotAllowed, PermissionDenied, Unauthenticated

LENGTH_MAX = 200


def secret_of(header: str) -> str:
    """The key in an ``Authorization`` header. Raises ``Unauthenticated`` where there is none."""
    scheme, _, secret = header.partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret or len(secret) > LENGTH_MAX:
        raise Unauthenticated("Send an API key as Authorization: Bearer <key>.")
    return secret


def authenticate(header: str, *, peer: str, forwarded: str) -> Principal:
    """Whose key is in the ``Authorization`` header. Raises ``Unauthenticated`` and ``IpNotAllowed``.

    ``peer`` is the socket's address, ``forwarded`` the ``X-Forwarded-For`` line.
    """
    secret = secret_of(header)
    found = api_keys.authenticate(secret)
    if found is None and api_keys.is_of_other_mode(secret):
        mode = api_keys.mode()
        raise Unauthenticated(
            f"This deployment is in {mode} mode: it takes keys that begin with sk_{mode}_ or ck_{mode}_."
        )
    if found is None:
        raise Unauthenticated("This API key is unknown, revoked or expired.")
    return admitted(found, peer=peer, forwarded=forwarded)


def admitted(principal: Principal, *, peer: str, forwarded: str) -> Principal:
    """The same principal, if it may call from there. Raises ``IpNotAllowed``, and ``PermissionDenied`` while the key
    is paused."""
    if principal.paused:
        raise PermissionDenied(f"This key is paused. {principal.paused}")
    if not principal.admits(peer, forwarded):
        raise IpNotAllowed("This key may not be used from the address that the request came from.")
    return principal


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer <key>``. The request's ``auth`` is the ``Principal``, which keeps to its pace."""

    def authenticate(self, request: Request) -> tuple[Any, Principal]:
        meta = request.META
        header, peer = meta.get("HTTP_AUTHORIZATION", ""), meta.get("REMOTE_ADDR", "")
        found = authenticate(header, peer=peer, forwarded=meta.get("HTTP_X_FORWARDED_FOR", ""))
        pace.buckets.spend(found.organization_id)
        return None, found

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class HasScope(BasePermission):
    """The key has the scope that the view names for this method in ``scopes``. HEAD asks for what GET asks for.

    A method for which no scope is named is not allowed to anybody: nothing is open because it was forgotten.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        method = request.method or ""
        scope: str | None = view.scopes.get("GET" if method == "HEAD" else method)
        if scope is None:
            raise MethodNotAllowed(method)
        if not principal(request).may(scope):
            raise PermissionDenied(f"This key does not have the scope {scope}.", scope=scope)
        return True


def principal(request: Request) -> Principal:
    """The key behind the request."""
    found = request.auth
    assert isinstance(found, Principal)
    return found


def actor(request: Request) -> audit.Actor:
    """The key behind the request, for the trail."""
    key = principal(request)
    return audit.Actor.of_key(
        key.key_id,
        key.label,
        ip_address=addresses.text_of(request),
        request_id=audit.request_id_of(request),
    )
