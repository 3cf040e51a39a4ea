"""What is kept of a request with the usage that it reports."""

from rest_framework.request import Request

from accounts import addresses
from billing.services.usage import Origin


def of(request_id: str, brought: str | None, *, peer: str, forwarded: str) -> Origin:
    """``brought`` is the caller's own ``X-Request-Id``, which is not kept; ``peer`` the socket's address,
    ``forwarded`` the ``X-Forwarded-For`` line."""
    address = addresses.caller(peer, forwarded)
    return Origin("" if request_id == brought else request_id, "" if address is None else str(address))


def of_request(request: Request) -> Origin:
    """The same of a request that Django has read."""
    meta = request.META
    return of(
        getattr(request, "request_id", ""),
        meta.get("HTTP_X_REQUEST_ID"),
        peer=meta.get("REMOTE_ADDR", ""),
        forwarded=meta.get("HTTP_X_FORWARDED_FOR", ""),
    )
