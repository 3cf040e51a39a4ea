"""How many files are made while they are sent, at once: each holds a thread until it is read."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from weakref import WeakSet

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.utils.translation import gettext

AT_ONCE_MAX = 4
"""In one web process."""
OF_ORGANIZATION_MAX = 3
OF_PERSON_MAX = 2
RETRY_SECONDS = 30


class Download:
    """The parts of a file that has its place until it is closed, or dropped."""

    def __init__(self, parts: Any, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._parts: Iterable[bytes] = parts

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def close(self) -> None:
        with _lock:
            under_way.discard(self)


under_way: WeakSet[Download] = WeakSet()
_lock = threading.Lock()


class DownloadsMiddleware:
    """Refuses a file to whom as many are being sent as one person, or all of an organization, may have at once.

    A page about an organization says which in ``request.organization_id``.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not isinstance(response, StreamingHttpResponse):
            return response
        names = _names(request)
        download = Download(response.streaming_content, names)
        with _lock:
            has_place = all(sum(name in one.names for one in under_way) < most for name, most in names.items())
            if has_place:
                under_way.add(download)
        if has_place:
            response.streaming_content = download
            return response
        text = gettext("Too many files are being sent at once. Try again when one of them is there.")
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return HttpResponse(text, status=503, content_type="text/plain; charset=utf-8", headers=headers)


def _names(request: HttpRequest) -> Mapping[str, int]:
    """Whom a file counts for, each with how many they may have."""
    names = {"everybody": AT_ONCE_MAX}
    if person_id := getattr(request.user, "pk", None):
        names[f"person {person_id}"] = OF_PERSON_MAX
    if organization_id := getattr(request, "organization_id", None):
        names[f"organization {organization_id}"] = OF_ORGANIZATION_MAX
    return names
