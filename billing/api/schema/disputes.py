"""Operations on disputes and their evidence."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers as rest

from billing.api.fields import MetadataField, MomentField, StrictSerializer, TextField
from billing.api.schema import shapes
from billing.services.wallet.charge_disputes import EVENTS_MAX

_SOURCE = OpenApiParameter("source", OpenApiTypes.STR)


class DisputeCreate(StrictSerializer):
    """``events`` are the sender's own ids, ``source`` theirs where several senders use the same."""

    customer = TextField(max_length=255)
    events = rest.ListField(child=TextField(max_length=255), allow_empty=False, max_length=EVENTS_MAX)
    source = TextField(max_length=255, required=False)  # type: ignore[assignment]
    reason = TextField(max_length=1000)


class DisputeShape(rest.Serializer[Any]):
    id = rest.UUIDField()
    kind = rest.ChoiceField(["charges", "payment"])
    customer = rest.CharField()
    status = rest.ChoiceField(
        ["open", "accepted", "declined", "withdrawn", "inquiry", "under_review", "won", "lost", "closed"]
    )
    reason = rest.CharField(allow_blank=True)
    answer = rest.CharField(allow_null=True)
    events = rest.ListField(child=rest.CharField())
    top_up = rest.UUIDField(allow_null=True)
    amounts = shapes.AmountsField()
    answer_by = MomentField(allow_null=True)
    opened_at = MomentField()
    closed_at = MomentField(allow_null=True)


class EvidenceShape(rest.Serializer[Any]):
    kind = rest.ChoiceField(["event", "charges", "payment"])
    made_at = MomentField()
    case = MetadataField(help_text="The dispute; empty for an event's pack.")
    customer = MetadataField()
    events = rest.ListField(
        child=MetadataField(),
        help_text="Each as it was sent, with its price, arithmetic, grants, ledger entries, balances and key.",
    )
    payments = rest.ListField(child=MetadataField(), help_text="What paid for it.")
    seals = rest.ListField(child=MetadataField(), help_text="The ledger's seals over these entries.")
    used = MetadataField(required=False, help_text="Of a payment: what of it was used, in all.")


LODGE = extend_schema(
    operation_id="create_dispute",
    summary="Dispute charges",
    description="Nothing moves until it is decided on. Accepted, what was charged goes back.",
    tags=["Finance"],
    request=DisputeCreate,
    responses={201: DisputeShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
DISPUTES = extend_schema(
    operation_id="list_disputes",
    summary="List disputes, of charges or of payments",
    tags=["Finance"],
    responses={200: shapes.listed(DisputeShape)},
    parameters=[
        shapes.CUSTOMER,
        OpenApiParameter("kind", OpenApiTypes.STR, enum=["charges", "payment"], default="charges"),
        *shapes.CURSOR,
    ],
)
DISPUTE = extend_schema(
    operation_id="get_dispute", summary="One dispute", tags=["Finance"], responses={200: DisputeShape}
)
EVIDENCE = extend_schema(
    operation_id="get_dispute_evidence",
    summary="All that the books know about what is disputed",
    tags=["Finance"],
    responses={200: EvidenceShape},
)
EVIDENCE_PDF = extend_schema(
    operation_id="get_dispute_evidence_pdf",
    summary="The same as PDF",
    tags=["Finance"],
    responses={(200, "application/pdf"): OpenApiTypes.BINARY},
)
EVENT_EVIDENCE = extend_schema(
    operation_id="get_event_evidence",
    summary="All that the books know about an event",
    tags=["Finance"],
    responses={200: EvidenceShape},
    parameters=[shapes.CUSTOMER, _SOURCE],
)
EVENT_EVIDENCE_PDF = extend_schema(
    operation_id="get_event_evidence_pdf",
    summary="The same as PDF",
    tags=["Finance"],
    responses={(200, "application/pdf"): OpenApiTypes.BINARY},
    parameters=[shapes.CUSTOMER, _SOURCE],
)
