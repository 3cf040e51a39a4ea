"""What every request gets, whatever it asks for."""

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from accounts.ids import uuid7

_ACCEPTABLE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


class RequestIdMiddleware:
    """Names each request, in ``request.request_id`` and the answer's ``X-Request-Id``.

    A name that the caller brought is kept where it is plain text of at most 64 characters.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        brought = request.META.get("HTTP_X_REQUEST_ID", "")
        request.request_id = brought if _ACCEPTABLE.match(brought) else uuid7().hex  # type: ignore[attr-defined]
        response = self.get_response(request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response
