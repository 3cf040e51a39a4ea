"""Reading CloudEvents 1.0 (the JSON format of cloudevents.io), as any client of theirs writes them."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from django.conf import settings

from accounts.services.api_keys import Principal
from billing.api.fields import parse_id, parse_moment
from billing.engine.strings import is_normal
from billing.errors import FieldError, InvalidRequest
from billing.services.usage import NOWHERE, PRICING_SCOPE, IncomingEvent, Origin

TEXT_MAX = 255
_ATTRIBUTES = {
    *("specversion", "id", "source", "type", "subject", "time", "data", "datacontenttype", "dataschema"),
    "api_key",
}
ALIASES = ("inference_id", "idempotency_key")
"""What others call the id. Whoever sends one of them means it."""
_PREFIX = "ce-"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_EXTENSION = re.compile(r"[a-z0-9]{1,20}\Z")
_OUTCOMES = {"succeeded", "failed"}
_JSON_TYPE = re.compile(r"application/(.+\+)?json(;.*)?\Z", re.IGNORECASE)


def parse(body: Any, reporter: Principal, *, origin: Origin = NOWHERE, path: str = "") -> IncomingEvent:
    """The CloudEvent in ``body``. Raises ``InvalidRequest`` with an error for each attribute that is wrong.

    ``origin`` is the request (``origin.of``), ``path`` where in it the event stands, for those errors.
    """
    if not isinstance(body, dict):
        raise InvalidRequest("An event must be a JSON object.")
    wrong: list[FieldError] = []
    if not body.keys().isdisjoint(ALIASES):
        body = _with_one_id(body, wrong)
    if body.get("specversion") != "1.0":
        wrong.append(FieldError("specversion", "invalid", 'must be "1.0"'))
    for name in ("id", "source", "type", "subject"):
        if problem := _text_problem(body.get(name)):
            wrong.append(FieldError(name, "required" if name not in body else "invalid", problem))
    if reporter.organization_id is not None and body.get("source") in settings.OPERATOR_SOURCES:
        wrong.append(FieldError("source", "invalid", "is one of the operator's own programs: name your own"))
    time = None
    if body.get("time") is not None:
        time = parse_moment(body["time"])
        if time is None:
            wrong.append(FieldError("time", "invalid", "must be an RFC 3339 time with an offset"))
    data = body.get("data", {})
    if not isinstance(data, dict):
        wrong.append(FieldError("data", "invalid", "must be a JSON object"))
    content_type = body.get("datacontenttype")
    if content_type is not None and not (isinstance(content_type, str) and _JSON_TYPE.match(content_type)):
        wrong.append(FieldError("datacontenttype", "invalid", "must be a JSON type"))
    named_key = _named_key(body, reporter, wrong)
    extensions = _extensions(body, wrong)
    if wrong:
        wrong = [FieldError(f"{path}.{e.field}" if path else e.field, e.code, e.detail) for e in wrong]
        raise InvalidRequest("; ".join(f"{e.field} {e.detail}" for e in wrong[:3]), errors=wrong)
    if named_key is not None:
        extensions["api_key"] = str(named_key)
    return IncomingEvent(
        id=body["id"],
        source=body["source"],
        type=body["type"],
        subject=body["subject"],
        time=time,
        data=data,
        extensions=extensions,
        api_key_id=reporter.key_id,
        named_key_id=named_key,
        organization_id=reporter.organization_id,
        may_price=reporter.may(PRICING_SCOPE),
        origin=origin,
    )


def assigned_source(name: str, reporter: Principal) -> str:
    """The source of events that name none. Customers' own keys have one apart, and so take nobody's ids."""
    return name if reporter.organization_id is None else f"own-{name}"


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether the request is an event in HTTP's binary mode: its attributes in headers, its data in the body."""
    return f"{_PREFIX}specversion" in headers


def from_headers(headers: Mapping[str, str], data: Any) -> dict[str, Any]:
    """Such an event as the JSON format has it. Raises ``InvalidRequest`` where a header is no text when decoded."""
    body: dict[str, Any] = {"data": data}
    for name, value in headers.items():
        if name in {"ce-data", "ce-datacontenttype"}:
            raise InvalidRequest.field(name, "is said by the body and its content type")
        if name.startswith(_PREFIX):
            try:
                text = unquote(value, errors="strict")
            except UnicodeDecodeError:
                raise InvalidRequest.field(name[:100], "is not UTF-8 where it is percent-encoded") from None
            if "\x00" in text:
                raise InvalidRequest.field(name[:100], "has a NUL in it")
            body[name.removeprefix(_PREFIX)] = text
    if kind := headers.get("content-type"):
        body["datacontenttype"] = kind
    return body


def _with_one_id(body: Mapping[str, Any], wrong: list[FieldError]) -> dict[str, Any]:
    """The event with its id where it belongs. Names that say different things are added to ``wrong``."""
    named = {name: body[name] for name in ("id", *ALIASES) if name in body}
    first = next(iter(named.values()))
    wrong += [
        FieldError(name, "invalid", "is another name of the id, and says something else")
        for name, value in named.items()
        if value != first
    ]
    return {name: value for name, value in body.items() if name not in ALIASES} | {"id": first}


def _named_key(body: Mapping[str, Any], reporter: Principal, wrong: list[FieldError]) -> UUID | None:
    """The id of the customer's key that the call was made with. What is wrong with it is added to ``wrong``."""
    if "api_key" not in body:
        return None
    found = parse_id(body["api_key"])
    if reporter.organization_id is not None:
        wrong.append(FieldError("api_key", "invalid", "is for the operator's keys to name"))
    elif found is None:
        wrong.append(FieldError("api_key", "invalid", "must be the id of an API key"))
    return found


def _extensions(body: Mapping[str, Any], wrong: list[FieldError]) -> dict[str, Any]:
    """The attributes beyond the specification's own. What is wrong with them is added to ``wrong``."""
    found: dict[str, Any] = {}
    for name, value in body.items():
        if name == "dataschema":
            found[name] = str(value)[:TEXT_MAX]
        if name in _ATTRIBUTES:
            continue
        if not _EXTENSION.match(name):
            wrong.append(FieldError(name[:100] or "body", "unknown_field", "is no CloudEvents attribute"))
        elif not isinstance(value, str | bool | int) or (isinstance(value, str) and len(value) > TEXT_MAX):
            wrong.append(FieldError(name, "invalid", "must be a short string, a boolean or a whole number"))
        elif name == "outcome" and value not in _OUTCOMES:
            wrong.append(FieldError(name, "invalid", "must be succeeded or failed"))
        else:
            found[name] = value
    return found


def _text_problem(value: Any) -> str | None:
    if not isinstance(value, str) or not value or len(value) > TEXT_MAX:
        return f"must be a string of 1 to {TEXT_MAX} characters"
    if _CONTROL.search(value):
        return "must have no control characters"
    if not is_normal(value):
        return "must be in Unicode's form NFC"
    return None
