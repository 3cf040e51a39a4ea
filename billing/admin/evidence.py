"""The evidence of an event or a dispute, taken along as PDF or JSON with one click."""

from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse

from accounts.backoffice import BackOfficeAdmin, detail_action
from billing.admin import lookup
from billing.services.funding import evidence_papers

_encode = msgspec.json.Encoder(decimal_format="number").encode


class EvidenceMixin(BackOfficeAdmin):
    """``pack`` says what the evidence of a row is."""

    def pack(self, obj: Any) -> dict[str, Any]:
        raise NotImplementedError

    @detail_action(
        description="Evidence (PDF)", url_path="evidence", icon="description", permissions=["view"], asks_first=False
    )
    def evidence(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._download(evidence_papers.pdf(self._pack(object_id)), "application/pdf", f"{object_id}.pdf")

    @detail_action(
        description="Evidence (JSON)",
        url_path="evidence-json",
        icon="data_object",
        permissions=["view"],
        asks_first=False,
    )
    def evidence_json(self, request: HttpRequest, object_id: str) -> HttpResponse:
        body = msgspec.json.format(_encode(self._pack(object_id)), indent=2)
        return self._download(body, "application/json", f"{object_id}.json")

    def _pack(self, object_id: str) -> dict[str, Any]:
        return self.pack(lookup.row(self.model._default_manager.select_related("customer"), object_id))

    def _download(self, body: bytes, content_type: str, name: str) -> HttpResponse:
        headers = {"Content-Disposition": f'attachment; filename="evidence-{name}"'}
        return HttpResponse(body, content_type=content_type, headers=headers)
