"""The back office's pages about one API key: renewing it, and from where it may be used."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from accounts.admin import networks
from accounts.backoffice import row
from accounts.models import ApiKey
from accounts.second_factor import requires_fresh_second_factor
from accounts.services import api_keys
from accounts.services.audit import actor_of


class OverlapForm(forms.Form):
    """How long the old key works beside the new one."""

    hours = forms.IntegerField(
        label="Hours the old key still works",
        min_value=0,
        max_value=24 * 30,
        initial=24,
        widget=UnfoldAdminIntegerFieldWidget,
    )


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
    context = {
        **page.admin_site.each_context(request),
        "title": "Renew an API key",
        "subtitle": key.name,
        "opts": page.opts,
        "original": key,
        "form": form,
        "back_url": reverse("admin:accounts_apikey_change", args=[key.pk]),
        **shown,
    }
    response = TemplateResponse(request, "admin/ante/key_form.html", context)
    response["Cache-Control"] = "no-store"
    return response


@requires_fresh_second_factor
def allow_from(request: HttpRequest, page: Any, object_id: str) -> HttpResponse:
    """The key's allow-list."""
    key = row(ApiKey, object_id)
    return networks.view(request, page, key, lambda blocks: api_keys.allow_from(key, blocks, actor=actor_of(request)))
