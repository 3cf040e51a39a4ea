"""Reports for finance: recurring revenue, retention, what is owed and for how long, losses, and cost centres.

Each is a table with a chart of it and a file to take along, by months or for a period, in one currency.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from billing.admin import charts, display, downloads
from billing.admin.charts import Series
from billing.engine.money import EXACT, ZERO, exact_sum
from billing.errors import InvalidRequest
from billing.models import Asset
from billing.selectors.reports import margins, reports

VIEW = "billing.view_revenueday"
SPANS = {"3": "3 months", "6": "6 months", "12": "12 months", "24": "24 months"}
ROWS_SHOWN = 500
NO_GROUP = "none"
COST_CENTRES = "cost-centres"

Cell = str | int | Decimal | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page was asked for; what makes no sense there is as if it were not there."""

    currency: str
    months: str
    by: str

    @property
    def last(self) -> date:
        return timezone.localdate()

    @property
    def first(self) -> date:
        past = self.last.year * 12 + self.last.month - int(self.months)
        return date(past // 12, past % 12 + 1, 1)

    @property
    def start(self) -> datetime:
        return timezone.make_aware(datetime.combine(self.first, time.min))


@dataclass(slots=True)
class Table:
    """``rows`` of texts, numbers and amounts; ``chart`` draws series of amounts over ``labels``. ``figures`` are what
    the rows come to, and what the books have: title, amount, and what it is."""

    heads: list[str]
    rows: list[list[Cell]]
    labels: list[str] = field(default_factory=list)
    chart: list[Series] = field(default_factory=list)
    figures: list[tuple[str, Decimal, str]] = field(default_factory=list)
    note: str = ""


def view(request: HttpRequest, name: str) -> HttpResponseBase:
    """A report as a page, or, with ``format=csv``, as a file."""
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    if name not in REPORTS:
        raise Http404
    title, make = REPORTS[name]
    currencies = [*Asset.objects.filter(kind=Asset.Kind.CURRENCY).order_by("pk").values_list("pk", flat=True)]
    currency, months = request.GET.get("currency", "usd"), request.GET.get("months", "12")
    asked = Asked(
        currency if currency in currencies else "usd",
        months if months in SPANS else "12",
        request.GET.get("by", "project").replace("\x00", "")[:64] or "project",
    )
    refused, as_file = "", request.GET.get("format") == "csv"
    try:
        if as_file and name == COST_CENTRES:
            return _cost_centre_file(asked)
        table = make(asked)
    except InvalidRequest as refusal:
        table, refused = Table([], []), refusal.detail
    if as_file and not refused:
        return downloads.csv(name, table.heads, table.rows)
    query = request.GET.copy()
    query["format"] = "csv"
    context = {
        **admin.site.each_context(request),
        "title": title,
        "asked": asked,
        "refused": refused,
        "reports": [
            {"title": each[0], "url": reverse("admin:billing_report", args=[code]), "chosen": code == name}
            for code, each in REPORTS.items()
        ],
        "currencies": currencies,
        "spans": SPANS.items(),
        "by_months": name not in {"ageing"},
        "by_centre": name == COST_CENTRES,
        "heads": table.heads,
        "rows": [[_shown(cell, asked.currency) for cell in row] for row in table.rows[:ROWS_SHOWN]],
        "more": max(0, len(table.rows) - ROWS_SHOWN),
        "figures": [
            {"title": each, "amount": display.figure(amount, asked.currency), "says": says}
            for each, amount, says in table.figures
        ],
        "chart": charts.data(table.labels, table.chart, asked.currency) if table.labels else None,
        "legend": [(series.name, series.tone) for series in table.chart],
        "note": table.note,
        "csv_query": query.urlencode(),
    }
    return TemplateResponse(request, "admin/ante/report.html", context)


# --- The reports ------------------------------------------------------------------------------------------------------


def _recurring(asked: Asked) -> Table:
    found = reports.months(asked.currency, first=asked.first, last=asked.last)
    fees, usage = exact_sum([row.fees for row in found]), exact_sum([row.usage for row in found])
    return Table(
        ["Month", "MRR at its end", "Subscriptions", "Fees recognised", "Usage recognised", "Revenue"],
        [
            [f"{row.month:%Y-%m}", row.mrr, row.subscriptions, row.fees, row.usage, EXACT.add(row.fees, row.usage)]
            for row in found
        ],
        [f"{row.month:%b %Y}" for row in found],
        [
            Series("Fees", 1, [row.fees for row in found]),
            Series("Usage", 2, [row.usage for row in found]),
        ],
        [
            ("MRR", reports.mrr(asked.currency, asked.last), "what base fees that run today come to a month"),
            ("Fees", fees, "recognised in these months"),
            ("Usage", usage, "recognised in these months: it recurs only as it is used"),
            ("Revenue", EXACT.add(fees, usage), "as the roll-forward has it, for the days that are closed"),
        ],
        "MRR counts base fees alone: yearly ones by twelve, weekly ones by the mean month. Usage stands apart.",
    )


def _retention(asked: Asked) -> Table:
    found = reports.cohorts(asked.currency, first=asked.first, last=asked.last)
    longest = max((len(row.revenue) for row in found), default=0)
    by_month = [exact_sum([row.revenue[n] for row in found if n < len(row.revenue)]) for n in range(longest)]
    return Table(
        ["First revenue", "Customers", *(f"Month {n}" for n in range(longest)), "Latest by first"],
        [
            [
                f"{row.month:%Y-%m}",
                row.customers,
                *[*row.revenue, *[None] * (longest - len(row.revenue))],
                _share(row.revenue[-1], row.revenue[0]),
            ]
            for row in found
        ],
        [f"Month {n}" for n in range(longest)],
        [Series("Revenue", 1, by_month)],
        [("Revenue", exact_sum(by_month), "of these customers, in the days that are closed")],
        "Net retention: what a month's new customers bring later, by what they brought in their first month. More than "
        "100 % is expansion. The running month is not over.",
    )


def _ageing(asked: Asked) -> Table:
    found = reports.ageing(asked.currency, asked.last)
    columns = [[row.ages[n] for row in found] for n in range(len(reports.AGES) + 1)]
    sums = [*map(exact_sum, columns), exact_sum([row.not_invoiced for row in found])]
    titles = ["Not due", "1 to 30 days", "31 to 60 days", "61 to 90 days", "Over 90 days", "Not invoiced"]
    whole, books = exact_sum(sums), reports.receivable(asked.currency)
    return Table(
        ["Customer", *titles, "Owed"],
        [[row.customer, *row.ages, row.not_invoiced, row.total] for row in found],
        titles,
        [Series("Owed", 1, sums)],
        [
            ("Owed", whole, "by all customers, taxes on invoices included"),
            ("In the ledger", books, "receivable"),
            ("Difference", EXACT.subtract(whole, books), "of the two"),
        ],
    )


def _losses(asked: Asked) -> Table:
    found = reports.losses(asked.currency, first=asked.first, last=asked.last)
    taken, given_up = (
        exact_sum([row.taken_back for row in found]),
        exact_sum([row.written_off for row in found]),
    )
    return Table(
        ["Month", "Prepaid", "Taken back by banks", "Share", "Post-paid usage", "Written off", "Share"],
        [
            [
                f"{row.month:%Y-%m}",
                row.prepaid,
                row.taken_back,
                _share(row.taken_back, row.prepaid),
                row.postpaid,
                row.written_off,
                _share(row.written_off, row.postpaid),
            ]
            for row in found
        ],
        [f"{row.month:%b %Y}" for row in found],
        [
            Series("Taken back by banks", 3, [row.taken_back for row in found]),
            Series("Written off", 2, [row.written_off for row in found]),
        ],
        [
            ("Prepaid", taken, "taken back by payers' banks"),
            ("Post-paid", given_up, "used on debt, invoiced and written off"),
        ],
        "Prepaid is money that came in for grants; post-paid is usage beyond what wallets held.",
    )


def _cost_centres(asked: Asked) -> Table:
    rows = margins.rows(start=asked.start, end=timezone.now(), group_by=["customer", asked.by])
    found = sorted((row for row in rows if row.asset == asked.currency), key=lambda row: row.charged, reverse=True)
    names = [row.group[1] or NO_GROUP for row in found]
    top: dict[str, Decimal] = {}
    for name, row in zip(names, found, strict=True):
        top[name] = EXACT.add(top.get(name, ZERO), row.charged)
    largest = sorted(top, key=lambda name: top[name], reverse=True)[:12]
    return Table(
        _cost_centre_heads(asked),
        [[row.group[0] or "", name, row.charged, row.cost, row.events] for name, row in zip(names, found, strict=True)],
        largest,
        [Series("Charged", 1, [top[name] for name in largest])],
        [("Charged", exact_sum([row.charged for row in found]), "by all cost centres together")],
        "A cost centre is any value that events carry: project, feature, user, or a name of your own.",
    )


def _cost_centre_heads(asked: Asked) -> list[str]:
    return ["Customer", asked.by, "Charged", "Cost", "Events"]


def _cost_centre_file(asked: Asked) -> StreamingHttpResponse:
    """All of them, however many, by customer and centre."""

    found = margins.stream(start=asked.start, end=timezone.now(), group_by=["customer", asked.by])

    def rows() -> Iterator[list[Cell]]:
        for row in found:
            if row.asset == asked.currency:
                yield [row.group[0] or "", row.group[1] or NO_GROUP, row.charged, row.cost, row.events]

    return downloads.csv(COST_CENTRES, _cost_centre_heads(asked), rows())


REPORTS: dict[str, tuple[str, Callable[[Asked], Table]]] = {
    "recurring": ("Recurring revenue", _recurring),
    "retention": ("Net revenue retention", _retention),
    "ageing": ("Ageing", _ageing),
    "losses": ("Losses", _losses),
    COST_CENTRES: ("Cost centres", _cost_centres),
}


# --- Showing them -----------------------------------------------------------------------------------------------------


def _share(part: Decimal, whole: Decimal) -> str:
    return f"{part / whole:.1%}" if whole > 0 else ""


def _shown(cell: Cell, currency: str) -> dict[str, Any]:
    if isinstance(cell, Decimal):
        return {"text": display.amount(cell, currency), "number": True}
    if isinstance(cell, int):
        return {"text": display.count(cell), "number": True}
    return {"text": cell or "", "number": bool(cell and cell.endswith("%"))}
