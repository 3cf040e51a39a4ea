"""The organization's API keys: made, renewed and revoked by whoever may, each shown once."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import second_factor
from accounts.models import ApiKey
from accounts.services import api_keys
from accounts.services.audit import actor_of
from billing.models import UsageEvent
from billing.selectors.spending import budgets
from portal import access, refusals
from portal.forms import NetworksField, NetworksForm
from portal.tables import Column, Filter, Table

OVERLAP = timedelta(hours=24)
KEYS_MAX = 100
_OVER = Q(revoked_at__isnull=False) | Q(expires_at__lte=Now())
KEYS = Table(
    "keys",
    columns=[
        Column("made", _("Made"), by="created_at"),
        Column("name", _("Name"), by="name"),
        Column("used", _("Last used"), by="last_used_at", optional=True),
        Column("ends", _("Ends"), by="expires_at", optional=True),
    ],
    usual="-made",
    anchor="keys",
    filters=[
        Filter(
            "state",
            _("State"),
            choices=[("active", _("Active")), ("paused", _("Paused")), ("over", pgettext_lazy("state", "Over"))],
            where={
                "active": Q(paused_at=None) & ~_OVER,
                "paused": Q(paused_at__isnull=False) & ~_OVER,
                "over": _OVER,
            },
        ),
        Filter("name", _("Name begins with"), search=True),
    ],
)


class KeyForm(forms.Form):
    """A new key. It can be given no scope that its maker's role does not have."""

    name = forms.CharField(max_length=100, label=_("Name"), help_text=_("What uses it."))
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple, label=pgettext_lazy("permission", "May"))
    days = forms.ChoiceField(
        label=_("Ends"),
        choices=[("90", _("after 90 days")), ("365", _("after a year")), ("30", _("after 30 days")), ("", _("never"))],
        required=False,
    )
    networks = NetworksField(rows=2, max_length=4000, help_text=_("Addresses and CIDR blocks, one a line."))

    def __init__(self, *args: Any, visit: access.Visit, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        scopes = self.fields["scopes"]
        assert isinstance(scopes, forms.MultipleChoiceField)
        scopes.choices = [(scope, does) for scope, does in api_keys.CUSTOMER_SCOPES.items() if scope in visit.scopes]


@require_GET
@access.signed_in
@access.requires("keys:read")
def keys(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """All keys of the organization, and a form for another."""
    return _page(request, visit, KeyForm(visit=visit, initial={"days": "90"}))


@require_POST
@access.signed_in
@access.requires("keys:write")
@second_factor.requires_fresh_second_factor
def create(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """Make a key, and show it this once."""
    form = KeyForm(request.POST, visit=visit)
    if not form.is_valid():
        return _page(request, visit, form, status=400)
    if ApiKey.objects.filter(organization=visit.membership.organization, revoked_at=None).count() >= KEYS_MAX:
        form.add_error(None, _("At most {most} keys: revoke one first.").format(most=KEYS_MAX))
        return _page(request, visit, form, status=400)
    days = form.cleaned_data["days"]
    key, secret = api_keys.issue(
        name=form.cleaned_data["name"],
        scopes=form.cleaned_data["scopes"],
        organization=visit.membership.organization,
        expires_at=timezone.now() + timedelta(days=int(days)) if days else None,
        allowed_networks=form.cleaned_data["networks"],
        created_by=visit.user,
        actor=actor_of(request),
    )
    # Whoever has sent nothing yet is led on to what to send.
    first = not UsageEvent.objects.filter(customer=visit.customer).exists()
    return access.render_for(request, visit, "portal/key_shown.html", key=key, secret=secret, first=first)


@require_POST
@access.signed_in
@access.requires("keys:write")
@second_factor.requires_fresh_second_factor
def rotate(request: HttpRequest, visit: access.Visit, key_id: UUID) -> HttpResponseBase:
    """A new secret; the old one works for a day longer."""
    key = _key(visit, key_id)
    if not set(key.scopes) <= visit.scopes:
        messages.error(request, _("This key may do more than your role: somebody else must renew it."))
        return redirect("portal:keys")
    try:
        made, secret = api_keys.rotate(key, overlap=OVERLAP, created_by=visit.user, actor=actor_of(request))
    except ValueError as error:
        messages.error(request, refusals.said(str(error)))
        return redirect("portal:keys")
    return access.render_for(request, visit, "portal/key_shown.html", key=made, secret=secret, renews=key)


@require_POST
@access.signed_in
@access.requires("keys:write")
@second_factor.requires_fresh_second_factor
def revoke(request: HttpRequest, visit: access.Visit, key_id: UUID) -> HttpResponseBase:
    """The key ends, within a second everywhere."""
    key = _key(visit, key_id)
    if api_keys.revoke(key, actor=actor_of(request)):
        messages.success(request, _("{name} is revoked.").format(name=key.name))
    return redirect("portal:keys")


@require_POST
@access.signed_in
@access.requires("limits:write")
@second_factor.requires_fresh_second_factor
def resume(request: HttpRequest, visit: access.Visit, key_id: UUID) -> HttpResponseBase:
    """A paused key works again: for those who set the limits, since only limits and runaway spending pause one."""
    key = _key(visit, key_id)
    if api_keys.resume(key, actor=actor_of(request)):
        messages.success(request, _("{name} works again.").format(name=key.name))
    return redirect("portal:keys")


@require_http_methods(["GET", "POST"])
@access.signed_in
@access.requires("keys:write")
@second_factor.requires_fresh_second_factor
def networks(request: HttpRequest, visit: access.Visit, key_id: UUID) -> HttpResponseBase:
    """From where a key may be used. One that may do more than the person is left to others: they could set it free."""
    key = _key(visit, key_id)
    if key.revoked_at is not None:
        raise Http404
    if not set(key.scopes) <= visit.scopes:
        messages.error(request, _("This key may do more than your role: somebody else must change it."))
        return redirect("portal:keys")
    form = NetworksForm(request, key.allowed_networks, sure=_("Yes, the key is not used from here"))
    if request.method == "POST" and form.is_valid():
        api_keys.allow_from(key, form.cleaned_data["networks"], actor=actor_of(request))
        messages.success(request, _("Saved. It holds within a second."))
        return redirect("portal:keys")
    status = 400 if form.errors else 200
    return access.render_for(request, visit, "portal/networks.html", form=form, key=key, status=status)


def _key(visit: access.Visit, key_id: UUID) -> ApiKey:
    found = ApiKey.objects.filter(organization=visit.membership.organization, pk=key_id).first()
    if found is None:
        raise Http404
    return found


def _page(request: HttpRequest, visit: access.Visit, form: KeyForm, *, status: int = 200) -> HttpResponse:
    rows = ApiKey.objects.filter(organization=visit.membership.organization).select_related("created_by", "renewed_by")
    limits = budgets.by_key(budgets.now(visit.customer, list(budgets.kept(visit.customer).exclude(api_key=None))))
    table = KEYS.page(request, rows)
    keys = [(key, limits.get(key.pk, [])) for key in table.rows]
    return access.render_for(
        request, visit, "portal/keys.html", status=status, table=table, keys=keys, form=form, now=timezone.now()
    )
