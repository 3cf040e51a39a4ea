"""One's own name and time zone, whoever one acts for."""

import zoneinfo

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from accounts.models import User
from accounts.services import profiles
from accounts.services.audit import actor_of
from portal import access

_OWN_CLOCK = "As the organization's"


def _zones() -> list[tuple[str, str]]:
    names = sorted(name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))
    return [("", _OWN_CLOCK), ("UTC", "UTC"), *((name, name.replace("_", " ")) for name in names)]


class ProfileForm(forms.Form):
    """What one says of oneself."""

    name = forms.CharField(label="Your name", max_length=200, required=False)
    timezone = forms.ChoiceField(
        label="Time zone",
        required=False,
        choices=_zones,
        help_text="Pages show times in it, and their days begin in it. Budgets and plans keep to the organization's.",
    )


@require_http_methods(["GET", "POST"])
@access.own
def profile(request: HttpRequest, user: User) -> HttpResponseBase:
    """The form, and what was saved with it."""
    initial = {"name": user.name, "timezone": user.timezone}
    form = ProfileForm(request.POST or None, initial=initial, label_suffix="")
    if request.method == "POST" and form.is_valid():
        profiles.change(user, **form.cleaned_data, actor=actor_of(request))
        messages.success(request, "Saved.")
        return redirect("portal:profile")
    return access.render_own(request, "portal/profile.html", form=form, status=400 if form.errors else 200)
