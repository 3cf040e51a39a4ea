"""Where usage came from, as far as it is kept for disputes: the request's id, and a keyed hash of who called."""

from functools import lru_cache

from django.utils.crypto import salted_hmac
from rest_framework.request import Request

from accounts import addresses

_KEPT = 16
"""Hexadecimal digits: enough to tell callers apart, and to say of an address whether it was this one."""


def of(request_id: str, *, peer: str, forwarded: str) -> str:
    """``<request id> <hash>``. ``peer`` is the socket's address, ``forwarded`` the ``X-Forwarded-For`` line."""
    return f"{request_id} {hashed(peer, forwarded)}"


def of_request(request: Request) -> str:
    """The same of a request that Django has read."""
    meta = request.META
    forwarded = meta.get("HTTP_X_FORWARDED_FOR", "")
    return of(getattr(request, "request_id", ""), peer=meta.get("REMOTE_ADDR", ""), forwarded=forwarded)


@lru_cache(maxsize=4096)
def hashed(peer: str, forwarded: str) -> str:
    """Of the caller's address, with a key that is not in the database; the address itself is kept nowhere."""
    address = addresses.caller(peer, forwarded)
    if address is None:
        return ""
    return salted_hmac("billing.event.origin", str(address), algorithm="sha256").hexdigest()[:_KEPT]
