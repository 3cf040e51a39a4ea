from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import path, reverse
from unfold.sites import UnfoldAdminSite

from accounts import second_factor


class BackOfficeSite(UnfoldAdminSite):
    """Where finance works."""

    site_title = "Ante"
    site_header = "Ante"
    index_title = "Today"

    def has_permission(self, request: HttpRequest) -> bool:
        """Staff, and only with their second factor given: the gate before every view says the same."""
        return bool(super().has_permission(request)) and second_factor.is_verified(request)

    def get_urls(self) -> list[Any]:
        """The pages that are no model's, before those that are."""
        from billing.admin import margins, try_event, what_if

        own = [
            path("margins/", self.admin_view(margins.view), name="billing_margins"),
            path("try-event/", self.admin_view(try_event.view), name="billing_try_event"),
            path("what-if/", self.admin_view(what_if.ask), name="billing_what_if"),
            path("what-if/<uuid:run_id>/", self.admin_view(what_if.show), name="billing_what_if_run"),
        ]
        urls: list[Any] = super().get_urls()
        return [*own, *urls]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Everyone signs in on one page, the portal's. Who is signed in and may not come in here is told so."""
        if request.user.is_authenticated:
            return render(request, "portal/not_staff.html", status=403)
        target = second_factor.safe_next(request, "admin:index")
        return redirect_to_login(target, login_url=reverse("portal:sign-in"))
