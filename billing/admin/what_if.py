"""What if: real usage under another plan version or with other models, asked for and shown."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.admin import display, downloads
from billing.admin.confirm import DayInput
from billing.engine.costs import CURRENCY
from billing.engine.money import EXACT, ZERO
from billing.engine.spreadsheets import Cell
from billing.errors import BillingError
from billing.models import Customer, PlanVersion, WhatIfRun
from billing.services.catalog import what_if_runs
from billing.services.catalog.what_if import Result

PERMISSION = "billing.view_providercost"
RUNS_SHOWN = 12
CHART_MAX = 16
ROWS_SHOWN = 500


class Question(forms.Form):
    """Days are the operator's, and both count."""

    plan_version = forms.ModelChoiceField(
        PlanVersion.objects.filter(derived_from=None).select_related("plan").order_by("plan__code", "-number"),
        required=False,
        empty_label="Each customer's own plans",
        widget=UnfoldAdminSelectWidget,
    )
    customer = forms.CharField(
        required=False, max_length=255, help_text="External id; empty: all.", widget=UnfoldAdminTextInputWidget
    )
    first = forms.DateField(label="From", widget=DayInput(attrs={"class": "ante-day"}))
    last = forms.DateField(label="Up to and with", widget=DayInput(attrs={"class": "ante-day"}))
    model = forms.CharField(
        label="Instead of the model", required=False, max_length=255, widget=UnfoldAdminTextInputWidget
    )
    instead = forms.CharField(label="the model", required=False, max_length=255, widget=UnfoldAdminTextInputWidget)

    def clean_customer(self) -> Customer | None:
        name = self.cleaned_data["customer"]
        if not name:
            return None
        found = Customer.objects.filter(external_id=name).first()
        if found is None:
            raise ValidationError("There is no such customer.")
        return found

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if bool(data.get("model")) != bool(data.get("instead")):
            self.add_error("instead", "Both models are needed, or neither.")
        if data.get("first") and data.get("last") and data["first"] > data["last"]:
            self.add_error("last", "Must not be before the first day.")
        return data


def ask(request: HttpRequest) -> HttpResponse:
    """The form, and what was asked before."""
    _allow(request)
    month = timezone.localdate().replace(day=1)
    last = month - timedelta(days=1)
    form = Question(request.POST or None, initial={"first": last.replace(day=1), "last": last})
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            run = what_if_runs.ask(
                asked_by=request.user.get_username(),
                start=_midnight(data["first"]),
                end=_midnight(data["last"] + timedelta(days=1)),
                plan_version=data["plan_version"],
                instead={data["model"]: data["instead"]} if data["model"] else {},
                only=data["customer"],
            )
        except BillingError as refusal:
            form.add_error(None, refusal.detail)
        else:
            return HttpResponseRedirect(reverse("admin:billing_what_if_run", args=[run.pk]))
    context = {
        **admin.site.each_context(request),
        "title": "What if",
        "form": form,
        "runs": [_listed(run) for run in _runs().defer("rows")[:RUNS_SHOWN]],
    }
    return TemplateResponse(request, "admin/ante/what_if.html", context)


