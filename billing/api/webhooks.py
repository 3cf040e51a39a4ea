"""Webhook endpoints: what is sent where, what became of it, and sending it again."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, pagination, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import moment_or_none, moment_string
from billing.api.schema import webhooks as schema
from billing.engine.webhook_scopes import SCOPE_OF, named
from billing.engine.webhooks import TYPES
from billing.errors import InvalidRequest
from billing.models import Customer, WebhookDelivery, WebhookEndpoint
from billing.services.idempotency import Answer
from billing.services.webhooks import endpoints, reading


class EndpointsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "webhooks:read", "POST": "webhooks:write"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.CREATE
    def post(self, request: Request) -> Response:
        may = principal(request).may
        data = serializers.read(schema.EndpointCreate, request)
        customer = _customer(request, data.pop("customer", None))
        # Before an answer that is kept: a lesser key of the same owner's is shown no secret by it.
        reading.require(named(data["events"], of_customer=customer is not None), may)

        def create() -> Answer:
            endpoint, secret = endpoints.create(actor=actor(request), may=may, customer=customer, **data)
            return Answer(201, {**_show(endpoint), "secret": secret})

        return self.once(request, create)

    @schema.LIST
    def get(self, request: Request) -> Response:
        return Response(pagination.page(request, access.webhook_endpoints(principal=principal(request)), _show))


class EndpointView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {
        "GET": "webhooks:read",
        "PATCH": "webhooks:write",
        "DELETE": "webhooks:write",
    }

    @schema.GET
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        return Response(_show(_endpoint(request, endpoint_id)))

    @schema.CHANGE
    def patch(self, request: Request, endpoint_id: UUID) -> Response:
        endpoint, may = _endpoint(request, endpoint_id), principal(request).may
        data = serializers.read(schema.EndpointChange, request)
        return Response(_show(endpoints.change(actor=actor(request), may=may, endpoint=endpoint, **data)))

    @schema.REMOVE
    def delete(self, request: Request, endpoint_id: UUID) -> Response:
        endpoints.remove(actor=actor(request), endpoint=_endpoint(request, endpoint_id))
        return Response(status=204)


class RotateView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "webhooks:write"}

    @schema.ROTATE
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        endpoint, may = _endpoint(request, endpoint_id), principal(request).may
        reading.require(reading.told(endpoint), may)

        def rotate() -> Answer:
            serializers.read(serializers.Nothing, request)
            secret = endpoints.rotate(actor=actor(request), may=may, endpoint=endpoint)
            return Answer(200, {**_show(endpoint), "secret": secret})

        return self.once(request, rotate)


class TestView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "webhooks:write"}

    @schema.TEST
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        endpoint, may = _endpoint(request, endpoint_id), principal(request).may

        def test() -> Answer:
            serializers.read(serializers.Nothing, request)
            return Answer(202, _show_delivery(endpoints.test(endpoint, may=may), may))

        return self.once(request, test)


class DeliveriesView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "webhooks:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": (*base.PAGE, "state")}

    @schema.DELIVERIES
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        rows = _endpoint(request, endpoint_id).deliveries.all()
        state = base.text(request, "state")
        if state is not None:
            if state not in WebhookDelivery.State.values:
                raise InvalidRequest.field("state", f"One of {', '.join(WebhookDelivery.State.values)}.")
            rows = rows.filter(state=state)
        may = principal(request).may
        return Response(pagination.page(request, rows, lambda delivery: _show_delivery(delivery, may)))


class DeliveryReplayView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "webhooks:write"}

    @schema.DELIVERY_REPLAY
    def post(self, request: Request, endpoint_id: UUID, delivery_id: UUID) -> Response:
        delivery = access.webhook_delivery(endpoint=_endpoint(request, endpoint_id), delivery_id=delivery_id)
        may = principal(request).may
        reading.require([delivery.type], may)

        def replay() -> Answer:
            serializers.read(serializers.Nothing, request)
            again = endpoints.replay(actor=actor(request), may=may, delivery=delivery)
            return Answer(202, _show_delivery(again, may))

        return self.once(request, replay)


class ReplayView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "webhooks:write"}

    @schema.REPLAY
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        endpoint = _endpoint(request, endpoint_id)

        def replay() -> Answer:
            data = serializers.read(schema.Replay, request)
            count = endpoints.replay_all(
                actor=actor(request),
                may=principal(request).may,
                endpoint=endpoint,
                since=data["from"],
                until=data.get("to"),
                failed=data["only_failed"],
            )
            return Answer(202, {"count": count})

        return self.once(request, replay)


class TypesView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "webhooks:read"}

    @schema.TYPES
    def get(self, request: Request) -> Response:
        rows = [
            {
                **{"type": name, "description": kind.when, "scope": SCOPE_OF[name]},
                **{"schema": kind.schema(), "example": kind.body()},
            }
            for name, kind in TYPES.items()
        ]
        return Response(pagination.envelope(rows, None))


def _endpoint(request: Request, endpoint_id: UUID) -> WebhookEndpoint:
    return access.webhook_endpoint(principal=principal(request), endpoint_id=endpoint_id)


def _customer(request: Request, external_id: str | None) -> Customer | None:
    """Whose endpoint it is to be: of a customer's key its own customer's, which need not be named."""
    if external_id is not None:
        return access.customer(principal=principal(request), external_id=external_id)
    own = access.customers(principal=principal(request))
    if own is None:
        return None
    if not own:
        raise InvalidRequest.field("customer", "This key belongs to no customer.")
    return Customer.objects.filter(pk__in=own).get()


def _show(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": str(endpoint.pk),
        "url": endpoint.url,
        "events": endpoint.events,
        "customer": None if endpoint.customer is None else endpoint.customer.external_id,
        "description": endpoint.description,
        "format": endpoint.format,
        "enabled": endpoint.enabled,
        "disabled_because": endpoint.disabled_because,
        "failing_since": moment_or_none(endpoint.failing_since),
        "created_at": moment_string(endpoint.created_at),
    }


def _show_delivery(delivery: WebhookDelivery, may: reading.May) -> dict[str, Any]:
    """What was sent. Its content only to whom it could be sent: a key that watches over deliveries sees the rest."""
    waits = delivery.state == WebhookDelivery.State.PENDING
    return {
        "id": str(delivery.pk),
        "message": f"msg_{delivery.message}",
        "type": delivery.type,
        "data": None if reading.unread([delivery.type], may) else delivery.data,
        "happened_at": moment_string(delivery.happened_at),
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_attempt_at": moment_string(delivery.due_at) if waits else None,
        "delivered_at": moment_or_none(delivery.delivered_at),
        "log": delivery.log,
    }
