"""Operations on assets, meters and plans."""

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema

from billing.api import estimate_requests, serializers
from billing.api.schema import shapes

ASSET_CREATE = extend_schema(
    operation_id="create_asset",
    summary="Add an asset",
    tags=["Catalog"],
    request=serializers.AssetCreate,
    responses={201: shapes.AssetShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
ASSETS = extend_schema(
    operation_id="list_assets",
    summary="List assets",
    tags=["Catalog"],
    responses={200: shapes.listed(shapes.AssetShape)},
)
METER_CREATE = extend_schema(
    operation_id="create_meter",
    summary="Add a meter, or all meters of a preset",
    tags=["Catalog"],
    request=PolymorphicProxySerializer(
        "NewMeter", [serializers.MeterCreate, serializers.PresetCreate], resource_type_field_name=None
    ),
    responses={
        201: PolymorphicProxySerializer(
            "AddedMeter", [shapes.MeterShape, shapes.listed(shapes.MeterShape)], resource_type_field_name=None
        )
    },
    parameters=[shapes.IDEMPOTENCY_KEY],
)
METERS = extend_schema(
    operation_id="list_meters",
    summary="List meters",
    tags=["Catalog"],
    responses={200: shapes.listed(shapes.MeterShape)},
    parameters=shapes.CURSOR,
)
PRESETS = extend_schema(
    operation_id="list_meter_presets",
    summary="Ready-made meters for what providers report",
    tags=["Catalog"],
    responses={200: shapes.listed(shapes.PresetShape)},
)
PLAN_CREATE = extend_schema(
    operation_id="create_plan",
    summary="Add a plan and publish its first version",
    tags=["Catalog"],
    request=serializers.PlanCreate,
    responses={201: shapes.PlanShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
PLANS = extend_schema(
    operation_id="list_plans",
    summary="List plans, each with its latest version",
    tags=["Catalog"],
    responses={200: shapes.listed(shapes.PlanShape)},
    parameters=shapes.CURSOR,
)
PLAN = extend_schema(
    operation_id="get_plan",
    summary="The latest version of a plan",
    tags=["Catalog"],
    responses={200: shapes.PlanShape},
)
VERSION_CREATE = extend_schema(
    operation_id="publish_plan_version",
    summary="Publish a plan's next version",
    tags=["Catalog"],
    request=serializers.VersionCreate,
    responses={201: shapes.PlanShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
VERSIONS = extend_schema(
    operation_id="list_plan_versions",
    summary="List a plan's versions",
    tags=["Catalog"],
    responses={200: shapes.listed(shapes.PlanShape)},
    parameters=shapes.CURSOR,
)
ESTIMATE = extend_schema(
    operation_id="estimate",
    summary="What would this cost? Nothing is written",
    tags=["Catalog"],
    request=estimate_requests.EstimateRequest,
    responses={
        200: PolymorphicProxySerializer(
            "Estimate", [shapes.UsageEstimateShape, shapes.PriceEstimateShape], resource_type_field_name=None
        )
    },
)
