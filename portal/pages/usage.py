"""What was used: by time, and by model, meter, user, project, feature, key or session, down to the single event."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from billing.engine.money import ZERO, exact_sum
from billing.models import Meter
from billing.selectors.revenue import revenue_days
from billing.selectors.usage import rollups
from billing.selectors.usage import usage as selector
from billing.selectors.usage.usage import GroupRow, UsageRow
from portal import access, charts, downloads, explorer
from portal.explorer import TIME, Question
from portal.periods import PRESETS
from portal.templatetags.portal_parts import PALETTE

PAGE_ROWS = 50
_HEADINGS = {"amount": _("Amount"), "events": _("Events")}
FILE_ROWS_MAX = 100_000
COLUMNS_MAX = 6
"""Of how many meters the table shows the quantity; the download has all."""


@dataclass(slots=True)
class GroupLine:
    """One line of the table: a group with all it used, over the whole period."""

    name: str
    href: str
    tone: int
    amount: Decimal
    events: int
    share: float
    quantities: dict[str, Decimal] = field(default_factory=dict)
    """How much of each meter, by its code."""

    def cells(self, columns: Sequence[Meter]) -> list[Decimal | None]:
        return [self.quantities.get(meter.code) for meter in columns]


@require_GET
@access.signed_in
def usage(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The explorer. An htmx request gets the results alone, and the address that shows them again."""
    question = replace(Question.read(request, visit), hour=None, member=None)
    meters = {meter.code: meter for meter in Meter.objects.all()}
    found = Answer(visit, question, meters)
    used = {code for line in found.lines for code in line.quantities}
    columns = [] if question.group == selector.METER else [m for code, m in meters.items() if code in used]
    context: dict[str, Any] = {
        "question": question,
        "filters": question.filters(found.names),
        "presets": PRESETS,
        "groups": explorer.groups_for(visit),
        "group_name": explorer.GROUPS[question.group],
        "meters": meters.values(),
        "assets": sorted({row.asset for row in found.by_time} | {question.asset}),
        "chart": found.chart,
        "meter_columns": columns[:COLUMNS_MAX],
        "lines": [(line, line.cells(columns[:COLUMNS_MAX])) for line in found.lines],
        "columns": [_column(question, name) for name in selector.ORDERS],
        "total": found.total,
        "events": found.events,
        "groups_count": found.count,
        "first_row": (question.page - 1) * PAGE_ROWS + 1,
        "last_row": (question.page - 1) * PAGE_ROWS + len(found.lines),
        "previous": question.link(page=question.page - 1) if question.page > 1 else "",
        "next": question.link(page=question.page + 1) if question.page * PAGE_ROWS < found.count else "",
        "provisional_from": revenue_days.provisional_from(question.start, min(question.end, timezone.now())),
        "today": timezone.now().astimezone(visit.zone).date(),
        "file_query": urlencode(question.query()),
        "formats": downloads.formats(),
        "events_link": question.link(to="usage-events"),
    }
    if getattr(request, "htmx", False):
        response = access.render_for(request, visit, "portal/parts/usage_results.html", **context)
        response["HX-Push-Url"] = f"{request.path}?{urlencode(question.query())}"
        return response
    return access.render_for(request, visit, "portal/usage.html", **context)


@require_GET
@access.signed_in
def usage_file(request: HttpRequest, visit: access.Visit, format: str) -> HttpResponseBase:
    """All the explorer's rows by period, group, meter and asset, amounts and quantities exact; too many are refused."""
    question = replace(Question.read(request, visit), hour=None, member=None)
    group_by = [name for name in (question.group, selector.METER) if name != TIME]
    group_by = list(dict.fromkeys(group_by))
    rows = _rows(visit, question, rollups.mark(), group_by=group_by, limit=FILE_ROWS_MAX + 1)
    if len(rows) > FILE_ROWS_MAX:
        messages.error(request, gettext("That is too much for one file: choose less time, or a filter."))
        return redirect(question.link())

    def cells() -> Iterator[list[downloads.Cell]]:
        for row in rows:
            yield [row.period_start.astimezone(visit.zone), *row.group, row.asset, row.quantity, row.amount, row.events]

    columns = {"period_start": "time", **dict.fromkeys([*group_by, "asset"], "text")}
    columns |= {"quantity": "amount", "amount": "amount", "events": "number"}
    name = f"usage-{question.period.first}-{question.period.last}-by-{question.group}"
    return downloads.table(name, format, columns, cells())


