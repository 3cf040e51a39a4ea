"""Standing orders to top up: when the balance falls, and at fixed times."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, payers, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import StrictSerializer, amount_or_none, moment_or_none
from billing.api.schema import auto_top_ups as schema
from billing.engine.money import amount_string
from billing.errors import InvalidRequest, NotFound
from billing.models import Asset, AutoTopUp, Customer, PaymentMethod
from billing.selectors.funding import standing
from billing.services.funding import methods, profiles, rules

_SCOPES = {"GET": "wallets:read", "PUT": "top_ups:write", "DELETE": "top_ups:write"}


class _OrderView(base.View):
    scopes: ClassVar[Mapping[str, str]] = _SCOPES
    purpose: ClassVar[str]
    body: ClassVar[type[StrictSerializer]]

    def _put(self, request: Request, external_id: str) -> Response:
        access.operator(principal=principal(request))
        customer = access.customer(principal=principal(request), external_id=external_id)
        order = _order(customer, serializers.read(self.body, request))
        rule = rules.put(actor=actor(request), customer=customer, order=order)
        return Response(show(rule, customer))

    def _get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        return Response(show(_found(customer, self.purpose), customer))

    def _delete(self, request: Request, external_id: str) -> Response:
        access.operator(principal=principal(request))
        customer = access.customer(principal=principal(request), external_id=external_id)
        rules.switch_off(actor=actor(request), rule=_found(customer, self.purpose))
        return Response(status=204)


class AutoTopUpView(_OrderView):
    purpose = AutoTopUp.Purpose.AUTO_TOP_UP
    body = payers.AutoTopUpPut

    @schema.AUTO_PUT
    def put(self, request: Request, external_id: str) -> Response:
        return self._put(request, external_id)

    @schema.AUTO_GET
    def get(self, request: Request, external_id: str) -> Response:
        return self._get(request, external_id)

    @schema.AUTO_DELETE
    def delete(self, request: Request, external_id: str) -> Response:
        return self._delete(request, external_id)


class ScheduledTopUpView(_OrderView):
    purpose = AutoTopUp.Purpose.SCHEDULED
    body = payers.ScheduledTopUpPut

    @schema.SCHEDULED_PUT
    def put(self, request: Request, external_id: str) -> Response:
        return self._put(request, external_id)

    @schema.SCHEDULED_GET
    def get(self, request: Request, external_id: str) -> Response:
        return self._get(request, external_id)

    @schema.SCHEDULED_DELETE
    def delete(self, request: Request, external_id: str) -> Response:
        return self._delete(request, external_id)


def _order(customer: Customer, data: Mapping[str, Any]) -> rules.Order:
    pack = data.get("pack")
    asset: Asset = data.get("asset") or (pack.asset if pack is not None else customer.currency)
    same = ("threshold", "amount", "target", "monthly_limit", "count_limit", "cooldown_seconds", "enabled", "every")
    return rules.Order(
        asset=asset,
        pack=pack,
        starts_at=data.get("starts_at"),
        method=_method(customer, data["method"]),
        **{name: data[name] for name in same if name in data},
    )


def _method(customer: Customer, method: str) -> PaymentMethod | None:
    if method == payers.CARD:
        return None
    kept = methods.kept(customer.pk, profiles.payments().mode).filter(provider_id=method).first()
    if kept is None:
        raise InvalidRequest.field(
            "method", 'is neither "card" nor a payment method of this customer', code="not_found"
        )
    return kept


def _found(customer: Customer, purpose: str) -> AutoTopUp:
    rules_ = AutoTopUp.objects.select_related("customer", "pack", "method")
    rule = rules_.filter(customer=customer, purpose=purpose).first()
    if rule is None:
        raise NotFound("Nothing was set up.")
    return rule


def show(rule: AutoTopUp, customer: Customer) -> dict[str, Any]:
    rule.customer = customer
    now = timezone.now()
    used = standing.used(rule, now)
    when: dict[str, Any]
    if rule.every:
        when = {"every": rule.every, "starts_at": moment_or_none(rule.starts_at)}
    else:
        when = {
            "event": "wallet_balance_low",
            "threshold": amount_or_none(rule.threshold),
            "action": "auto_top_up",
            "target": amount_or_none(rule.target),
            "cooldown_seconds": rule.cooldown_seconds,
        }
    suspended = rule.enabled and rule.state == AutoTopUp.State.SUSPENDED
    return {
        "customer": customer.external_id,
        **when,
        "asset": rule.asset_id,
        "amount": amount_or_none(rule.amount),
        "pack": None if rule.pack is None else rule.pack.code,
        "method": payers.CARD if rule.method is None else rule.method.provider_id,
        "monthly_limit": amount_or_none(rule.monthly_limit),
        "count_limit": rule.count_limit,
        "enabled": rule.enabled,
        "status": standing.status(rule, now),
        "failure": {"code": rule.reason_code, "detail": rule.reason} if rule.reason_code else None,
        "fix_url": rules.fix_url(rule) if suspended else None,
        "used_this_month": {"amount": amount_string(used.amount), "count": used.count},
        "not_before": moment_or_none(rule.due_at),
        "updated_at": moment_or_none(rule.updated_at),
    }
