"""Operations of money in."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers as rest

from billing.api import payers
from billing.api.fields import AmountField, MomentField
from billing.api.schema import shapes


class UsedMethodShape(rest.Serializer[Any]):
    type = rest.CharField()
    brand = rest.CharField(allow_blank=True)
    last4 = rest.CharField(allow_blank=True)


class FailureShape(rest.Serializer[Any]):
    code = rest.CharField(allow_blank=True)
    detail = rest.CharField(allow_blank=True)


class TopUpShape(rest.Serializer[Any]):
    id = rest.UUIDField()
    customer = rest.CharField()
    status = rest.ChoiceField(["requires_action", "processing", "succeeded", "failed", "canceled", "expired"])
    checkout_url = rest.CharField(allow_null=True)
    amount = AmountField()
    fee = AmountField()
    tax = AmountField()
    total = AmountField()
    currency = rest.CharField()
    asset = rest.CharField()
    credit = AmountField()
    bonus = AmountField()
    rate = AmountField(allow_null=True)
    pack = rest.CharField(allow_null=True)
    refunded = AmountField()
    payment_method = UsedMethodShape(allow_null=True)
    failure = FailureShape(allow_null=True)
    grant = rest.UUIDField(allow_null=True)
    expected_at = MomentField(allow_null=True)
    created_at = MomentField()
    settled_at = MomentField(allow_null=True)


class RefundShape(rest.Serializer[Any]):
    id = rest.UUIDField()
    top_up = rest.UUIDField()
    status = rest.ChoiceField(["processing", "succeeded", "failed"])
    amount = AmountField()
    tax = AmountField()
    total = AmountField()
    currency = rest.CharField()
    credit = AmountField()
    failure = rest.CharField(allow_null=True)
    created_at = MomentField()


class MethodShape(rest.Serializer[Any]):
    id = rest.CharField()
    type = rest.CharField()
    brand = rest.CharField(allow_blank=True)
    last4 = rest.CharField(allow_blank=True)
    exp_month = rest.IntegerField(allow_null=True)
    exp_year = rest.IntegerField(allow_null=True)
    created_at = MomentField()


class SetupShape(rest.Serializer[Any]):
    setup_url = rest.CharField()


class PackShape(rest.Serializer[Any]):
    code = rest.CharField()
    name = rest.CharField()
    asset = rest.CharField()
    amount = AmountField()
    price = AmountField()
    currency = rest.CharField()


TOP_UP = extend_schema(
    operation_id="create_top_up",
    summary="Ask a customer to pay into the wallet",
    description=(
        "Without payment_method the answer has a checkout_url to send the payer to; with one, it is charged. "
        "The wallet is credited when the money is in."
    ),
    tags=["Funding"],
    request=payers.TopUpCreate,
    responses={201: TopUpShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
TOP_UPS = extend_schema(
    operation_id="list_top_ups",
    summary="List top-ups",
    tags=["Funding"],
    responses={200: shapes.listed(TopUpShape)},
    parameters=shapes.CURSOR,
)
TOP_UP_GET = extend_schema(
    operation_id="get_top_up", summary="One top-up", tags=["Funding"], responses={200: TopUpShape}
)
REFUND = extend_schema(
    operation_id="refund_top_up",
    summary="Pay a top-up back, whole or in part",
    description="Only what is unspent. Without an amount: all that can be paid back.",
    tags=["Funding"],
    request=payers.RefundCreate,
    responses={201: RefundShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
METHODS = extend_schema(
    operation_id="list_payment_methods",
    summary="List the payment methods that the customer keeps",
    tags=["Funding"],
    responses={200: shapes.listed(MethodShape)},
)
METHOD_ADD = extend_schema(
    operation_id="add_payment_method",
    summary="Open a page on which the customer adds a payment method",
    tags=["Funding"],
    request=payers.MethodAdd,
    responses={201: SetupShape},
)
METHOD_REMOVE = extend_schema(
    operation_id="remove_payment_method",
    summary="Forget a payment method",
    tags=["Funding"],
    request=None,
    responses={204: None},
)
PACK = extend_schema(
    operation_id="create_pack",
    summary="Put a pack up for sale",
    tags=["Funding"],
    request=payers.PackCreate,
    responses={201: PackShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
PACKS = extend_schema(
    operation_id="list_packs",
    summary="List the packs that are for sale",
    tags=["Funding"],
    responses={200: shapes.listed(PackShape)},
    parameters=shapes.CURSOR,
)
