"""Money in: top-ups, the methods that payers keep, packs, and what the payment provider reports."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, json, pagination, payers, problems, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import amount_or_none, moment_or_none, moment_string
from billing.api.schema import funding as schema
from billing.engine.money import EXACT, amount_string
from billing.engine.taxes import Decision
from billing.errors import BillingError, InvalidRequest, PayloadTooLarge
from billing.gateways.payments import Forged
from billing.models import Customer, Pack, PaymentAttempt, PaymentMethod, Refund, TopUp
from billing.services.funding import attempts, inbox, methods, packs, profiles, quotes, refunds, top_ups
from billing.services.idempotency import Answer
from billing.services.invoicing import taxes

WEBHOOK_BYTES_MAX = 512 * 1024


class TopUpsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "top_ups:write", "GET": "wallets:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.TOP_UP
    def post(self, request: Request, external_id: str) -> Response:
        access.operator(principal=principal(request))
        customer = access.customer(principal=principal(request), external_id=external_id)
        decided: list[Decision] = []

        def before() -> None:
            attempts.make_way(customer, PaymentAttempt.Purpose.TOP_UP)
            # Who knows the taxes may be asked over the network: not in the transaction that takes the key.
            decided.append(taxes.decide(customer, timezone.now()))

        def prepare() -> str:
            data = serializers.read(payers.TopUpCreate, request)
            plan = _plan(customer, data)
            quote = _quote(customer, data, next(iter(decided), None))
            return str(top_ups.create(actor=actor(request), customer=customer, quote=quote, plan=plan).pk)

        return self.phased(
            request,
            before=before,
            prepare=prepare,
            finish=lambda top_up_id: Answer(201, show(top_ups.start(UUID(top_up_id)), customer)),
        )

    @schema.TOP_UPS
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        rows = TopUp.objects.filter(customer=customer).select_related("attempt", "pack")
        return Response(pagination.page(request, rows, lambda row: show(row, customer)))


class TopUpView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "wallets:read"}

    @schema.TOP_UP_GET
    def get(self, request: Request, top_up_id: UUID) -> Response:
        top_up = access.top_up(principal=principal(request), top_up_id=top_up_id)
        return Response(show(top_up, top_up.customer))


class RefundView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "refunds:write"}

    @schema.REFUND
    def post(self, request: Request, top_up_id: UUID) -> Response:
        access.operator(principal=principal(request))
        top_up = access.top_up(principal=principal(request), top_up_id=top_up_id)

        def prepare() -> str:
            data = serializers.read(payers.RefundCreate, request)
            made = refunds.create(
                actor=actor(request), top_up=top_up, amount=data.get("amount"), reason=data.get("reason", "")
            )
            return str(made.pk)

        return self.phased(
            request,
            before=profiles.payments,
            prepare=prepare,
            finish=lambda refund_id: Answer(201, show_refund(refunds.start(UUID(refund_id)))),
        )


class PaymentMethodsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "wallets:read", "POST": "top_ups:write"}

    @schema.METHODS
    def get(self, request: Request, external_id: str) -> Response:
        customer = access.customer(principal=principal(request), external_id=external_id)
        rows = methods.kept(customer.pk, profiles.payments().mode)
        return Response(pagination.envelope([_show_method(row) for row in rows], None))

    @schema.METHOD_ADD
    def post(self, request: Request, external_id: str) -> Response:
        access.operator(principal=principal(request))
        customer = access.customer(principal=principal(request), external_id=external_id)
        data = serializers.read(payers.MethodAdd, request)
        back = data.get("return_url") or _portal()
        url = methods.open_setup(customer=customer, return_url=back, cancel_url=back)
        return Response({"setup_url": url}, status=201)


class PaymentMethodView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"DELETE": "top_ups:write"}

    @schema.METHOD_REMOVE
    def delete(self, request: Request, external_id: str, method_id: str) -> Response:
        access.operator(principal=principal(request))
        customer = access.customer(principal=principal(request), external_id=external_id)
        methods.remove(actor=actor(request), method=access.payment_method(customer=customer, method_id=method_id))
        return Response(status=204)


class PacksView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "catalog:read", "POST": "catalog:write"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.PACK
    def post(self, request: Request) -> Response:
        access.operator(principal=principal(request))

        def create() -> Answer:
            data = serializers.read(payers.PackCreate, request)
            return Answer(201, _show_pack(packs.create(actor=actor(request), **data)))

        return self.once(request, create)

    @schema.PACKS
    def get(self, request: Request) -> Response:
        return Response(pagination.page(request, Pack.objects.filter(active=True), _show_pack))


@csrf_exempt
def payment_webhook(request: HttpRequest) -> HttpResponse:
    """Take in a message of the provider's: its signature is checked on the body as it came, and it is stored."""
    try:
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST"})
        json.check_encoding(request.headers.get("Content-Encoding", ""))
        if int(request.headers.get("Content-Length") or 0) > WEBHOOK_BYTES_MAX:
            raise PayloadTooLarge(f"At most {WEBHOOK_BYTES_MAX} bytes are taken.")
        new = inbox.receive(request.body, request.headers)
    except Forged as reason:
        return problems.answer(InvalidRequest(str(reason)), request)
    except BillingError as refusal:
        return problems.answer(refusal, request)
    return HttpResponse(json.write({"received": True, "new": new}), content_type="application/json")


