"""Operations on alerts and forecasts."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers as rest

from billing.api import limits
from billing.api.fields import AmountField, MomentField
from billing.api.schema import shapes
from billing.models import Alert

_ASSET = OpenApiParameter("asset", OpenApiTypes.STR, description="The customer's currency if not given.")


class AlertShape(rest.Serializer[Any]):
    id = rest.UUIDField()
    customer = rest.CharField()
    kind = rest.ChoiceField(Alert.Kind.choices)
    asset = rest.CharField(allow_null=True)
    amount = AmountField(allow_null=True)
    at = rest.ListField(child=AmountField())
    of = rest.ChoiceField(["last_top_up"], allow_null=True)
    days = rest.ListField(child=rest.IntegerField())
    crossed = rest.BooleanField(help_text="Whether one of its thresholds is crossed now.")
    created_at = MomentField()


class MonthShape(rest.Serializer[Any]):
    start = MomentField()
    end = MomentField()
    spent = AmountField()
    expected = AmountField()
    low = AmountField(help_text="Four in five are between this and high.")
    high = AmountField()


class ForecastShape(rest.Serializer[Any]):
    customer = rest.CharField()
    asset = rest.CharField()
    available = AmountField()
    per_day = AmountField()
    history_days = rest.IntegerField()
    runway_days = AmountField(allow_null=True)
    month = MonthShape()


class BudgetPaceShape(rest.Serializer[Any]):
    budget = rest.UUIDField()
    name = rest.CharField()
    left = AmountField()
    resets_at = MomentField()
    per_hour = AmountField()


class PaceShape(rest.Serializer[Any]):
    customer = rest.CharField()
    asset = rest.CharField()
    available = AmountField()
    until = MomentField()
    per_hour = AmountField()
    spent_last_hour = AmountField()
    share = AmountField(allow_null=True, help_text="What was spent in the last hour, of what may be.")
    advice = rest.ChoiceField(["keep", "cheaper_model", "slow_down", "stop"])
    budgets = BudgetPaceShape(many=True)


class RepeatedShape(rest.Serializer[Any]):
    type = rest.CharField()
    model = rest.CharField(allow_null=True)
    fingerprint = rest.CharField()
    calls = rest.IntegerField()
    wasted = AmountField(help_text="What all but the first of them cost.")
    last_at = MomentField()


class SmallCallsShape(rest.Serializer[Any]):
    type = rest.CharField()
    model = rest.CharField(allow_null=True)
    hour = MomentField(help_text="The one with the most.")
    calls = rest.IntegerField()
    tokens = AmountField(help_text="Of one of them, in the mean.")
    amount = AmountField()


class CheaperModelShape(rest.Serializer[Any]):
    model = rest.CharField()
    instead = rest.CharField()
    amount = AmountField()
    then = AmountField()
    saving = AmountField()


class AdviceShape(rest.Serializer[Any]):
    customer = rest.CharField()
    asset = rest.CharField()
    since = MomentField()
    events = rest.IntegerField(help_text="In how many of the latest events repeats and small calls were looked for.")
    repeated = RepeatedShape(many=True)
    small_calls = SmallCallsShape(many=True)
    cheaper_models = CheaperModelShape(many=True)


ALERT = extend_schema(
    operation_id="create_alert",
    summary="Tell a customer's people in time",
    description=(
        "balance_below an amount or shares of the last top-up; runway_below and grant_expiring so many days; "
        "commitment_used shares of what a plan's period must come to; "
        "spend_anomaly what is far from usual. Told once for each crossing and again after it was undone."
    ),
    tags=["Spend controls"],
    request=limits.AlertCreate,
    responses={201: AlertShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
ALERTS = extend_schema(
    operation_id="list_alerts",
    summary="List alerts",
    tags=["Spend controls"],
    responses={200: shapes.listed(AlertShape)},
    parameters=shapes.CURSOR,
)
ALERT_DELETE = extend_schema(
    operation_id="remove_alert",
    summary="Remove an alert",
    tags=["Spend controls"],
    request=None,
    responses={204: None},
)
FORECAST = extend_schema(
    operation_id="get_forecast",
    summary="How long the balance lasts, and what the month will come to",
    tags=["Spend controls"],
    responses={200: ForecastShape},
    parameters=[_ASSET],
)
ADVICE = extend_schema(
    operation_id="get_advice",
    summary="Where money could be saved",
    description=(
        "Of the last thirty days: requests with the same prompt_hash, request_hash or input_hash again and again, many "
        "small calls in one hour, and a model of the plan with which the same work would have cost a fifth less."
    ),
    tags=["Spend controls"],
    responses={200: AdviceShape},
    parameters=[_ASSET],
)
PACE = extend_schema(
    operation_id="get_pace",
    summary="What may be spent each hour to last",
    description=(
        "Until the month is over, or the tightest hard budget of all usage begins anew. The advice of an agent: keep, "
        "cheaper_model above four fifths of it, slow_down above all of it, stop where nothing is left."
    ),
    tags=["Spend controls"],
    responses={200: PaceShape},
    parameters=[_ASSET],
)
