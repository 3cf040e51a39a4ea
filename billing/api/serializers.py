"""What requests may hold. Answers are put together where they are given."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from billing.api.codes import DIMENSION, VALUES_MAX, AssetField, CurrencyField, MatchField, MeterField, PlanField
from billing.api.fields import (
    AmountField,
    IdField,
    MetadataField,
    MomentField,
    PatternField,
    StrictSerializer,
    TextField,
)
from billing.api.prices import PriceTerms
from billing.engine.presets import PRESETS
from billing.engine.strings import is_normal
from billing.models import Asset, Customer, Grant, Meter, PlanVersion, ProviderCost

_EXTERNAL_ID = r"^(?!\.{1,2}\Z)[^/\s\x00-\x1f\x7f]+\Z"  # A part of a path, hence not "." or "..".
_CODE = r"^[a-z][a-z0-9_-]*\Z"


def read(serializer: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """The request's body, checked. Raises the framework's ``ValidationError`` with an error for each field."""
    reader = serializer(data=request.data)
    reader.is_valid(raise_exception=True)
    data: dict[str, Any] = reader.validated_data
    return data


class CustomerChange(StrictSerializer):
    name = TextField(max_length=200, required=False)
    email = serializers.EmailField(max_length=254, required=False, allow_blank=True)
    country = PatternField(r"^[A-Z]{2}\Z", required=False, allow_blank=True)
    timezone = TextField(max_length=64, required=False)
    on_insufficient_funds = serializers.ChoiceField(Customer.FundsPolicy.choices, required=False)
    overdue_action = serializers.ChoiceField(Customer.OverdueAction.choices, required=False)
    overdue_grace_days = serializers.IntegerField(
        min_value=0, max_value=Customer.GRACE_DAYS_MAX, required=False, allow_null=True
    )
    metadata = MetadataField(required=False)


class CustomerCreate(CustomerChange):
    external_id = PatternField(_EXTERNAL_ID, max_length=255)
    name = TextField(max_length=200)
    currency = CurrencyField()

    def validate_external_id(self, value: str) -> str:
        if not is_normal(value):
            raise serializers.ValidationError("Must be in Unicode's form NFC.")
        return value


class OverdraftChange(StrictSerializer):
    asset = AssetField()
    overdraft_limit = AmountField(minimum=0)


class Paid(StrictSerializer):
    amount = AmountField(minimum=0)
    currency = CurrencyField()


class AppliesTo(StrictSerializer):
    meters = serializers.ListField(child=MeterField(), allow_empty=False, max_length=VALUES_MAX)

    def validate_meters(self, value: list[Meter]) -> list[str]:
        return [meter.code for meter in value]


class GrantCreate(StrictSerializer):
    asset = AssetField()
    amount = AmountField()
    kind = serializers.ChoiceField(Grant.Kind.choices)
    priority = serializers.IntegerField(min_value=0, max_value=100, default=50)
    effective_at = MomentField(required=False, allow_null=True)
    expires_at = MomentField(required=False, allow_null=True)
    paid = Paid(required=False, allow_null=True)
    applies_to = AppliesTo(required=False, allow_null=True)
    name = TextField(max_length=200, required=False, allow_blank=True)
    metadata = MetadataField(required=False)


class GrantVoid(StrictSerializer):
    reason = TextField(max_length=500)


class Reversal(StrictSerializer):
    reason = TextField(max_length=500)


class Refund(StrictSerializer):
    asset = AssetField()
    amount = AmountField()
    reason = TextField(max_length=500)


class Adjustment(StrictSerializer):
    asset = AssetField()
    amount = AmountField(help_text="Positive puts in, negative takes out.")
    reason = TextField(max_length=500)
    allow_debt = serializers.BooleanField(default=False)


class AssetCreate(StrictSerializer):
    code = PatternField(r"^[a-z][a-z0-9_]*\Z", max_length=32)
    name = TextField(max_length=100)
    kind = serializers.ChoiceField(Asset.Kind.choices)
    precision = serializers.IntegerField(min_value=0, max_value=12)


class MeterCreate(StrictSerializer):
    code = PatternField(_CODE, max_length=64)
    name = TextField(max_length=100)
    event_type = TextField(max_length=255)
    aggregation = serializers.ChoiceField(Meter.Aggregation.choices)
    value = TextField(max_length=500, required=False, allow_blank=True)
    filter = MatchField(required=False)
    dimensions = serializers.ListField(
        child=PatternField(DIMENSION.pattern, max_length=64), required=False, max_length=20
    )
    unit = TextField(max_length=32, required=False, allow_blank=True)
    phase = serializers.ChoiceField(Meter.Phase.choices, required=False, allow_blank=True)
    section = TextField(
        max_length=64, required=False, allow_blank=True, help_text="The heading that invoices put it under: Speech."
    )


class AllowanceTerms(StrictSerializer):
    asset = AssetField()
    amount = AmountField()
    rollover_limit = AmountField(required=False, minimum=0)


class FairUseTerms(StrictSerializer):
    meter = MeterField(required=False)
    asset = AssetField(required=False)
    limit = AmountField()


class CommitmentDiscountTerms(StrictSerializer):
    discount = AmountField(minimum=0, help_text="A share: 0.1 is 10 %.")

    def get_fields(self) -> Any:
        """``from`` is no name that Python lets a field have."""
        return {"from": AmountField(minimum=0, help_text="The commitment."), **super().get_fields()}


class PresetCreate(StrictSerializer):
    """All meters of a preset at once."""

    preset = serializers.ChoiceField(sorted(PRESETS))
    event_type = TextField(max_length=255, required=False)
    prefix = PatternField(r"^[a-z][a-z0-9_-]*\Z", max_length=32, required=False)
    dimensions = serializers.ListField(
        child=PatternField(DIMENSION.pattern, max_length=64), required=False, max_length=10
    )


class VersionCreate(StrictSerializer):
    interval = serializers.ChoiceField(PlanVersion.Interval.choices, default=PlanVersion.Interval.MONTH)
    base_fee = AmountField(required=False, minimum=0)
    allowances = serializers.ListField(child=AllowanceTerms(), required=False, max_length=50)
    trial_days = serializers.IntegerField(required=False, min_value=0, max_value=730)
    minimum_commitment = AmountField(required=False, minimum=0)
    overage_limit = AmountField(
        required=False,
        minimum=0,
        help_text="How far usage, not fees, goes on when the wallet is empty, to the invoice; 0: it is refused.",
    )
    cached_tokens = serializers.ChoiceField(PlanVersion.CachedTokens.choices, default=PlanVersion.CachedTokens.OWN)
    fair_use = serializers.ListField(child=FairUseTerms(), required=False, max_length=50)
    commitment_discounts = serializers.ListField(child=CommitmentDiscountTerms(), required=False, max_length=50)
    prices = serializers.ListField(child=PriceTerms(), allow_empty=False, max_length=1000)


class DraftTerms(VersionCreate):
    """The same, and none of it needed yet."""

    interval = serializers.ChoiceField(PlanVersion.Interval.choices, required=False)
    prices = serializers.ListField(child=PriceTerms(), required=False, max_length=1000)


class PlanCreate(VersionCreate):
    publish = serializers.BooleanField(default=True)
    code = PatternField(_CODE, max_length=64)
    name = TextField(max_length=100)
    currency = CurrencyField()


class ProviderCostCreate(StrictSerializer):
    provider = TextField(max_length=64)
    model = TextField(max_length=255)
    aliases = serializers.ListField(child=TextField(max_length=255), required=False, max_length=VALUES_MAX)
    unit = serializers.ChoiceField(ProviderCost.Unit.choices)
    unit_cost = AmountField(minimum=0)
    per = AmountField(required=False)
    above = serializers.IntegerField(min_value=0, max_value=2_147_483_647, required=False)
    effective_from = MomentField(required=False)
    effective_to = MomentField(required=False, allow_null=True)

    def validate_per(self, value: Any) -> Any:
        if value <= 0:
            raise serializers.ValidationError("Must be greater than zero.")
        return value


class SubscriptionCreate(StrictSerializer):
    customer = TextField(max_length=255)
    plan = PlanField()
    version = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    starts_at = MomentField(required=False, default=timezone.now)
    anchor = MomentField(required=False)
    trial_days = serializers.IntegerField(required=False, min_value=0, max_value=730)
    discount = AmountField(required=False, minimum=0)
    price_overrides = serializers.ListField(child=PriceTerms(), required=False, max_length=1000)
    minimum_commitment = AmountField(required=False, minimum=0)
    spend_cap = AmountField(required=False, minimum=0)


class SubscriptionChange(StrictSerializer):
    plan = PlanField()
    version = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    when = serializers.ChoiceField(["now", "period_end"], default="now")
    at = MomentField(required=False)
    discount = AmountField(required=False, minimum=0)
    price_overrides = serializers.ListField(child=PriceTerms(), required=False, max_length=1000)
    minimum_commitment = AmountField(required=False, minimum=0)
    spend_cap = AmountField(required=False, minimum=0)

    def validate_discount(self, value: Any) -> Any:
        if value > 1:
            raise serializers.ValidationError("Must be from 0 to 1, such as 0.15.")
        return value


class SubscriptionCancel(StrictSerializer):
    when = serializers.ChoiceField(["now", "period_end"], default="period_end")
    refund = serializers.BooleanField(default=False)


class Nothing(StrictSerializer):
    """An empty object."""


@extend_schema_field({"type": "object", "additionalProperties": True})
class DataField(serializers.Field[dict[str, Any], Any, Any, Any]):
    """An event's data: free-form, its numbers exact."""

    default_error_messages = {"invalid": "A JSON object is needed."}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class AuthorizationCreate(StrictSerializer):
    """Either ``type`` and ``data`` of the usage that is expected, or ``asset`` and ``amount``."""

    customer = TextField(max_length=255)
    type = TextField(max_length=255, required=False)
    data = DataField(required=False)  # type: ignore[assignment]
    asset = AssetField(required=False)
    amount = AmountField(required=False)
    expires_in = serializers.IntegerField(min_value=1, max_value=604_800, default=600)
    api_key = IdField(
        required=False, help_text="The customer's own key that the call is made with. For the operator's keys alone."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if {"type", "data"} & attrs.keys() and {"asset", "amount"} & attrs.keys():
            raise serializers.ValidationError("Either type and data, or asset and amount, not both.")
        if "type" not in attrs:
            needed = serializers.ErrorDetail("Needed, unless type and data are given.", code="required")
            if missing := {name: needed for name in ("asset", "amount") if name not in attrs}:
                raise serializers.ValidationError(missing)
        return attrs


class Capture(StrictSerializer):
    """Either the usage ``event``, or an ``amount`` of the authorization's asset."""

    event = DataField(required=False)
    amount = AmountField(required=False)
    final = serializers.BooleanField(default=True)
    outcome = serializers.ChoiceField(["succeeded", "failed"], required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("event" in attrs) == ("amount" in attrs):
            raise serializers.ValidationError("Either event or amount is needed.")
        if "outcome" in attrs and "amount" in attrs:
            raise serializers.ValidationError({"outcome": "Goes with an event: an amount is charged as it is."})
        return attrs


class Void(StrictSerializer):
    reason = TextField(max_length=200, required=False, allow_blank=True)
