"""``/plans/{code}/drafts``: terms that are worked on until they are published."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, catalog, pagination, serializers
from billing.api.authentication import actor, principal
from billing.api.fields import moment_string, stored
from billing.api.schema import drafts as schema
from billing.errors import NotFound
from billing.models import PlanDraft
from billing.services.catalog import drafts
from billing.services.idempotency import Answer


class DraftsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "catalog:write", "GET": "catalog:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": base.PAGE}

    @schema.CREATE
    def post(self, request: Request, code: str) -> Response:
        access.operator(principal=principal(request))
        plan = access.plan(principal=principal(request), code=code)

        def create() -> Answer:
            serializers.read(serializers.DraftTerms, request)
            return Answer(201, show(drafts.create(actor=actor(request), plan=plan, terms=stored(request.data))))

        return self.once(request, create)

    @schema.LIST
    def get(self, request: Request, code: str) -> Response:
        access.operator(principal=principal(request))
        plan = access.plan(principal=principal(request), code=code)
        rows = PlanDraft.objects.filter(plan=plan).select_related("plan")
        return Response(pagination.page(request, rows, show))


class DraftView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {
        "GET": "catalog:read",
        "PATCH": "catalog:write",
        "DELETE": "catalog:write",
    }

    @schema.GET
    def get(self, request: Request, code: str, draft_id: UUID) -> Response:
        access.operator(principal=principal(request))
        return Response(show(_draft(code, draft_id)))

    @schema.PATCH
    def patch(self, request: Request, code: str, draft_id: UUID) -> Response:
        access.operator(principal=principal(request))
        draft = _draft(code, draft_id)
        serializers.read(serializers.DraftTerms, request)
        return Response(show(drafts.change(actor=actor(request), draft=draft, terms=stored(request.data))))

    @schema.DELETE
    def delete(self, request: Request, code: str, draft_id: UUID) -> Response:
        access.operator(principal=principal(request))
        drafts.discard(actor=actor(request), draft=_draft(code, draft_id))
        return Response(status=204)


class DraftPublishView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"POST": "catalog:write"}

    @schema.PUBLISH
    def post(self, request: Request, code: str, draft_id: UUID) -> Response:
        access.operator(principal=principal(request))

        def publish() -> Answer:
            draft = _draft(code, draft_id)
            serializers.read(serializers.Nothing, request)
            reader = serializers.VersionCreate(data=draft.terms)
            reader.is_valid(raise_exception=True)
            terms = catalog.terms(reader.validated_data)
            return Answer(201, catalog.show_version(drafts.publish(actor=actor(request), draft=draft, **terms)))

        return self.once(request, publish)


def show(draft: PlanDraft) -> dict[str, Any]:
    """A draft: its terms as they were sent."""
    return {
        "id": str(draft.pk),
        "plan": draft.plan.code,
        "terms": draft.terms,
        "created_at": moment_string(draft.created_at),
        "changed_at": moment_string(draft.changed_at),
    }


def _draft(code: str, draft_id: UUID) -> PlanDraft:
    found = PlanDraft.objects.filter(plan__code=code, pk=draft_id).select_related("plan").first()
    if found is None:
        raise NotFound("There is no such draft.")
    return found
