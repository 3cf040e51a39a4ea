"""The back office's page of an allow-list: from where an organization's people and keys, or one key, may come."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts import addresses
from accounts.models import ApiKey, Organization


class NetworksForm(forms.Form):
    """CIDR blocks, in one spelling."""

    networks = forms.CharField(
        label="Only from",
        required=False,
        max_length=8000,
        widget=UnfoldAdminTextareaWidget({"rows": 5}),
        help_text="Addresses and CIDR blocks, one a line. Empty: from everywhere. Whoever comes from elsewhere is out.",
    )

    def clean_networks(self) -> list[str]:
        try:
            return addresses.read_networks(self.cleaned_data["networks"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


def view(
    request: HttpRequest, page: Any, obj: ApiKey | Organization, save: Callable[[list[str]], object]
) -> HttpResponse:
    """The form; sent, ``save`` is given the blocks."""
    back = reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_change", args=[obj.pk])
    form = NetworksForm(request.POST or None, initial={"networks": "\n".join(obj.allowed_networks)})
    if request.method == "POST" and form.is_valid():
        save(form.cleaned_data["networks"])
        messages.success(request, "Saved. It holds within a second.")
        return HttpResponseRedirect(back)
    context = {
        **page.admin_site.each_context(request),
        "title": "Allowed addresses",
        "subtitle": obj.name,
        "opts": page.opts,
        "original": obj,
        "form": form,
        "button": "Save",
        "back_url": back,
    }
    return TemplateResponse(request, "admin/ante/key_form.html", context)
