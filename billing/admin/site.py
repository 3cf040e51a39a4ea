from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path, reverse
from unfold.sites import UnfoldAdminSite

from accounts import second_factor

READS = frozenset({"GET", "HEAD", "OPTIONS"})
MOVES_NOTHING = frozenset(
    {
        "admin:logout",
        "admin:billing_plandraft_change",  # A draft holds for nobody until it is published.
        "admin:billing_plandraft_preview",
        "admin:billing_try_event",
        "admin:billing_what_if",
        "admin:billing_customer_add_note",
    }
)
"""What is sent without a second factor that was given just now."""


class BackOfficeSite(UnfoldAdminSite):
    """Where finance works."""

    site_title = "Ante"
    site_header = "Ante"
    index_title = "Today"
    empty_value_display = "–"

    def has_permission(self, request: HttpRequest) -> bool:
        """Staff, and only with their second factor given: the gate before every view says the same."""
        return bool(super().has_permission(request)) and second_factor.is_verified(request)

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., HttpResponseBase]:
        """A view of who may come in. Whatever it is sent needs a fresh second factor, unless it ``MOVES_NOTHING``."""
        fresh = second_factor.requires_fresh_second_factor(view)

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            route = request.resolver_match and request.resolver_match.view_name
            chosen = view if request.method in READS or route in MOVES_NOTHING else fresh
            answer: HttpResponseBase = chosen(request, *args, **kwargs)
            return answer

        found: Callable[..., HttpResponseBase] = super().admin_view(guarded, cacheable)
        return found

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Without the theme's inline colours, which the content security policy refuses: they are in ``theme.css``."""
        context: dict[str, Any] = super().each_context(request)
        return context | {"colors": {}}

    def get_urls(self) -> list[Any]:
        """The pages that are no model's, before those that are."""
        from billing.admin import chart_of_accounts, margins, reports, revenue, try_event, what_if, workers

        own = [
            path("revenue/", self.admin_view(revenue.overview), name="billing_revenue"),
            path("chart-of-accounts/", self.admin_view(chart_of_accounts.view), name="billing_chart_of_accounts"),
            path("revenue/lines/<uuid:line_id>/", self.admin_view(revenue.line), name="billing_revenue_line"),
            path("revenue/<str:on>/", self.admin_view(revenue.day), name="billing_revenue_day"),
            path("revenue/<str:on>/lines/", self.admin_view(revenue.lines), name="billing_revenue_lines"),
            path("reports/<slug:name>/", self.admin_view(reports.view), name="billing_report"),
            path("margins/", self.admin_view(margins.view), name="billing_margins"),
            path("try-event/", self.admin_view(try_event.view), name="billing_try_event"),
            path("workers/", self.admin_view(workers.view), name="billing_workers"),
            path("what-if/", self.admin_view(what_if.ask), name="billing_what_if"),
            path("what-if/<uuid:run_id>/", self.admin_view(what_if.show), name="billing_what_if_run"),
        ]
        urls: list[Any] = super().get_urls()
        return [*own, *urls]

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Everyone changes their password on one page, the portal's."""
        return redirect("portal:password")

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Everyone signs in on one page, the portal's. Who is signed in and may not come in here is told so."""
        if request.user.is_authenticated:
            return render(request, "portal/not_staff.html", status=403)
        target = second_factor.safe_next(request, "admin:index")
        return redirect_to_login(target, login_url=reverse("portal:sign-in"))
