"""Operations on assets, meters, plans and subscriptions."""

from billing.api import serializers
from billing.api.schema import shapes

ASSET_CREATE = {
    "operation_id": "create_asset",
    "summary": "Add an asset",
    "tags": ["Catalog"],
    "request": serializers.AssetCreate,
    "responses": {201: shapes.AssetShape},
    "parameters": [shapes.IDEMPOTENCY_KEY],
}
ASSETS = {
    "operation_id": "list_assets",
    "summary": "List assets",
    "tags": ["Catalog"],
    "responses": {200: shapes.listed(shapes.AssetShape)},
}
METER_CREATE = {
    "operation_id": "create_meter",
    "summary": "Add a meter",
    "tags": ["Catalog"],
    "request": serializers.MeterCreate,
    "responses": {201: shapes.MeterShape},
    "parameters": [shapes.IDEMPOTENCY_KEY],
}
METERS = {
    "operation_id": "list_meters",
    "summary": "List meters",
    "tags": ["Catalog"],
    "responses": {200: shapes.listed(shapes.MeterShape)},
    "parameters": shapes.CURSOR,
}
PLAN_CREATE = {
    "operation_id": "create_plan",
    "summary": "Add a plan and publish its first version",
    "tags": ["Catalog"],
    "request": serializers.PlanCreate,
    "responses": {201: shapes.PlanShape},
    "parameters": [shapes.IDEMPOTENCY_KEY],
}
PLANS = {
    "operation_id": "list_plans",
    "summary": "List plans, each with its latest version",
    "tags": ["Catalog"],
    "responses": {200: shapes.listed(shapes.PlanShape)},
    "parameters": shapes.CURSOR,
}
PLAN = {
    "operation_id": "get_plan",
    "summary": "The latest version of a plan",
    "tags": ["Catalog"],
    "responses": {200: shapes.PlanShape},
}
VERSION_CREATE = {
    "operation_id": "publish_plan_version",
    "summary": "Publish a plan's next version",
    "tags": ["Catalog"],
    "request": serializers.VersionCreate,
    "responses": {201: shapes.PlanShape},
    "parameters": [shapes.IDEMPOTENCY_KEY],
}
VERSIONS = {
    "operation_id": "list_plan_versions",
    "summary": "List a plan's versions",
    "tags": ["Catalog"],
    "responses": {200: shapes.listed(shapes.PlanShape)},
    "parameters": shapes.CURSOR,
}
SUBSCRIBE = {
    "operation_id": "start_subscription",
    "summary": "Put a customer on a plan",
    "tags": ["Subscriptions"],
    "request": serializers.SubscriptionCreate,
    "responses": {201: shapes.SubscriptionShape},
    "parameters": [shapes.IDEMPOTENCY_KEY],
}
SUBSCRIPTIONS = {
    "operation_id": "list_subscriptions",
    "summary": "List subscriptions",
    "tags": ["Subscriptions"],
    "responses": {200: shapes.listed(shapes.SubscriptionShape)},
    "parameters": [shapes.CUSTOMER, *shapes.CURSOR],
}
