"""What requests about budgets and alerts may hold."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import ApiKey, Membership
from billing.api.codes import AssetField, PlanField
from billing.api.fields import AmountField, StrictSerializer, TextField
from billing.engine.budgets import FIELDS
from billing.errors import InvalidRequest
from billing.models import Alert, Budget, Customer
from billing.services.budgets import PEOPLE_MAX

SCOPE = ("type", *FIELDS, "api_key", "member")
MEMBERS = "members"
"""In a scope: several people, by their addresses, who share the limit."""
SHARES_MAX = 10
_TEXT = {"type": "string", "minLength": 1, "maxLength": 255}


@extend_schema_field(
    {
        "type": "object",
        "properties": {
            **dict.fromkeys(SCOPE, _TEXT),
            MEMBERS: {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": PEOPLE_MAX},
        },
        "additionalProperties": False,
    }
)
class ScopeField(serializers.Field[dict[str, Any], Any, Any, Any]):
    """Which usage is meant: a text for each of ``SCOPE``, and texts for ``MEMBERS``; empty means all of it."""

    default_error_messages = {
        "invalid": 'An object of texts is needed, such as {{"user": "u_17"}}; it may name {names}; members are a list.',
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict) or set(data) - {*SCOPE, MEMBERS}:
            self.fail("invalid", names=", ".join(SCOPE))
        members = data.get(MEMBERS, ["-"])
        if not isinstance(members, list) or not 0 < len(members) <= PEOPLE_MAX:
            self.fail("invalid", names=", ".join(SCOPE))
        for value in (*(value for name, value in data.items() if name != MEMBERS), *members):
            if not isinstance(value, str) or not 0 < len(value) <= 255 or "\x00" in value:
                self.fail("invalid", names=", ".join(SCOPE))
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class BudgetChange(StrictSerializer):
    name = TextField(max_length=100, required=False)
    limit = AmountField(minimum=0, required=False)
    hard = serializers.BooleanField(required=False)
    at_cap = serializers.ChoiceField(Budget.AtCap.choices, required=False)
    plan = PlanField(required=False)
    alert_at = serializers.ListField(child=AmountField(), required=False, max_length=SHARES_MAX)


class BudgetUpdate(BudgetChange):
    members = serializers.ListField(
        child=TextField(max_length=255), required=False, allow_empty=False, max_length=PEOPLE_MAX
    )


class BudgetCreate(BudgetChange):
    name = TextField(max_length=100)
    limit = AmountField(minimum=0)
    period = serializers.ChoiceField(Budget.Period.choices)
    scope = ScopeField(required=False, default=dict)
    counts = serializers.ChoiceField(Budget.Counts.choices, required=False)
    asset = AssetField(required=False)
    alert_at = serializers.ListField(
        child=AmountField(), required=False, default=[Decimal("0.8"), Decimal(1)], max_length=SHARES_MAX
    )


def scope_of(customer: Customer, scope: dict[str, Any]) -> dict[str, Any]:
    """The scope of ``budgets.Terms``: with the key and the members that it names. Raises ``InvalidRequest``."""
    values = dict(scope)
    key_id, email = values.pop("api_key", None), values.pop("member", None)
    found: dict[str, Any] = {"scope": values}
    if key_id is not None:
        found["api_key"] = _key(customer, key_id)
    if email is not None:
        (found["member"],) = members(customer, [email], field="scope.member")
    if (emails := values.pop(MEMBERS, None)) is not None:
        found["members"] = members(customer, emails, field="scope.members")
    return found


def _key(customer: Customer, key_id: str) -> ApiKey:
    try:
        found = ApiKey.objects.filter(pk=UUID(key_id)).first()
    except ValueError:
        found = None
    if found is None or found.organization_id not in {None, customer.organization_id}:
        raise InvalidRequest.field("scope.api_key", "is the id of no key that reaches this customer", code="not_found")
    return found


def members(customer: Customer, emails: Sequence[str], *, field: str) -> list[Membership]:
    """The people of these addresses. Raises ``InvalidRequest`` naming ``field`` where one is nobody of the customer."""
    wanted = {email.lower() for email in emails}
    people = Membership.objects.filter(organization_id=customer.organization_id).select_related("user")
    found = [member for member in people if member.user.email.lower() in wanted]
    if len(found) < len(wanted):
        raise InvalidRequest.field(field, "is the address of nobody of this customer", code="not_found")
    return found


class AlertCreate(StrictSerializer):
    """``balance_below`` with an ``amount``, or shares ``at`` ``of`` the last top-up; ``commitment_used`` with shares
    ``at``; ``spend_anomaly`` alone. The others with ``days``.
    """

    kind = serializers.ChoiceField(Alert.Kind.choices)
    asset = AssetField(required=False)
    amount = AmountField(required=False)
    at = serializers.ListField(child=AmountField(), required=False, allow_empty=False, max_length=SHARES_MAX)
    of = serializers.ChoiceField(["last_top_up"], required=False)
    days = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=365),
        required=False,
        allow_empty=False,
        max_length=SHARES_MAX,
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = {"amount", "at", "of", "days"} & attrs.keys()
        if attrs["kind"] == Alert.Kind.BALANCE_BELOW:
            if given not in ({"amount"}, {"at", "of"}):
                raise serializers.ValidationError("Either amount, or at and of, is needed with balance_below.")
        elif attrs["kind"] == Alert.Kind.SPEND_ANOMALY:
            if given:
                raise serializers.ValidationError(dict.fromkeys(sorted(given), "Does not go with spend_anomaly."))
        elif attrs["kind"] == Alert.Kind.COMMITMENT_USED:
            if given != {"at"}:
                raise serializers.ValidationError({"at": "Needed with this kind, and nothing else."})
        elif given != {"days"}:
            raise serializers.ValidationError({"days": "Needed with this kind, and nothing else."})
        if attrs["kind"] not in {Alert.Kind.BALANCE_BELOW, Alert.Kind.RUNWAY_BELOW} and "asset" in attrs:
            raise serializers.ValidationError({"asset": "Does not go with this kind: it is about every asset."})
        return attrs


def alert_terms(data: dict[str, Any]) -> dict[str, Any]:
    """What ``alerts.create`` takes."""
    terms = {"kind": data["kind"], "asset": data.get("asset")}
    if data["kind"] == Alert.Kind.SPEND_ANOMALY:
        return {**terms, "at": [], "of": Alert.Of.USUAL}
    if data["kind"] == Alert.Kind.COMMITMENT_USED:
        return {**terms, "at": data["at"], "of": Alert.Of.COMMITMENT}
    if "days" in data:
        return {**terms, "at": [Decimal(days) for days in data["days"]], "of": Alert.Of.DAYS}
    if "amount" in data:
        return {**terms, "at": [data["amount"]], "of": Alert.Of.AMOUNT}
    return {**terms, "at": data["at"], "of": Alert.Of.LAST_TOP_UP}
