"""One's own name, time zone and language, and how one writes numbers and dates, whoever one acts for."""

import zoneinfo
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from accounts import reading
from accounts.models import User
from accounts.reading import DateStyle, NumberStyle
from accounts.services import profiles
from accounts.services.audit import actor_of
from portal import access


def _zones() -> list[tuple[str, Any]]:
    names = sorted(name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))
    return [("", _("As the organization's")), ("UTC", "UTC"), *((name, name.replace("_", " ")) for name in names)]


class ProfileForm(forms.Form):
    """What one says of oneself."""

    name = forms.CharField(label=_("Your name"), max_length=200, required=False)
    timezone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        choices=_zones,
        help_text=_(
            "Pages show times in it, and their days begin in it. Budgets and plans keep to the organization's."
        ),
    )
    language = forms.ChoiceField(
        label=_("Language"),
        required=False,
        choices=[("", _("As the browser asks for")), *settings.LANGUAGES],
        help_text=_("Of pages, letters and notices."),
    )
    number_style = forms.ChoiceField(
        label=_("Numbers"), required=False, choices=[("", _("As is usual in the language")), *NumberStyle.choices]
    )
    date_style = forms.ChoiceField(
        label=_("Dates"), required=False, choices=[("", _("As is usual in the language")), *DateStyle.choices]
    )


@require_http_methods(["GET", "POST"])
@access.own_account
def profile(request: HttpRequest, user: User) -> HttpResponseBase:
    """The form, and what was saved with it."""
    initial = {field: getattr(user, field) for field in ProfileForm.base_fields}
    form = ProfileForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        profiles.change(user, **form.cleaned_data, actor=actor_of(request))
        with reading.reading_as(reading.of_request(request)):
            messages.success(request, str(_("Saved.")))
        return redirect("portal:profile")
    return access.render_own(request, "portal/profile.html", form=form, status=400 if form.errors else 200)
