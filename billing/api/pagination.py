"""Lists: newest first, by an opaque cursor."""

import base64
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from rest_framework.request import Request

from billing.errors import InvalidRequest

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
_M = TypeVar("_M", bound=Model)


def page(request: Request, rows: QuerySet[_M], show: Callable[[_M], Any]) -> dict[str, Any]:
    """One page of ``rows``, whose primary keys grow with time."""
    return page_together(request, rows, lambda found: [show(row) for row in found])


def page_together(
    request: Request, rows: QuerySet[_M], show: Callable[[Sequence[_M]], Sequence[Any]]
) -> dict[str, Any]:
    """The same where what is shown of the rows is read for all of them at once."""
    before, limit = cursor(request), limit_of(request)
    rows = rows.order_by("-pk")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows[: limit + 1])
    return envelope(show(found[:limit]), found[limit - 1].pk if len(found) > limit else None)


def envelope(data: Sequence[Any], following: UUID | None) -> dict[str, Any]:
    """The shape of every list. ``following`` is the last row's key where more rows come after it."""
    token = None if following is None else base64.urlsafe_b64encode(following.bytes).decode().rstrip("=")
    return {"data": data, "next_cursor": token}


def cursor(request: Request) -> UUID | None:
    token = request.query_params.get("cursor")
    if token is None:
        return None
    try:
        return UUID(bytes=base64.urlsafe_b64decode(token + "=="))
    except ValueError:
        raise InvalidRequest.field("cursor", "is not one that a list gave") from None


def limit_of(request: Request) -> int:
    text = request.query_params.get("limit", str(LIMIT_DEFAULT))
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= LIMIT_MAX):
        raise InvalidRequest.field("limit", f"must be a whole number from 1 to {LIMIT_MAX}")
    return int(text)
