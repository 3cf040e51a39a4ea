"""``/authorizations``: ask before the work runs, settle after it."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, cloudevents, ingest, origin, pagination, serializers
from billing.api.authentication import principal
from billing.api.fields import moment_or_none, moment_string
from billing.api.schema import authorizations as schema
from billing.engine.money import amount_string, amount_strings
from billing.errors import InvalidRequest
from billing.models import Authorization
from billing.services import authorizations
from billing.services.idempotency import Answer
from billing.services.usage import PRICING_SCOPE, IncomingEvent


class AuthorizationsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "authorizations:write", "GET": "wallets:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("customer", "status", *base.PAGE)}

    @schema.OPEN
    def post(self, request: Request) -> Response:
        data = serializers.read(serializers.AuthorizationCreate, request)
        reporter = principal(request)
        customer = access.customer(principal=reporter, external_id=data["customer"])
        life = timedelta(seconds=data["expires_in"])
        named = None
        if "api_key" in data:
            named = access.named_key(principal=reporter, customer=customer, key_id=data["api_key"])

        def by_amount() -> Answer:
            opened = authorizations.open_amount(
                customer=customer,
                asset=data["asset"],
                amount=data["amount"],
                life=life,
                api_key_id=named or reporter.key_id,
                opened_by_id=reporter.key_id if named else None,
                own_key=named is not None or reporter.organization_id is not None,
            )
            return Answer(201, _show_opened(opened))

        def by_usage() -> Answer:
            event = IncomingEvent(
                id="",
                source="",
                type=data["type"],
                subject=customer.external_id,
                time=None,
                data=data.get("data", {}),
                api_key_id=reporter.key_id,
                named_key_id=named,
                organization_id=reporter.organization_id,
                may_price=reporter.may(PRICING_SCOPE),
            )
            return Answer(201, _show_opened(authorizations.open_for_usage(event=event, life=life)))

        return self.once(request, by_amount if "amount" in data else by_usage)

    @schema.LIST
    def get(self, request: Request) -> Response:
        rows = Authorization.objects.select_related("customer")
        rows = access.listed(rows, principal=principal(request), external_id=base.text(request, "customer"))
        if status := base.text(request, "status"):
            if status not in Authorization.Status.values:
                raise InvalidRequest.field("status", f"One of {', '.join(Authorization.Status.values)}.")
            rows = rows.filter(status=status)
        return Response(pagination.page(request, rows, show))


class AuthorizationView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "wallets:read"}

    @schema.GET
    def get(self, request: Request, authorization_id: UUID) -> Response:
        return Response(show(access.authorization(principal=principal(request), authorization_id=authorization_id)))


class CaptureView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "authorizations:write"}

    @schema.CAPTURE
    def post(self, request: Request, authorization_id: UUID) -> Response:
        authorization = access.own_authorization(principal=principal(request), authorization_id=authorization_id)
        data = serializers.read(serializers.Capture, request)
        event = None
        if "event" in data:
            # The authorization knows whose it is and what for; the event need not say so again.
            known = {
                "specversion": "1.0",
                "id": str(authorization.pk) if data["final"] else "",
                "source": cloudevents.assigned_source("authorizations", principal(request)),
                "type": authorization.type,
                "subject": authorization.customer.external_id,
                "api_key": _named_key(authorization),
            }
            body = {name: value for name, value in known.items() if value} | data["event"]
            if body.setdefault("outcome", data.get("outcome")) is None:
                del body["outcome"]
            elif body["outcome"] != data.get("outcome", body["outcome"]):
                raise InvalidRequest.field("outcome", "is not what the event itself says")
            event = cloudevents.parse(body, principal(request), origin=origin.of_request(request), path="event")

        def capture() -> Answer:
            if event is not None:
                try:
                    captured = authorizations.capture_usage(
                        authorization=authorization, event=event, final=data["final"]
                    )
                except InvalidRequest as refusal:
                    raise refusal.under("event") from refusal
            else:
                captured = authorizations.capture_amount(
                    authorization=authorization, amount=data["amount"], final=data["final"]
                )
            body = show(captured.authorization)
            if captured.refused is not None:
                body["refused"] = captured.refused
            if captured.outcome is None:
                return Answer(200, body)
            body["event"] = ingest.event_body(captured.outcome)
            return Answer(200, body, replayed=captured.outcome.replayed)

        return self.once(request, capture)


class VoidView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "authorizations:write"}

    @schema.VOID
    def post(self, request: Request, authorization_id: UUID) -> Response:
        authorization = access.own_authorization(principal=principal(request), authorization_id=authorization_id)
        data = serializers.read(serializers.Void, request)
        return self.once(
            request,
            lambda: Answer(200, show(authorizations.void(authorization=authorization, reason=data.get("reason", "")))),
        )


def show(authorization: Authorization) -> dict[str, Any]:
    return {
        "id": str(authorization.pk),
        "customer": authorization.customer.external_id,
        "status": authorization.status,
        "asset": authorization.asset_id,
        "amount": amount_string(authorization.amount),
        "captured": amount_string(authorization.captured),
        "type": authorization.type or None,
        "api_key": _named_key(authorization),
        "created_at": moment_string(authorization.created_at),
        "expires_at": moment_string(authorization.expires_at),
        "closed_at": moment_or_none(authorization.closed_at),
    }


def _named_key(authorization: Authorization) -> str | None:
    """The customer's key that it counts for, where the operator named it."""
    return None if authorization.opened_by_id is None else str(authorization.api_key_id)


def _show_opened(opened: authorizations.Opened) -> dict[str, Any]:
    return {
        **show(opened.authorization),
        "holds": amount_strings(opened.holds),
        "affordable": amount_strings(opened.affordable),
    }
