"""``/customers/{id}/recurring-grants``, and what is done with one of them."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, pagination, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import moment_or_none, moment_string
from billing.api.schema import recurring as schema
from billing.engine.money import amount_string
from billing.models import Customer, RecurringGrant
from billing.services.idempotency import Answer
from billing.services.wallet import recurring


class RecurringGrantsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "grants:write", "GET": "wallets:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.CREATE
    def post(self, request: Request, external_id: str) -> Response:
        access.operator(principal=principal(request))
        customer = access.customer(principal=principal(request), external_id=external_id)

        def create() -> Answer:
            data = serializers.read(schema.RecurringGrantCreate, request)
            terms = recurring.Terms(lapses=data.pop("expires") == schema.PERIOD_END, **data)
            made = recurring.create(actor=actor(request), customer=customer, terms=terms)
            return Answer(201, show(made, customer))

        return self.once(request, create)

    @schema.LIST
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        rows = RecurringGrant.objects.filter(customer=customer)
        return Response(pagination.page(request, rows, lambda row: show(row, customer)))


class _StepView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "grants:write"}
    step: ClassVar[Callable[..., RecurringGrant]]

    def post(self, request: Request, recurring_id: UUID) -> Response:
        access.operator(principal=principal(request))
        found = access.recurring_grant(principal=principal(request), recurring_id=recurring_id)
        reason = serializers.read(schema.RecurringGrantStep, request)["reason"]

        def run() -> Answer:
            changed = type(self).step(actor=actor(request), recurring=found, reason=reason)
            return Answer(200, show(changed, found.customer))

        return self.once(request, run)


@schema.PAUSE
class PauseView(_StepView):
    step = staticmethod(recurring.pause)


@schema.RESUME
class ResumeView(_StepView):
    step = staticmethod(recurring.resume)


@schema.CANCEL
class CancelView(_StepView):
    step = staticmethod(recurring.cancel)


def show(row: RecurringGrant, customer: Customer) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "customer": customer.external_id,
        "asset": row.asset_id,
        "amount": amount_string(row.amount),
        "kind": row.kind,
        "interval": row.interval,
        "starts_at": moment_string(row.starts_at),
        "ends_at": moment_or_none(row.ends_at),
        "times": row.times,
        "expires": schema.PERIOD_END if row.lapses else schema.NEVER,
        "rollover_limit": amount_string(row.rollover_limit),
        "priority": row.priority,
        "applies_to": row.applies_to,
        "name": row.name,
        "metadata": row.metadata,
        "status": row.status_at(timezone.now()).value,
        "next_at": moment_or_none(row.next_at),
        "created_at": moment_string(row.created_at),
    }
