"""``/disputes``: charges that customers dispute with us, payments that their banks want back, and the evidence."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import prefetch_related_objects
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, pace, pagination, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import moment_or_none, moment_string
from billing.api.schema import disputes as schema
from billing.engine.money import amount_strings
from billing.errors import InvalidRequest, NotFound
from billing.models import ChargeDispute, Dispute, UsageEvent
from billing.selectors.funding import charge_disputes as selector
from billing.selectors.funding import evidence
from billing.services.funding import evidence_papers
from billing.services.idempotency import Answer
from billing.services.wallet import charge_disputes

CHARGES, PAYMENT = "charges", "payment"


class DisputesView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "disputes:write", "GET": "disputes:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("customer", "kind", *base.PAGE)}

    @schema.LODGE
    def post(self, request: Request) -> Response:
        def run() -> Answer:
            data = serializers.read(schema.DisputeCreate, request)
            customer = access.customer(principal=principal(request), external_id=data["customer"])
            found = [
                _event(request, customer.external_id, event_id, data) for event_id in dict.fromkeys(data["events"])
            ]
            made = charge_disputes.lodge(actor=actor(request), customer=customer, events=found, reason=data["reason"])
            return Answer(201, show(made, selector.amounts([made])[made.pk]))

        return self.once(request, run)

    @schema.DISPUTES
    def get(self, request: Request) -> Response:
        kind = base.text(request, "kind") or CHARGES
        if kind not in {CHARGES, PAYMENT}:
            raise InvalidRequest.field("kind", f"One of {CHARGES}, {PAYMENT}.")
        model: Any = ChargeDispute if kind == CHARGES else Dispute
        rows = model.objects.select_related("customer")
        rows = access.listed(rows, principal=principal(request), external_id=base.text(request, "customer"))
        page = pagination.page(request, rows, lambda row: row)
        if kind == CHARGES:
            prefetch_related_objects(page["data"], "lines__event")
            amounts = selector.amounts(page["data"])
            page["data"] = [show(row, amounts[row.pk]) for row in page["data"]]
        else:
            page["data"] = [show_payment(row) for row in page["data"]]
        return Response(page)


def _event(request: Request, external_id: str, event_id: str, data: Mapping[str, Any]) -> UsageEvent:
    try:
        return access.usage_event(
            principal=principal(request),
            event_id=event_id,
            external_id=external_id,
            source=data.get("source"),
            only=True,
        )
    except NotFound as missing:
        raise InvalidRequest.field("events", missing.detail, code="not_found") from missing


class DisputeView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "disputes:read"}

    @schema.DISPUTE
    def get(self, request: Request, dispute_id: UUID) -> Response:
        dispute = access.dispute(principal=principal(request), dispute_id=dispute_id)
        if isinstance(dispute, Dispute):
            return Response(show_payment(dispute))
        return Response(show(dispute, selector.amounts([dispute])[dispute.pk]))


class EvidenceView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "disputes:read"}

    @schema.EVIDENCE
    def get(self, request: Request, dispute_id: UUID) -> Response:
        return Response(_pack(request, dispute_id))


class EvidencePdfView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "disputes:read"}

    @schema.EVIDENCE_PDF
    def get(self, request: Request, dispute_id: UUID) -> HttpResponse:
        return _paper(request, _pack(request, dispute_id))


class EventEvidenceView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "events:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("customer", "source")}

    @schema.EVENT_EVIDENCE
    def get(self, request: Request, event_id: str) -> Response:
        return Response(_pack_of_event(request, event_id))


class EventEvidencePdfView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "events:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("customer", "source")}

    @schema.EVENT_EVIDENCE_PDF
    def get(self, request: Request, event_id: str) -> HttpResponse:
        return _paper(request, _pack_of_event(request, event_id))


def _pack(request: Request, dispute_id: UUID) -> dict[str, Any]:
    dispute = access.dispute(principal=principal(request), dispute_id=dispute_id)
    if isinstance(dispute, Dispute):
        return evidence.of_payment_dispute(dispute)
    return evidence.of_charge_dispute(dispute)


def _pack_of_event(request: Request, event_id: str) -> dict[str, Any]:
    event = access.usage_event(
        principal=principal(request),
        event_id=event_id,
        external_id=base.text(request, "customer"),
        source=base.text(request, "source"),
        only=True,
    )
    return evidence.of_event(event)


def _paper(request: Request, pack: dict[str, Any]) -> HttpResponse:
    pace.buckets.spend_more(principal(request).organization_id, pace.CALLS_PER_PAPER - 1)
    return HttpResponse(
        evidence_papers.pdf(pack),
        content_type="application/pdf",
        headers={"Content-Disposition": 'attachment; filename="evidence.pdf"'},
    )


def show(dispute: ChargeDispute, amounts: Mapping[str, Decimal]) -> dict[str, Any]:
    """A case about charges as the API gives it. A list of them has read its events before."""
    prefetch_related_objects([dispute], "lines__event")
    return {
        "id": str(dispute.pk),
        "kind": CHARGES,
        "customer": dispute.customer.external_id,
        "status": dispute.status,
        "reason": dispute.reason,
        "answer": dispute.answer or None,
        "events": [line.event.event_id for line in dispute.lines.all()],
        "top_up": None,
        "amounts": amount_strings(amounts),
        "answer_by": None,
        "opened_at": moment_string(dispute.created_at),
        "closed_at": moment_or_none(dispute.closed_at),
    }


def show_payment(dispute: Dispute) -> dict[str, Any]:
    """A payment that its payer's bank wants back, in the same shape."""
    return {
        "id": str(dispute.pk),
        "kind": PAYMENT,
        "customer": dispute.customer.external_id,
        "status": dispute.status,
        "reason": dispute.reason,
        "answer": None,
        "events": [],
        "top_up": str(dispute.top_up_id),
        "amounts": amount_strings({dispute.currency_id: dispute.amount}),
        "answer_by": moment_or_none(dispute.answer_by),
        "opened_at": moment_string(dispute.opened_at),
        "closed_at": moment_or_none(dispute.closed_at),
    }
