"""Events in the form of Lago's API, ``{"event": {…}}``, which some programs can send and no other."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounts.services.api_keys import Principal
from billing.api import cloudevents
from billing.errors import FieldError, InvalidRequest
from billing.services.usage import NOWHERE, IncomingEvent, Origin

SOURCE = "lago"
_NAMES = {
    "transaction_id": "id",
    "code": "type",
    "external_subscription_id": "subject",
    "external_customer_id": "subject",
    "properties": "data",
    "timestamp": "time",
}
_LATEST = 253_402_300_799  # The last second that a datetime knows.


def is_one(body: Any) -> bool:
    return isinstance(body, dict) and body.keys() == {"event"}


def parse(body: Any, reporter: Principal, *, origin: Origin = NOWHERE) -> IncomingEvent:
    """The event in ``body``. Raises ``InvalidRequest`` with errors that bear Lago's names."""
    given = body["event"]
    if not isinstance(given, dict):
        raise InvalidRequest.field("event", "must be an object")
    if unknown := sorted(given.keys() - _NAMES.keys()):
        raise InvalidRequest.field(f"event.{unknown[0][:100]}", "is not known here", code="unknown_field")
    if {"external_subscription_id", "external_customer_id"} <= given.keys():
        raise InvalidRequest.field("event.external_customer_id", "is there beside external_subscription_id")
    event: dict[str, Any] = {"specversion": "1.0", "source": cloudevents.assigned_source(SOURCE, reporter)}
    event |= {_NAMES[name]: value for name, value in given.items()}
    if event.get("time") is not None:
        event["time"] = _moment(event["time"])
    try:
        return cloudevents.parse(event, reporter, origin=origin)
    except InvalidRequest as error:
        theirs = {ours: name for name, ours in reversed(_NAMES.items())}
        wrong = [FieldError(f"event.{theirs.get(e.field, e.field)}", e.code, e.detail) for e in error.errors]
        raise InvalidRequest("; ".join(f"{e.field} {e.detail}" for e in wrong[:3]), errors=wrong) from None


def _moment(value: Any) -> str:
    """Seconds since 1970, as a number or a string of digits, with or without a fraction."""
    try:
        seconds = Decimal(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else None
    except ArithmeticError:
        seconds = None
    if seconds is None or not seconds.is_finite() or not 0 <= seconds <= _LATEST:
        raise InvalidRequest.field("event.timestamp", "must be seconds since 1970")
    whole = int(seconds)
    microseconds = min(int((seconds - whole) * 1_000_000), 999_999)  # Of very many nines Decimal makes a whole one.
    return datetime.fromtimestamp(whole, UTC).replace(microsecond=microseconds).isoformat()
