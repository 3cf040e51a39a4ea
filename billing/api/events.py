"""``/events``: usage comes in, and receipts go out."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.services.api_keys import Principal
from billing import access
from billing.api import base, pagination, problems
from billing.api.authentication import principal
from billing.api.fields import moment_string, parse_moment
from billing.api.json import CloudEventBatchParser, CloudEventParser, ExactJSONParser
from billing.api.schema import events as schema
from billing.engine.money import ZERO, amount_string, amount_strings, fits
from billing.errors import FieldError, InvalidRequest, PayloadTooLarge
from billing.models import UsageEvent
from billing.selectors import receipts
from billing.services import usage
from billing.services.idempotency import Answer

EVENTS_MAX = 1000
TEXT_MAX = 255
_ATTRIBUTES = {"specversion", "id", "source", "type", "subject", "time", "data", "datacontenttype", "dataschema"}
_EXTENSION = re.compile(r"[a-z0-9]{1,20}\Z")
_JSON_TYPE = re.compile(r"application/(.+\+)?json(;.*)?\Z", re.IGNORECASE)


class EventsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "events:write", "GET": "events:read"}
    parser_classes = [ExactJSONParser, CloudEventParser, CloudEventBatchParser]

    @schema.RECORD
    def post(self, request: Request) -> Response:
        body = request.data
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        if isinstance(body, list) and kind == "application/cloudevents+json":
            raise InvalidRequest(
                "This content type takes one event; use application/cloudevents-batch+json for a list."
            )
        if not isinstance(body, list) and kind == "application/cloudevents-batch+json":
            raise InvalidRequest("This content type takes a list of events.")
        headers: dict[str, str] = {}
        if isinstance(body, list):
            events = body
            return self.once(request, lambda: _record_batch(events, principal(request)))
        response = self.once(request, lambda: _record_one(body, request, headers))
        for name, value in headers.items():
            response[name] = value
        return response

    @schema.LIST
    def get(self, request: Request) -> Response:
        rows = UsageEvent.objects.select_related("customer")
        reachable = access.customers(principal=principal(request))
        if reachable is not None:
            rows = rows.filter(customer_id__in=reachable)
        if external_id := base.text(request, "customer"):
            rows = rows.filter(customer=access.customer(principal=principal(request), external_id=external_id))
        if status := base.text(request, "status"):
            if status not in UsageEvent.Status.values:
                raise InvalidRequest.field("status", f"One of {', '.join(UsageEvent.Status.values)}.")
            rows = rows.filter(status=status)
        if start := base.moment(request, "from"):
            rows = rows.filter(occurred_at__gte=start)
        if end := base.moment(request, "to"):
            rows = rows.filter(occurred_at__lt=end)
        return Response(pagination.page(request, rows, _summary))


class EventView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "events:read"}

    @schema.RECEIPT
    def get(self, request: Request, event_id: str) -> Response:
        event = access.usage_event(
            principal=principal(request),
            event_id=event_id,
            external_id=base.text(request, "customer"),
            source=base.text(request, "source"),
        )
        receipt = receipts.of(event)
        return Response(
            {
                **_summary(event),
                "received_at": moment_string(event.received_at),
                "data": event.data,
                "extensions": event.extensions or {},
                "refusal": event.refusal,
                "transaction": str(event.pk) if receipt.charges else None,
                "charges": [
                    {
                        "meter": charge.meter,
                        "quantity": amount_string(charge.quantity),
                        "asset": charge.asset,
                        "amount": amount_string(charge.amount),
                        "plan": charge.plan,
                        "plan_version": charge.plan_version,
                        "price": {
                            "model": charge.model,
                            "unit_amount": amount_string(charge.unit_amount),
                            "per": amount_string(charge.per),
                            "match": charge.match,
                        },
                        "dimensions": charge.dimensions,
                        "grants": [
                            {
                                "grant": None if draw.grant_id is None else str(draw.grant_id),
                                "name": draw.name,
                                "amount": amount_string(draw.amount),
                            }
                            for draw in charge.draws
                        ],
                    }
                    for charge in receipt.charges
                ],
                "cost": amount_strings(receipt.cost),
                "entries": [
                    {
                        "id": str(entry.id),
                        "kind": entry.kind,
                        "asset": entry.asset_id,
                        "debit": entry.debit,
                        "credit": entry.credit,
                        "amount": amount_string(entry.amount),
                        "grant": None if entry.grant_id is None else str(entry.grant_id),
                        "balance_after": amount_string(entry.available_after),
                        "posted_at": moment_string(entry.posted_at),
                    }
                    for entry in receipt.entries
                ],
            }
        )


def _record_one(body: Any, request: Request, headers: dict[str, str]) -> Answer:
    event = parse_event(body)
    reporter = principal(request)
    (outcome,) = usage.record([event], api_key_id=reporter.key_id, organization_id=reporter.organization_id)
    if outcome.error is not None:
        # An answer, not an exception: the refused event stays recorded.
        problem = problems.body(outcome.error, request_id=getattr(request, "request_id", ""))
        return Answer(outcome.error.status, problem, replayed=outcome.replayed)
    headers |= _usage_headers(outcome)
    return Answer(200 if outcome.replayed else 201, _answer(outcome), replayed=outcome.replayed)


def _record_batch(body: Sequence[Any], reporter: Principal) -> Answer:
    if not body:
        raise InvalidRequest("The list is empty.")
    if len(body) > EVENTS_MAX:
        raise PayloadTooLarge(f"{len(body)} events; at most {EVENTS_MAX} are taken in one request.")
    results: list[dict[str, Any] | None] = [None] * len(body)
    events: list[usage.IncomingEvent] = []
    positions: list[int] = []
    for position, item in enumerate(body):
        try:
            events.append(parse_event(item))
            positions.append(position)
        except InvalidRequest as refusal:
            results[position] = {
                "id": item.get("id") if isinstance(item, dict) and isinstance(item.get("id"), str) else None,
                "status": "rejected",
                "cost": {},
                "code": refusal.code,
                "detail": refusal.detail,
            }
    outcomes = usage.record(events, api_key_id=reporter.key_id, organization_id=reporter.organization_id)
    accepted = duplicates = 0
    for position, outcome in zip(positions, outcomes, strict=True):
        duplicates += outcome.replayed
        accepted += outcome.error is None and not outcome.replayed
        result: dict[str, Any] = {
            "id": outcome.event_id,
            "status": str(outcome.status),
            "cost": amount_strings(outcome.cost),
            "code": outcome.error.code if outcome.error else None,
        }
        if outcome.error:
            result["detail"] = outcome.error.detail
        if outcome.replayed:
            result["replayed"] = True
        results[position] = result
    return Answer(
        200,
        {
            "accepted": accepted,
            "duplicates": duplicates,
            "rejected": len(body) - accepted - duplicates,
            "results": results,
        },
    )


def parse_event(body: Any) -> usage.IncomingEvent:
    """The CloudEvent in ``body``. Raises ``InvalidRequest`` with an error for each attribute that is wrong."""
    if not isinstance(body, dict):
        raise InvalidRequest("An event must be a JSON object.")
    wrong: list[FieldError] = []
    if body.get("specversion") != "1.0":
        wrong.append(FieldError("specversion", "invalid", 'must be "1.0"'))
    for name in ("id", "source", "type", "subject"):
        if problem := _text_problem(body.get(name)):
            wrong.append(FieldError(name, "required" if name not in body else "invalid", problem))
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
    extensions = _extensions(body, wrong)
    if wrong:
        raise InvalidRequest("; ".join(f"{e.field} {e.detail}" for e in wrong[:3]), errors=wrong)
    if "dataschema" in body:
        extensions["dataschema"] = str(body["dataschema"])[:TEXT_MAX]
    return usage.IncomingEvent(
        id=body["id"],
        source=body["source"],
        type=body["type"],
        subject=body["subject"],
        time=time,
        data=data,
        extensions=extensions,
    )


def _extensions(body: Mapping[str, Any], wrong: list[FieldError]) -> dict[str, Any]:
    """The attributes beyond the specification's own. What is wrong with them is added to ``wrong``."""
    found: dict[str, Any] = {}
    for name, value in body.items():
        if name in _ATTRIBUTES:
            continue
        if not _EXTENSION.match(name):
            wrong.append(FieldError(name[:100], "unknown_field", "is no CloudEvents attribute"))
        elif not isinstance(value, str | bool | int) or (isinstance(value, str) and len(value) > TEXT_MAX):
            wrong.append(FieldError(name, "invalid", "must be a short string, a boolean or a whole number"))
        else:
            found[name] = value
    return found


