"""The trail, and looking for something in it."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.backoffice import ReadOnlyAdmin
from accounts.lists import MadeFilter
from accounts.models import AuditEvent
from accounts.services import audit

ACTORS_MAX = 50
"""So many of the people, and of the keys, that a word may mean are looked for in the trail."""


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "action", "actor_label", "object_type", "object_id", "ip_address", "request_id")
    list_display_links = ("created_at", "action")
    list_filter = (("actor_kind", ChoicesDropdownFilter), ("created_at", MadeFilter))
    search_fields = ("action", "object_id", "request_id")
    search_help_text = "An action or its beginning, an e-mail address, the name of a key, or any id, a request's too"
    sortable_by = ()
    fields = (
        "created_at",
        "action",
        "actor_kind",
        "actor_label",
        "actor_id",
        "object_type",
        "object_id",
        "before",
        "after",
        "organization_id",
        "ip_address",
        "request_id",
    )

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Lines along their indexes, for the trail has millions: nothing is looked for within words."""
        term = search_term.strip()
        if not term:
            return queryset, False
        actors = audit.actors_called(term, most=ACTORS_MAX)
        meant = Q(action__startswith=term) | Q(object_id=term) | Q(request_id=term) | Q(actor_id__in=actors)
        with suppress(ValueError):
            found = UUID(term)
            meant |= Q(pk=found) | Q(object_id=str(found)) | Q(actor_id=found) | Q(organization_id=found)
        return queryset.filter(meant), False
