"""``/assets``, ``/meters``, ``/plans``."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, pagination, prices, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import moment_string, stored
from billing.api.schema import catalog as schema
from billing.engine import presets
from billing.models import Asset, Meter, Plan, PlanVersion
from billing.selectors.catalog import plan_terms
from billing.services.catalog import assets, drafts, meters, plans
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
            if isinstance(request.data, dict) and "preset" in request.data:
                data = serializers.read(serializers.PresetCreate, request)
                made = meters.create_preset(actor=actor(request), **data)
                return Answer(201, pagination.envelope([_show_meter(meter) for meter in made], None))
            data = serializers.read(serializers.MeterCreate, request)
            return Answer(201, _show_meter(meters.create(actor=actor(request), **data)))

        return self.once(request, create)

    @schema.METERS
    def get(self, request: Request) -> Response:
        return Response(pagination.page(request, Meter.objects.all(), _show_meter))


class MeterPresetsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "catalog:read"}

    @schema.PRESETS
    def get(self, request: Request) -> Response:
        return Response(pagination.envelope([_show_preset(code) for code in sorted(presets.PRESETS)], None))


class PlansView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "catalog:write", "GET": "catalog:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.PLAN_CREATE
    def post(self, request: Request) -> Response:
        access.operator(principal=principal(request))

        def create() -> Answer:
            data = terms(serializers.read(serializers.PlanCreate, request))
            if not data.pop("publish"):
                named = {name: data[name] for name in ("code", "name", "currency")}
                sent = {name: value for name, value in dict(request.data).items() if name not in {"publish", *named}}
                draft = drafts.create_plan(actor=actor(request), terms=stored(sent), **named)
                return Answer(201, _show_plan(draft.plan))
            return Answer(201, show_version(plans.create(actor=actor(request), **data)))

        return self.once(request, create)

    @schema.PLANS
    def get(self, request: Request) -> Response:
        return Response(pagination.page(request, access.plans(principal=principal(request)), _show_plan))


class PlanView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "catalog:read"}

    @schema.PLAN
    def get(self, request: Request, code: str) -> Response:
        return Response(_show_plan(access.plan(principal=principal(request), code=code)))


class PlanVersionsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "catalog:write", "GET": "catalog:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.VERSION_CREATE
    def post(self, request: Request, code: str) -> Response:
        access.operator(principal=principal(request))
        plan = access.plan(principal=principal(request), code=code)

        def publish() -> Answer:
            data = terms(serializers.read(serializers.VersionCreate, request))
            return Answer(201, show_version(plans.publish_version(actor=actor(request), plan=plan, **data)))

        return self.once(request, publish)

    @schema.VERSIONS
    def get(self, request: Request, code: str) -> Response:
        versions = access.plan(principal=principal(request), code=code).versions.filter(derived_from__isnull=True)
        return Response(pagination.page(request, versions, show_version))


def terms(data: dict[str, Any]) -> dict[str, Any]:
    """What a version shall say, for the service."""
    allowances = [plans.AllowanceTerms(**allowance) for allowance in data.get("allowances", [])]
    fair_use = [plans.FairUseTerms(**limit) for limit in data.get("fair_use", [])]
    wanted = [prices.wanted(price) for price in data["prices"]]
    discounts = [plans.CommitmentDiscount(row["from"], row["discount"]) for row in data.get("commitment_discounts", [])]
    return data | {
        "prices": wanted,
        "allowances": allowances,
        "fair_use": fair_use,
        "commitment_discounts": discounts,
    }


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
        "section": meter.section,
        "created_at": moment_string(meter.created_at),
    }


def _show_preset(code: str) -> dict[str, Any]:
    preset = presets.PRESETS[code]
    return {
        "preset": code,
        "description": preset.description,
        "event_type": preset.event_type,
        "dimensions": preset.dimensions,
        "meters": [
            {
                "code": meter.code,
                "name": meter.name,
                "aggregation": meter.aggregation,
                "value": meter.value,
                "filter": meter.filter,
                "unit": meter.unit,
                "phase": meter.phase,
            }
            for meter in preset.meters
        ],
        "example": preset.example,
        "counts": preset.counts,
    }


def _show_plan(plan: Plan) -> dict[str, Any]:
    latest = plan.latest()
    if latest is not None:
        return show_version(latest)
    unpublished = (
        "version",
        "interval",
        "base_fee",
        "trial_days",
        "minimum_commitment",
        "overage_limit",
        "published_at",
        "cached_tokens",
    )
    named = {"code": plan.code, "name": plan.name, "currency": plan.currency_id.upper()}
    lists: dict[str, Any] = {"allowances": [], "fair_use": [], "commitment_discounts": [], "prices": []}
    return named | dict.fromkeys(unpublished) | lists


def show_version(version: PlanVersion) -> dict[str, Any]:
    """A published version with all its terms."""
    return {
        "code": version.plan.code,
        "name": version.plan.name,
        "currency": version.plan.currency_id.upper(),
        "version": version.number,
        "published_at": moment_string(version.published_at),
        **plan_terms.of_version(version),
    }
