"""Signing in with one's company: sent there, back from there, and saying once who one is here."""

import time
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib.auth import login, logout
from django.contrib.sessions.backends.base import UpdateError
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts import oidc, second_factor
from accounts.models import User
from accounts.services import attempts, factors, single_sign_on
from accounts.services.audit import actor_of
from accounts.sign_in import TOO_MANY
from portal import access

SECONDS_MAX = 600
"""For being away at the company, and then for saying who one is here."""
_AWAY, _UNKNOWN = "company_away", "company_unknown"


class CompanyForm(forms.Form):
    """Where to be sent."""

    name = forms.CharField(
        label=_("Your company's short name, or your e-mail"),
        max_length=254,
        widget=forms.TextInput({"autofocus": True, "autocapitalize": "off", "spellcheck": "false"}),
    )

    def clean_name(self) -> str:
        return str(self.cleaned_data["name"]).lower()


@second_factor.open_to_strangers
@never_cache
@require_http_methods(["GET", "POST"])
def company(request: HttpRequest, name: str = "") -> HttpResponseBase:
    """Ask for the company's short name, and send the person there; to an e-mail address the short name is written."""
    named = name or access.asked(request, "name")
    form = CompanyForm(request.POST or None, initial={"name": named})
    if request.method == "POST" and form.is_valid():
        wanted = form.cleaned_data["name"]
        if not (attempts.begin(request, f"company:{wanted}") if "@" in wanted else attempts.begin_onward(request)):
            form.add_error(None, forms.ValidationError(_("Too many requests. Try again in 15 minutes."), code=TOO_MANY))
        elif "@" in wanted:
            single_sign_on.remind(wanted)
            return render(request, "portal/company_sent.html")
        elif (way := single_sign_on.door(wanted)) is None:
            form.add_error("name", _("No company signs in here under this name."))
        else:
            try:
                return _send(request, way)
            except oidc.Refused as refusal:
                form.add_error(None, str(refusal))
    status = 200 if not form.is_bound else 429 if form.has_error(NON_FIELD_ERRORS, TOO_MANY) else 400
    context = {"form": form, "named": named, "next": second_factor.safe_next(request, "")}
    response = render(request, "portal/company.html", context, status=status)
    if status == 429:
        response["Retry-After"] = str(attempts.WINDOW_SECONDS)
    return response


def _send(request: HttpRequest, way: single_sign_on.Door) -> HttpResponse:
    """To the company's page, by way of one of ours that says where that is. Anybody may have taken the name."""
    attempt = oidc.begin()
    address = oidc.address(way.client, attempt)
    after = second_factor.safe_next(request, "")
    request.session[_AWAY] = {
        "attempt": asdict(attempt),
        "short_name": way.short_name,
        "mark": way.mark,
        "next": after,
        "at": time.time(),
    }
    context = {"way": way, "address": address, "host": urlsplit(address).hostname}
    return render(request, "portal/company_onward.html", context)


@second_factor.open_to_strangers
@never_cache
@require_GET
def back(request: HttpRequest, whose: str) -> HttpResponseBase:
    """Back from the company. What the browser brings counts once, in the session that was sent there."""
    away = _taken(request)
    way = None if away is None else _same_way(away)
    if away is None or way is None:
        return _over(request)
    attempt = oidc.Attempt(**away["attempt"])
    said = {name: request.GET.get(name, "") for name in ("state", "iss", "error", "code")}
    here = way.client.redirect_uri == single_sign_on.redirect_uri(whose)
    if not here or not constant_time_compare(said["state"], attempt.state):
        return _over(request)
    if said["error"] or not said["code"] or said["iss"] not in {"", way.client.issuer}:
        return _failed(request, gettext("{name} did not let you in.").format(name=way.name))
    try:
        known = oidc.redeem(way.client, attempt, said["code"])
    except oidc.Refused as refusal:
        return _failed(request, str(refusal))
    user = single_sign_on.identify(way, known)
    if user is None:
        request.session[_UNKNOWN] = {**away, **asdict(known), "at": time.time()}
        return redirect("portal:company-connect")
    return _enter(request, way, user, away["next"])


@second_factor.open_to_strangers
@never_cache
@require_http_methods(["GET", "POST"])
def connect(request: HttpRequest) -> HttpResponseBase:
    """Say once, signed in with one's own password, that whom the company knows is oneself."""
    unknown = request.session.get(_UNKNOWN)
    way = None if unknown is None else _same_way(unknown)
    if unknown is None or way is None:
        return _over(request)
    user, context = request.user, {"way": way, "shown": unknown["shown"]}
    if not isinstance(user, User) or second_factor.through(request):
        return render(request, "portal/company_unknown.html", context)
    if (owed := _owed(request, user, unknown)) is not None:
        return owed
    if request.method == "POST":
        try:
            with second_factor.own_step(request):
                single_sign_on.connect(way, user, unknown["subject"], actor=actor_of(request))
        except oidc.Refused as refusal:
            return _failed(request, str(refusal))
        del request.session[_UNKNOWN]
        return _enter(request, way, user, unknown["next"])
    return render(request, "portal/company_connect.html", context)


def _owed(request: HttpRequest, user: User, unknown: dict[str, Any]) -> HttpResponseBase | None:
    """What the person must do first, so that it is them who says it."""
    if factors.enrolled(user) or user.is_staff:
        return None if second_factor.is_fresh(request) else second_factor.ask(request, "SECOND_FACTOR_URL")
    if second_factor.is_recent(request):
        return None
    logout(request)  # A browser that was left open says nothing about who sits there now.
    request.session[_UNKNOWN] = unknown
    return redirect("portal:company-connect")


def _enter(request: HttpRequest, way: single_sign_on.Door, user: User, after: str) -> HttpResponseBase:
    first_time = user.last_login is None
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    response = redirect(after or ("admin:index" if user.is_staff else "portal:dashboard"))
    second_factor.signed_in(request, response, first_time=first_time, by=way.mark)
    attempts.came_back(request)
    return response


def _taken(request: HttpRequest) -> dict[str, Any] | None:
    """What was kept when the person was sent away. Taken out before the provider is asked: no answer counts twice."""
    away: dict[str, Any] | None = request.session.pop(_AWAY, None)
    if away is not None:
        try:
            request.session.save()
        except UpdateError:  # The same answer has opened another session meanwhile.
            return None
    return away


def _same_way(kept: dict[str, Any]) -> single_sign_on.Door | None:
    """The way in that the person was sent by, if it has not changed since, and that was not too long ago."""
    way = single_sign_on.door(kept["short_name"])
    return way if way is not None and way.mark == kept["mark"] and time.time() - kept["at"] < SECONDS_MAX else None


def _over(request: HttpRequest) -> HttpResponse:
    return _failed(request, gettext("This sign-in was begun in another browser, or is over. Begin again."))


def _failed(request: HttpRequest, why: str) -> HttpResponse:
    return render(request, "portal/company_failed.html", {"why": why}, status=400)
