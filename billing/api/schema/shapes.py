"""The shapes of answers, for the document and for its readers."""

from functools import cache
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

from billing.api.codes import MatchField
from billing.api.fields import AmountField, MetadataField, MomentField
from billing.models import ProviderCost

PROBLEMS = {
    "400": "The request is not valid.",
    "401": "No valid API key.",
    "403": "The key may not do this.",
    "404": "Not found, or somebody else's.",
    "405": "No such method here.",
    "406": "Cannot be given in a form that is accepted.",
    "409": "It conflicts with what is there.",
    "413": "Too large.",
    "415": "Not a content type, or not an encoding, that is understood.",
    "429": "Too many requests.",
    "500": "A mistake of ours, logged under the request id.",
    "503": "Busy: try again shortly.",
}

PAYMENT_PROBLEMS = {
    "402": "The wallet or a budget has too little.",
    "422": "No price for this usage.",
}
"""Of the operations that charge, or set aside."""

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The same key with the same body gets the first answer again, with Idempotent-Replayed: true.",
)
CURSOR = [
    OpenApiParameter("cursor", OpenApiTypes.STR, description="next_cursor of the page before."),
    OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}),
]
FROM_TO = [
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="From this moment on."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="Before this moment."),
]
CUSTOMER = OpenApiParameter("customer", OpenApiTypes.STR, description="The customer's external id.")


@cache
def listed(row: type[serializers.Serializer[Any]]) -> Any:
    """The shape of a list of ``row``."""
    return inline_serializer(
        name=f"{row.__name__}List",
        fields={"data": row(many=True), "next_cursor": serializers.CharField(allow_null=True)},
    )


class AmountsField(serializers.DictField):
    """Amounts by asset code."""

    child = AmountField()


class CustomerShape(serializers.Serializer[Any]):
    external_id = serializers.CharField()
    name = serializers.CharField()
    email = serializers.CharField(allow_blank=True)
    currency = serializers.CharField()
    country = serializers.CharField(allow_blank=True)
    timezone = serializers.CharField()
    on_insufficient_funds = serializers.ChoiceField(["reject", "overdraft"])
    overdue_action = serializers.ChoiceField(
        ["default", "nothing", "remind", "suspend"],
        help_text="What an invoice does that is not paid when it is due. default: as the operator's settings have it.",
    )
    overdue_grace_days = serializers.IntegerField(
        allow_null=True, help_text="How many days after the due day usage goes on. null: as the settings have it."
    )
    metadata = MetadataField()
    created_at = MomentField()


class BalanceShape(serializers.Serializer[Any]):
    asset = serializers.CharField()
    available = AmountField()
    held = AmountField()
    overdraft_limit = AmountField()
    lifetime_granted = AmountField()
    lifetime_spent = AmountField()


class WalletShape(serializers.Serializer[Any]):
    customer = serializers.CharField()
    balances = BalanceShape(many=True)


class PaidShape(serializers.Serializer[Any]):
    amount = AmountField()
    currency = serializers.CharField()


class GrantShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    customer = serializers.CharField()
    asset = serializers.CharField()
    amount = AmountField()
    remaining = AmountField()
    held = AmountField()
    status = serializers.ChoiceField(["scheduled", "active", "depleted", "expired", "voided"])
    kind = serializers.CharField()
    priority = serializers.IntegerField()
    effective_at = MomentField()
    expires_at = MomentField(allow_null=True)
    paid = PaidShape(allow_null=True)
    applies_to = MetadataField()
    name = serializers.CharField(allow_blank=True)
    metadata = MetadataField()
    created_at = MomentField()


class EntryShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    transaction = serializers.UUIDField()
    kind = serializers.CharField()
    asset = serializers.CharField()
    amount = AmountField(help_text="As the customer's balance sees it: negative for what goes out.")
    balance_after = AmountField()
    grant = serializers.UUIDField(allow_null=True)
    event = serializers.CharField(allow_null=True)
    occurred_at = MomentField()
    posted_at = MomentField()