def show(request: HttpRequest, run_id: UUID) -> HttpResponseBase:
    """One run: how far it is, and what it came to so far; with ``format=csv`` its table to take along."""
    _allow(request)
    run = get_object_or_404(_runs(), pk=run_id)
    results = what_if_runs.results(run)
    if request.GET.get("format") == "csv":
        return _download(results)
    assets = sorted({asset for result in results for asset in (*result.now, *result.then)}, key=_dollars_first)
    asset = request.GET.get("asset", "")
    asset = asset if asset in assets else (assets[0] if assets else CURRENCY)
    results.sort(key=lambda result: result.difference(asset))
    whole = Result("Altogether")
    for result in results:
        whole.add(result)
    done = what_if_runs.progress(run)
    context = {
        **admin.site.each_context(request),
        "title": "What if",
        "subtitle": str(run),
        "run": run,
        "about": _about(run),
        "running": run.state in {WhatIfRun.State.QUEUED, WhatIfRun.State.RUNNING},
        "done": display.count(done),
        "total": display.count(run.total),
        "percent": min(100, 100 * done // run.total) if run.total else 100,
        "asset": asset,
        "assets": assets,
        "whole": _shown(whole, asset),
        "winners": sum(result.difference(asset) < 0 for result in results),
        "losers": sum(result.difference(asset) > 0 for result in results),
        "rows": [_shown(result, asset) for result in reversed(results[-ROWS_SHOWN:])],
        "more": max(0, len(results) - ROWS_SHOWN),
        "chart": _chart(results, asset) if any(result.difference(asset) for result in results) else None,
    }
    return TemplateResponse(request, "admin/ante/what_if_run.html", context)


def _allow(request: HttpRequest) -> None:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied


def _runs() -> Any:
    return WhatIfRun.objects.select_related("plan_version__plan", "only")


def _midnight(day: Any) -> datetime:
    return timezone.make_aware(datetime.combine(day, datetime.min.time()))


def _dollars_first(asset: str) -> tuple[bool, str]:
    return (asset != CURRENCY, asset)


def _about(run: WhatIfRun) -> str:
    said = [str(run.plan_version) if run.plan_version else "each customer's own plans"]
    said += [f"{after} instead of {before}" for before, after in run.instead.items()]
    said.append(f"for {run.only}" if run.only else "for all customers")
    last = timezone.localtime(run.end - timedelta(microseconds=1))
    said.append(f"{timezone.localtime(run.start):%Y-%m-%d} to {last:%Y-%m-%d}")
    return ", ".join(said)


def _listed(run: WhatIfRun) -> dict[str, Any]:
    return {
        "url": reverse("admin:billing_what_if_run", args=[run.pk]),
        "about": _about(run),
        "state": display.badge(run.get_state_display(), _TONES[run.state]),
        "asked": display.moment(run.created_at),
        "asked_by": run.asked_by,
        "events": display.count(run.total),
    }


_TONES = {"queued": "quiet", "running": "info", "done": "good", "failed": "bad"}


def _shown(result: Result, asset: str) -> dict[str, Any]:
    now, then = result.now.get(asset, ZERO), result.then.get(asset, ZERO)
    difference = EXACT.subtract(then, now)
    return {
        "customer": result.customer,
        "events": display.count(result.events),
        "now": display.figure(now, asset),
        "then": display.figure(then, asset),
        "difference": display.figure(difference, asset),
        "share": display.percent(difference / now) if now else display.NOTHING,
        "tone": "is-negative" if difference < 0 else "",
        "cost_now": display.figure(result.cost_now, CURRENCY),
        "cost_then": display.figure(result.cost_then, CURRENCY),
        "unpriced": result.unpriced,
        "without_cost": result.without_cost,
    }


def _chart(results: Sequence[Result], asset: str) -> dict[str, Any]:
    """The customers whose bill would change most: what they pay less, or more."""
    changed = sorted(results, key=lambda result: abs(result.difference(asset)))[-CHART_MAX:]
    changed.sort(key=lambda result: result.difference(asset))
    amounts = [result.difference(asset) for result in changed]
    texts = [display.written(amount, asset, signed=True).exact for amount in amounts]
    return {
        "labels": [result.customer[:24] for result in changed],
        "symbol": display.symbol(asset),
        "places": display.places(asset),
        "unit": "",
        "series": [{"name": "Difference", "tone": 1, "values": [float(amount) for amount in amounts], "texts": texts}],
        "totals": texts,
    }


def _download(results: Sequence[Result]) -> StreamingHttpResponse:
    heads = ("customer", "asset", "events", "now", "then", "difference", "cost_now", "cost_then", "unpriced")
    rows: list[list[Cell]] = [
        [
            *(result.customer, asset, result.events),
            *(result.now.get(asset, ZERO), result.then.get(asset, ZERO), result.difference(asset)),
            *(result.cost_now, result.cost_then, result.unpriced),
        ]
        for result in results
        for asset in sorted({*result.now, *result.then})
    ]
    return downloads.csv("what-if", heads, rows)
