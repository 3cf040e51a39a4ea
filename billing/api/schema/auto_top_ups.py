"""Operations of standing orders to top up."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers as rest

from billing.api import payers
from billing.api.fields import AmountField, MomentField
from billing.api.schema.funding import FailureShape

_TAGS = ["Funding"]


class UsedShape(rest.Serializer[Any]):
    amount = AmountField()
    count = rest.IntegerField()


class OrderShape(rest.Serializer[Any]):
    customer = rest.CharField()
    asset = rest.CharField()
    amount = AmountField(allow_null=True)
    pack = rest.CharField(allow_null=True)
    method = rest.CharField()
    monthly_limit = AmountField(allow_null=True)
    count_limit = rest.IntegerField(allow_null=True)
    enabled = rest.BooleanField()
    status = rest.ChoiceField(["off", "suspended", "charging", "cooling", "armed"])
    failure = FailureShape(allow_null=True)
    fix_url = rest.CharField(allow_null=True)
    used_this_month = UsedShape()
    not_before = MomentField()
    updated_at = MomentField()


class AutoTopUpShape(OrderShape):
    event = rest.CharField()
    threshold = AmountField()
    action = rest.CharField()
    target = AmountField(allow_null=True)
    cooldown_seconds = rest.IntegerField()


class ScheduledTopUpShape(OrderShape):
    every = rest.CharField()
    starts_at = MomentField()


AUTO_PUT = extend_schema(
    operation_id="put_auto_top_up",
    summary="Have a wallet topped up when its balance falls",
    description=(
        "Below the threshold a kept payment method is charged: for the amount, or a multiple of it that closes the "
        "whole gap; for as much as fills the balance up to the target; or for packs. Three declines suspend it. "
        "Putting it anew also resumes it."
    ),
    tags=_TAGS,
    request=payers.AutoTopUpPut,
    responses={200: AutoTopUpShape},
)
AUTO_GET = extend_schema(
    operation_id="get_auto_top_up",
    summary="How a wallet is topped up when its balance falls",
    tags=_TAGS,
    responses={200: AutoTopUpShape},
)
AUTO_DELETE = extend_schema(
    operation_id="delete_auto_top_up",
    summary="Top up no more when the balance falls",
    tags=_TAGS,
    responses={204: None},
)
SCHEDULED_PUT = extend_schema(
    operation_id="put_scheduled_top_up",
    summary="Have a wallet topped up at fixed times",
    tags=_TAGS,
    request=payers.ScheduledTopUpPut,
    responses={200: ScheduledTopUpShape},
)
SCHEDULED_GET = extend_schema(
    operation_id="get_scheduled_top_up",
    summary="When a wallet is topped up",
    tags=_TAGS,
    responses={200: ScheduledTopUpShape},
)
SCHEDULED_DELETE = extend_schema(
    operation_id="delete_scheduled_top_up",
    summary="Top up no more at fixed times",
    tags=_TAGS,
    responses={204: None},
)
