"""Operations on authorizations."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema

from billing.api import serializers
from billing.api.schema import shapes

OPEN = extend_schema(
    operation_id="open_authorization",
    summary="Set value aside for work that is about to run",
    tags=["Authorise, then capture"],
    request=serializers.AuthorizationCreate,
    responses={201: shapes.OpenedShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
LIST = extend_schema(
    operation_id="list_authorizations",
    summary="List authorizations",
    tags=["Authorise, then capture"],
    responses={200: shapes.listed(shapes.AuthorizationShape)},
    parameters=[
        shapes.CUSTOMER,
        OpenApiParameter("status", OpenApiTypes.STR, enum=["open", "captured", "voided", "expired"]),
        *shapes.CURSOR,
    ],
)
GET = extend_schema(
    operation_id="get_authorization",
    summary="One authorization",
    tags=["Authorise, then capture"],
    responses={200: shapes.AuthorizationShape},
)
CAPTURE = extend_schema(
    operation_id="capture_authorization",
    summary="Charge what was really used; the rest is given back",
    tags=["Authorise, then capture"],
    request=serializers.Capture,
    responses={200: shapes.CapturedShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
VOID = extend_schema(
    operation_id="void_authorization",
    summary="Give everything back",
    tags=["Authorise, then capture"],
    request=serializers.Void,
    responses={200: shapes.AuthorizationShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
