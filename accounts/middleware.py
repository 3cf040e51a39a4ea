"""What every request gets, whatever it asks for."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from accounts import addresses, logs, reading
from accounts.ids import uuid7

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ENGLISH = ("/api/", "/admin/")
_ACCEPTABLE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


def request_id_for(brought: str | None) -> str:
    """The caller's own name for the request where it is plain text of at most 64 characters, else a new one."""
    return brought if brought and _ACCEPTABLE.match(brought) else uuid7().hex


class RequestIdMiddleware:
    """Names each request, in ``request.request_id``, the answer's ``X-Request-Id`` and what is logged meanwhile."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = request_id_for(request.META.get("HTTP_X_REQUEST_ID"))
        request.request_id = request_id  # type: ignore[attr-defined]
        logs.request_id.set(request_id)
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        return response


def _ended(**_: Any) -> None:
    """The answer is sent, its last block too; the thread may go on with something else."""
    logs.request_id.set("")


request_finished.connect(_ended)


class ForwardedProtoMiddleware:
    """Goes on as if ``X-Forwarded-Proto`` had not been sent, where no proxy of ours sent it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not addresses.is_proxy(request.META.get("REMOTE_ADDR", "")):
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        return self.get_response(request)


def printable_cookies(cookies: Mapping[str, str]) -> dict[str, str]:
    """Those without control characters. A quoted cookie may hold any, NUL too, with which no database can be asked."""
    return {name: value for name, value in cookies.items() if not _CONTROL.search(name + value)}


class PrintableCookiesMiddleware:
    """Goes on as if cookies with control characters had not been sent: nobody here ever set one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.COOKIES = printable_cookies(request.COOKIES)
        return self.get_response(request)


class ReadingMiddleware:
    """Answers people in their language, with numbers and dates as they write them.

    The API and the back office speak English, whoever asks.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(_ENGLISH):
            return self.get_response(request)
        shown = reading.of_request(request)
        with reading.reading_as(shown):
            response = self.get_response(request)
        response.headers.setdefault("Content-Language", shown.language)
        patch_vary_headers(response, ["Accept-Language"])
        return response
