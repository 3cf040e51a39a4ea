"""Operations on budgets."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers as rest

from billing.api import limits
from billing.api.fields import AmountField, MomentField
from billing.api.schema import shapes
from billing.models import Budget


class BudgetValueShape(rest.Serializer[Any]):
    value = rest.CharField()
    spent = AmountField()
    held = AmountField()
    left = AmountField()


class BudgetShape(rest.Serializer[Any]):
    id = rest.UUIDField()
    customer = rest.CharField()
    name = rest.CharField()
    scope = limits.ScopeField()
    counts = rest.ChoiceField(Budget.Counts.choices)
    asset = rest.CharField(allow_null=True)
    limit = AmountField()
    period = rest.ChoiceField(Budget.Period.choices)
    hard = rest.BooleanField()
    at_cap = rest.ChoiceField(Budget.AtCap.choices)
    plan = rest.CharField(allow_null=True, help_text="That change_plan moves the customer to.")
    plan_failure = rest.CharField(allow_null=True, help_text="Why they could not be moved to it.")
    alert_at = rest.ListField(child=AmountField())
    set_by = rest.ChoiceField(Budget.SetBy.choices)
    spent = AmountField(allow_null=True, help_text="In this window; null for a budget for each value.")
    held = AmountField(allow_null=True, help_text="Set aside by open authorizations, as if it were spent.")
    left = AmountField(allow_null=True)
    values = BudgetValueShape(many=True)
    started_at = MomentField()
    resets_at = MomentField(allow_null=True)
    created_at = MomentField()


BUDGET = extend_schema(
    operation_id="create_budget",
    summary="Limit what a customer's usage may come to",
    description=(
        "The scope is empty (all usage) or names values of user, project, feature, model, session, type, an api_key "
        "by its id, a member by e-mail, or several members who share it; * in place of one value gives each of its "
        "values the limit. A hard budget answers 402 budget_exceeded, or 429 with Retry-After where at_cap says "
        "throttle; with change_plan the customer is moved to that plan, and the usage is charged on it; a soft one "
        "only tells."
    ),
    tags=["Spend controls"],
    request=limits.BudgetCreate,
    responses={201: BudgetShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
BUDGETS = extend_schema(
    operation_id="list_budgets",
    summary="List budgets, and where they stand",
    tags=["Spend controls"],
    responses={200: shapes.listed(BudgetShape)},
    parameters=shapes.CURSOR,
)
BUDGET_GET = extend_schema(
    operation_id="get_budget", summary="One budget", tags=["Spend controls"], responses={200: BudgetShape}
)
BUDGET_PATCH = extend_schema(
    operation_id="change_budget",
    summary="Change a budget's name, limit or what happens at it",
    tags=["Spend controls"],
    request=limits.BudgetUpdate,
    responses={200: BudgetShape},
)
BUDGET_DELETE = extend_schema(
    operation_id="remove_budget",
    summary="Remove a budget",
    tags=["Spend controls"],
    request=None,
    responses={204: None},
)
