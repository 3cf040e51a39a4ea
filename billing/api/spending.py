"""``/customers/…/spend-watch`` and ``/anomalies``: what is done where spending runs away, and when it did."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, pagination, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import moment_string
from billing.api.schema import spending as schema
from billing.engine.money import amount_string
from billing.models import SpendAnomaly
from billing.services.alerts import anomalies


class SpendWatchView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "wallets:read", "PUT": "limits:write"}

    @schema.WATCH
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        return Response({"action": anomalies.action_of(customer.pk)})

    @schema.WATCH_CHANGE
    def put(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        data = serializers.read(schema.WatchChange, request)
        return Response({"action": anomalies.choose(actor=actor(request), customer=customer, **data).action})


class AnomaliesView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "wallets:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.ANOMALIES
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        return Response(pagination.page(request, SpendAnomaly.objects.filter(customer=customer), _show))


def _show(anomaly: SpendAnomaly) -> dict[str, Any]:
    return {
        "id": str(anomaly.pk),
        "asset": anomaly.asset_id,
        "hour": moment_string(anomaly.hour),
        "scope": {} if anomaly.scope == SpendAnomaly.Scope.CUSTOMER else {anomaly.scope: anomaly.value},
        "level": anomaly.level,
        "spent": amount_string(anomaly.spent),
        "usual": amount_string(anomaly.usual),
        "above": amount_string(anomaly.above),
        "paused": anomaly.paused,
        "created_at": moment_string(anomaly.created_at),
    }
