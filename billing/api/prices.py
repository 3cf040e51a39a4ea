"""Prices in requests and answers: every model's fields, as the contract names them."""

from typing import Any

from rest_framework import serializers

from billing.api.codes import AssetField, MatchField, MeterField
from billing.api.fields import AmountField, MetadataField, StrictSerializer, TextField, amount_or_none
from billing.engine.money import amount_string
from billing.engine.prices import TierTerms, terms
from billing.engine.rating import ExplainedLine
from billing.models import Price
from billing.services.catalog.prices import PriceTerms as Wanted


class TierTermsRead(StrictSerializer):
    up_to = AmountField(minimum=0, allow_null=True)
    unit_amount = AmountField(minimum=0, required=False)
    rate = AmountField(minimum=0, required=False)
    flat_amount = AmountField(minimum=0, required=False)


class PriceFields(StrictSerializer):
    """What belongs to which model is checked where prices are: ``billing.engine.prices.terms``."""

    model = serializers.ChoiceField(Price.Model.choices)
    unit_amount = AmountField(minimum=0, required=False)
    per = AmountField(required=False)
    rounding = serializers.ChoiceField(Price.Rounding.choices, required=False)
    tiers = serializers.ListField(child=TierTermsRead(), required=False, allow_empty=False, max_length=terms.TIERS_MAX)
    rate = AmountField(minimum=0, required=False)
    fixed_amount = AmountField(minimum=0, required=False)
    minimum = AmountField(minimum=0, required=False)
    maximum = AmountField(minimum=0, required=False)
    markup = AmountField(minimum=0, required=False)
    cost_field = TextField(max_length=200, required=False)
    amount_field = TextField(max_length=200, required=False)
    free_units = AmountField(minimum=0, required=False)
    minimum_amount = AmountField(minimum=0, required=False)
    maximum_amount = AmountField(minimum=0, required=False)
    covered_by = AssetField(required=False, allow_null=True)
    cached_of = MeterField(required=False, allow_null=True)
    match = MatchField(required=False)
    valid = MetadataField(required=False)
    failure_policy = serializers.ChoiceField(Price.FailurePolicy.choices, required=False)

    def validate_per(self, value: Any) -> Any:
        if value <= 0:
            raise serializers.ValidationError("Must be greater than zero.")
        return value


class PriceTerms(PriceFields):
    meter = MeterField()
    asset = AssetField()


def wanted(data: dict[str, Any]) -> Wanted:
    """What a checked request says of a price."""
    values = dict(data)
    if "tiers" in values:
        values["tiers"] = tuple(TierTerms(**tier) for tier in values["tiers"])
    return Wanted(**values)


def show_line(line: ExplainedLine) -> dict[str, Any]:
    """A line of why something costs what it costs."""
    return {
        "kind": line.kind,
        "tier": line.tier,
        "quantity": amount_or_none(line.quantity),
        "unit_amount": amount_or_none(line.unit_amount),
        "per": amount_or_none(line.per),
        "amount": amount_string(line.amount),
    }
