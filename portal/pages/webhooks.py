"""Where the customer's own systems are told: endpoints, what was sent to them, and sending it again."""

import json
from collections.abc import Collection
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from accounts import second_factor
from accounts.services.audit import actor_of
from billing.engine.crm import FORMATS
from billing.engine.webhook_scopes import SCOPE_OF, named
from billing.engine.webhooks import EVERYTHING, TYPES
from billing.errors import BillingError
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.services.webhooks import endpoints, reading
from portal import access, refusals
from portal.tables import Column, Filter, Table

ENDPOINTS = Table(
    "webhooks",
    columns=[Column("made", _("Made"), by="id"), Column("url", _("Address"), by="url")],
    usual="-made",
    anchor="endpoints",
    filters=[
        Filter(
            "state",
            _("State"),
            choices=[("on", _("On")), ("failing", _("Failing")), ("off", _("Off"))],
            where={
                "on": Q(enabled=True, failing_since=None),
                "failing": Q(enabled=True, failing_since__isnull=False),
                "off": Q(enabled=False),
            },
        )
    ],
)
DELIVERIES = Table(
    "webhook",
    columns=[
        Column("when", _("When"), by="id"),
        Column("type", _("Type"), by="type"),
        Column("state", _("State"), by="state"),
        Column("attempts", _("Attempts"), by="attempts"),
    ],
    usual="-when",
    anchor="deliveries",
    filters=[Filter("state", _("State"), WebhookDelivery.State.choices), Filter("type", _("Type"), search=True)],
)


class EndpointForm(forms.Form):
    """A new endpoint, for what its maker may read; for everything only if they may read everything."""

    url = forms.URLField(
        max_length=500, label=_("Address"), assume_scheme="https", help_text=_("Begins with https://.")
    )
    events = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple, label=_("Tell it of"))
    format = forms.ChoiceField(
        choices=list(FORMATS.items()),
        label=_("Format"),
        help_text=_("For a CRM: flat, with account, percent and window."),
    )

    def __init__(self, *args: Any, scopes: Collection[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        everything = named([EVERYTHING], of_customer=True)
        seen = [name for name in TYPES if SCOPE_OF[name] in scopes]
        choices = [(name, format_lazy("{}: {}", name, _(TYPES[name].when))) for name in seen]
        usual = [name for name in everything if name in seen]
        if usual == everything:
            usual, choices = [EVERYTHING], [(EVERYTHING, _("Everything but single usage events")), *choices]
        events = cast("forms.MultipleChoiceField", self.fields["events"])
        events.choices, events.initial = choices, usual


@require_GET
@access.signed_in
@access.requires("webhooks:read")
def webhooks(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The customer's endpoints, and a form for another."""
    return _page(request, visit, EndpointForm(scopes=visit.scopes))


@require_POST
@access.signed_in
@access.requires("webhooks:write")
@second_factor.requires_fresh_second_factor
def create(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """Name an endpoint, and show its secret this once."""
    form = EndpointForm(request.POST, scopes=visit.scopes)
    if form.is_valid():
        actor, may = actor_of(request), visit.scopes.__contains__
        try:
            endpoint, secret = endpoints.create(actor=actor, may=may, customer=visit.customer, **form.cleaned_data)
        except BillingError as refusal:
            refusals.put(form, refusal)
        else:
            return _secret(request, visit, endpoint, secret)
    return _page(request, visit, form, status=400)


@require_GET
@access.signed_in
@access.requires("webhooks:read")
def endpoint(request: HttpRequest, visit: access.Visit, endpoint_id: UUID) -> HttpResponse:
    """One endpoint, and what was sent to it last."""
    found = _endpoint(visit, endpoint_id)
    table = DELIVERIES.page(request, found.deliveries.all(), found.pk)
    may = visit.scopes.__contains__
    rows = [(row, None if reading.unread([row.type], may) else _content(row)) for row in table.rows]
    unread = [name for names in reading.unread(reading.told(found), may).values() for name in names]
    return access.render_for(
        request, visit, "portal/webhook.html", endpoint=found, table=table, deliveries=rows, unread=unread
    )


@require_POST
@access.signed_in
@access.requires("webhooks:write")
@second_factor.requires_fresh_second_factor
def rotate(request: HttpRequest, visit: access.Visit, endpoint_id: UUID) -> HttpResponseBase:
    """A new secret, shown this once."""
    found = _endpoint(visit, endpoint_id)
    try:
        secret = endpoints.rotate(actor=actor_of(request), may=visit.scopes.__contains__, endpoint=found)
    except BillingError as refusal:
        messages.error(request, refusals.said(refusal.detail))
        return redirect("portal:webhook", found.pk)
    return _secret(request, visit, found, secret)


@require_POST
@access.signed_in
@access.requires("webhooks:write")
@second_factor.requires_fresh_second_factor
def act(request: HttpRequest, visit: access.Visit, endpoint_id: UUID) -> HttpResponseBase:
    """Test it, switch it on or off, remove it, or send something again."""
    found = _endpoint(visit, endpoint_id)
    actor, may, wanted = actor_of(request), visit.scopes.__contains__, request.POST.get("do", "")
    try:
        if wanted == "test":
            endpoints.test(found, may=may)
            messages.success(request, _("A test is on its way."))
        elif wanted in {"on", "off"}:
            endpoints.change(actor=actor, may=may, endpoint=found, enabled=wanted == "on")
            messages.success(request, _("The endpoint is on.") if wanted == "on" else _("The endpoint is off."))
        elif wanted == "remove":
            endpoints.remove(actor=actor, endpoint=found)
            messages.success(request, _("The endpoint is removed."))
            return redirect("portal:webhooks")
        else:
            endpoints.replay(actor=actor, may=may, delivery=_delivery(found, wanted))
            messages.success(request, _("It is sent again."))
    except BillingError as refusal:
        messages.error(request, refusals.said(refusal.detail))
    return redirect("portal:webhook", found.pk)


def _content(delivery: WebhookDelivery) -> str:
    return json.dumps(delivery.data, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False)


def _endpoint(visit: access.Visit, endpoint_id: UUID) -> WebhookEndpoint:
    found = endpoints.of(visit.customer).filter(pk=endpoint_id).first()
    if found is None:
        raise Http404
    return found


def _delivery(endpoint: WebhookEndpoint, delivery_id: str) -> WebhookDelivery:
    try:
        found = endpoint.deliveries.select_related("endpoint__customer").filter(pk=UUID(delivery_id)).first()
    except ValueError:
        found = None
    if found is None:
        raise Http404
    return found


def _secret(request: HttpRequest, visit: access.Visit, endpoint: WebhookEndpoint, secret: str) -> HttpResponse:
    return access.render_for(request, visit, "portal/webhook_secret.html", endpoint=endpoint, secret=secret)


def _page(request: HttpRequest, visit: access.Visit, form: EndpointForm, *, status: int = 200) -> HttpResponse:
    table = ENDPOINTS.page(request, endpoints.of(visit.customer))
    return access.render_for(request, visit, "portal/webhooks.html", status=status, table=table, form=form)
