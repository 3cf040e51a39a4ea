"""Giving a second factor, and setting one up."""

from collections.abc import Callable

import segno
from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST
from django_otp.models import Device

from accounts import demo, second_factor
from accounts.models import User
from accounts.services import devices, factors
from accounts.services.audit import actor_of
from portal import access

TOO_MANY = "too_many_codes"
PENDING = "pending_authenticator"
"""Which app this session is setting up."""


class CodeForm(forms.Form):
    """Six digits, or a recovery code."""

    code = forms.CharField(
        label=_("Code"),
        max_length=40,
        widget=forms.TextInput(
            {"autocomplete": "one-time-code", "autofocus": True, "autocapitalize": "off", "spellcheck": "false"}
        ),
    )


@second_factor.open_to_strangers
@require_http_methods(["GET", "POST"])
@access.own
def give(request: HttpRequest, user: User) -> HttpResponseBase:
    """The step after the password, and again before what needs a fresh second factor."""
    after = second_factor.safe_next(request, "admin:index" if user.is_staff else "portal:dashboard")
    if not factors.enrolled(user):
        return redirect("portal:authenticator")
    if request.method == "GET" and second_factor.is_fresh(request):
        return redirect(after)
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        device = _accepted(form, lambda code: factors.check(user, code, actor=actor_of(request)))
        if device is not None:
            second_factor.proved(request, device)
            response = redirect(after)
            if request.POST.get("trust") and not user.is_staff:
                devices.trust(request, response, user, actor=actor_of(request))
            return response
    context = {
        "form": form,
        "next": after,
        "demo_code": demo.DEMO_CODE if settings.DEMO and demo.accepts(user.email, demo.DEMO_CODE) else "",
        "again": second_factor.is_verified(request),
        "may_trust": not user.is_staff,
        "trusted_days": devices.TRUSTED_DAYS,
        "passkey_host": settings.OTP_WEBAUTHN_RP_ID if _has_passkey(user) else "",
        "layout": "portal/plain.html",
    }
    return _answer(request, "portal/second_factor.html", form, context)


@second_factor.open_for_enrolment
@require_http_methods(["GET", "POST"])
@access.own_account
def authenticator(request: HttpRequest, user: User) -> HttpResponseBase:
    """Set up an authenticator app: a picture to scan, and its first code as proof."""
    first = not factors.enrolled(user)
    if not first and not second_factor.is_fresh(request):
        return second_factor.ask(request, "SECOND_FACTOR_URL")
    after = second_factor.safe_next(request, "portal:security")
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with second_factor.own_step(request):
            pending = request.session.get(PENDING)
            device = _accepted(form, lambda code: factors.confirm(user, code, pending=pending, actor=actor_of(request)))
        if device is not None:
            second_factor.proved(request, device)
            if factors.recovery_codes_left(user):
                messages.success(
                    request, _("{name} is set up. Your other sessions were ended.").format(name=device.name)
                )
                return redirect(after)
            return _show_new_codes(request, user, after)
    device = factors.begin(user, pending=request.session.get(PENDING))
    request.session[PENDING] = device.pk
    context = {
        "form": form,
        "first": first,
        "passkey_host": settings.OTP_WEBAUTHN_RP_ID,
        "must": first and user.is_staff,
        "next": after,
        "secret": device.secret,
        "picture": _picture(factors.uri(device)),
    }
    return _answer(request, "portal/authenticator.html", form, context)


@require_POST
@access.own
def recovery_codes(request: HttpRequest, user: User) -> HttpResponseBase:
    """A new set of recovery codes, shown this once."""
    if not factors.enrolled(user):
        return redirect("portal:authenticator")
    if not second_factor.is_fresh(request):
        return second_factor.ask(request, "SECOND_FACTOR_URL")
    return _show_new_codes(request, user, second_factor.safe_next(request, "portal:security"))


@require_POST
@second_factor.requires_fresh_second_factor
@access.own
def remove(request: HttpRequest, user: User, persistent_id: str) -> HttpResponseBase:
    """Take one of one's factors away."""
    device = next((one for one in factors.of(user) if factors.handle(one) == persistent_id), None)
    if device is None:
        raise Http404
    with second_factor.own_step(request):
        factors.remove(device, actor=actor_of(request))
    messages.success(request, _("{name} is removed. Your other sessions were ended.").format(name=device.name))
    return redirect("portal:security")


def _has_passkey(user: User) -> bool:
    return any(factors.kind_of(device) == "passkey" for device in factors.of(user))


def _accepted(form: CodeForm, check: Callable[[str], Device]) -> Device | None:
    """The factor whose code the form holds; None where there is none, with the reason in the form."""
    try:
        return check(form.cleaned_data["code"])
    except factors.WrongCode:
        form.add_error("code", _("That is not the code, or it was used before. Wait for the next one and try again."))
    except factors.TooManyCodes as error:
        form.add_error("code", ValidationError(str(error), code=TOO_MANY, params={"seconds": error.seconds}))
    return None


def _answer(request: HttpRequest, template: str, form: CodeForm, context: dict[str, object]) -> HttpResponse:
    too_many = next((error for error in form.errors.as_data().get("code", []) if error.code == TOO_MANY), None)
    response = access.render_own(request, template, status=200 if too_many is None else 429, **context)
    if too_many is not None and too_many.params:
        response["Retry-After"] = str(too_many.params["seconds"])
    return response


def _show_new_codes(request: HttpRequest, user: User, after: str) -> HttpResponse:
    codes = factors.new_recovery_codes(user, actor=actor_of(request))
    return access.render_own(request, "portal/recovery_codes.html", codes=codes, next=after)


def _picture(text: str) -> SafeString:
    """A QR code as SVG, dark on white whatever the theme, for that is what cameras read."""
    svg: str = segno.make(text, error="m").svg_inline(scale=1, border=3, dark="#000", light="#fff", omitsize=True)
    return mark_safe(svg)  # noqa: S308 - shapes alone: the text is drawn and not written.
