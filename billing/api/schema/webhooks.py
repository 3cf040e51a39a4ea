"""Operations on webhook endpoints, and what their requests may hold."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers as rest

from billing.api import serializers
from billing.api.fields import MomentField, StrictSerializer, TextField
from billing.api.schema import shapes
from billing.engine.crm import FORMATS
from billing.gateways.webhooks import URL_LENGTH_MAX
from billing.models import WebhookDelivery

EVENTS_MAX = 50


class EndpointChange(StrictSerializer):
    url = TextField(max_length=URL_LENGTH_MAX, required=False)
    events = rest.ListField(child=TextField(max_length=64), allow_empty=False, max_length=EVENTS_MAX, required=False)
    description = TextField(max_length=200, allow_blank=True, required=False)
    format = rest.ChoiceField(list(FORMATS.items()), required=False)
    enabled = rest.BooleanField(required=False)


class EndpointCreate(StrictSerializer):
    url = TextField(max_length=URL_LENGTH_MAX)
    events = rest.ListField(child=TextField(max_length=64), allow_empty=False, max_length=EVENTS_MAX)
    customer = TextField(max_length=255, required=False, allow_null=True)
    description = TextField(max_length=200, allow_blank=True, required=False)
    format = rest.ChoiceField(list(FORMATS.items()), required=False)


class Replay(StrictSerializer):
    to = MomentField(required=False)
    only_failed = rest.BooleanField(default=True)

    def get_fields(self) -> Any:
        return {"from": MomentField(), **super().get_fields()}


class EndpointShape(rest.Serializer[Any]):
    id = rest.UUIDField()
    url = rest.CharField()
    events = rest.ListField(child=rest.CharField())
    customer = rest.CharField(allow_null=True)
    description = rest.CharField(allow_blank=True)
    format = rest.ChoiceField(list(FORMATS.items()))
    enabled = rest.BooleanField()
    disabled_because = rest.CharField(allow_blank=True)
    failing_since = MomentField(allow_null=True)
    created_at = MomentField()


class EndpointWithSecretShape(EndpointShape):
    secret = rest.CharField()


class AttemptShape(rest.Serializer[Any]):
    at = MomentField()
    status = rest.IntegerField(allow_null=True)
    said = rest.CharField(allow_blank=True)
    ms = rest.IntegerField()


class DeliveryShape(rest.Serializer[Any]):
    id = rest.UUIDField()
    message = rest.CharField(help_text="The header webhook-id, the same at every attempt.")
    type = rest.CharField()
    data = rest.JSONField(  # type: ignore[assignment]  # A member called like an attribute of the framework.
        allow_null=True, help_text="Null where the key does not have the scope that the type asks for."
    )
    happened_at = MomentField()
    state = rest.ChoiceField(WebhookDelivery.State.choices)
    attempts = rest.IntegerField()
    next_attempt_at = MomentField(allow_null=True)
    delivered_at = MomentField(allow_null=True)
    log = AttemptShape(many=True)


class CountShape(rest.Serializer[Any]):
    count = rest.IntegerField()


class TypeShape(rest.Serializer[Any]):
    type = rest.CharField()
    description = rest.CharField()
    scope = rest.CharField(help_text="What a key needs to have messages of this type sent, and to read them.")
    schema = rest.JSONField()
    example = rest.JSONField()


TAGS = ["Webhooks"]
_SCOPES = (
    "The key needs the scope of each type (list_webhook_types), for * of all that it stands for; without: 403, whose "
    "scopes and types say what is missing."
)
CREATE = extend_schema(
    operation_id="create_webhook_endpoint",
    summary="Name an address that is to be told",
    description=(
        "events are types, or * for all but usage.recorded, which is asked for by name. Without customer the endpoint "
        f"is the operator's and is told of every customer. The secret is in this answer only. {_SCOPES}"
    ),
    tags=TAGS,
    request=EndpointCreate,
    responses={201: EndpointWithSecretShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
LIST = extend_schema(
    operation_id="list_webhook_endpoints",
    summary="List webhook endpoints",
    tags=TAGS,
    responses={200: shapes.listed(EndpointShape)},
    parameters=shapes.CURSOR,
)
GET = extend_schema(
    operation_id="get_webhook_endpoint", summary="One endpoint", tags=TAGS, responses={200: EndpointShape}
)
CHANGE = extend_schema(
    operation_id="change_webhook_endpoint",
    summary="Change an endpoint, or switch it on or off",
    description=(
        "The key needs the scopes of types that are added, and with another url of all that goes there, what waits "
        "included: else 403, whose scopes and types say what is missing."
    ),
    tags=TAGS,
    request=EndpointChange,
    responses={200: EndpointShape},
)
REMOVE = extend_schema(
    operation_id="remove_webhook_endpoint", summary="Remove an endpoint", tags=TAGS, request=None, responses={204: None}
)
ROTATE = extend_schema(
    operation_id="renew_webhook_secret",
    summary="Give an endpoint a new secret",
    description=f"For a day the one before signs as well: webhook-signature then has two signatures. {_SCOPES}",
    tags=TAGS,
    request=serializers.Nothing,
    responses={200: EndpointWithSecretShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
TEST = extend_schema(
    operation_id="test_webhook_endpoint",
    summary="Send a message of type webhook.test",
    description=_SCOPES,
    tags=TAGS,
    request=serializers.Nothing,
    responses={202: DeliveryShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
DELIVERIES = extend_schema(
    operation_id="list_webhook_deliveries",
    summary="List what was sent to an endpoint, and what became of it",
    tags=TAGS,
    responses={200: shapes.listed(DeliveryShape)},
    parameters=[*shapes.CURSOR, OpenApiParameter("state", str, enum=WebhookDelivery.State.values)],
)
DELIVERY_REPLAY = extend_schema(
    operation_id="replay_webhook_delivery",
    summary="Send a message again, under the same id",
    description="The key needs the scope of the message's type.",
    tags=TAGS,
    request=serializers.Nothing,
    responses={202: DeliveryShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
REPLAY = extend_schema(
    operation_id="replay_webhook_deliveries",
    summary="Send again what happened in an interval: what was given up, or all",
    description="The key needs the scope of each type that is sent again; where one is missing, nothing is sent.",
    tags=TAGS,
    request=Replay,
    responses={202: CountShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
TYPES = extend_schema(
    operation_id="list_webhook_types",
    summary="List the types of messages, each with its schema and an example",
    tags=TAGS,
    responses={200: shapes.listed(TypeShape)},
)
