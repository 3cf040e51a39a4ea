"""Being told in time: the customer's alerts, one's own wishes, and the inbox."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from accounts import reading, second_factor
from accounts.services.audit import actor_of
from billing.errors import BillingError
from billing.models import Alert, Asset, Balance, NoticeDelivery, NoticePreference, NoticeTarget
from billing.services import alerts, notices
from billing.services.alerts import defaults
from billing.services.notices import addressing
from portal import access, refusals
from portal.forms import AmountField
from portal.pages.targets import TargetForm, offer_topics
from portal.tables import Column, Filter, Table

ALERTS = Table(
    "alerts",
    columns=[Column("since", _("Since"), by="created_at"), Column("kind", _("What"), by="kind")],
    usual="-since",
    anchor="told",
    filters=[Filter("kind", _("What"), Alert.Kind.choices)],
)
INBOX = Table(
    "inbox",
    columns=[Column("when", _("When"), by="notice_id"), Column("about", _("What"), by="notice__kind")],
    usual="-when",
    anchor="notices",
    filters=[
        Filter(
            "read",
            _("Read"),
            choices=[("no", _("Not yet")), ("yes", _("Already"))],
            where={"no": Q(read_at=None), "yes": Q(read_at__isnull=False)},
        )
    ],
)
_WHEN = [
    (f"{Alert.Kind.BALANCE_BELOW}:{Alert.Of.AMOUNT}", _("The balance falls below an amount")),
    (f"{Alert.Kind.BALANCE_BELOW}:{Alert.Of.LAST_TOP_UP}", _("The balance falls below percents of the last top-up")),
    (f"{Alert.Kind.RUNWAY_BELOW}:{Alert.Of.DAYS}", _("The balance lasts for less than so many days")),
    (f"{Alert.Kind.GRANT_EXPIRING}:{Alert.Of.DAYS}", _("Value expires within so many days")),
    (f"{Alert.Kind.COMMITMENT_USED}:{Alert.Of.COMMITMENT}", _("So many percents of the plan's minimum are used")),
]


class AlertForm(forms.Form):
    """A new alert."""

    when = forms.ChoiceField(choices=_WHEN, label=_("Tell us when"))
    at = forms.CharField(max_length=100, label=_("How much"), help_text=_("One number or several: 50, 20, 10."))
    asset = forms.ChoiceField(label=_("Of"), required=False)

    def __init__(self, *args: Any, visit: access.Visit, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        asset = self.fields["asset"]
        assert isinstance(asset, forms.ChoiceField)
        held = Balance.objects.filter(customer=visit.customer).select_related("asset").order_by("asset__kind", "asset")
        asset.choices = [(balance.asset_id, balance.asset.name) for balance in held]

    def clean_at(self) -> list[Decimal]:
        return [AmountField().clean(part) for part in reading.typed_several(self.cleaned_data["at"])]

    def terms(self) -> dict[str, Any]:
        """What ``alerts.create`` takes."""
        kind, _, of = self.cleaned_data["when"].partition(":")
        at = self.cleaned_data["at"]
        if of in {Alert.Of.LAST_TOP_UP, Alert.Of.COMMITMENT}:
            at = [share / 100 for share in at]
        return {"kind": kind, "of": of, "at": at, "asset": Asset.objects.filter(pk=self.cleaned_data["asset"]).first()}


class WishForm(forms.Form):
    """What a person wants by e-mail, and when not."""

    email_topics = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label=_("By e-mail"),
        help_text=_("Your inbox here holds everything."),
    )
    quiet_from = forms.TimeField(required=False, label=_("Quiet from"), widget=forms.TimeInput({"type": "time"}))
    quiet_until = forms.TimeField(required=False, label=_("Until"), widget=forms.TimeInput({"type": "time"}))

    def __init__(self, *args: Any, visit: access.Visit, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer_topics(self.fields["email_topics"], visit)


@require_GET
@access.signed_in
@access.requires("wallets:read")
def overview(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The customer's alerts, and one's own wishes."""
    return _page(request, visit)


