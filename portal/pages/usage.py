"""What was used: by time, and by meter, model, user, project, feature or session."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing.engine.money import EXACT, ZERO
from billing.models import Meter
from billing.selectors import balances
from billing.selectors import usage as selector
from billing.selectors.usage import UsageRow
from portal import access, amounts, charts, downloads
from portal.periods import PRESETS, Period

GROUPS = {
    "model": "Model",
    "meter": "Meter",
    "user": "User",
    "project": "Project",
    "feature": "Feature",
    "session": "Session",
}
ROWS_MAX = 100
COLUMNS_MAX = 6
"""Of how many meters the table shows the quantity; the download has all."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What the address asks for, made whole."""

    period: Period
    group: str
    meter: Meter | None
    asset: str
    usual_asset: str

    def query(self) -> dict[str, str]:
        """The shortest address that asks for the same."""
        asked = {"period": self.period.choice, "group": self.group}
        if self.period.choice == "custom":
            asked = {"from": self.period.first.isoformat(), "to": self.period.last.isoformat(), "group": self.group}
        if self.meter:
            asked["meter"] = self.meter.code
        if self.asset != self.usual_asset:
            asked["asset"] = self.asset
        return asked


@dataclass(slots=True)
class GroupLine:
    """One line of the table: a group with all it used, over the whole period."""

    name: str
    tone: int = 0
    amount: Decimal = ZERO
    events: int = 0
    share: float = 0.0
    quantities: dict[str, Decimal] = field(default_factory=dict)
    """How much of each meter, by its code."""

    def cells(self, columns: Sequence[Meter]) -> list[Decimal | None]:
        return [self.quantities.get(meter.code) for meter in columns]


@require_GET
@access.signed_in
def usage(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The explorer. An htmx request gets the results alone, and the address that shows them again."""
    now = timezone.now()
    filters = _filters(request, visit)
    meters = {meter.code: meter for meter in Meter.objects.all()}
    rows = _by_time(visit, filters)
    assets = sorted({row.asset for row in rows} | {filters.asset})
    names = _namer(filters.group, meters)
    chart = charts.stacked(rows, asset=filters.asset, period=filters.period, name=names)
    lines = _lines(visit, filters, meters, {series.name: series.tone for series in chart.series})
    used = {code for line in lines for code in line.quantities}
    columns = [] if filters.group == selector.METER else [m for code, m in meters.items() if code in used][:COLUMNS_MAX]
    context: dict[str, Any] = {
        "filters": filters,
        "presets": PRESETS,
        "groups": GROUPS,
        "group_name": GROUPS[filters.group],
        "meters": meters.values(),
        "assets": assets,
        "chart": chart,
        "meter_columns": columns,
        "lines": [(line, line.cells(columns)) for line in lines[:ROWS_MAX]],
        "more": max(0, len(lines) - ROWS_MAX),
        "total": amounts.total(line.amount for line in lines),
        "events": sum(row.events for row in _totals(visit, filters, ()) if row.asset == filters.asset),
        "today": now.astimezone(visit.zone).date(),
        "csv_query": _query(filters),
    }
    if getattr(request, "htmx", False):
        response = access.render_for(request, visit, "portal/parts/usage_results.html", **context)
        response["HX-Push-Url"] = f"{request.path}?{_query(filters)}"
        return response
    return access.render_for(request, visit, "portal/usage.html", **context)


@require_GET
@access.signed_in
def usage_csv(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """All the explorer's rows by period, group, meter and asset, amounts and quantities exact."""
    filters = _filters(request, visit)
    group_by = (filters.group,) if filters.group == selector.METER else (filters.group, selector.METER)
    rows = selector.rows(
        customer_id=visit.customer.pk,
        start=filters.period.start,
        end=filters.period.end,
        granularity=filters.period.granularity,
        group_by=group_by,
        meter=filters.meter.code if filters.meter else None,
        timezone=visit.zone,
    )

    def cells() -> Iterator[list[downloads.Cell]]:
        for row in rows:
            yield [row.period_start.astimezone(visit.zone), *row.group, row.asset, row.quantity, row.amount, row.events]

    name = f"usage-{filters.period.first}-{filters.period.last}-by-{filters.group}.csv"
    return downloads.response(name, ["period_start", *group_by, "asset", "quantity", "amount", "events"], cells())


def _filters(request: HttpRequest, visit: access.Visit) -> Filters:
    today = timezone.now().astimezone(visit.zone).date()
    group, asset = request.GET.get("group", ""), request.GET.get("asset", "")
    held = {balance.asset for balance in balances.current([visit.customer.pk])} if asset else set()
    return Filters(
        period=Period.read(request.GET, today=today, zone=visit.zone),
        group=group if group in GROUPS else "model",
        meter=Meter.objects.filter(code=access.asked(request, "meter")).first(),
        asset=asset if asset in held else visit.customer.currency_id,
        usual_asset=visit.customer.currency_id,
    )


def _query(filters: Filters) -> str:
    return urlencode(filters.query())


def _by_time(visit: access.Visit, filters: Filters) -> list[UsageRow]:
    return selector.rows(
        customer_id=visit.customer.pk,
        start=filters.period.start,
        end=filters.period.end,
        granularity=filters.period.granularity,
        group_by=(filters.group,),
        meter=filters.meter.code if filters.meter else None,
        timezone=visit.zone,
    )


def _totals(visit: access.Visit, filters: Filters, group_by: Sequence[str]) -> list[UsageRow]:
    return selector.totals(
        customer_id=visit.customer.pk,
        start=filters.period.start,
        end=filters.period.end,
        group_by=group_by,
        meter=filters.meter.code if filters.meter else None,
    )


def _namer(group: str, meters: dict[str, Meter]) -> Any:
    """What a row's group is called: a meter by its name, anything else by its value."""

    def name(row: UsageRow) -> str:
        value = row.group[0]
        if group == selector.METER and value in meters:
            return meters[value].name
        return value or f"No {group}"

    return name


def _lines(visit: access.Visit, filters: Filters, meters: dict[str, Meter], tones: dict[str, int]) -> list[GroupLine]:
    """The table: groups by amount, the largest first, each with its quantity of each meter.

    Amounts and events come from one sum and quantities from another, by meter: an event that several meters count is
    still one event.
    """
    names = _namer(filters.group, meters)
    lines: dict[str, GroupLine] = {}
    for row in _totals(visit, filters, (filters.group,)):
        if row.asset == filters.asset:
            line = lines.setdefault(names(row), GroupLine(names(row), tones.get(names(row), 0)))
            line.amount = EXACT.add(line.amount, row.amount)
            line.events += row.events
    for row in _totals(visit, filters, (filters.group, selector.METER)):
        if row.asset == filters.asset:
            code = row.group[1] or ""
            lines[names(row)].quantities[code] = row.quantity
    total = amounts.total(line.amount for line in lines.values())
    for line in lines.values():
        line.share = float(line.amount / total) if total > 0 else 0.0
    return sorted(lines.values(), key=lambda line: (-line.amount, line.name))
