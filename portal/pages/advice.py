"""Where money could be saved."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from billing.selectors.spending import advice as selector
from portal import access


@require_GET
@access.signed_in
@access.requires("wallets:read")
def advice(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """Repeated requests, small calls and cheaper models, in the customer's currency."""
    found = selector.of(visit.customer, visit.customer.currency_id)
    return access.render_for(
        request,
        visit,
        "portal/advice.html",
        advice=found,
        days=selector.DAYS,
        small=selector.SMALL_TOKENS,
        fields=selector.FINGERPRINTS,
    )
