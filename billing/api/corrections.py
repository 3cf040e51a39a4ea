"""Putting right: an event reversed or refunded, a wallet adjusted by hand. For the operator's keys alone."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import StrictSerializer, moment_string
from billing.api.schema import corrections as schema
from billing.engine.money import amount_string, amount_strings
from billing.models import UsageEvent
from billing.services.idempotency import Answer
from billing.services.wallet import corrections


class _EventView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "events:reverse"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"POST": ("customer", "source")}

    def correct(
        self,
        request: Request,
        event_id: str,
        reader: type[StrictSerializer],
        service: Callable[..., corrections.Corrected],
    ) -> Response:
        """Call ``service`` with the event, of which there must be only one, and what ``reader`` read."""
        access.operator(principal=principal(request))

        def run() -> Answer:
            data = serializers.read(reader, request)
            event = access.usage_event(
                principal=principal(request),
                event_id=event_id,
                external_id=base.text(request, "customer"),
                source=base.text(request, "source"),
                only=True,
            )
            return Answer(200, _show(event, service(actor=actor(request), event=event, **data)))

        return self.once(request, run)


class ReverseView(_EventView):
    @schema.REVERSE
    def post(self, request: Request, event_id: str) -> Response:
        return self.correct(request, event_id, serializers.Reversal, corrections.reverse)


class RefundView(_EventView):
    @schema.REFUND
    def post(self, request: Request, event_id: str) -> Response:
        return self.correct(request, event_id, serializers.Refund, corrections.refund)


class AdjustmentsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "wallets:adjust"}

    @schema.ADJUST
    def post(self, request: Request, external_id: str) -> Response:
        access.operator(principal=principal(request))
        customer = access.customer(principal=principal(request), external_id=external_id)

        def run() -> Answer:
            data = serializers.read(serializers.Adjustment, request)
            done = corrections.adjust(actor=actor(request), customer=customer, **data)
            body = {
                "customer": customer.external_id,
                "asset": done.asset.code,
                "amount": amount_string(done.amount),
                "reason": data["reason"],
                "grant": None if done.grant is None else str(done.grant.pk),
                "transaction": str(done.transaction_id),
                "balance": {done.asset.code: amount_string(done.available)},
            }
            return Answer(201, body)

        return self.once(request, run)


def _show(event: UsageEvent, done: corrections.Corrected) -> dict[str, Any]:
    return {
        "id": str(done.correction.pk),
        "kind": done.correction.kind,
        "event": event.event_id,
        "customer": event.customer.external_id,
        "source": event.source,
        "reason": done.correction.reason,
        "amounts": amount_strings(done.amounts),
        "balance": amount_strings(done.balance),
        "transaction": None if done.transaction_id is None else str(done.transaction_id),
        "created_at": moment_string(done.correction.created_at),
    }
