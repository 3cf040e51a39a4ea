"""Operations on what is done where spending runs away."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers as rest

from billing.api.fields import AmountField, MomentField, StrictSerializer
from billing.api.schema import shapes
from billing.models import SpendAnomaly, SpendWatch


class WatchChange(StrictSerializer):
    action = rest.ChoiceField(SpendWatch.Action.choices)


class WatchShape(rest.Serializer[Any]):
    action = rest.ChoiceField(SpendWatch.Action.choices)


class AnomalyShape(rest.Serializer[Any]):
    id = rest.UUIDField()
    asset = rest.CharField()
    hour = MomentField()
    scope = rest.DictField(child=rest.CharField())
    level = rest.ChoiceField(SpendAnomaly.Level.choices)
    spent = AmountField()
    usual = AmountField()
    above = AmountField()
    paused = rest.BooleanField()
    created_at = MomentField()


WATCH = extend_schema(
    operation_id="get_spend_watch",
    summary="What is done where the customer's spending runs away",
    tags=["Spend controls"],
    responses={200: WatchShape},
)
WATCH_CHANGE = extend_schema(
    operation_id="set_spend_watch",
    summary="Say what is done where the customer's spending runs away",
    description=(
        "tell (the default), pause (the customer's own API key that spends it is paused as well) or nothing. An hour "
        "is held against the same hour of the last eight weeks."
    ),
    tags=["Spend controls"],
    request=WatchChange,
    responses={200: WatchShape},
)
ANOMALIES = extend_schema(
    operation_id="list_anomalies",
    summary="List the hours in which far more was spent than usual",
    tags=["Spend controls"],
    responses={200: shapes.listed(AnomalyShape)},
    parameters=shapes.CURSOR,
)
