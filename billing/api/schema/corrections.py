"""Operations that put right."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers as framework

from billing.api import serializers
from billing.api.fields import AmountField
from billing.api.schema import shapes


class CorrectionAnswerShape(shapes.CorrectionShape):
    event = framework.CharField()
    customer = framework.CharField()
    source = framework.CharField()  # type: ignore[assignment]  # A member called like an attribute of the framework.
    balance = shapes.AmountsField(help_text="What the wallet has since, in the assets that came back.")


class AdjustmentShape(framework.Serializer):  # type: ignore[type-arg]
    customer = framework.CharField()
    asset = framework.CharField()
    amount = AmountField()
    reason = framework.CharField()
    grant = framework.UUIDField(allow_null=True, help_text="What a positive adjustment put in.")
    transaction = framework.UUIDField()
    balance = shapes.AmountsField()


_PARAMETERS = [
    shapes.IDEMPOTENCY_KEY,
    shapes.CUSTOMER,
    OpenApiParameter("source", OpenApiTypes.STR, description="Needed where ids are not unique without it."),
]

REVERSE = extend_schema(
    operation_id="reverse_event",
    summary="Take back all that an event was charged",
    description="Units go back to the grants that paid. Reversed before, or never charged: 409 invalid_state.",
    tags=["Usage"],
    request=serializers.Reversal,
    responses={200: CorrectionAnswerShape},
    parameters=_PARAMETERS,
)
REFUND = extend_schema(
    operation_id="refund_event",
    summary="Give back a part of what an event was charged",
    description="Its quantity stays. More than is left of the charge: 409 invalid_state with `left`.",
    tags=["Usage"],
    request=serializers.Refund,
    responses={200: CorrectionAnswerShape},
    parameters=_PARAMETERS,
)
ADJUST = extend_schema(
    operation_id="adjust_wallet",
    summary="Put value into the wallet by hand, or take it out",
    description="What goes out is taken in burn order, all or nothing; below zero only with allow_debt.",
    tags=["Wallets"],
    request=serializers.Adjustment,
    responses={201: AdjustmentShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
