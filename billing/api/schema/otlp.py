"""Operations on OpenTelemetry traces."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema


def _list_of(name: str, members: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {name: {"type": ["array", "null"], "items": {"type": "object", "properties": members | more}}}


_SPANS = _list_of("spans", {})
_REQUEST = {
    "type": "object",
    "description": "An ExportTraceServiceRequest of OTLP. Spans of model calls are usage.",
    "properties": _list_of("resourceSpans", _list_of("scopeSpans", _SPANS), resource={"type": ["object", "null"]}),
}
_ANSWER = {
    "type": "object",
    "description": "An ExportTraceServiceResponse: empty where everything was taken.",
    "properties": {
        "partialSuccess": {
            "type": "object",
            "properties": {"rejectedSpans": {"type": "string"}, "errorMessage": {"type": "string"}},
        }
    },
}

TRACES = extend_schema(
    operation_id="record_traces",
    summary="Record usage from OpenTelemetry traces (OTLP over HTTP, JSON or protobuf, gzip or plain)",
    description="Each span of a model call (GenAI semantic conventions) is a usage event of the customer that its "
    "attribute `ante.customer`, or its resource's, or the header names. The same span again is charged once.",
    tags=["Usage"],
    request={"application/json": _REQUEST, "application/x-protobuf": OpenApiTypes.BINARY},
    responses={(200, "application/json"): _ANSWER, (200, "application/x-protobuf"): OpenApiTypes.BINARY},
    parameters=[
        OpenApiParameter(
            "X-Ante-Customer",
            OpenApiTypes.STR,
            OpenApiParameter.HEADER,
            description="Who pays for spans that do not say it.",
        )
    ],
)
