"""``/provider-costs``: what the models' providers charge the operator. For the operator's keys alone."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, pagination, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import moment_or_none, moment_string
from billing.api.schema import costs as schema
from billing.engine.money import amount_string
from billing.models import ProviderCost
from billing.services.catalog import costs
from billing.services.idempotency import Answer


class ProviderCostsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "catalog:write", "GET": "catalog:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("provider", "model", *base.PAGE)}

    @schema.PROVIDER_COST_CREATE
    def post(self, request: Request) -> Response:
        access.operator(principal=principal(request))

        def create() -> Answer:
            data = serializers.read(serializers.ProviderCostCreate, request)
            return Answer(201, _show(costs.create(actor=actor(request), **data)))

        return self.once(request, create)

    @schema.PROVIDER_COSTS
    def get(self, request: Request) -> Response:
        access.operator(principal=principal(request))
        rows = ProviderCost.objects.all()
        for name in ("provider", "model"):
            if wanted := base.text(request, name):
                rows = rows.filter(**{name: wanted.lower()})
        return Response(pagination.page(request, rows, _show))


def _show(cost: ProviderCost) -> dict[str, Any]:
    return {
        "id": str(cost.pk),
        "provider": cost.provider,
        "model": cost.model,
        "aliases": cost.aliases,
        "unit": cost.unit,
        "unit_cost": amount_string(cost.unit_cost),
        "per": amount_string(cost.per),
        "currency": "USD",
        "above": cost.above,
        "source": cost.source,
        "effective_from": moment_string(cost.effective_from),
        "effective_to": moment_or_none(cost.effective_to),
    }