class AssetShape(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(["currency", "unit"])
    precision = serializers.IntegerField()


class MeterShape(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    event_type = serializers.CharField()
    aggregation = serializers.CharField()
    value = serializers.CharField(allow_blank=True)
    filter = MatchField()
    dimensions = serializers.ListField(child=serializers.CharField())
    unit = serializers.CharField(allow_blank=True)
    phase = serializers.CharField(allow_blank=True)
    section = serializers.CharField(allow_blank=True)
    created_at = MomentField()


class PresetMeterShape(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    aggregation = serializers.CharField()
    value = serializers.CharField(allow_blank=True)
    filter = MatchField()
    unit = serializers.CharField()
    phase = serializers.CharField(allow_blank=True)


class PresetShape(serializers.Serializer[Any]):
    preset = serializers.CharField()
    description = serializers.CharField()
    event_type = serializers.CharField()
    dimensions = serializers.ListField(child=serializers.CharField())
    meters = PresetMeterShape(many=True)
    example = MetadataField(help_text="An event's data.")
    counts = serializers.DictField(child=serializers.CharField(), help_text="What the meters make of the example.")


class TierShape(serializers.Serializer[Any]):
    up_to = AmountField(allow_null=True)
    unit_amount = AmountField(required=False)
    rate = AmountField(required=False)
    flat_amount = AmountField(required=False)


class ReceiptPriceShape(serializers.Serializer[Any]):
    """Each model has the fields that the section on prices gives it; the others are not there."""

    model = serializers.CharField()
    unit_amount = AmountField(required=False)
    per = AmountField(required=False)
    rounding = serializers.CharField(required=False)
    tiers = TierShape(many=True, required=False)
    rate = AmountField(required=False)
    fixed_amount = AmountField(required=False)
    minimum = AmountField(required=False)
    maximum = AmountField(required=False)
    markup = AmountField(required=False)
    cost_field = serializers.CharField(required=False)
    amount_field = serializers.CharField(required=False)
    free_units = AmountField(required=False)
    minimum_amount = AmountField(required=False)
    maximum_amount = AmountField(required=False)
    covered_by = serializers.CharField(required=False)
    cached_of = serializers.CharField(required=False)
    match = MatchField()
    valid = MetadataField(required=False)
    failure_policy = serializers.ChoiceField(["portion", "prompt_only", "none"])


class PriceShape(ReceiptPriceShape):
    meter = serializers.CharField()
    asset = serializers.CharField()


class AllowanceShape(serializers.Serializer[Any]):
    asset = serializers.CharField()
    amount = AmountField()
    rollover_limit = AmountField()


class FairUseShape(serializers.Serializer[Any]):
    meter = serializers.CharField(required=False)
    asset = serializers.CharField(required=False)
    limit = AmountField()


class PlanShape(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    currency = serializers.CharField()
    version = serializers.IntegerField(allow_null=True, help_text="null while there are only drafts.")
    interval = serializers.CharField(allow_null=True)
    base_fee = AmountField(allow_null=True)
    trial_days = serializers.IntegerField(allow_null=True)
    minimum_commitment = AmountField(allow_null=True)
    overage_limit = AmountField(allow_null=True)
    commitment_discounts = serializers.ListField(child=serializers.DictField(child=AmountField()))
    allowances = AllowanceShape(many=True)
    fair_use = FairUseShape(many=True)
    published_at = MomentField(allow_null=True)
    cached_tokens = serializers.ChoiceField(["own", "retail"], allow_null=True)
    prices = PriceShape(many=True)


class ProviderCostShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    provider = serializers.CharField()
    model = serializers.CharField()
    aliases = serializers.ListField(child=serializers.CharField())
    unit = serializers.ChoiceField(ProviderCost.Unit.choices)
    unit_cost = AmountField()
    per = AmountField()
    currency = serializers.ChoiceField(["USD"])
    above = serializers.IntegerField()
    source = serializers.ChoiceField(ProviderCost.Source.choices)  # type: ignore[assignment]
    effective_from = MomentField()
    effective_to = MomentField(allow_null=True)


class DraftShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    plan = serializers.CharField()
    terms = MetadataField(help_text="As they were sent.")
    created_at = MomentField()
    changed_at = MomentField()


class CurrentPeriodShape(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    start = MomentField()
    end = MomentField()


class NextChangeShape(serializers.Serializer[Any]):
    plan = serializers.CharField()
    plan_version = serializers.IntegerField()
    at = MomentField()


class PriceLineShape(serializers.Serializer[Any]):
    kind = serializers.CharField(
        help_text="units, packages, flat_amount, free_units, maximum, discount, covered, event, waived, refused or "
        "not_paid."
    )
    tier = serializers.IntegerField(allow_null=True)
    quantity = AmountField(allow_null=True)
    unit_amount = AmountField(allow_null=True)
    per = AmountField(allow_null=True)
    amount = AmountField()


class EstimatedChargeShape(serializers.Serializer[Any]):
    meter = serializers.CharField()
    quantity = AmountField()
    asset = serializers.CharField()
    amount = AmountField()
    plan = serializers.CharField()
    plan_version = serializers.IntegerField()
    lines = PriceLineShape(many=True)


class PriceEstimateShape(serializers.Serializer[Any]):
    """For a bare price."""

    amount = AmountField()
    asset = serializers.CharField()
    lines = PriceLineShape(many=True)


class UsageEstimateShape(serializers.Serializer[Any]):
    """For a customer or a plan."""

    amount = AmountField(help_text="Of all charges in the currency of the customer or plan.")
    asset = serializers.CharField(help_text="That currency.")
    cost = AmountsField()
    charges = EstimatedChargeShape(many=True)


class AccruingShape(serializers.Serializer[Any]):
    """A level over time since its last report: charged when its period is settled."""

    meter = serializers.CharField()
    level = AmountField()
    since = MomentField()
    until = MomentField(help_text="Where it ends, if it is not reported again before.")
    quantity = AmountField(help_text="Level × hours so far.")
    asset = serializers.CharField()
    amount = AmountField()


class SubscriptionShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    customer = serializers.CharField()
    plan = serializers.CharField()
    plan_version = serializers.IntegerField()
    status = serializers.ChoiceField(["scheduled", "trialing", "active", "past_due", "canceled"])
    starts_at = MomentField()
    ends_at = MomentField(allow_null=True)
    trial_ends_at = MomentField(allow_null=True)
    anchor = MomentField()
    timezone = serializers.CharField()
    base_fee = AmountField()
    currency = serializers.CharField()
    discount = AmountField()
    minimum_commitment = AmountField()
    spend_cap = AmountField(allow_null=True, help_text="What usage of a period may come to, where that was agreed.")
    current_period = CurrentPeriodShape(allow_null=True)
    next_change = NextChangeShape(allow_null=True)
    accruing = AccruingShape(many=True)


class FeeShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(["base", "change", "credit", "true_up"])
    description = serializers.CharField()
    asset = serializers.CharField()
    list_amount = AmountField(help_text="Before the discount.")
    amount = AmountField(help_text="What is charged; for a credit, given back.")
    start = MomentField()
    end = MomentField()
    state = serializers.ChoiceField(["due", "paid", "lapsed"])
    transaction = serializers.UUIDField(allow_null=True)


class SpanShape(serializers.Serializer[Any]):
    start = MomentField()
    end = MomentField()


class FeeLineShape(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(["credit", "change"])
    description = serializers.CharField()
    asset = serializers.CharField()
    list_amount = AmountField(help_text="Before the discount; of a credit, what its time had cost.")
    amount = AmountField(help_text="Given back for a credit, charged for a change.")
    start = MomentField()
    end = MomentField()


class AllowanceLineShape(serializers.Serializer[Any]):
    asset = serializers.CharField()
    before = AmountField(help_text="What is left of it now.")
    after = AmountField(help_text="What there is after the change.")


class ChangeShape(serializers.Serializer[Any]):
    at = MomentField(help_text="Send it along with the change to get just these figures.")
    plan = serializers.CharField()
    plan_version = serializers.IntegerField()
    currency = serializers.CharField()
    period = SpanShape(allow_null=True)
    lines = FeeLineShape(many=True)
    allowances = AllowanceLineShape(many=True)
    total = AmountField(help_text="What is charged in all; below zero, what the wallet gets.")


class PeriodAllowanceShape(serializers.Serializer[Any]):
    grant = serializers.UUIDField()
    asset = serializers.CharField()
    kind = serializers.ChoiceField(["allowance", "rollover"])
    amount = AmountField()
    remaining = AmountField()


class PeriodShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    number = serializers.IntegerField()
    start = MomentField()
    end = MomentField()
    plan = serializers.CharField()
    plan_version = serializers.IntegerField()
    trial = serializers.BooleanField()
    state = serializers.ChoiceField(["open", "settled"])
    settled_at = MomentField(allow_null=True)
    fees = FeeShape(many=True)
    allowances = PeriodAllowanceShape(many=True)


class ChargeShape(serializers.Serializer[Any]):
    meter = serializers.CharField()
    quantity = AmountField()
    asset = serializers.CharField()
    amount = AmountField()
    plan = serializers.CharField()
    plan_version = serializers.IntegerField()
    waived = AmountField(
        required=False, help_text="What a failed run used and is not charged: the price asks nothing for it then."
    )


class RefusedShape(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()
    budget = serializers.UUIDField(required=False, help_text="The budget that refused it, if it was one.")
    refused = AmountsField(help_text="What was left out of the charge.")


class EventAnswerShape(serializers.Serializer[Any]):
    id = serializers.CharField()
    status = serializers.ChoiceField(["charged", "unpaid"])
    customer = serializers.CharField()
    charges = ChargeShape(many=True)
    cost = AmountsField()
    balance = AmountsField()
    transaction = serializers.UUIDField(allow_null=True)
    refused = RefusedShape(required=False, help_text="What a capture beyond what was set aside left out, and why.")


class EventResultShape(serializers.Serializer[Any]):
    id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(["charged", "unpaid", "rejected"])
    cost = AmountsField()
    code = serializers.CharField(allow_null=True)
    detail = serializers.CharField(required=False)
    replayed = serializers.BooleanField(required=False)


class AuthorizationShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    customer = serializers.CharField()
    status = serializers.ChoiceField(["open", "captured", "voided", "expired"])
    asset = serializers.CharField()
    amount = AmountField()
    captured = AmountField()
    type = serializers.CharField(allow_null=True)
    api_key = serializers.UUIDField(
        allow_null=True, help_text="The customer's own key that it counts for, where the operator named it."
    )
    created_at = MomentField()
    expires_at = MomentField()
    closed_at = MomentField(allow_null=True)


class OpenedShape(AuthorizationShape):
    holds = AmountsField(help_text="What is set aside, by asset.")
    affordable = AmountsField(help_text="How much of each metered field the wallet would pay for.")


class CapturedShape(AuthorizationShape):
    event = EventAnswerShape(required=False)
    refused = RefusedShape(required=False, help_text="Of a plain amount: what was left out, and why.")


class BatchAnswerShape(serializers.Serializer[Any]):
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = EventResultShape(many=True)


class CorrectionShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(["reversal", "refund"])
    reason = serializers.CharField(required=False, help_text="For the operator's keys alone.")
    amounts = AmountsField(help_text="What came back, by asset.")
    transaction = serializers.UUIDField(allow_null=True)
    created_at = MomentField()


class EventShape(serializers.Serializer[Any]):
    id = serializers.CharField()
    customer = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # A member called like an attribute of the framework.
    type = serializers.CharField()
    status = serializers.ChoiceField(["charged", "unpaid", "rejected", "reversed"])
    time = MomentField()


class ReceiptGrantShape(serializers.Serializer[Any]):
    grant = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    amount = AmountField()
    currency = serializers.CharField(allow_null=True, help_text="In which these units were paid, where they were.")
    rate = AmountField(allow_null=True, help_text="What was paid for one unit.")
    worth = AmountField(allow_null=True, help_text="What these units come to by that.")


class ReceiptChargeShape(ChargeShape):
    reason = serializers.CharField(required=False, help_text="Why nothing is charged, where something is waived.")
    late = serializers.BooleanField(help_text="Its period was settled already: it counts in the one that was open.")
    price = ReceiptPriceShape()
    price_given = serializers.BooleanField(help_text="The event itself said what it costs.")
    lines = PriceLineShape(many=True, help_text="How the price comes to the amount, to the last digit.")
    dimensions = serializers.DictField(child=serializers.CharField())
    grants = ReceiptGrantShape(many=True)


class ReceiptEntryShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.CharField()
    asset = serializers.CharField()
    debit = serializers.CharField()
    credit = serializers.CharField()
    amount = AmountField()
    grant = serializers.UUIDField(allow_null=True)
    balance_after = AmountField()
    posted_at = MomentField()


class ReceiptShape(EventShape):
    received_at = MomentField()
    data = MetadataField()  # type: ignore[assignment]
    extensions = MetadataField()
    refusal = MetadataField(allow_null=True)
    collected_at = MomentField(
        allow_null=True, help_text="When an event that could not be paid at first was charged after all."
    )
    transaction = serializers.UUIDField(allow_null=True)
    charges = ReceiptChargeShape(many=True)
    cost = AmountsField(help_text="What it was charged at first.")
    net_cost = AmountsField(help_text="What of it stands after its corrections.")
    cost_in_money = AmountsField(help_text="The cost by currency: units that were bought at what was paid for them.")
    corrections = CorrectionShape(many=True)
    entries = ReceiptEntryShape(many=True)


class UsageRowShape(serializers.Serializer[Any]):
    """Beside these, a member for each name in ``group_by``."""

    period_start = MomentField()
    asset = serializers.CharField()
    quantity = AmountField()
    amount = AmountField()
    events = serializers.IntegerField()


class MarginRowShape(serializers.Serializer[Any]):
    """Each row bears the names of its groups as well, with their values as texts or null."""

    asset = serializers.CharField()
    charged = AmountField()
    charged_with_cost = AmountField()
    cost = AmountField()
    margin = AmountField(allow_null=True)
    margin_share = serializers.CharField(allow_null=True)
    below_floor = serializers.BooleanField()
    events = serializers.IntegerField()
    events_without_cost = serializers.IntegerField()


class MarginsShape(serializers.Serializer[Any]):
    data = MarginRowShape(many=True)  # type: ignore[assignment]
    floor = AmountField()
    next_cursor = serializers.CharField(allow_null=True)


class UsageShape(serializers.Serializer[Any]):
    data = UsageRowShape(many=True)  # type: ignore[assignment]
    provisional_from = MomentField(
        allow_null=True, help_text="The books are not closed from here on: late reports and corrections may change it."
    )
    next_cursor = serializers.CharField(allow_null=True)
