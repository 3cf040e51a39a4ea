"""Trying an event out: which meters count it, what a plan charges for it, what it costs us. Nothing is written."""

import json
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from billing.admin import cost_card, display, summaries
from billing.engine.costs import CURRENCY
from billing.engine.money import EXACT
from billing.engine.prices import words
from billing.engine.strings import check_strings
from billing.errors import BillingError, InvalidRequest
from billing.models import Customer, PlanVersion, Price
from billing.selectors.catalog.catalog import price_terms
from billing.selectors.ledger import balances
from billing.services.catalog import estimates, samples
from billing.services.catalog.samples import Tried
from billing.services.usage import IncomingEvent

LENGTH_MAX = 20_000
_SAMPLE = {"model": "gpt-4o-mini", "input_tokens": 1000, "cached_input_tokens": 200, "output_tokens": 450}


class EventForm(forms.Form):
    type = forms.CharField(label="Event type", max_length=255, required=False, widget=UnfoldAdminTextInputWidget)
    sample = forms.CharField(
        label="Data, or a whole event, as JSON",
        max_length=LENGTH_MAX,
        help_text="A CloudEvent brings its own type and customer.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false"}),
    )
    customer = forms.CharField(
        required=False,
        max_length=255,
        help_text="Its id, to see what this customer would pay now: agreed prices, what the period stands at, what is "
        "included. Empty: nobody in particular.",
        widget=UnfoldAdminTextInputWidget,
    )
    plan_version = forms.ModelChoiceField(
        PlanVersion.objects.filter(derived_from=None).select_related("plan").order_by("plan__code", "-number"),
        empty_label=None,
        widget=UnfoldAdminSelectWidget,
    )

    def clean_sample(self) -> dict[str, Any]:
        try:
            data = json.loads(self.cleaned_data["sample"], parse_float=Decimal, parse_constant=_no_constant)
            check_strings(data)
        except json.JSONDecodeError as error:
            raise ValidationError(
                f"Line {error.lineno}, character {error.colno} is not JSON: look for a quote, comma or bracket that is "
                "missing there, or one too many."
            ) from error
        except RecursionError as error:
            raise ValidationError("This is nested too deeply: write the fields that the meters count.") from error
        except InvalidRequest as refusal:
            raise ValidationError(refusal.detail) from refusal
        if not isinstance(data, dict):
            raise ValidationError('Write the event\'s fields in braces, such as {"input_tokens": 1000}.')
        if "specversion" in data and not isinstance(data.get("data"), dict):
            raise ValidationError("This CloudEvent has no data: what meters count is read from there.")
        return data

    def clean(self) -> dict[str, Any]:
        """A whole event is taken apart: what it says of itself counts more than the fields beside it."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        sample = cleaned.get("sample", {})
        if "specversion" in sample:
            cleaned |= {
                "sample": sample["data"],
                "type": str(sample.get("type") or cleaned.get("type") or ""),
                "customer": str(sample.get("subject") or cleaned.get("customer") or ""),
            }
        if not cleaned.get("type"):
            self.add_error("type", "Of which type is the event?")
        if cleaned.get("customer"):
            cleaned["payer"] = Customer.objects.filter(external_id=cleaned["customer"]).first()
            if cleaned["payer"] is None:
                self.add_error("customer", "There is no customer with this id.")
        return cleaned


def view(request: HttpRequest) -> HttpResponse:
    """The form, and what the event in it comes to."""
    if not request.user.has_perm("billing.view_meter"):
        raise PermissionDenied
    initial = {"type": "llm.completion", "sample": json.dumps(_SAMPLE, indent=2)}
    form = EventForm(request.POST or None, initial=initial)
    result = None
    if request.method == "POST" and form.is_valid():
        tried = samples.attempt(
            type=form.cleaned_data["type"],
            data=form.cleaned_data["sample"],
            version=form.cleaned_data["plan_version"],
            moment=timezone.now(),
        )
        result = _shown(tried, with_cost=request.user.has_perm("billing.view_providercost"))
        payer = form.cleaned_data.get("payer")
        result["payer"] = payer and _for_payer(payer, form.cleaned_data["type"], form.cleaned_data["sample"])
    payer = form.cleaned_data.get("payer") if form.is_bound else None
    context = {
        **admin.site.each_context(request),
        "title": "Try an event",
        "form": form,
        "result": result,
        "refused": _refused(request, payer),
        "refused_of": payer,
    }
    return TemplateResponse(request, "admin/ante/try_event.html", context)


def _refused(request: HttpRequest, payer: Customer | None) -> list[dict[str, Any]]:
    """The last events that were refused, and why: of this customer, or of anybody."""
    if not request.user.has_perm("billing.view_usageevent"):
        return []
    return summaries.latest_refused() if payer is None else summaries.refused_events(payer)


def _for_payer(payer: Customer, type: str, data: dict[str, Any]) -> dict[str, Any]:
    """What this customer would pay for it now, and has; or why it would be refused."""
    event = IncomingEvent(id="sample", source="", type=type, subject=payer.external_id, time=None, data=data)
    found = {"customer": display.link(payer), "lines": [], "totals": [], "refused": ""}
    try:
        estimate = estimates.for_customer(event=event, usage=[estimates.Usage(type, data)])
    except BillingError as refusal:
        return found | {"refused": display.said(refusal.detail)}
    left = {row.asset: row.available for row in balances.current([payer.pk])}
    return found | {
        "lines": [
            {
                "meter": each.meter,
                "quantity": display.quantity(each.quantity),
                "amount": display.amount(each.amount, each.asset),
                "plan": f"{each.plan}, version {each.plan_version}",
            }
            for each in estimate.charges
        ],
        "totals": [
            {
                "asset": asset,
                "amount": display.amount(amount, asset),
                "left": display.amount(left.get(asset, Decimal(0)), asset),
                "enough": left.get(asset, Decimal(0)) >= amount,
            }
            for asset, amount in estimate.cost.items()
        ],
    }


def _no_constant(text: str) -> Any:
    raise ValidationError(f"{text} is no number: write a number there, or leave the field out.")


def _shown(tried: Tried, *, with_cost: bool) -> dict[str, Any]:
    totals: dict[str, Decimal] = {}
    for priced in tried.priced:
        asset = priced.line.price.asset
        totals[asset] = EXACT.add(totals.get(asset, Decimal(0)), priced.amount)
    prices = {
        price.pk: price
        for price in Price.objects.filter(pk__in=[priced.line.price.id for priced in tried.priced])
        .select_related("meter")
        .prefetch_related("tiers")
    }
    cost = tried.cost if with_cost else None
    charged = totals.get(CURRENCY)
    margin = None if cost is None or charged is None else EXACT.subtract(charged, cost.amount)
    return {
        "metered": [
            {
                "meter": display.link(each.meter, each.meter.code),
                "quantity": display.NOTHING if each.quantity is None else display.quantity(each.quantity),
                "unit": each.meter.unit,
                "why": each.why,
                "groups": display.pairs(dict(each.groups)),
            }
            for each in tried.metered
        ],
        "priced": [
            {
                "meter": priced.line.meter,
                "quantity": display.quantity(priced.quantity),
                "price": words.describe(
                    price_terms(prices[priced.line.price.id]),
                    priced.line.price.asset,
                    prices[priced.line.price.id].meter.unit,
                ),
                "amount": display.amount(priced.amount, priced.line.price.asset),
                "asset": priced.line.price.asset,
            }
            for priced in tried.priced
        ],
        "refused": tried.refused,
        "totals": [{"asset": asset, "amount": display.amount(total, asset)} for asset, total in totals.items()],
        "with_cost": with_cost,
        "cost": None if cost is None else display.amount(cost.amount, CURRENCY),
        "cost_model": "" if cost is None else f"{cost.provider} {cost.model}",
        "cost_lines": cost_card.lines(cost),
        "margin": display.amount(margin, CURRENCY),
        "share": display.percent(margin / charged) if margin is not None and charged else display.NOTHING,
    }
