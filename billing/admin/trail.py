"""The trail to take along: all that the list finds, however much, and that somebody took it."""

import json
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_GET

from accounts import steps
from accounts.admin import trail
from accounts.backoffice import actor_of
from accounts.models import AuditEvent
from accounts.second_factor import requires_fresh_second_factor
from accounts.services import audit
from billing.admin import downloads
from billing.engine.spreadsheets import Cell

HEADS = (
    *("id", "time", "action", "actor", "actor_kind", "actor_id", "object_type", "object_id", "before", "after"),
    *("organization_id", "ip_address", "request_id"),
)

admin.site.unregister(AuditEvent)


@admin.register(AuditEvent)
class AuditEventAdmin(trail.AuditEventAdmin):
    """The trail, with a file of it."""

    list_before_template = "admin/ante/trail_file.html"

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.export)
        return [path("export/", view, name="accounts_auditevent_export"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        query = request.GET.copy()
        query.pop("p", None)
        context = {**(extra_context or {}), "csv_query": query.urlencode()}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    @method_decorator([require_GET, requires_fresh_second_factor])
    def export(self, request: HttpRequest) -> HttpResponseBase:
        """The lines that the same filters and words find in the list, the newest first, as CSV.

        The trail says who took it and what it was narrowed down by, not to whom: a word may be somebody's address.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return HttpResponseRedirect(reverse("admin:accounts_auditevent_changelist"))
        line = audit.record(
            actor=actor_of(request),
            action="trail.exported",
            object_type="trail",
            object_id="",
            after={"narrowed_by": sorted(name for name, value in request.GET.items() if value)},
        )
        rows = steps.every(found.filter(pk__lt=line.pk), newest_first=True)
        return downloads.csv(f"trail-{line.created_at:%Y-%m-%d}", HEADS, _cells(rows))


def _cells(rows: Iterator[AuditEvent]) -> Iterator[list[Cell]]:
    for row in rows:
        yield [
            str(row.pk),
            row.created_at,
            *(row.action, row.actor_label, row.actor_kind, _text(row.actor_id), row.object_type, row.object_id),
            *(_json(row.before), _json(row.after)),
            *(_text(row.organization_id), row.ip_address, row.request_id),
        ]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _json(said: dict[str, Any] | None) -> str | None:
    return None if said is None else json.dumps(said, cls=DjangoJSONEncoder, ensure_ascii=False)
