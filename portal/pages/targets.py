"""Where else one is told: a telephone or a chat, confirmed with a code that goes there."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from accounts import second_factor
from accounts.services.audit import actor_of
from billing.errors import BillingError
from billing.models import NoticeDelivery, NoticeTarget
from billing.services import notices
from billing.services.notices import targets
from portal import access, refusals


def offer_topics(field: forms.Field, visit: access.Visit) -> None:
    """Let the person choose among what they may be told of."""
    assert isinstance(field, forms.MultipleChoiceField)
    field.choices = [(topic, notices.TOPICS[topic]) for topic in notices.topics_for(visit.membership.role)]


class TargetForm(forms.Form):
    """Another telephone or chat."""

    channel = forms.ChoiceField(label=_("Over"))
    address = forms.CharField(
        max_length=500,
        label=_("Number or webhook"),
        help_text=_("A telephone number such as +15551234567, or the address of an incoming webhook of the chat."),
    )
    topics = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple, label=_("About"))

    def __init__(self, *args: Any, visit: access.Visit, **kwargs: Any) -> None:
        super().__init__(*args, **{"auto_id": "target_%s", **kwargs})
        offer_topics(self.fields["topics"], visit)
        channel = self.fields["channel"]
        assert isinstance(channel, forms.ChoiceField)
        channel.choices = [(name, NoticeDelivery.Channel(name).label) for name in targets.offered()]


@require_POST
@second_factor.requires_fresh_second_factor
@access.signed_in
def add(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """Have a code sent there."""
    form = TargetForm(request.POST, visit=visit)
    problem = next((str(error) for errors in form.errors.values() for error in errors), "")
    if form.is_valid():
        try:
            targets.add(actor=actor_of(request), user=visit.user, customer=visit.customer, **form.cleaned_data)
        except BillingError as refusal:
            problem = refusals.said(refusal.errors[0].detail if refusal.errors else refusal.detail)
        else:
            messages.success(request, _("A code is on its way there. Enter it here within 15 minutes."))
    if problem:
        messages.error(request, problem)
    return redirect("portal:alerts")


@require_POST
@access.signed_in
def confirm(request: HttpRequest, visit: access.Visit, target_id: UUID) -> HttpResponseBase:
    """The code that came there."""
    target = _own(visit, target_id)
    try:
        targets.confirm(actor=actor_of(request), target=target, code=request.POST.get("code", ""))
    except BillingError as refusal:
        messages.error(request, refusals.words(refusal))
    else:
        messages.success(request, _("You are told there from now on."))
    return redirect("portal:alerts")


@require_POST
@access.signed_in
def remove(request: HttpRequest, visit: access.Visit, target_id: UUID) -> HttpResponseBase:
    """Be told there no more."""
    targets.remove(actor=actor_of(request), target=_own(visit, target_id))
    messages.success(request, _("You are told there no more."))
    return redirect("portal:alerts")


def _own(visit: access.Visit, target_id: UUID) -> NoticeTarget:
    rows = NoticeTarget.objects.select_related("customer")
    found = rows.filter(pk=target_id, user=visit.user, customer=visit.customer).first()
    if found is None:
        raise Http404
    return found