def _text_problem(value: Any) -> str | None:
    if not isinstance(value, str) or not value or len(value) > TEXT_MAX:
        return f"must be a string of 1 to {TEXT_MAX} characters"
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        return "must have no control characters"
    return None


def _answer(outcome: usage.Outcome) -> dict[str, Any]:
    return {
        "id": outcome.event_id,
        "status": str(outcome.status),
        "customer": outcome.customer,
        "charges": [
            {
                "meter": line.meter,
                "quantity": amount_string(line.quantity),
                "asset": line.asset,
                "amount": amount_string(line.amount),
                "plan": line.plan,
                "plan_version": line.plan_version,
            }
            for line in outcome.charges
        ],
        "cost": amount_strings(outcome.cost),
        "balance": amount_strings(outcome.balance),
        "transaction": None if outcome.transaction_id is None else str(outcome.transaction_id),
    }


def _usage_headers(outcome: usage.Outcome) -> dict[str, str]:
    """What a gateway can hand on: cost and balance in the customer's currency, tokens in and out, and the model."""
    headers = {"X-Usage-Cost": amount_string(outcome.cost.get(outcome.currency, ZERO))}
    if outcome.currency in outcome.balance:
        headers["X-Wallet-Balance"] = amount_string(outcome.balance[outcome.currency])
    tokens = [outcome.data.get(name) for name in ("input_tokens", "output_tokens")]
    counts = [Decimal(count) for count in tokens if isinstance(count, int | Decimal) and not isinstance(count, bool)]
    if counts and all(map(fits, counts)):
        headers["X-Total-Tokens"] = amount_string(sum(counts, ZERO))
    model = outcome.data.get("model")
    if isinstance(model, str) and model.isascii() and model.isprintable():
        headers["X-Model"] = model[:TEXT_MAX]
    return headers


def _summary(event: UsageEvent) -> dict[str, Any]:
    return {
        "id": event.event_id,
        "customer": event.customer.external_id,
        "source": event.source,
        "type": event.type,
        "status": event.status,
        "time": moment_string(event.occurred_at),
    }
