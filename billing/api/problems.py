"""Every refusal as RFC 9457 ``application/problem+json``, from one map."""

import logging
import sys
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response

from billing.api import json
from billing.engine.money import amount_string
from billing.errors import (
    BillingError,
    FieldError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
    Unavailable,
)

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
DATABASE_TROUBLE = (OperationalError, InterfaceError)
"""What passes: the database restarts, has no connection left, or gives up on a statement. No bug of ours."""
_FRAMEWORK_CODES = {405: "method_not_allowed", 406: "not_acceptable", 415: "unsupported_media_type"}


def body(error: BillingError, *, request_id: str) -> dict[str, Any]:
    """The answer's members. Figures are decimal strings."""
    problem: dict[str, Any] = {
        "type": f"urn:ante:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "errors": [{"field": e.field, "code": e.code, "detail": e.detail} for e in error.errors],
        "request_id": request_id,
    }
    for name, value in error.figures.items():
        problem.setdefault(name, amount_string(value) if isinstance(value, Decimal) else value)
    return problem


def unavailable(error: Exception) -> Unavailable:
    """The refusal where the database is in trouble. Whether it had committed before is not always known."""
    logger.error("The database is in trouble", exc_info=error)
    return Unavailable(
        "The database cannot do this at the moment. Ask again shortly, with the same Idempotency-Key or event id."
    )


def handle(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """The REST framework's exception handler."""
    request: HttpRequest = context["request"]
    request_id = getattr(request, "request_id", "")
    trouble = isinstance(error, DATABASE_TROUBLE)
    refusal = unavailable(error) if trouble else _as_billing_error(error)
    if refusal is not None:
        response = Response(
            body(refusal, request_id=request_id),
            status=refusal.status,
            headers=headers(refusal),
            content_type=CONTENT_TYPE,
        )
    elif isinstance(error, exceptions.APIException):
        code = _FRAMEWORK_CODES.get(error.status_code, "invalid_request")
        problem: dict[str, Any] = {
            "type": f"urn:ante:problem:{code}",
            "title": HTTPStatus(error.status_code).phrase,
            "status": error.status_code,
            "detail": str(error.detail),
            "code": code,
            "errors": [],
            "request_id": request_id,
        }
        response = Response(problem, status=error.status_code, content_type=CONTENT_TYPE)
    else:
        return None
    response.exception = True
    return response


def answer(error: BillingError, request: HttpRequest) -> HttpResponse:
    """The same for a view that is not the REST framework's."""
    problem = body(error, request_id=getattr(request, "request_id", ""))
    return HttpResponse(json.write(problem), status=error.status, content_type=CONTENT_TYPE, headers=headers(error))


@csrf_exempt
def not_found(request: HttpRequest, **_: Any) -> HttpResponse:
    """Any path below the API that is not there."""
    return answer(NotFound(f"There is nothing at {request.path}."), request)


def handler500(request: HttpRequest) -> HttpResponse:
    """A bug, or a database in trouble. What happened is in the log; the caller is told nothing of it.

    A program gets a problem document, a person a page.
    """
    if not request.path.startswith("/api/"):
        return defaults.server_error(request)
    request_id = getattr(request, "request_id", "")
    error = sys.exception()
    if isinstance(error, DATABASE_TROUBLE):
        return answer(unavailable(error), request)
    problem = internal_error(request_id)
    return HttpResponse(json.write(problem), status=500, content_type=CONTENT_TYPE)


def internal_error(request_id: str) -> dict[str, Any]:
    """All that the outside learns of a bug."""
    return {
        "type": "urn:ante:problem:internal_error",
        "title": "Something is wrong on our side",
        "status": 500,
        "detail": (
            "It is logged under this request id. Whether anything was changed can be seen by asking again with the same"
            " Idempotency-Key or event id."
        ),
        "code": "internal_error",
        "errors": [],
        "request_id": request_id,
    }


def headers(error: BillingError) -> dict[str, str]:
    """What a refusal says outside of its body: how to authenticate, when to come again."""
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    if error.status in {429, 503} or error.code == "request_in_progress":
        return {"Retry-After": str(error.figures.get("retry_after", RETRY_AFTER_SECONDS))}
    return {}


def _as_billing_error(error: Exception) -> BillingError | None:  # noqa: PLR0911  A table, a line each.
    match error:
        case BillingError():
            return error
        case exceptions.ValidationError():
            errors = list(_field_errors(error.get_full_details()))
            return InvalidRequest("; ".join(f"{e.field}: {e.detail}" for e in errors[:3]), errors=errors)
        case exceptions.ParseError():
            return InvalidRequest(str(error.detail))
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return Unauthenticated("Send an API key as Authorization: Bearer <key>.")
        case exceptions.PermissionDenied():
            return PermissionDenied(str(error.detail))
        case exceptions.Throttled():
            return RateLimited(str(error.detail))
        case exceptions.NotFound() | Http404():
            return NotFound("There is no such thing here.")
        case RequestDataTooBig():
            return PayloadTooLarge(f"At most {json.BYTES_MAX} bytes are taken.")
        case _:
            return None


def _field_errors(details: Any, path: str = "") -> list[FieldError]:
    """The framework's nested details, flattened to one error per field."""
    if isinstance(details, list):
        found: list[FieldError] = []
        for position, member in enumerate(details):
            leaf = isinstance(member, Mapping) and "message" in member and "code" in member
            found += _field_errors(member, path if leaf else f"{path}.{position}".strip("."))
        return found
    if isinstance(details, Mapping) and isinstance(details.get("message"), str) and "code" in details:
        return [FieldError(path or "body", str(details["code"]), str(details["message"]))]
    if isinstance(details, Mapping):
        found = []
        for field, member in details.items():
            below = path if field == "non_field_errors" else f"{path}.{field}".strip(".")
            found += _field_errors(member, below)
        return found
    return []
