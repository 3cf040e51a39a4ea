"""``/customers/…/alerts``, ``/forecast`` and ``/pace``: being told in time, and knowing what comes."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, limits, pagination, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import amount_or_none, moment_string
from billing.api.schema import alerts as schema
from billing.engine.money import amount_string
from billing.errors import InvalidRequest
from billing.models import Alert, Asset, Customer
from billing.selectors.spending import advice, forecasts
from billing.services import alerts
from billing.services.idempotency import Answer


class AlertsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "limits:write", "GET": "wallets:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.ALERT
    def post(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)

        def create() -> Answer:
            data = serializers.read(limits.AlertCreate, request)
            made = alerts.create(actor=actor(request), customer=customer, **limits.alert_terms(data))
            return Answer(201, _show(made, customer))

        return self.once(request, create)

    @schema.ALERTS
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        kept = Alert.objects.filter(customer=customer, removed_at=None)
        return Response(pagination.page(request, kept, lambda alert: _show(alert, customer)))


class AlertView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"DELETE": "limits:write"}

    @schema.ALERT_DELETE
    def delete(self, request: Request, external_id: str, alert_id: UUID) -> Response:
        found = access.alert(principal=principal(request), external_id=external_id, alert_id=alert_id)
        alerts.remove(actor=actor(request), alert=found)
        return Response(status=204)


class ForecastView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "wallets:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("asset",)}

    @schema.FORECAST
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        found = forecasts.forecast(customer, _asset(request, customer))
        month = found.month
        return Response(
            {
                "customer": customer.external_id,
                "asset": found.asset,
                "available": amount_string(found.available),
                "per_day": amount_string(found.per_day),
                "history_days": found.history_days,
                "runway_days": amount_or_none(found.runway_days),
                "month": {
                    "start": moment_string(month.start),
                    "end": moment_string(month.end),
                    "spent": amount_string(month.spent),
                    "expected": amount_string(month.expected),
                    "low": amount_string(month.low),
                    "high": amount_string(month.high),
                },
            }
        )


class PaceView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "wallets:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("asset",)}

    @schema.PACE
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        found = forecasts.pace(customer, _asset(request, customer))
        return Response(
            {
                "customer": customer.external_id,
                "asset": found.asset,
                "available": amount_string(found.available),
                "until": moment_string(found.until),
                "per_hour": amount_string(found.per_hour),
                "spent_last_hour": amount_string(found.spent_last_hour),
                "share": amount_or_none(found.share),
                "advice": found.advice,
                "budgets": [
                    {
                        "budget": str(each.budget.pk),
                        "name": each.budget.name,
                        "left": amount_string(each.left),
                        "resets_at": moment_string(each.end),
                        "per_hour": amount_string(each.per_hour),
                    }
                    for each in found.budgets
                    if each.budget is not None
                ],
            }
        )


class AdviceView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "wallets:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("asset",)}

    @schema.ADVICE
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        found = advice.of(customer, _asset(request, customer))
        return Response(
            {
                "customer": customer.external_id,
                "asset": found.asset,
                "since": moment_string(found.since),
                "events": found.events,
                "repeated": [
                    {
                        "type": each.type,
                        "model": each.model,
                        "fingerprint": each.fingerprint,
                        "calls": each.calls,
                        "wasted": amount_string(each.wasted),
                        "last_at": moment_string(each.last_at),
                    }
                    for each in found.repeated
                ],
                "small_calls": [
                    {
                        "type": each.type,
                        "model": each.model,
                        "hour": moment_string(each.hour),
                        "calls": each.calls,
                        "tokens": amount_string(each.tokens),
                        "amount": amount_string(each.amount),
                    }
                    for each in found.small
                ],
                "cheaper_models": [
                    {
                        "model": each.model,
                        "instead": each.instead,
                        "amount": amount_string(each.amount),
                        "then": amount_string(each.then),
                        "saving": amount_string(each.saving),
                    }
                    for each in found.cheaper
                ],
            }
        )


def _asset(request: Request, customer: Customer) -> str:
    code = base.text(request, "asset")
    if code is not None and not Asset.objects.filter(pk=code).exists():
        raise InvalidRequest.field("asset", f"There is no asset {code}.", code="not_found")
    return code or customer.currency_id


def _show(alert: Alert, customer: Customer) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": str(alert.pk),
        "customer": customer.external_id,
        "kind": alert.kind,
        "asset": alert.asset_id,
        "amount": alert.at[0] if alert.of == Alert.Of.AMOUNT and len(alert.at) == 1 else None,
        "at": alert.at if alert.of != Alert.Of.DAYS else [],
        "of": alert.of if alert.of == Alert.Of.LAST_TOP_UP else None,
        "days": [int(days) for days in alert.at] if alert.of == Alert.Of.DAYS else [],
        "crossed": alert.level > 0,
        "created_at": moment_string(alert.created_at),
    }
    return shown
