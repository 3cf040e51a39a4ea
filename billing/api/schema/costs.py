"""Operations on what providers charge the operator."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema

from billing.api import serializers
from billing.api.schema import shapes

PROVIDER_COST_CREATE = extend_schema(
    operation_id="create_provider_cost",
    summary="Set what a provider charges you for a unit of a model",
    tags=["Costs"],
    request=serializers.ProviderCostCreate,
    responses={201: shapes.ProviderCostShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
PROVIDER_COSTS = extend_schema(
    operation_id="list_provider_costs",
    summary="List what providers charge you",
    tags=["Costs"],
    responses={200: shapes.listed(shapes.ProviderCostShape)},
    parameters=[
        OpenApiParameter("provider", OpenApiTypes.STR, description="Only of this provider."),
        OpenApiParameter("model", OpenApiTypes.STR, description="Only of the model with this name."),
        *shapes.CURSOR,
    ],
)

MARGINS = extend_schema(
    operation_id="get_margins",
    summary="What usage was charged, what it cost you, and what is left; CSV with Accept: text/csv",
    tags=["Costs"],
    responses={(200, "application/json"): shapes.MarginsShape, (200, "text/csv"): OpenApiTypes.STR},
    parameters=[
        *shapes.FROM_TO,
        OpenApiParameter("group_by", OpenApiTypes.STR, description="customer, meter, day or dimensions, with commas."),
        shapes.CUSTOMER,
        OpenApiParameter("meter", OpenApiTypes.STR, description="Only this meter, by its code."),
        OpenApiParameter("model", OpenApiTypes.STR, description="Only usage of this model."),
        OpenApiParameter("timezone", OpenApiTypes.STR, description="Whose days; UTC where left out."),
    ],
)
