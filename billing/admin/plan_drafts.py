"""Drafts of plan versions in the back office: the list, and the editor as each one's page."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_POST

from accounts.backoffice import ReadOnlyAdmin
from billing.admin.plan_editor import pages
from billing.models import PlanDraft

CHANGE = "billing.change_plandraft"
PUBLISH = "billing.add_planversion"
DISCARD = "billing.delete_plandraft"


@admin.register(PlanDraft)
class PlanDraftAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "plan", "created_at", "changed_at")
    list_select_related = ("plan",)
    search_fields = ("plan__code", "plan__name")

    def get_urls(self) -> list[Any]:
        own = [
            path("<uuid:draft_id>/preview/", self._guarded(require_POST(self.preview), CHANGE), name=_name("preview")),
            path("<uuid:draft_id>/publish/", self._guarded(self.publish, PUBLISH), name=_name("publish")),
            path("<uuid:draft_id>/discard/", self._guarded(self.discard, DISCARD), name=_name("discard")),
        ]
        urls: list[Any] = super().get_urls()
        return [*own, *urls]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        may_change = request.user.has_perm(CHANGE)
        if not self.has_view_permission(request) or (request.method == "POST" and not may_change):
            raise PermissionDenied
        return pages.edit(self, request, pages.find(object_id).pk, may_change=may_change)

    def preview(self, request: HttpRequest, draft_id: Any) -> HttpResponse:
        return pages.live(request, draft_id)

    def publish(self, request: HttpRequest, draft_id: Any) -> HttpResponse:
        return pages.publish(self, request, draft_id)

    def discard(self, request: HttpRequest, draft_id: Any) -> HttpResponse:
        return pages.discard(self, request, draft_id)

    def _guarded(self, view: Any, permission: str) -> Any:
        """The view for those who may, behind the site's own gate."""

        def allowed(request: HttpRequest, **arguments: Any) -> HttpResponse:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            response: HttpResponse = view(request, **arguments)
            return response

        return self.admin_site.admin_view(allowed)


def _name(page: str) -> str:
    return f"billing_plandraft_{page}"
