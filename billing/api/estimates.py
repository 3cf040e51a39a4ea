"""``/estimates``: what would this cost?"""

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, prices, serializers
from billing.api.authentication import principal
from billing.api.estimate_requests import EstimateRequest
from billing.api.schema import catalog as schema
from billing.engine.money import ZERO, amount_string, amount_strings
from billing.errors import NotFound
from billing.models import Plan, PlanVersion
from billing.services.catalog import estimates
from billing.services.usage import PRICING_SCOPE, IncomingEvent


class EstimatesView(base.View):
    """The running quantities and allowances of a customer count; nothing is written, whatever is asked."""

    scopes: ClassVar[Mapping[str, str]] = {"POST": "catalog:read"}

    @schema.ESTIMATE
    def post(self, request: Request) -> Response:
        data = serializers.read(EstimateRequest, request)
        if "price" in data:
            return Response(_of_price(data))
        usage = [estimates.Usage(**each) for each in data.get("workload") or [_once(data)]]
        if "customer" in data:
            customer = access.customer(principal=principal(request), external_id=data["customer"])
            event = _event(request, customer.external_id)
            return Response(_show(estimates.for_customer(event=event, usage=usage), customer.currency_id))
        plan = access.plan(principal=principal(request), code=data["plan"])
        version = _version(plan, data.get("version"))
        found = estimates.for_plan(version=version, usage=usage, event=_event(request, "a new customer"))
        return Response(_show(found, version.plan.currency_id))


def _once(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": data["type"], "data": data.get("data", {})}


def _event(request: Request, subject: str) -> IncomingEvent:
    who = principal(request)
    return IncomingEvent(
        id="",
        source="",
        type="",
        subject=subject,
        time=None,
        data={},
        api_key_id=who.key_id,
        organization_id=who.organization_id,
        may_price=who.may(PRICING_SCOPE),
    )


def _version(plan: Plan, number: int | None) -> PlanVersion:
    version = plan.latest()
    if number is not None:
        version = plan.versions.filter(number=number, derived_from__isnull=True).first()
    if version is None:
        raise NotFound(f"The plan {plan.code} has no version {number}.")
    return version


def _of_price(data: Mapping[str, Any]) -> dict[str, Any]:
    found = estimates.of_price(
        price=prices.wanted(data["price"]),
        quantity=data["quantity"],
        already_used=data.get("already_used", ZERO),
        discount=data.get("discount", ZERO),
    )
    return {
        "amount": amount_string(found.amount),
        "asset": found.asset,
        "lines": [prices.show_line(line) for line in found.lines],
    }


def _show(estimate: estimates.Estimate, currency: str) -> dict[str, Any]:
    return {
        "amount": amount_string(estimate.cost.get(currency, ZERO)),
        "asset": currency,
        "cost": amount_strings(estimate.cost),
        "charges": [
            {
                "meter": charge.meter,
                "quantity": amount_string(charge.quantity),
                "asset": charge.asset,
                "amount": amount_string(charge.amount),
                "plan": charge.plan,
                "plan_version": charge.plan_version,
                "lines": [prices.show_line(line) for line in charge.lines],
            }
            for charge in estimate.charges
        ],
    }
