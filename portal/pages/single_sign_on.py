"""Where an organization's people sign in, set up by its owners."""

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts import oidc, second_factor
from accounts.models import IdentityProvider
from accounts.services import single_sign_on
from accounts.services.audit import actor_of
from portal import access


class ProviderForm(forms.Form):
    """What the provider's own pages say of the client that was made there."""

    short_name = forms.CharField(
        label=_("Short name"),
        max_length=40,
        help_text=_("What your people type to be sent there: small letters, digits and hyphens."),
    )
    issuer = forms.CharField(
        label=_("Issuer"),
        max_length=300,
        help_text=_("As the provider writes it, with or without a slash at the end: https://login.example.com"),
        widget=forms.URLInput({"class": "mono", "spellcheck": "false"}),
    )
    client_id = forms.CharField(label=_("Client ID"), max_length=255)
    client_secret = forms.CharField(
        label=_("Client secret"),
        max_length=500,
        required=False,
        help_text=_("Kept sealed and not shown again. Empty: as it is."),
        widget=forms.PasswordInput({"autocomplete": "off"}),
    )


@require_http_methods(["GET", "POST"])
@access.signed_in
@access.requires("sign_on:write")
@second_factor.requires_fresh_second_factor
def page(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """The provider, who is connected, and the form that sets it up. The provider is asked before anything is saved."""
    organization = visit.membership.organization
    provider = access.provider_of(organization)
    fields = ("short_name", "issuer", "client_id")
    initial = {} if provider is None else {field: getattr(provider, field) for field in fields}
    form = ProviderForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            single_sign_on.set_up(organization, **form.cleaned_data, actor=actor_of(request))
        except oidc.Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("Saved. Now connect your own account, to see that it works."))
            return redirect("portal:single-sign-on")
    return _page(request, visit, form)


@require_POST
@access.signed_in
@access.requires("sign_on:write")
@second_factor.requires_fresh_second_factor
def require(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """Let members in by the provider alone, or with their password as well."""
    required = request.POST.get("required") == "yes"
    try:
        single_sign_on.require(_provider(visit), required=required, by=visit.user, actor=actor_of(request))
    except oidc.Refused as refusal:
        messages.error(request, str(refusal))
    else:
        said = _("Members get in by single sign-on alone now.") if required else _("Passwords let members in again.")
        messages.success(request, said)
    return redirect("portal:single-sign-on")


@require_POST
@access.signed_in
@access.requires("sign_on:write")
@second_factor.requires_fresh_second_factor
def remove(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """End single sign-on for the organization."""
    single_sign_on.remove(_provider(visit), actor=actor_of(request))
    messages.success(request, _("Removed. Everybody signs in with their password."))
    return redirect("portal:single-sign-on")


def _provider(visit: access.Visit) -> IdentityProvider:
    provider = access.provider_of(visit.membership.organization)
    if provider is None:
        raise Http404
    return provider


def _page(request: HttpRequest, visit: access.Visit, form: ProviderForm) -> HttpResponse:
    organization = visit.membership.organization
    provider = access.provider_of(organization)
    identities = [] if provider is None else list(provider.identities.select_related("user").order_by("user__email"))
    return access.render_for(
        request,
        visit,
        "portal/single_sign_on.html",
        status=400 if form.errors else 200,
        form=form,
        provider=provider,
        identities=identities,
        mine=any(identity.user_id == visit.user.pk and identity.last_used_at for identity in identities),
        redirect_uri=single_sign_on.redirect_uri(str(organization.pk)),
    )
