"""``/assets``, ``/meters``, ``/plans``, ``/subscriptions``."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, pagination, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import moment_string
from billing.api.schema import catalog as schema
from billing.engine.money import amount_string
from billing.errors import NotFound
from billing.models import Asset, Meter, Plan, PlanVersion, Subscription
from billing.services import assets, meters, plans, subscriptions
from billing.services.idempotency import Answer


class AssetsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "catalog:write", "GET": "catalog:read"}

    @schema.ASSET_CREATE
    def post(self, request: Request) -> Response:
        access.operator(principal=principal(request))

        def create() -> Answer:
            data = serializers.read(serializers.AssetCreate, request)
            return Answer(201, _show_asset(assets.create(actor=actor(request), **data)))

        return self.once(request, create)

    @schema.ASSETS
    def get(self, request: Request) -> Response:
        # A handful of rows, named by their code: one page holds them all.
        return Response(pagination.envelope([_show_asset(asset) for asset in Asset.objects.all()], None))


class MetersView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "catalog:write", "GET": "catalog:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.METER_CREATE
    def post(self, request: Request) -> Response:
        access.operator(principal=principal(request))

        def create() -> Answer:
            data = serializers.read(serializers.MeterCreate, request)
            return Answer(201, _show_meter(meters.create(actor=actor(request), **data)))

        return self.once(request, create)

    @schema.METERS
    def get(self, request: Request) -> Response:
        return Response(pagination.page(request, Meter.objects.all(), _show_meter))


class PlansView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "catalog:write", "GET": "catalog:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.PLAN_CREATE
    def post(self, request: Request) -> Response:
        access.operator(principal=principal(request))

        def create() -> Answer:
            data = serializers.read(serializers.PlanCreate, request)
            data["prices"] = _terms(data["prices"])
            return Answer(201, _show_version(plans.create(actor=actor(request), **data)))

        return self.once(request, create)

    @schema.PLANS
    def get(self, request: Request) -> Response:
        return Response(pagination.page(request, Plan.objects.all(), lambda plan: _show_version(_latest(plan))))


class PlanView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "catalog:read"}

    @schema.PLAN
    def get(self, request: Request, code: str) -> Response:
        return Response(_show_version(_latest(_plan(code))))


class PlanVersionsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "catalog:write", "GET": "catalog:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.VERSION_CREATE
    def post(self, request: Request, code: str) -> Response:
        access.operator(principal=principal(request))
        plan = _plan(code)

        def publish() -> Answer:
            data = serializers.read(serializers.VersionCreate, request)
            data["prices"] = _terms(data["prices"])
            return Answer(201, _show_version(plans.publish_version(actor=actor(request), plan=plan, **data)))

        return self.once(request, publish)

    @schema.VERSIONS
    def get(self, request: Request, code: str) -> Response:
        return Response(pagination.page(request, _plan(code).versions.all(), _show_version))


class SubscriptionsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "subscriptions:write", "GET": "customers:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("customer", *base.PAGE)}

    @schema.SUBSCRIBE
    def post(self, request: Request) -> Response:
        access.operator(principal=principal(request))

        def start() -> Answer:
            data = serializers.read(serializers.SubscriptionCreate, request)
            customer = access.customer(principal=principal(request), external_id=data["customer"])
            subscription = subscriptions.start(
                actor=actor(request), customer=customer, plan=data["plan"], starts_at=data["starts_at"]
            )
            return Answer(201, _show_subscription(subscription))

        return self.once(request, start)

    @schema.SUBSCRIPTIONS
    def get(self, request: Request) -> Response:
        rows = Subscription.objects.select_related("customer", "plan", "plan_version")
        reachable = access.customers(principal=principal(request))
        if reachable is not None:
            rows = rows.filter(customer_id__in=reachable)
        if external_id := base.text(request, "customer"):
            rows = rows.filter(customer=access.customer(principal=principal(request), external_id=external_id))
        return Response(pagination.page(request, rows, _show_subscription))


def _plan(code: str) -> Plan:
    plan = Plan.objects.filter(code=code).first()
    if plan is None:
        raise NotFound(f"There is no plan {code}.")
    return plan


def _latest(plan: Plan) -> PlanVersion:
    return plan.versions.select_related("plan").order_by("-number")[0]


def _terms(prices: Sequence[Mapping[str, Any]]) -> list[plans.PriceTerms]:
    return [plans.PriceTerms(**price) for price in prices]


def _show_asset(asset: Asset) -> dict[str, Any]:
    return {"code": asset.code, "name": asset.name, "kind": asset.kind, "precision": asset.precision}


def _show_meter(meter: Meter) -> dict[str, Any]:
    return {
        "code": meter.code,
        "name": meter.name,
        "event_type": meter.event_type,
        "aggregation": meter.aggregation,
        "value": meter.value,
        "filter": meter.filter,
        "dimensions": meter.dimensions,
        "unit": meter.unit,
        "phase": meter.phase,
        "created_at": moment_string(meter.created_at),
    }


def _show_version(version: PlanVersion) -> dict[str, Any]:
    return {
        "code": version.plan.code,
        "name": version.plan.name,
        "currency": version.plan.currency_id.upper(),
        "version": version.number,
        "interval": version.interval,
        "published_at": moment_string(version.published_at),
        "prices": [
            {
                "meter": price.meter.code,
                "asset": price.asset_id,
                "model": price.model,
                "unit_amount": amount_string(price.unit_amount),
                "per": amount_string(price.per),
                "match": price.match,
                "failure_policy": price.failure_policy,
            }
            for price in version.prices.select_related("meter").order_by("position")
        ],
    }


def _show_subscription(subscription: Subscription) -> dict[str, Any]:
    return {
        "id": str(subscription.pk),
        "customer": subscription.customer.external_id,
        "plan": subscription.plan.code,
        "plan_version": subscription.plan_version.number,
        "starts_at": moment_string(subscription.starts_at),
        "ends_at": None if subscription.ends_at is None else moment_string(subscription.ends_at),
    }
