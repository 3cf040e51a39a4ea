"""``/events``: usage comes in, and receipts go out."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, ingest, json, pagination, prices
from billing.api.authentication import principal
from billing.api.fields import amount_or_none, moment_or_none, moment_string
from billing.api.json import CloudEventBatchParser, CloudEventParser, ExactJSONParser
from billing.api.schema import events as schema
from billing.engine.money import amount_string, amount_strings
from billing.errors import InvalidRequest, PayloadTooLarge
from billing.models import LedgerEntry, Price, UsageEvent
from billing.selectors.catalog import plan_terms
from billing.selectors.ledger import corrections
from billing.selectors.usage import events, receipts


class EventsView(base.View):
    """Recording goes past the framework, which would cost more than the charge; listing does not."""

    scopes: ClassVar[Mapping[str, str]] = {"POST": ingest.SCOPE, "GET": "events:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("customer", "status", *base.WINDOW, *base.PAGE)}
    parser_classes = [ExactJSONParser, CloudEventParser, CloudEventBatchParser]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        framework = super().as_view(**initkwargs)

        def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return record(request) if request.method == "POST" else framework(request, *args, **kwargs)

        # What the framework's own view says of itself: the document is made from it, and keys are no cookies.
        view.__dict__.update(framework.__dict__)
        return view

    @schema.RECORD
    def post(self, request: Request) -> HttpResponseBase:
        return record(request._request)

    @schema.LIST
    def get(self, request: Request) -> Response:
        rows = events.with_status(UsageEvent.objects.select_related("customer"))
        rows = access.listed(rows, principal=principal(request), external_id=base.text(request, "customer"))
        if status := base.text(request, "status"):
            if status not in events.STATUSES:
                raise InvalidRequest.field("status", f"One of {', '.join(events.STATUSES)}.")
            rows = events.having_status(rows, status)
        if start := base.moment(request, "from"):
            rows = rows.filter(occurred_at__gte=start)
        if end := base.moment(request, "to"):
            rows = rows.filter(occurred_at__lt=end)
        return Response(pagination.page(request, rows, _summary))


class EventView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "events:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("customer", "source")}

    @schema.RECEIPT
    def get(self, request: Request, event_id: str) -> Response:
        event = access.usage_event(
            principal=principal(request),
            event_id=event_id,
            external_id=base.text(request, "customer"),
            source=base.text(request, "source"),
        )
        receipt = receipts.of(event)
        reasons = principal(request).organization_id is None
        return Response(
            {
                **_summary(event),
                "received_at": moment_string(event.received_at),
                "data": event.data,
                "extensions": event.extensions or {},
                "refusal": event.refusal,
                "collected_at": moment_or_none(events.collected_at(event)),
                "transaction": str(event.pk) if any(charge.draws for charge in receipt.charges) else None,
                "charges": [_charge(charge) for charge in receipt.charges],
                "cost": amount_strings(receipt.cost),
                "net_cost": amount_strings(receipt.net_cost),
                "cost_in_money": amount_strings(receipt.in_money),
                "corrections": [_correction(each, with_reason=reasons) for each in receipt.corrections],
                "entries": [_entry(entry) for entry in receipt.entries],
            }
        )


def record(request: HttpRequest) -> HttpResponse:
    """``POST /events`` for Django."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    request_id = getattr(request, "request_id", "")
    try:
        call = ingest.Call(headers, request.body, request_id, request.META.get("REMOTE_ADDR", ""))
        reply = ingest.answer(call)
    except RequestDataTooBig:
        error = PayloadTooLarge(f"At most {json.BYTES_MAX} bytes are taken.")
        reply = ingest.refusal(error, ingest.Call(headers, b"", request_id))
    return HttpResponse(reply.body, status=reply.status, headers=reply.headers)


def _summary(event: UsageEvent) -> dict[str, Any]:
    return {
        "id": event.event_id,
        "customer": event.customer.external_id,
        "source": event.source,
        "type": event.type,
        "status": events.status(event),
        "time": moment_string(event.occurred_at),
    }


def _charge(charge: receipts.ReceiptCharge) -> dict[str, Any]:
    return {
        "meter": charge.meter,
        "quantity": amount_string(charge.quantity),
        "asset": charge.asset,
        "amount": amount_string(charge.amount),
        "plan": charge.plan,
        "plan_version": charge.plan_version,
        **(
            {}
            if charge.waived is None
            else {"waived": amount_string(charge.waived), "reason": "not charged: failed run"}
        ),
        "late": charge.late,
        "price": plan_terms.of_numbers(charge.price),
        "price_given": charge.price.model == Price.Model.EVENT,
        "lines": [prices.show_line(line) for line in charge.lines],
        "dimensions": charge.dimensions,
        "grants": [
            {
                "grant": None if draw.grant_id is None else str(draw.grant_id),
                "name": draw.name,
                "amount": amount_string(draw.amount),
                "currency": draw.currency,
                "rate": amount_or_none(draw.rate),
                "worth": amount_or_none(draw.worth),
            }
            for draw in charge.draws
        ],
    }


def _entry(entry: LedgerEntry) -> dict[str, Any]:
    return {
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


def _correction(shown: corrections.Shown, *, with_reason: bool) -> dict[str, Any]:
    row = shown.correction
    return {
        "id": str(row.pk),
        "kind": row.kind,
        **({"reason": row.reason} if with_reason else {}),
        "amounts": amount_strings(shown.amounts),
        "transaction": str(row.pk) if shown.posted else None,
        "created_at": moment_string(row.created_at),
    }
