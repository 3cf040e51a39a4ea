"""``/customers/…/budgets``: limits on what usage may come to."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, limits, pagination, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import StrictSerializer, moment_or_none, moment_string
from billing.api.schema import budgets as schema
from billing.engine.money import amount_string
from billing.errors import PermissionDenied
from billing.models import Budget, Customer
from billing.selectors.spending import budgets as selector
from billing.services import budgets
from billing.services.idempotency import Answer

PLANS_SCOPE = "subscriptions:write"


class BudgetsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "limits:write", "GET": "wallets:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.BUDGET
    def post(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        set_by = Budget.SetBy.CUSTOMER if _is_customers(request) else Budget.SetBy.OPERATOR

        def create() -> Answer:
            data = _read(request, limits.BudgetCreate)
            terms = budgets.Terms(**limits.scope_of(customer, data.pop("scope")), **data)
            made = budgets.create(actor=actor(request), customer=customer, terms=terms, set_by=set_by)
            return Answer(201, _show(customer, made))

        return self.once(request, create)

    @schema.BUDGETS
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        return Response(pagination.page(request, selector.kept(customer), lambda budget: _show(customer, budget)))


class BudgetView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {
        "GET": "wallets:read",
        "PATCH": "limits:write",
        "DELETE": "limits:write",
    }

    @schema.BUDGET_GET
    def get(self, request: Request, external_id: str, budget_id: UUID) -> Response:
        found = access.budget(principal=principal(request), external_id=external_id, budget_id=budget_id)
        return Response(_show(found.customer, found))

    @schema.BUDGET_PATCH
    def patch(self, request: Request, external_id: str, budget_id: UUID) -> Response:
        found = access.budget(principal=principal(request), external_id=external_id, budget_id=budget_id)
        changes = _read(request, limits.BudgetUpdate)
        if "members" in changes:
            changes["members"] = limits.members(found.customer, changes["members"], field="members")
        changed = budgets.change(
            actor=actor(request), budget=found, changes=changes, by_customer=_is_customers(request)
        )
        return Response(_show(found.customer, changed))

    @schema.BUDGET_DELETE
    def delete(self, request: Request, external_id: str, budget_id: UUID) -> Response:
        found = access.budget(principal=principal(request), external_id=external_id, budget_id=budget_id)
        budgets.remove(actor=actor(request), budget=found, by_customer=_is_customers(request))
        return Response(status=204)


def _is_customers(request: Request) -> bool:
    return principal(request).organization_id is not None


def _read(request: Request, terms: type[StrictSerializer]) -> dict[str, Any]:
    """The terms, where the key may set them: to name a plan is to put the customer on it.

    Who may not is refused before the plan is looked up, so that the answer does not say whether there is one.
    """
    names_plan = isinstance(request.data, dict) and request.data.get("plan") is not None
    if names_plan and not principal(request).may(PLANS_SCOPE):
        raise PermissionDenied(f"To move customers to a plan the key needs {PLANS_SCOPE}.")
    return serializers.read(terms, request)


def _show(customer: Customer, budget: Budget) -> dict[str, Any]:
    (now,) = selector.now(customer, [budget])
    only = now.only
    return {
        "id": str(budget.pk),
        "customer": customer.external_id,
        "name": budget.name,
        "scope": {
            **budget.scope,
            **({} if budget.api_key_id is None else {"api_key": str(budget.api_key_id)}),
            **({} if budget.member is None else {"member": budget.member.email}),
            **({"members": [person.email for person in selector.people(budget)]} if budget.people else {}),
        },
        "counts": budget.counts,
        "asset": budget.asset_id,
        "limit": amount_string(budget.limit),
        "period": budget.period,
        "hard": budget.hard,
        "at_cap": budget.at_cap,
        "plan": None if budget.plan is None else budget.plan.code,
        "plan_failure": budget.plan_failure or None,
        "alert_at": budget.alert_at,
        "set_by": budget.set_by,
        "spent": None if only is None else amount_string(only.spent),
        "held": None if only is None else amount_string(only.held),
        "left": None if only is None else amount_string(only.left),
        "values": [_show_value(standing) for standing in now.standings] if now.each else [],
        "started_at": moment_string(now.start),
        "resets_at": moment_or_none(now.end),
        "created_at": moment_string(budget.created_at),
    }


def _show_value(standing: selector.Standing) -> dict[str, str]:
    return {
        "value": standing.value,
        "spent": amount_string(standing.spent),
        "held": amount_string(standing.held),
        "left": amount_string(standing.left),
    }