@require_POST
@access.signed_in
@access.requires("limits:write")
@second_factor.requires_fresh_second_factor
def create(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """Another alert."""
    form = AlertForm(request.POST, visit=visit)
    if form.is_valid():
        try:
            alerts.create(actor=actor_of(request), customer=visit.customer, **form.terms())
        except BillingError as refusal:
            refusals.put(form, refusal, on="at")
        else:
            messages.success(request, _("You will be told."))
            return redirect("portal:alerts")
    return _page(request, visit, form=form, status=400)


@require_POST
@access.signed_in
@access.requires("limits:write")
@second_factor.requires_fresh_second_factor
def create_usual(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """What new customers begin with, where there is no alert."""
    if not _kept(visit).exists() and defaults.add(actor=actor_of(request), customer=visit.customer):
        messages.success(request, _("You will be told."))
    return redirect("portal:alerts")


@require_POST
@access.signed_in
@access.requires("limits:write")
@second_factor.requires_fresh_second_factor
def remove(request: HttpRequest, visit: access.Visit, alert_id: UUID) -> HttpResponseBase:
    """Tell of it no more."""
    alert = _kept(visit).filter(pk=alert_id).first()
    if alert is None:
        raise Http404
    alerts.remove(actor=actor_of(request), alert=alert)
    messages.success(request, _("The alert is removed."))
    return redirect("portal:alerts")


@require_POST
@access.signed_in
def wish(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """One's own wishes."""
    form = WishForm(request.POST, visit=visit)
    if form.is_valid():
        try:
            notices.prefer(user=visit.user, customer=visit.customer, **form.cleaned_data)
        except BillingError as refusal:
            refusals.put(form, refusal)
        else:
            messages.success(request, _("Your wishes are noted."))
            return redirect("portal:alerts")
    return _page(request, visit, wishes=form, status=400)


@require_GET
@access.signed_in
def inbox(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """What one was told."""
    table = INBOX.page(request, _inbox(visit).select_related("notice"))
    unsent: dict[UUID, list[NoticeDelivery]] = {}
    for delivery in _unsent(visit).filter(notice__in=[row.notice_id for row in table.rows]):
        unsent.setdefault(delivery.notice_id, []).append(delivery)
    return access.render_for(
        request,
        visit,
        "portal/inbox.html",
        table=table,
        rows=[(row, unsent.get(row.notice_id, [])) for row in table.rows],
        unread=_inbox(visit).filter(read_at=None).count(),
        letters=settings.DEMO,
    )


@second_factor.open_to_trusted
@require_POST
@access.signed_in
def read(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """All of it is read."""
    notices.read(user=visit.user, customer=visit.customer)
    return redirect("portal:inbox")


@require_POST
@access.signed_in
def send_again(request: HttpRequest, visit: access.Visit, sent_id: UUID) -> HttpResponseBase:
    """Try now what could not be sent to this person."""
    delivery = _unsent(visit).filter(pk=sent_id).select_related("customer").first()
    if delivery is None:
        raise Http404
    try:
        notices.retry(actor=actor_of(request), delivery=delivery)
    except BillingError as refusal:
        messages.error(request, refusals.said(refusal.detail))
    else:
        messages.success(request, _("It is tried again now."))
    return redirect("portal:inbox")


def _unsent(visit: access.Visit) -> Any:
    """What was to go to this person elsewhere, and could not be sent so far."""
    tried = NoticeDelivery.objects.filter(user=visit.user, customer=visit.customer).exclude(last_error="")
    return tried.exclude(state=NoticeDelivery.State.SENT).order_by("channel")


def _inbox(visit: access.Visit) -> Any:
    return notices.inbox(user=visit.user, customer=visit.customer, role=visit.membership.role)


def _kept(visit: access.Visit) -> Any:
    return Alert.objects.filter(customer=visit.customer, removed_at=None)


def _wishes(visit: access.Visit) -> NoticePreference:
    chosen = addressing.preferences(visit.customer.pk, [visit.user.pk])
    return chosen.get(visit.user.pk) or addressing.default(visit.membership)


def _page(
    request: HttpRequest,
    visit: access.Visit,
    *,
    form: AlertForm | None = None,
    wishes: WishForm | None = None,
    status: int = 200,
) -> HttpResponse:
    held = _wishes(visit)
    initial = {"email_topics": held.email_topics, "quiet_from": held.quiet_from, "quiet_until": held.quiet_until}
    return access.render_for(
        request,
        visit,
        "portal/alerts.html",
        status=status,
        table=ALERTS.page(request, _kept(visit).select_related("asset")),
        usual=defaults.shown(),
        form=form or AlertForm(visit=visit),
        wishes=wishes or WishForm(initial=initial, visit=visit),
        targets=NoticeTarget.objects.filter(user=visit.user, customer=visit.customer),
        target_form=TargetForm(initial={"topics": ["balance", "usage"]}, visit=visit),
    )
