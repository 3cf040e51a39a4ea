"""What went into the wallet and what became an expense, for the customer's own books."""

from collections.abc import Iterator
from dataclasses import astuple

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from billing.selectors.reports import expenses
from portal import access, downloads
from portal.pages.statement import Filters

HEADER = ("date", "kind", "product", "asset", "amount", "paid", "fee", "tax", "currency", "reference")


@require_GET
@access.signed_in
def expenses_csv(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """By day of the customer's calendar; of the statement's filters the asset and the days count."""
    wanted = Filters.read(request).arguments(visit)
    found = expenses.lines(
        customer_id=visit.customer.pk, start=wanted["start"], end=wanted["end"], asset=wanted["asset"], zone=visit.zone
    )

    def cells() -> Iterator[list[downloads.Cell]]:
        for line in found:
            on, kind, product, asset, amount, paid, fee, tax, currency, reference = astuple(line)
            yield [on.isoformat(), kind, product, asset, amount, paid, fee, tax, currency.upper(), reference]

    return downloads.response(f"expenses-{visit.customer.external_id[:40]}.csv", HEADER, cells())
