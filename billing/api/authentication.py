"""Who sent the request, and whether its key has the scope that the view asks for."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.services import api_keys, audit
from accounts.services.api_keys import Principal
from billing.errors import PermissionDenied, Unauthenticated

LENGTH_MAX = 200


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer <key>``. The request's ``auth`` is the ``Principal``."""

    def authenticate(self, request: Request) -> tuple[Any, Principal]:
        scheme, _, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret or len(secret) > LENGTH_MAX:
            raise Unauthenticated("Send an API key as Authorization: Bearer <key>.")
        principal = api_keys.authenticate(secret)
        if principal is None:
            raise Unauthenticated("This API key is unknown, revoked or expired.")
        return None, principal

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class HasScope(BasePermission):
    """The key has the scope that the view names for this method in ``scopes``."""

    def has_permission(self, request: Request, view: Any) -> bool:
        scope: str | None = view.scopes.get(request.method)
        if scope is not None and not principal(request).may(scope):
            raise PermissionDenied(f"This key does not have the scope {scope}.", scope=scope)
        return True


def principal(request: Request) -> Principal:
    """The key behind the request."""
    found = request.auth
    assert isinstance(found, Principal)
    return found


def actor(request: Request) -> audit.Actor:
    """The key behind the request, for the trail."""
    return audit.Actor.of_key(
        principal(request),
        ip_address=request.META.get("REMOTE_ADDR") or None,
        request_id=getattr(request, "request_id", ""),
    )
