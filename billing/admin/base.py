"""The pages of customers' rows, of large, unchangeable tables, and of summaries with a form or without."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from accounts.backoffice import BackOfficeAdmin, ReadOnlyAdmin
from billing.admin import display, lookup, periods


class CustomerMixin(BackOfficeAdmin):
    """A page of rows of customers: ``customer_link`` is whose a row is."""

    @admin.display(description="Customer")
    def customer_link(self, obj: Any) -> SafeString:
        return display.link(obj.customer)


class BookAdmin(CustomerMixin, ReadOnlyAdmin):
    """A table that grows for ever: newest first by id, searched along its indexes, browsed by month and day."""

    booked_field = "posted_at"
    ordering = ("-id",)
    sortable_by = ()
    list_select_related: Any = ("customer",)
    list_before_template = "admin/ante/periods.html"
    search_fields: Any = ("id",)
    search_ids: tuple[str, ...] = ("id",)
    search_event: str | None = None

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        choices = periods.choices(request, self.model._default_manager.all(), self.booked_field)
        response: HttpResponse = super().changelist_view(
            request, {**(extra_context or {}), "periods": choices, "search_aria": self.search_help_text}
        )
        return response

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return lookup.narrow(queryset, search_term, by_id=self.search_ids, by_event=self.search_event), False


class SummaryMixin(BackOfficeAdmin):
    """A page that begins with a summary: ``summary`` gives what its template shows."""

    def summary(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        raise NotImplementedError

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = dict(extra_context or {})
        obj = self.shown(request, object_id) if object_id else None
        if obj is not None and self.has_view_permission(request, obj):
            context |= self.summary(request, obj)
        response: HttpResponse = super().changeform_view(request, object_id, form_url, context)
        return response


class SummaryAdmin(SummaryMixin, ReadOnlyAdmin):
    """A summary and nothing else."""

    change_form_template = "admin/ante/summary.html"
