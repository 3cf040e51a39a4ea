"""Operations on recurring grants."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from billing.api.codes import AssetField
from billing.api.fields import AmountField, MetadataField, MomentField, StrictSerializer, TextField
from billing.api.schema import shapes
from billing.api.serializers import AppliesTo
from billing.models import PlanVersion, RecurringGrant
from billing.services.wallet.recurring import PRIORITY, TIMES_MAX

PERIOD_END, NEVER = "period_end", "never"


class RecurringGrantCreate(StrictSerializer):
    asset = AssetField()
    amount = AmountField()
    interval = serializers.ChoiceField(PlanVersion.Interval.choices)
    kind = serializers.ChoiceField(RecurringGrant.Kind.choices, default=RecurringGrant.Kind.ALLOWANCE)
    starts_at = MomentField(required=False, allow_null=True, help_text="Now, if not given; never in the past.")
    ends_at = MomentField(required=False, allow_null=True, help_text="No period starts then or later.")
    times = serializers.IntegerField(min_value=1, max_value=TIMES_MAX, required=False, allow_null=True)
    expires = serializers.ChoiceField([PERIOD_END, NEVER], default=PERIOD_END)
    rollover_limit = AmountField(minimum=0, required=False)
    priority = serializers.IntegerField(min_value=0, max_value=100, default=PRIORITY)
    applies_to = AppliesTo(required=False)
    name = TextField(max_length=200, required=False, allow_blank=True)
    metadata = MetadataField(required=False)


class RecurringGrantStep(StrictSerializer):
    reason = TextField(max_length=500, required=False, allow_blank=True, default="")


class RecurringGrantShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    customer = serializers.CharField()
    asset = serializers.CharField()
    amount = AmountField()
    kind = serializers.ChoiceField(RecurringGrant.Kind.values)
    interval = serializers.ChoiceField(PlanVersion.Interval.values)
    starts_at = MomentField()
    ends_at = MomentField(allow_null=True)
    times = serializers.IntegerField(allow_null=True)
    expires = serializers.ChoiceField([PERIOD_END, NEVER])
    rollover_limit = AmountField()
    priority = serializers.IntegerField()
    applies_to = MetadataField()
    name = serializers.CharField(allow_blank=True)
    metadata = MetadataField()
    status = serializers.ChoiceField(RecurringGrant.Status.values)
    next_at = MomentField(allow_null=True, help_text="When the next grant is made.")
    created_at = MomentField()


CREATE = extend_schema(
    operation_id="create_recurring_grant",
    summary="Grant something anew each period",
    description="The first grant is made at once, or when starts_at comes; the next with each period after it.",
    tags=["Wallets"],
    request=RecurringGrantCreate,
    responses={201: RecurringGrantShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
LIST = extend_schema(
    operation_id="list_recurring_grants",
    summary="List recurring grants",
    tags=["Wallets"],
    responses={200: shapes.listed(RecurringGrantShape)},
    parameters=shapes.CURSOR,
)


def _step(name: str, summary: str, description: str) -> Any:
    return extend_schema_view(
        post=extend_schema(
            operation_id=f"{name}_recurring_grant",
            summary=summary,
            description=description,
            tags=["Wallets"],
            request=RecurringGrantStep,
            responses={200: RecurringGrantShape},
            parameters=[shapes.IDEMPOTENCY_KEY],
        )
    )


PAUSE = _step("pause", "Let a recurring grant rest", "Over, or resting already: 409 invalid_state.")
RESUME = _step("resume", "Let a recurring grant go on", "A period that began while it rested is not granted.")
CANCEL = _step("cancel", "End a recurring grant", "What was granted stays. Over already: 409 invalid_state.")
