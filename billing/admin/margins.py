"""Margins: what usage was charged, what it cost us, and what is left, by customer, model, feature, meter and day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from billing.admin import charts, display, downloads, periods
from billing.admin.charts import Series
from billing.engine.costs import CURRENCY
from billing.engine.money import EXACT, ZERO
from billing.engine.spreadsheets import Cell
from billing.errors import InvalidRequest
from billing.models import Customer, Meter
from billing.selectors.reports import margins
from billing.selectors.reports.margins import MarginRow

GROUPS = {
    "customer": "Customer",
    "model": "Model",
    "feature": "Feature",
    "meter": "Meter",
    "day": "Day",
    "customer,model": "Customer and model",
    "customer,feature": "Customer and feature",
}
PERIODS = ("7d", "30d", "today", "yesterday")
SHOWN_MAX = 500
PERMISSION = "billing.view_providercost"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page was asked for, read from its address; what makes no sense there is as if it were not there."""

    span: periods.Span
    period: str
    group_by: str
    customer: Customer | None
    meter: str
    model: str

    @classmethod
    def of(cls, request: HttpRequest) -> "Asked":
        period, span = periods.asked(request, PERIODS)
        group_by = request.GET.get("group_by", "customer")
        text = {name: request.GET.get(name, "").replace("\x00", "")[:255] for name in ("customer", "meter", "model")}
        return cls(
            span,
            period,
            group_by if group_by in GROUPS else "customer",
            Customer.objects.filter(external_id=text["customer"]).first() if text["customer"] else None,
            text["meter"],
            text["model"],
        )

    def rows(self, group_by: str) -> list[MarginRow]:
        return margins.rows(
            start=self.span.start,
            end=self.span.end,
            group_by=group_by.split(","),
            customer_id=None if self.customer is None else self.customer.pk,
            meter=self.meter or None,
            model=self.model or None,
            timezone=ZoneInfo(timezone.get_current_timezone_name()),
        )


def view(request: HttpRequest) -> HttpResponseBase:
    """The page, or, with ``format=csv``, its table to take along."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    asked = Asked.of(request)
    refused = ""
    try:
        found = asked.rows(asked.group_by)
    except InvalidRequest as refusal:
        found, refused = [], refusal.detail
    names = asked.group_by.split(",")
    if request.GET.get("format") == "csv":
        return _download(found, names, asked)
    found.sort(key=_weight)
    floor: Decimal = settings.MARGIN_FLOOR
    whole = margins.total(found)
    query = request.GET.copy()
    query["format"] = "csv"
    context = {
        **admin.site.each_context(request),
        "title": "Margins",
        "asked": asked,
        "refused": refused,
        "groups": [{"code": code, "title": title, "chosen": code == asked.group_by} for code, title in GROUPS.items()],
        "periods": periods.offered(PERIODS, asked.period),
        "meters": Meter.objects.values_list("code", flat=True),
        "heads": [GROUPS[name] for name in names],
        "rows": [_shown(row, floor) for row in found[:SHOWN_MAX]],
        "more": max(0, len(found) - SHOWN_MAX),
        "flagged": sum(row.below(floor) for row in found),
        "total": _shown(whole, floor),
        "apart": [_shown(row, floor) for row in margins.apart(found)],
        "floor": display.percent(floor),
        "chart": _chart(asked) if whole.events else None,
        "csv_query": query.urlencode(),
    }
    return TemplateResponse(request, "admin/ante/margins.html", context)


def _weight(row: MarginRow) -> tuple[bool, Decimal]:
    """Dollars first, and of them what was charged most."""
    return (row.asset != CURRENCY, row.charged.copy_negate())


def _shown(row: MarginRow, floor: Decimal) -> dict[str, Any]:
    return {
        "group": ["–" if name is None else name for name in row.group],
        "asset": row.asset,
        "charged": display.figure(row.charged, row.asset),
        "cost": display.figure(row.cost, CURRENCY),
        "margin": display.NOTHING if row.margin is None else display.figure(row.margin, CURRENCY),
        "share": display.NOTHING if row.share is None else display.percent(row.share),
        "below": row.below(floor),
        "events": display.count(row.events),
        "unknown": row.events_without_cost,
        "uncosted": display.figure(EXACT.subtract(row.charged, row.charged_with_cost), row.asset),
    }


def _chart(asked: Asked) -> dict[str, Any]:
    """For each day the cost and, on top of it, what is left."""
    by_day = {row.group[0]: row for row in asked.rows("day") if row.asset == CURRENCY}
    days: list[date] = []
    day = timezone.localtime(asked.span.start).date()
    while day < timezone.localtime(asked.span.end).date():
        days.append(day)
        day += timedelta(days=1)
    found = [by_day.get(day.isoformat()) for day in days]

    return charts.data(
        [f"{day:%-d %b}" for day in days],
        [
            Series("Cost", 2, [row.cost if row else ZERO for row in found]),
            Series("Margin", 1, [(row.margin or ZERO) if row else ZERO for row in found]),
        ],
        CURRENCY,
    )


def _download(found: Sequence[MarginRow], names: Sequence[str], asked: Asked) -> StreamingHttpResponse:
    heads = ("asset", "charged", "charged_with_cost", "cost", "margin", "margin_share", "events", "without_cost")
    rows: list[list[Cell]] = [
        [
            *row.group,
            *(row.asset, row.charged, row.charged_with_cost, row.cost, row.margin, row.share),
            *(row.events, row.events_without_cost),
        ]
        for row in found
    ]
    return downloads.csv(f"margins-{asked.period}", [*names, *heads], rows)
