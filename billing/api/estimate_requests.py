"""What ``POST /estimates`` takes."""

from typing import Any

from rest_framework import serializers

from billing.api.codes import AssetField, MeterField
from billing.api.fields import AmountField, StrictSerializer, TextField
from billing.api.prices import PriceFields
from billing.api.serializers import DataField
from billing.models import Meter

WORKLOAD_MAX = 100
COUNT_MAX = 10**12


class Workload(StrictSerializer):
    type = TextField(max_length=255)
    data = DataField(required=False)  # type: ignore[assignment]
    count = serializers.IntegerField(required=False, min_value=1, max_value=COUNT_MAX)


class BarePrice(PriceFields):
    """A price that need not exist. Without an asset its amount is in US dollars."""

    asset = AssetField(required=False)
    meter = MeterField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "asset" not in attrs:
            attrs["asset"] = self.fields["asset"].to_internal_value("usd")
        attrs.setdefault("meter", Meter(code="units", aggregation=Meter.Aggregation.SUM))
        return attrs


class EstimateRequest(StrictSerializer):
    """For a ``customer`` or ``plan``: ``type`` and ``data``, or a ``workload``. Or for a ``price``: a ``quantity``."""

    customer = TextField(max_length=255, required=False)
    plan = TextField(max_length=64, required=False)
    version = serializers.IntegerField(required=False, min_value=1, max_value=10**9)
    type = TextField(max_length=255, required=False)
    data = DataField(required=False)  # type: ignore[assignment]
    workload = serializers.ListField(child=Workload(), required=False, allow_empty=False, max_length=WORKLOAD_MAX)
    price = BarePrice(required=False)
    quantity = AmountField(minimum=0, required=False)
    already_used = AmountField(minimum=0, required=False)
    discount = AmountField(minimum=0, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        subjects = [name for name in ("customer", "plan", "price") if name in attrs]
        if len(subjects) != 1:
            raise serializers.ValidationError("One of customer, plan and price is needed.")
        (subject,) = subjects
        known = {
            "customer": {"type", "data", "workload"},
            "plan": {"version", "type", "data", "workload"},
            "price": {"quantity", "already_used", "discount"},
        }[subject]
        wrong = {name: f"Does not go with {subject}." for name in attrs if name not in {*known, subject}}
        if subject == "price" and "quantity" not in attrs:
            wrong["quantity"] = "Needed with price."
        if subject != "price" and ("type" in attrs) == ("workload" in attrs):
            wrong["type"] = "Either type and data, or a workload."
        if "workload" in attrs and "data" in attrs:
            wrong["data"] = "Goes with type; a workload has its own."
        if attrs.get("discount", 0) > 1:
            wrong["discount"] = "A share: at most 1."
        if wrong:
            raise serializers.ValidationError(wrong)
        return attrs
