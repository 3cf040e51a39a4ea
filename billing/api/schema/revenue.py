"""Operations on the days of the books."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers

from billing.api.fields import AmountField
from billing.api.schema import shapes
from billing.engine.journals import CONTENT_TYPES, FORMATS, PARQUET


class RevenueFileShape(serializers.Serializer[Any]):
    sha256 = serializers.CharField()
    bytes = serializers.IntegerField()
    lines = serializers.IntegerField()


class RevenueCurrencyShape(serializers.Serializer[Any]):
    currency = serializers.CharField()
    opening = AmountField()
    billed = AmountField()
    recognised = AmountField()
    breakage = AmountField()
    refunded = AmountField()
    settled = AmountField()
    exchanged = AmountField()
    adjusted = AmountField()
    disputed = AmountField()
    closing = AmountField()
    revenue = AmountField()
    receivable = AmountField()
    promotional = AmountField()
    included = AmountField()


class RevenueDayShape(serializers.Serializer[Any]):
    date = serializers.DateField()
    version = serializers.IntegerField()
    state = serializers.ChoiceField(["open", "closing", "closed"])
    timezone = serializers.CharField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    sha256 = serializers.CharField(allow_null=True)
    entries = serializers.IntegerField()
    late_entries = serializers.IntegerField()
    files = serializers.DictField(child=RevenueFileShape())
    currencies = RevenueCurrencyShape(many=True)


DAYS = extend_schema(
    operation_id="list_revenue_days",
    summary="List the days of the books, each with its roll-forward by currency",
    tags=["Finance"],
    responses={200: shapes.listed(RevenueDayShape)},
    parameters=[
        OpenApiParameter("from", OpenApiTypes.DATE, description="From this day on."),
        OpenApiParameter("to", OpenApiTypes.DATE, description="To this day, and with it."),
        *shapes.CURSOR,
    ],
)
EXPORT = extend_schema(
    operation_id="export_revenue_day",
    summary="The journal of a closed day, the same bytes each time",
    tags=["Finance"],
    responses={
        (200, "text/csv"): OpenApiTypes.STR,
        (200, "application/jsonl"): OpenApiTypes.STR,
        (200, CONTENT_TYPES[PARQUET]): OpenApiTypes.BINARY,
    },
    parameters=[
        OpenApiParameter("date", OpenApiTypes.DATE, OpenApiParameter.PATH),
        OpenApiParameter("format", OpenApiTypes.STR, enum=[*FORMATS, PARQUET], default="csv"),
        OpenApiParameter("version", OpenApiTypes.INT, description="An older version of a day that was reopened."),
    ],
)
