"""Operations on usage."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema

from billing.api.cloudevents import ALIASES
from billing.api.schema import shapes
from billing.engine.journals import CONTENT_TYPES, PARQUET

_TEXT = {"type": "string", "minLength": 1, "maxLength": 255}
_EVENT = {
    "type": "object",
    "description": "A CloudEvent 1.0. Extension attributes (lower case letters and digits) are kept.",
    "required": ["specversion", "source", "type", "subject"],
    "anyOf": [{"required": ["id"]}, *({"required": [name]} for name in ALIASES)],
    "properties": {
        "specversion": {"type": "string", "enum": ["1.0"]},
        "id": _TEXT,
        **{name: {**_TEXT, "description": "Another name of the id."} for name in ALIASES},
        "source": _TEXT,
        "type": _TEXT,
        "subject": {**_TEXT, "description": "The customer's external id."},
        "time": {"type": ["string", "null"], "format": "date-time", "description": "Now, where left out."},
        "data": {"type": "object", "description": "Free-form. Meters and dimensions are read from it."},
        "datacontenttype": {"type": ["string", "null"]},
        "dataschema": {"type": "string"},
        "api_key": {
            "type": "string",
            "format": "uuid",
            "description": "The id of the customer's own key that the call was made with, whose budgets count it. "
            "For the operator's keys alone.",
        },
    },
    "patternProperties": {"^[a-z0-9]{1,20}$": {}},
    "additionalProperties": False,
}
_LAGO = {
    "type": "object",
    "description": "One event in the form of Lago's API; its customer is the subscription's or the customer's id.",
    "required": ["event"],
    "properties": {
        "event": {
            "type": "object",
            "required": ["transaction_id", "code"],
            "properties": {
                "transaction_id": _TEXT,
                "code": {**_TEXT, "description": "The event's type."},
                "external_subscription_id": _TEXT,
                "external_customer_id": _TEXT,
                "timestamp": {"type": ["string", "number", "null"], "description": "Seconds since 1970."},
                "properties": {"type": "object", "description": "The event's data."},
            },
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}
_BATCH = {"type": "array", "items": _EVENT, "minItems": 1, "maxItems": 1000}


def _said(name: str, description: str) -> OpenApiParameter:
    """A header of the answer to recorded usage."""
    return OpenApiParameter(
        name, OpenApiTypes.STR, OpenApiParameter.HEADER, response=[200, 201], description=description
    )


_ANSWER_HEADERS = [
    _said("X-Usage-Cost", "One event: what it cost in the customer's currency, a decimal string."),
    _said("X-Wallet-Balance", "One event: what the wallet has left of that currency."),
    _said("X-Total-Tokens", "One event: its input_tokens and output_tokens together."),
    _said("X-Model", "One event: the model in its data."),
    _said("Idempotent-Replayed", "true where this is the first answer again."),
]

RECORD = extend_schema(
    operation_id="record_events",
    summary="Record usage: one CloudEvent, or a list of up to 1,000",
    description="Rated and debited before the answer. The same event again gets its first answer again. An event may "
    "also come in HTTP's binary mode: its attributes in `ce-` headers, its data in the body.",
    tags=["Usage"],
    request={
        "application/json": {"oneOf": [_EVENT, _BATCH, _LAGO]},
        "application/cloudevents+json": _EVENT,
        "application/cloudevents-batch+json": _BATCH,
    },
    responses={
        201: shapes.EventAnswerShape,
        200: PolymorphicProxySerializer("EventsAnswer", [shapes.BatchAnswerShape, shapes.EventAnswerShape], None),
    },
    parameters=[shapes.IDEMPOTENCY_KEY, *_ANSWER_HEADERS],
)
LIST = extend_schema(
    operation_id="list_events",
    summary="List usage events",
    tags=["Usage"],
    responses={200: shapes.listed(shapes.EventShape)},
    parameters=[
        shapes.CUSTOMER,
        OpenApiParameter("status", OpenApiTypes.STR, enum=["charged", "unpaid", "rejected", "reversed"]),
        *shapes.FROM_TO,
        *shapes.CURSOR,
    ],
)
RECEIPT = extend_schema(
    operation_id="get_event",
    summary="The receipt of an event: data, prices, grants burned, ledger entries",
    tags=["Usage"],
    responses={200: shapes.ReceiptShape},
    parameters=[shapes.CUSTOMER, OpenApiParameter("source", OpenApiTypes.STR)],
)
USAGE = extend_schema(
    operation_id="get_usage",
    summary="Usage by time and group; CSV or Parquet where asked for",
    description="By the hour at most 93 days at once, and at most 100,000 rows: more is refused.",
    tags=["Usage"],
    responses={
        (200, "application/json"): shapes.UsageShape,
        (200, "text/csv"): OpenApiTypes.STR,
        (200, CONTENT_TYPES[PARQUET]): OpenApiTypes.BINARY,
    },
    parameters=[
        shapes.CUSTOMER,
        *shapes.FROM_TO,
        OpenApiParameter("granularity", OpenApiTypes.STR, enum=["hour", "day", "month"], default="day"),
        OpenApiParameter("group_by", OpenApiTypes.STR, description="Names of dimensions, or meter, with commas."),
        OpenApiParameter("meter", OpenApiTypes.STR, description="Only this meter, by its code."),
        OpenApiParameter("timezone", OpenApiTypes.STR, description="Whose days and months; UTC where left out."),
    ],
)
