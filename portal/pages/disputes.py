"""Charges that the customer disputes: said on the charge's receipt, and how each case stands."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from accounts.services.audit import actor_of
from billing.errors import BillingError
from billing.models import ChargeDispute, UsageEvent
from billing.selectors.funding import charge_disputes as selector
from billing.services.wallet import charge_disputes
from portal import access, refusals
from portal.tables import Column, Filter, Table

REASON_MAX = 1000
CASES = Table(
    "disputes",
    columns=[
        Column("what", _("What")),
        Column("when", _("When"), by="created_at"),
        Column("state", _("State"), by="status"),
        Column("charged", _("Charged"), number=True),
    ],
    usual="-when",
    anchor="cases",
    filters=[Filter("status", _("State"), ChargeDispute.Status.choices)],
)


@require_GET
@access.signed_in
@access.requires("disputes:read")
def overview(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The customer's cases."""
    rows = ChargeDispute.objects.filter(customer=visit.customer).prefetch_related("lines__event")
    table = CASES.page(request, rows)
    amounts = selector.amounts(table.rows)
    disputes = [(row, amounts[row.pk].items()) for row in table.rows]
    return access.render_for(request, visit, "portal/disputes.html", table=table, disputes=disputes)


@require_POST
@access.signed_in
@access.requires("disputes:write")
def lodge(request: HttpRequest, visit: access.Visit, event_id: UUID) -> HttpResponseBase:
    """Open a case about one event, and back to its receipt."""
    event = UsageEvent.objects.filter(pk=event_id, customer_id=visit.customer.pk).first()
    if event is None:
        raise Http404
    reason = request.POST.get("reason", "").replace("\x00", "")[:REASON_MAX]
    try:
        charge_disputes.lodge(actor=actor_of(request), customer=visit.customer, events=[event], reason=reason)
    except BillingError as refusal:
        messages.error(request, refusals.words(refusal))
    else:
        messages.success(request, _("The charge is disputed. We look into it."))
    return redirect(f"{reverse('portal:event', args=[event_id])}#dispute")


@require_POST
@access.signed_in
@access.requires("disputes:write")
def withdraw(request: HttpRequest, visit: access.Visit, dispute_id: UUID) -> HttpResponseBase:
    """Ask for it no longer."""
    found = ChargeDispute.objects.select_related("customer").filter(pk=dispute_id, customer=visit.customer).first()
    if found is None:
        raise Http404
    try:
        charge_disputes.withdraw(actor=actor_of(request), dispute=found)
    except BillingError as refusal:
        messages.error(request, refusals.words(refusal))
    else:
        messages.success(request, _("The dispute was withdrawn."))
    return redirect("portal:disputes")