class Answer:
    """What the question is answered with: the chart, a page of the table, and what all of it comes to.

    The database sorts the groups and cuts the page; of all the others only their sum by time is read.
    """

    def __init__(self, visit: access.Visit, question: Question, meters: Mapping[str, Meter]) -> None:
        self.visit, self.question, self.meters = visit, question, meters
        self.mark = rollups.mark()
        self.names = {code: meter.name for code, meter in meters.items()}
        if question.group == selector.API_KEY or selector.API_KEY in question.where:
            self.names = explorer.key_names(visit)
        self.by_time = _rows(visit, question, self.mark)
        own = [row for row in self.by_time if row.asset == question.asset]
        self.total, self.events = exact_sum(row.amount for row in own), sum(row.events for row in own)
        if question.group == TIME:
            self.chart = charts.stacked(
                own, asset=question.asset, period=question.period, name=lambda row: gettext("Spend")
            )
            self.chart.links = [question.at(mark) for mark in question.period.marks()]
            self.count = len(own)
            self.lines = self._times(own)
        else:
            ranking = self._ranking(order=question.order, descending=question.descending, page=question.page)
            self.count = ranking.groups
            first = question.order == "amount" and question.descending and question.page == 1
            largest = (ranking if first else self._ranking()).rows[: PALETTE - 1]
            self.chart = self._chart(own, [row.value for row in largest])
            self.lines = self._groups(ranking.rows)

    def _ranking(self, *, order: str = "amount", descending: bool = True, page: int = 1) -> selector.Ranking:
        question = self.question
        return selector.ranking(
            customer_id=self.visit.customer.pk,
            start=question.start,
            end=question.end,
            group_by=question.group,
            asset=question.asset,
            meter=question.meter.code if question.meter else None,
            where=question.where,
            mark=self.mark,
            order=order,
            descending=descending,
            offset=(page - 1) * PAGE_ROWS,
            limit=PAGE_ROWS,
        )

    def _name(self, value: str | None) -> str:
        return explorer.value_name(self.question.group, value, self.names)

    def _chart(self, whole: Sequence[UsageRow], largest: Sequence[str | None]) -> charts.Chart:
        group = self.question.group
        rows = _rows(self.visit, self.question, self.mark, group_by=(group,), groups=largest) if largest else []
        chart = charts.stacked(
            rows,
            asset=self.question.asset,
            period=self.question.period,
            name=lambda row: self._name(row.group[0]),
            whole=whole,
        )
        chart.links = [self.question.at(mark) for mark in self.question.period.marks()]
        return chart

    def _groups(self, rows: Sequence[GroupRow]) -> list[GroupLine]:
        """Amounts and events come from one sum and quantities from another, by meter: an event that several meters
        count is still one event."""
        tones = {series.name: series.tone for series in self.chart.series}
        lines = {
            row.value: GroupLine(
                name=self._name(row.value),
                href=self._href(row.value),
                tone=tones.get(self._name(row.value), 0),
                amount=row.amount,
                events=row.events,
                share=self._share(row.amount),
            )
            for row in rows
        }
        for row in self._quantities(lines):
            lines[row.group[0]].quantities[row.group[1] or ""] = row.quantity
        return list(lines.values())

    def _quantities(self, lines: Mapping[str | None, GroupLine]) -> list[UsageRow]:
        question = self.question
        if not lines:
            return []
        found = selector.totals(
            customer_id=self.visit.customer.pk,
            start=question.start,
            end=question.end,
            group_by=(question.group, selector.METER),
            meter=question.meter.code if question.meter else None,
            where=question.where,
            groups=lines.keys(),
            mark=self.mark,
        )
        return [row for row in found if row.asset == question.asset]

    def _times(self, rows: Sequence[UsageRow]) -> list[GroupLine]:
        question = self.question
        by: dict[str, Callable[[UsageRow], Any]] = {
            "amount": attrgetter("amount"),
            "events": attrgetter("events"),
            "name": attrgetter("period_start"),
        }
        ranked = sorted(rows, key=by[question.order], reverse=question.descending)
        offset = (question.page - 1) * PAGE_ROWS
        lines = {
            row.period_start: GroupLine(
                name=question.period.label(row.period_start),
                href=question.at(row.period_start),
                tone=1,
                amount=row.amount,
                events=row.events,
                share=self._share(row.amount),
            )
            for row in ranked[offset : offset + PAGE_ROWS]
        }
        for row in _rows(self.visit, question, self.mark, group_by=(selector.METER,)):
            if row.asset == question.asset and row.period_start in lines:
                lines[row.period_start].quantities[row.group[0] or ""] = row.quantity
        return list(lines.values())

    def _href(self, value: str | None) -> str:
        if self.question.group == selector.METER:
            return self.question.link(meter=self.meters.get(value or ""), group="model")
        return self.question.only(self.question.group, value)

    def _share(self, amount: Decimal) -> float:
        return float(amount / self.total) if self.total > ZERO else 0.0


def _rows(
    visit: access.Visit,
    question: Question,
    mark: rollups.Mark,
    *,
    group_by: Sequence[str] = (),
    groups: Sequence[str | None] | None = None,
    limit: int | None = None,
) -> list[UsageRow]:
    return selector.rows(
        customer_id=visit.customer.pk,
        start=question.start,
        end=question.end,
        granularity=question.period.granularity,
        group_by=group_by,
        meter=question.meter.code if question.meter else None,
        timezone=visit.zone,
        where=question.where,
        groups=groups,
        mark=mark,
        limit=limit,
    )


def _column(question: Question, name: str) -> dict[str, Any]:
    """A heading that sorts: by its column, the other way round where it is sorted by that already."""
    sorted_by = question.order == name
    descending = not question.descending if sorted_by else name != "name"
    label = explorer.GROUPS[question.group] if name == "name" else _HEADINGS[name]
    state = ("descending" if question.descending else "ascending") if sorted_by else ""
    return {"name": name, "label": label, "state": state, "href": question.link(order=name, descending=descending)}
