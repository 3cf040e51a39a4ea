"""Signing in and out, and choosing whom to act for."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from accounts import demo, second_factor
from accounts.services import attempts
from accounts.sign_in import TOO_MANY, LimitedSignIn
from portal import access


class SignInForm(LimitedSignIn, AuthenticationForm):
    """E-mail and password. The same answer for an unknown address as for a wrong password."""

    error_messages = {
        "invalid_login": _("That e-mail and password do not match. Check both and try again."),
        "inactive": _("This account has been closed. Ask whoever manages your organization."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        attributes = self.fields["username"].widget.attrs
        self.fields["username"].widget = forms.EmailInput(attributes | {"autocomplete": "username"})
        self.fields["username"].label = _("E-mail")


class SignIn(LoginView):
    """The way in. ``next`` is followed only within this site."""

    form_class = SignInForm
    template_name = "portal/sign_in.html"
    redirect_authenticated_user = True

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        if form.has_error(NON_FIELD_ERRORS, TOO_MANY):
            response.status_code = 429
            response["Retry-After"] = str(attempts.WINDOW_SECONDS)
        return response

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        first_time = form.get_user().last_login is None
        response = super().form_valid(form)
        second_factor.signed_in(self.request, response, first_time=first_time)
        return response

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        return second_factor.safe_next(self.request, "")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        shown = {"sign_ins": demo.DEMO_SIGN_INS, "password": demo.DEMO_PASSWORD, "code": demo.DEMO_CODE}
        return super().get_context_data(**kwargs, demo=shown if settings.DEMO else None, sign_up=settings.SELF_SIGN_UP)


@second_factor.open_to_strangers
def favicon(request: HttpRequest) -> HttpResponse:
    """For pages that name no icon of their own."""
    return redirect(static("img/favicon.svg"))


@second_factor.open_to_strangers
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session. By POST only, so that no link elsewhere can sign somebody out."""
    logout(request)
    return redirect("portal:sign-in")


@second_factor.open_to_trusted
@require_POST
@access.signed_in
def choose_organization(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """Act for another of one's organizations, and go on where one was."""
    access.choose(request, request.POST.get("organization", ""))
    return redirect(second_factor.safe_next(request, "portal:dashboard"))
