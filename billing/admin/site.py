from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from django.urls import NoReverseMatch, reverse
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from accounts.sign_in import LimitedSignIn


class StaffSignInForm(LimitedSignIn, AuthenticationForm):
    """For who is signed in already, as somebody who may not come in here."""


class BackOfficeSite(UnfoldAdminSite):
    """Where finance works."""

    login_form = StaffSignInForm
    site_title = "Ante"
    site_header = "Ante"
    index_title = "Today"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Everyone signs in on one page, the portal's. Who is signed in and may not come in here is told so."""
        try:
            sign_in = reverse("portal:sign-in")
        except NoReverseMatch:
            sign_in = None
        if sign_in is None or request.user.is_authenticated:
            response: HttpResponseBase = super().login(request, extra_context)
            return response
        target = request.GET.get("next") or reverse("admin:index")
        return redirect_to_login(target, login_url=sign_in)
