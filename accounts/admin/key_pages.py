"""The back office's pages about one API key: renewing it, and from where it may be used."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts import addresses
from accounts.backoffice import row
from accounts.models import ApiKey
from accounts.second_factor import requires_fresh_second_factor
from accounts.services import api_keys
from accounts.services.audit import actor_of


class OverlapForm(forms.Form):
    """How long the old key works beside the new one."""

    hours = forms.IntegerField(label="Hours the old key still works", min_value=0, max_value=24 * 30, initial=24)


class NetworksForm(forms.Form):
    """From where the key may be used."""

    networks = forms.CharField(
        label="Only from",
        required=False,
        max_length=8000,
        widget=forms.Textarea({"rows": 5}),
        help_text="Addresses and CIDR blocks, one a line. Empty: from everywhere.",
    )

    def clean_networks(self) -> list[str]:
        try:
            return addresses.read_networks(self.cleaned_data["networks"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


@requires_fresh_second_factor
def renew(request: HttpRequest, page: Any, object_id: str) -> HttpResponse:
    """A new key with the same powers, its secret shown this once; the old one ends after the overlap."""
    key = row(ApiKey, object_id)
    if elsewhere := api_keys.renewed_elsewhere(key):
        messages.error(request, elsewhere)
        return HttpResponseRedirect(reverse("admin:accounts_apikey_change", args=[key.pk]))
    form = OverlapForm(request.POST or None)
    shown: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        overlap = timedelta(hours=form.cleaned_data["hours"])
        user: Any = request.user
        try:
            made, secret = api_keys.rotate(key, overlap=overlap, created_by=user, actor=actor_of(request))
            shown = {"secret": secret, "made": made}
        except ValueError as error:
            form.add_error(None, str(error))
    response = _page(page, request, key, "Renew an API key", form, **shown)
    response["Cache-Control"] = "no-store"
    return response


@requires_fresh_second_factor
def allow_from(request: HttpRequest, page: Any, object_id: str) -> HttpResponse:
    """The key's allow-list."""
    key = row(ApiKey, object_id)
    form = NetworksForm(request.POST or None, initial={"networks": "\n".join(key.allowed_networks)})
    if request.method == "POST" and form.is_valid():
        api_keys.allow_from(key, form.cleaned_data["networks"], actor=actor_of(request))
        messages.success(request, "Saved. It holds within a second.")
        return HttpResponseRedirect(reverse("admin:accounts_apikey_change", args=[key.pk]))
    return _page(page, request, key, "Allowed addresses", form)


def _page(page: Any, request: HttpRequest, key: ApiKey, title: str, form: forms.Form, **shown: Any) -> HttpResponse:
    context = {
        **page.admin_site.each_context(request),
        "title": title,
        "subtitle": key.name,
        "opts": page.opts,
        "form": form,
        "back_url": reverse("admin:accounts_apikey_change", args=[key.pk]),
        **shown,
    }
    return TemplateResponse(request, "admin/ante/key_form.html", context)
