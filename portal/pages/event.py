"""Why was this charged? One usage event with its arithmetic, what paid for it, and what was taken back."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from billing.engine.prices import words
from billing.models import Budget, Meter, UsageEvent
from billing.selectors.catalog.catalog import price_terms
from billing.selectors.funding import charge_disputes
from billing.selectors.spending import budgets
from billing.selectors.usage import events, receipts
from billing.selectors.usage.receipts import ReceiptCharge, ReceiptDraw
from portal import access, amounts, refusals

_encode = msgspec.json.Encoder(decimal_format="number").encode


@require_GET
@access.signed_in
def event(request: HttpRequest, visit: access.Visit, event_id: UUID) -> HttpResponse:
    """The receipt of one of the customer's own events; what the operator pays for it is not in it."""
    found = UsageEvent.objects.filter(pk=event_id, customer_id=visit.customer.pk).first()
    if found is None:
        raise Http404
    receipt = receipts.of(found)
    return access.render_for(
        request,
        visit,
        "portal/event.html",
        event=found,
        state=events.STATUSES[events.status(found)],
        refusal=refusals.said(found.refusal["detail"]) if found.refusal else "",
        collected_at=events.collected_at(found),
        charges=[_shown(charge) for charge in receipt.charges],
        receipt=receipt,
        budget=_budget(visit, found),
        dispute=charge_disputes.latest_of(found),
        may_dispute=visit.may("disputes:write") and events.status(found) == UsageEvent.Status.CHARGED,
        data=msgspec.json.format(_encode(found.data), indent=2).decode(),
    )


def _budget(visit: access.Visit, event: UsageEvent) -> Budget | None:
    """The one that did not let it pass, if it is still there."""
    wanted = (event.refusal or {}).get("budget")
    return budgets.kept(visit.customer).filter(pk=wanted).first() if wanted and visit.may("wallets:read") else None


def _shown(charge: ReceiptCharge) -> dict[str, Any]:
    meter: Meter = charge.price.meter

    def exact(amount: Decimal) -> str:
        return amounts.exact_text(amount, charge.asset)

    return {
        "charge": charge,
        "amount": exact(charge.amount),
        "draws": [
            {"name": _paid_from(draw), "amount": exact(draw.amount), "worth": _worth(draw)} for draw in charge.draws
        ],
        "meter": meter.name,
        "unit": meter.unit,
        "price": words.describe(price_terms(charge.price), charge.price.asset_id, meter.unit, amounts.VOICE),
        "lines": [
            {"said": words.line(line, charge.asset, amounts.VOICE), "amount": exact(line.amount)}
            for line in charge.lines
        ],
    }


def _paid_from(draw: ReceiptDraw) -> str:
    return draw.name if draw.grant_id else gettext("Overdraft")


def _worth(draw: ReceiptDraw) -> str:
    """What units that were bought come to in money, and at which rate."""
    if draw.worth is None or draw.rate is None or draw.currency is None:
        return ""
    worth, rate = (amounts.exact_text(each, draw.currency) for each in (draw.worth, draw.rate))
    return gettext("{worth} at {rate} each").format(worth=worth, rate=rate)