def _plan(customer: Customer, data: Mapping[str, Any]) -> attempts.Plan:
    method = data.get("payment_method")
    return_url = data.get("return_url") or _portal()
    if method is None:
        return attempts.Plan(
            PaymentAttempt.Way.CHECKOUT, return_url=return_url, keep_method=data["save_payment_method"]
        )
    kept = methods.kept(customer.pk, profiles.payments().mode).filter(provider_id=method).first()
    if kept is None:
        raise InvalidRequest.field("payment_method", "is no payment method of this customer", code="not_found")
    return attempts.Plan(PaymentAttempt.Way.METHOD, method=kept, return_url=return_url)


def _portal() -> str:
    """Where a payer goes afterwards who is to come back nowhere else."""
    return f"{settings.BASE_URL}/top-up"


def _quote(customer: Customer, data: Mapping[str, Any], decision: Decision | None) -> quotes.Quote:
    if "pack" in data:
        return quotes.quote_pack(customer=customer, pack=data["pack"], decision=decision)
    currency = data.get("currency") or customer.currency
    return quotes.quote(customer=customer, amount=data["amount"], currency=currency, decision=decision)


def show(top_up: TopUp, customer: Customer) -> dict[str, Any]:
    attempt = top_up.attempt
    failed = top_up.status == TopUp.Status.FAILED
    shown = {"amount": top_up.amount, "fee": top_up.fee, "tax": top_up.tax}
    return {
        "id": str(top_up.pk),
        "customer": customer.external_id,
        "status": top_up.status,
        "checkout_url": attempt.checkout_url or None,
        **{name: amount_string(value) for name, value in shown.items()},
        "total": amount_string(attempt.amount),
        "currency": top_up.currency_id.upper(),
        "asset": top_up.asset_id,
        "credit": amount_string(top_up.credit),
        "bonus": amount_string(top_up.bonus),
        "rate": amount_or_none(top_up.rate),
        "pack": None if top_up.pack is None else top_up.pack.code,
        "refunded": amount_string(top_up.refunded),
        "payment_method": _shown_method(attempt),
        "failure": {"code": attempt.failure_code, "detail": attempt.failure} if failed else None,
        "grant": str(top_up.grant_id) if top_up.status == TopUp.Status.SUCCEEDED and top_up.credit else None,
        "expected_at": moment_or_none(top_up.expected_at),
        "created_at": moment_string(top_up.created_at),
        "settled_at": moment_or_none(top_up.settled_at),
    }


def show_refund(refund: Refund) -> dict[str, Any]:
    open_ = refund.status in Refund.OPEN
    return {
        "id": str(refund.pk),
        "top_up": str(refund.top_up_id),
        "status": "processing" if open_ else refund.status,
        "amount": amount_string(refund.amount),
        "tax": amount_string(refund.tax),
        "total": amount_string(EXACT.add(refund.amount, refund.tax)),
        "currency": refund.currency_id.upper(),
        "credit": amount_string(EXACT.add(refund.credit, refund.bonus)),
        "failure": refund.failure or None,
        "created_at": moment_string(refund.created_at),
    }


def _shown_method(attempt: PaymentAttempt) -> dict[str, str] | None:
    if not attempt.method_type:
        return None
    return {"type": attempt.method_type, "brand": attempt.method_brand, "last4": attempt.method_last4}


def _show_method(method: PaymentMethod) -> dict[str, Any]:
    return {
        "id": method.provider_id,
        "type": method.type,
        "brand": method.brand,
        "last4": method.last4,
        "exp_month": method.exp_month,
        "exp_year": method.exp_year,
        "created_at": moment_string(method.created_at),
    }


def _show_pack(pack: Pack) -> dict[str, Any]:
    return {
        "code": pack.code,
        "name": pack.name,
        "asset": pack.asset_id,
        "amount": amount_string(pack.amount),
        "price": amount_string(pack.price),
        "currency": pack.currency_id.upper(),
    }
