"""Operations on drafts of plans."""

from drf_spectacular.utils import OpenApiResponse, extend_schema

from billing.api import serializers
from billing.api.schema import shapes

CREATE = extend_schema(
    operation_id="create_plan_draft",
    summary="Start a draft of a plan's next version",
    tags=["Catalog"],
    request=serializers.DraftTerms,
    responses={201: shapes.DraftShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
LIST = extend_schema(
    operation_id="list_plan_drafts",
    summary="List a plan's drafts",
    tags=["Catalog"],
    responses={200: shapes.listed(shapes.DraftShape)},
    parameters=shapes.CURSOR,
)
GET = extend_schema(
    operation_id="get_plan_draft",
    summary="One draft",
    tags=["Catalog"],
    responses={200: shapes.DraftShape},
)
PATCH = extend_schema(
    operation_id="change_plan_draft",
    summary="Replace members of a draft's terms",
    tags=["Catalog"],
    request=serializers.DraftTerms,
    responses={200: shapes.DraftShape},
)
DELETE = extend_schema(
    operation_id="discard_plan_draft",
    summary="Throw a draft away",
    tags=["Catalog"],
    responses={204: OpenApiResponse(description="It is gone.")},
)
PUBLISH = extend_schema(
    operation_id="publish_plan_draft",
    summary="Publish a draft as the plan's next version",
    tags=["Catalog"],
    request=serializers.Nothing,
    responses={201: shapes.PlanShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
