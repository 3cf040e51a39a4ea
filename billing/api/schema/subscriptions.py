"""Operations on subscriptions."""

from drf_spectacular.utils import extend_schema

from billing.api import serializers
from billing.api.schema import shapes

SUBSCRIBE = extend_schema(
    operation_id="start_subscription",
    summary="Put a customer on a plan",
    tags=["Subscriptions"],
    request=serializers.SubscriptionCreate,
    responses={201: shapes.SubscriptionShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
SUBSCRIPTIONS = extend_schema(
    operation_id="list_subscriptions",
    summary="List subscriptions",
    tags=["Subscriptions"],
    responses={200: shapes.listed(shapes.SubscriptionShape)},
    parameters=[shapes.CUSTOMER, *shapes.CURSOR],
)
SUBSCRIPTION = extend_schema(
    operation_id="get_subscription",
    summary="One subscription",
    tags=["Subscriptions"],
    responses={200: shapes.SubscriptionShape},
)
PERIODS = extend_schema(
    operation_id="list_subscription_periods",
    summary="List a subscription's billing periods, each with its fees and allowances",
    tags=["Subscriptions"],
    responses={200: shapes.listed(shapes.PeriodShape)},
    parameters=shapes.CURSOR,
)
CHANGE = extend_schema(
    operation_id="change_subscription",
    summary="Put a subscription on another plan or version, now or at the period's end",
    tags=["Subscriptions"],
    request=serializers.SubscriptionChange,
    responses={200: shapes.SubscriptionShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
PREVIEW_CHANGE = extend_schema(
    operation_id="preview_subscription_change",
    summary="What such a change would post, to the last digit; nothing is written",
    tags=["Subscriptions"],
    request=serializers.SubscriptionChange,
    responses={200: shapes.ChangeShape},
)
CANCEL = extend_schema(
    operation_id="cancel_subscription",
    summary="End a subscription, now or at the period's end",
    tags=["Subscriptions"],
    request=serializers.SubscriptionCancel,
    responses={200: shapes.SubscriptionShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
REACTIVATE = extend_schema(
    operation_id="reactivate_subscription",
    summary="Take back a cancellation whose time has not come",
    tags=["Subscriptions"],
    request=serializers.Nothing,
    responses={200: shapes.SubscriptionShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
