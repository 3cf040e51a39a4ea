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

from billing.admin import cost_card, display
from billing.engine.costs import CURRENCY
from billing.engine.money import EXACT
from billing.engine.prices import words
from billing.models import PlanVersion, Price
from billing.selectors.catalog.catalog import price_terms
from billing.services.catalog import samples
from billing.services.catalog.samples import Tried

LENGTH_MAX = 20_000
_SAMPLE = {"model": "gpt-4o-mini", "input_tokens": 1000, "cached_input_tokens": 200, "output_tokens": 450}


class EventForm(forms.Form):
    type = forms.CharField(label="Event type", max_length=255, widget=UnfoldAdminTextInputWidget)
    sample = forms.CharField(
        label="Data, as JSON",
        max_length=LENGTH_MAX,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false"}),
    )
    plan_version = forms.ModelChoiceField(
        PlanVersion.objects.filter(derived_from=None).select_related("plan").order_by("plan__code", "-number"),
        empty_label=None,
        widget=UnfoldAdminSelectWidget,
    )

    def clean_sample(self) -> dict[str, Any]:
        try:
            data = json.loads(self.cleaned_data["sample"], parse_float=Decimal, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            raise ValidationError(
                f"Line {error.lineno}, character {error.colno} is not JSON: look for a quote, comma or bracket that is "
                "missing there, or one too many."
            ) from error
        except RecursionError as error:
            raise ValidationError("This is nested too deeply: write the fields that the meters count.") from error
        if not isinstance(data, dict):
            raise ValidationError('Write the event\'s fields in braces, such as {"input_tokens": 1000}.')
        return data


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
    context = {**admin.site.each_context(request), "title": "Try an event", "form": form, "result": result}
    return TemplateResponse(request, "admin/ante/try_event.html", context)


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
