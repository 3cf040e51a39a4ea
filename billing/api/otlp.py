"""``POST /otlp/v1/traces``: OpenTelemetry traces over HTTP, as its exporters and collectors send them.

Each span of a model call is a usage event (``spans.py``), known again by its trace's and its own id. The others are
taken and not looked at. What is refused is counted in the answer, for sending it again would not help.
"""

import zlib
from collections.abc import Iterable, Mapping
from typing import IO, Any, ClassVar

from django.http import HttpResponse
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.services.api_keys import Principal
from billing import access
from billing.api import base, cloudevents, json, origin, pace, spans
from billing.api.authentication import principal
from billing.api.ingest import EVENTS_MAX, SCOPE
from billing.api.schema import otlp as schema
from billing.api.spans import Span
from billing.engine.strings import check_strings
from billing.errors import InvalidRequest, PayloadTooLarge
from billing.models import Customer
from billing.services import usage

PROTOBUF = "application/x-protobuf"
GZIP = "gzip"
CUSTOMER_HEADER = "X-Ante-Customer"
REASONS_MAX = 5
CALLS_MAX = 10_000
"""Collectors send 8,192 spans at once unless they are told otherwise, few of which are model calls."""


class SpansParser(BaseParser):
    """Reads a body that may be compressed with gzip, as collectors do unasked."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        content = stream.read(json.BYTES_MAX + 1)
        if (parser_context or {})["request"].headers.get("Content-Encoding", "").strip().lower() == GZIP:
            content = _unpacked(content)
        return self.read(content)

    def read(self, content: bytes) -> list[Span]:
        return list(spans.from_json(json.read(content)))


class ProtobufParser(SpansParser):
    media_type = PROTOBUF

    def read(self, content: bytes) -> list[Span]:
        # Here, for most installations never see any.
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        if len(content) > json.BYTES_MAX:
            raise PayloadTooLarge(f"At most {json.BYTES_MAX} bytes are taken.")
        try:
            return list(spans.from_protobuf(ExportTraceServiceRequest.FromString(content)))
        except DecodeError:
            raise InvalidRequest("The body is no ExportTraceServiceRequest.") from None


class TracesView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": SCOPE}
    parser_classes = [SpansParser, ProtobufParser]
    encodings = (GZIP,)

    @schema.TRACES
    def post(self, request: Request) -> HttpResponse | Response:
        sent: Any = request.data
        found: list[Span] = [span for span in sent if span.is_model_call]
        reporter, kept = principal(request), origin.of_request(request)
        pace.buckets.spend_more(reporter.organization_id, max(0, len(found) / pace.EVENTS_PER_CALL - 1))
        if len(found) > CALLS_MAX:
            raise PayloadTooLarge(f"{len(found)} model calls; at most {CALLS_MAX} are taken in one request.")
        events, reasons = _events(found, reporter, _default_customer(request), kept)
        for start in range(0, len(events), EVENTS_MAX):
            outcomes = usage.record(events[start : start + EVENTS_MAX])
            reasons += [outcome.error.detail for outcome in outcomes if outcome.error is not None]
        if (request.content_type or "").startswith(PROTOBUF):
            return HttpResponse(_message(reasons), content_type=PROTOBUF)
        if not reasons:
            return Response({})
        # Of 64 bits, and so a string in OTLP's JSON.
        return Response({"partialSuccess": {"rejectedSpans": str(len(reasons)), "errorMessage": _said(reasons)}})


def _default_customer(request: Request) -> str | None:
    """Who pays for spans that do not say it: whom the header names, or whose key it is."""
    if named := request.headers.get(CUSTOMER_HEADER):
        return named
    reachable = access.customers(principal=principal(request))
    if reachable is None:
        return None
    return Customer.objects.filter(pk__in=reachable).order_by("pk").values_list("external_id", flat=True).first()


def _events(
    found: Iterable[Span], reporter: Principal, customer: str | None, kept: usage.Origin
) -> tuple[list[usage.IncomingEvent], list[str]]:
    """The events of these spans, and why others are none."""
    events, reasons = [], []
    for span in found:
        if not span.trace_id.strip("0") or not span.span_id.strip("0"):
            reasons.append("A span has no trace's id or none of its own: it could not be known again.")
            continue
        event = span.event(customer)
        if event["subject"] is None:
            reasons.append(f"Nobody pays for span {span.span_id}: say ante.customer in it, or send {CUSTOMER_HEADER}.")
            continue
        try:
            event["source"] = cloudevents.assigned_source(event["source"], reporter)
            check_strings(event)  # Protobuf allows more of them than JSON does here.
            events.append(cloudevents.parse(event, reporter, origin=kept))
        except InvalidRequest as error:
            reasons.append(error.detail)
    return events, reasons


def _said(reasons: list[str]) -> str:
    different = list(dict.fromkeys(reasons))
    more = len(different) - REASONS_MAX
    return " ".join(different[:REASONS_MAX]) + (f" And {more} more." if more > 0 else "")


def _message(reasons: list[str]) -> bytes:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTracePartialSuccess,
        ExportTraceServiceResponse,
    )

    if not reasons:
        return b""
    partial = ExportTracePartialSuccess(rejected_spans=len(reasons), error_message=_said(reasons))
    return bytes(ExportTraceServiceResponse(partial_success=partial).SerializeToString())


def _unpacked(content: bytes) -> bytes:
    """Never more than is taken anyway, whatever it claims to become."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        found = unpacking.decompress(content, json.BYTES_MAX + 1)
    except zlib.error:
        raise InvalidRequest("The body is not gzip.") from None
    if len(found) > json.BYTES_MAX:
        raise PayloadTooLarge(f"At most {json.BYTES_MAX} bytes are taken, unpacked.")
    if not unpacking.eof:
        raise InvalidRequest("The body ends midway.")
    return found
