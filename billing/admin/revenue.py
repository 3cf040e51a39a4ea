"""Revenue: the days of the books and their roll-forward, down from each figure to its lines and entries."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.services import audit
from billing.admin import charts, display, downloads, periods
from billing.admin.charts import Series
from billing.engine.journals import PARQUET
from billing.engine.money import EXACT, ZERO, exact_sum
from billing.engine.recognition import COLUMNS, MOVEMENTS
from billing.engine.spreadsheets import Cell
from billing.errors import BillingError
from billing.gateways import parquet
from billing.models import Grant, Recognition, RevenueDay
from billing.selectors.revenue import revenue, revenue_days, revenue_lines
from billing.selectors.revenue.revenue import RollForward
from billing.selectors.revenue.revenue_lines import Wanted
from billing.services import exports
from billing.services import revenue as service
from billing.services.revenue.chart import ACCOUNTS

VIEW, CHANGE = "billing.view_revenueday", "billing.change_revenueday"
PERIODS = ("7d", "30d")
LINES_SHOWN = 200
TITLES = {
    "billed": "Billed",
    "recognised": "Recognised",
    "breakage": "Breakage",
    "refunded": "Refunded",
    "settled": "Paid debts",
    "exchanged": "Exchanged",
    "adjusted": "Adjusted",
    "disputed": "Disputed",
}
OTHERS = COLUMNS[4:]
FORMAT_TITLES = {"csv": "CSV", "jsonl": "JSON lines", "netsuite": "NetSuite", "sap": "SAP", PARQUET: "Parquet"}


def overview(request: HttpRequest) -> HttpResponseBase:
    """The roll-forward of one currency, day by day, with what is deferred and what was recognised as charts; with
    ``format=csv`` its table to take along."""
    _allow(request, VIEW)
    period, span = periods.asked(request, PERIODS)
    first, last = timezone.localdate(span.start), timezone.localdate(span.end - timedelta(microseconds=1))
    days = list(revenue.days(first=first, last=last).order_by("-date", "-version"))
    by_day = {day.pk: {row.currency: row for row in revenue.roll_forward(day)} for day in days if day.sha256}
    currencies = sorted(
        {currency for rows in by_day.values() for currency in rows}, key=lambda each: (each != "usd", each)
    )
    currency = request.GET.get("currency", "")
    currency = currency if currency in currencies else (currencies[0] if currencies else "usd")
    closed = [(day, by_day[day.pk].get(currency) or RollForward(currency)) for day in days if day.pk in by_day]
    running = [day for day in days if not day.sha256]
    if request.GET.get("format") == "csv":
        return _file(f"roll-forward-{currency}-{first}-{last}", running, closed)
    query = request.GET.copy()
    query["format"] = "csv"
    context = {
        **admin.site.each_context(request),
        "title": "Revenue",
        "currency": currency,
        "currencies": currencies,
        "periods": periods.offered(PERIODS, period),
        "heads": [TITLES[name] for name in COLUMNS[:4]],
        "running": running,
        "rows": [_day_row(day, row) for day, row in closed],
        "total": _total(closed, currency),
        "charts": _charts(closed[::-1], currency) if closed else [],
        "zone": timezone.get_current_timezone_name(),
        "csv_query": query.urlencode(),
    }
    return TemplateResponse(request, "admin/ante/revenue.html", context)


def day(request: HttpRequest, on: str) -> HttpResponseBase:
    """One day: its roll-forward, its accounts, its files; with ``format`` one of the files."""
    _allow(request, VIEW)
    versions = list(RevenueDay.objects.filter(date=_date(on)).order_by("-version"))
    if not versions:
        raise Http404
    wanted = request.GET.get("version", "")
    shown = next((each for each in versions if str(each.version) == wanted), None) or next(
        (each for each in versions if each.sha256), versions[0]
    )
    if request.method == "POST":
        return _reopening(request, shown, versions)
    if (format := request.GET.get("format", "")) in exports.JOURNAL_FORMATS and shown.sha256:
        file = exports.journal(shown, format)
        return FileResponse(file.body, as_attachment=True, filename=file.name, content_type=file.content_type)
    return _day_page(request, shown, versions, ReopenForm())


def lines(request: HttpRequest, on: str) -> HttpResponse:
    """The lines that a figure of a day is the sum of."""
    _allow(request, VIEW)
    version = request.GET.get("version", "")
    rows = RevenueDay.objects.filter(date=_date(on)).exclude(sha256="").order_by("-version")
    shown = (rows.filter(version=int(version)) if version.isascii() and version.isdigit() else rows).first()
    if shown is None:
        raise Http404
    names = ("currency", "column", "account", "movement")
    wanted = Wanted(**{name: request.GET.get(name, "").replace("\x00", "")[:64] for name in names})
    found = revenue_lines.lines(shown, wanted)
    what = [
        wanted.currency.upper(),
        TITLES.get(wanted.column, wanted.column.capitalize()),
        ACCOUNTS.get(wanted.account, wanted.account),
        wanted.movement,
    ]
    context = {
        **admin.site.each_context(request),
        "title": f"{shown}: {', '.join(filter(None, what)) or 'all lines'}",
        "day": shown,
        "count": found.count(),
        "lines": [_line_row(line) for line in found.select_related("customer")[:LINES_SHOWN]],
        "more": max(0, found.count() - LINES_SHOWN),
        "back_url": _day_url(shown),
    }
    return TemplateResponse(request, "admin/ante/revenue_lines.html", context)


def line(request: HttpRequest, line_id: UUID) -> HttpResponse:
    """A line, and the ledger entries that it sums."""
    _allow(request, VIEW)
    rows = Recognition.objects.select_related("day", "customer", "grant", "fee")
    found = get_object_or_404(rows, pk=line_id)
    entries = revenue_lines.entries(found).select_related("transaction")
    context = {
        **admin.site.each_context(request),
        "title": f"Line {found.number} of {found.day}",
        "line": _line_row(found),
        "meaning": MOVEMENTS[found.movement][1],
        "count": found.entries,
        "shown": revenue_lines.ENTRIES_MAX,
        "entries": [
            {
                "posted": display.moment(entry.posted_at),
                "occurred": display.moment(entry.occurred_at),
                "posting": display.posting(entry.debit, entry.credit),
                "amount": display.amount(entry.amount, entry.asset_id),
                "transaction": display.link(entry.transaction, entry.transaction.template),
                "entry": display.link(entry, display.short_id(entry.pk)),
            }
            for entry in entries
        ],
        "back_url": _day_url(found.day),
    }
    return TemplateResponse(request, "admin/ante/revenue_line.html", context)


# --- A day ------------------------------------------------------------------------------------------------------------


class ReopenForm(forms.Form):
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)


def _day_page(
    request: HttpRequest, shown: RevenueDay, versions: Sequence[RevenueDay], form: ReopenForm, refused: str = ""
) -> HttpResponse:
    newest = revenue_days.final().first()
    waiting = next((each for each in versions if each.version > 1 and not each.approved_by and not each.sha256), None)
    context = {
        **admin.site.each_context(request),
        "title": str(shown),
        "day": shown,
        "closed_at": display.moment(shown.closed_at),
        "versions": [{"day": each, "url": f"{_day_url(each)}?version={each.version}"} for each in versions],
        "statements": [_statement(shown, row) for row in revenue.roll_forward(shown)] if shown.sha256 else [],
        "accounts": _accounts(shown) if shown.sha256 else [],
        "files": [
            {"title": title, "url": f"?version={shown.version}&format={name}", **shown.files.get(name, {})}
            for name, title in FORMAT_TITLES.items()
            if name in shown.files or (shown.files and name == PARQUET and parquet.installed())
        ],
        "form": form,
        "refused": refused,
        "waiting": waiting,
        "may_reopen": request.user.has_perm(CHANGE) and shown == newest and waiting is None,
        "may_approve": request.user.has_perm(CHANGE) and waiting is not None,
    }
    return TemplateResponse(request, "admin/ante/revenue_day.html", context, status=422 if refused else 200)


def _reopening(request: HttpRequest, shown: RevenueDay, versions: Sequence[RevenueDay]) -> HttpResponse:
    """Somebody asks for a further version, or agrees to one."""
    _allow(request, CHANGE)
    form = ReopenForm(request.POST)
    actor = audit.actor_of(request)
    try:
        if "approve" in request.POST:
            waiting = next((each for each in versions if str(each.pk) == request.POST["approve"]), None)
            if waiting is None:
                raise Http404
            service.approve(actor=actor, day=waiting)
        elif form.is_valid():
            service.reopen(actor=actor, day=shown, reason=form.cleaned_data["reason"])
        else:
            return _day_page(request, shown, versions, form, "A reason is needed.")
    except BillingError as refusal:
        return _day_page(request, shown, versions, form, refusal.detail)
    return HttpResponseRedirect(_day_url(shown))


def _statement(day: RevenueDay, row: RollForward) -> dict[str, Any]:
    steps = [
        {
            "title": TITLES[name],
            "sign": "+" if name == "billed" else display.MINUS,
            "amount": display.amount(row.columns[name], row.currency),
            "url": _lines_url(day, currency=row.currency, column=name) if row.columns[name] else "",
        }
        for name in COLUMNS
        if row.columns[name] or name in COLUMNS[:4]
    ]
    beside = [
        ("Revenue, with what is owed for it", row.revenue, "revenue", ""),
        ("Owed by customers at the end of the day", row.receivable, "", ""),
        ("Used of what was given: no revenue", row.promotional, "", "promotional"),
        ("Used of what plans include", row.included, "", "included"),
    ]
    return {
        "currency": row.currency.upper(),
        "opening": display.amount(row.opening, row.currency),
        "steps": steps,
        "closing": display.amount(row.closing, row.currency),
        "difference": row.difference,
        "beside": [
            {
                "title": title,
                "amount": display.amount(amount, row.currency),
                "url": _lines_url(day, currency=row.currency, column=column, movement=movement)
                if amount and (column or movement)
                else "",
            }
            for title, amount, column, movement in beside
        ],
    }


def _accounts(day: RevenueDay) -> list[dict[str, Any]]:
    return [
        {
            "title": ACCOUNTS.get(row.account, row.account),
            "currency": row.currency.upper(),
            **{
                name: display.amount(getattr(row, name), row.currency)
                for name in ("opening", "debited", "credited", "closing")
            },
            "url": _lines_url(day, currency=row.currency, account=row.account),
        }
        for row in revenue.trial_balance(day)
    ]


def _line_row(line: Recognition) -> dict[str, Any]:
    return {
        "number": line.number,
        "url": reverse("admin:billing_revenue_line", args=[line.pk]),
        "movement": line.movement.replace("_", " "),
        "posting": display.posting(*(ACCOUNTS.get(code, code) for code in (line.debit, line.credit))),
        "amount": display.amount(line.amount, line.currency_id, signed=True),
        "customer": display.link(line.customer),
        "product": line.product,
        "grant": display.link_to(Grant, line.grant_id, display.short_id(line.grant_id)),
        "occurred_on": line.occurred_on,
        "late": line.occurred_on < line.day.date,
        "entries": line.entries,
    }


# --- The overview -----------------------------------------------------------------------------------------------------


def _day_row(day: RevenueDay, row: RollForward) -> dict[str, Any]:
    return {
        "day": day,
        "url": _day_url(day),
        "opening": display.amount(row.opening, row.currency),
        "columns": [
            {
                "amount": display.amount(row.columns[name], row.currency),
                "url": _lines_url(day, currency=row.currency, column=name) if row.columns[name] else "",
            }
            for name in COLUMNS[:4]
        ],
        "other": display.amount(_other(row), row.currency),
        "closing": display.amount(row.closing, row.currency),
        "difference": row.difference,
        "late": day.late,
    }


def _other(row: RollForward) -> Decimal:
    return exact_sum([row.columns[name] for name in OTHERS])


def _file(
    name: str, running: Sequence[RevenueDay], closed: Sequence[tuple[RevenueDay, RollForward]]
) -> HttpResponseBase:
    """The days as the table has them, amounts exact; of one that is not closed there are none yet."""
    heads = ["day", "version", "state", "currency", "opening", *COLUMNS[:4], "other", "closing", "difference"]

    def about(day: RevenueDay) -> list[Cell]:
        return [day.date.isoformat(), day.version, day.state]

    rows: list[list[Cell]] = [[*about(day), *[None] * (len(heads) - 3)] for day in running]
    for day, row in closed:
        shown = [row.columns[name] for name in COLUMNS[:4]]
        rows.append([*about(day), row.currency, row.opening, *shown, _other(row), row.closing, row.difference])
    return downloads.csv(name, heads, rows)


def _total(closed: Sequence[tuple[RevenueDay, RollForward]], currency: str) -> dict[str, Any]:
    sums = dict.fromkeys(("billed", "recognised", "breakage", "revenue", "difference"), ZERO)
    for _, row in closed:
        for name in sums:
            amount: Decimal = row.columns[name] if name in row.columns else getattr(row, name)
            sums[name] = EXACT.add(sums[name], amount.copy_abs() if name == "difference" else amount)
    last = closed[0][1] if closed else RollForward(currency)
    return {
        **{name: display.figure(amount, currency) for name, amount in sums.items()},
        "wrong": bool(sums["difference"]),
        "closing": display.figure(last.closing, currency),
        "receivable": display.figure(last.receivable, currency),
    }


def _charts(closed: Sequence[tuple[RevenueDay, RollForward]], currency: str) -> list[dict[str, Any]]:
    """What is deferred at the end of each day, and what was recognised on it."""
    labels, rows = [f"{day.date:%-d %b}" for day, _ in closed], [row for _, row in closed]

    def chart(name: str, title: str, *series: Series) -> dict[str, Any]:
        legend = [(each.name, each.tone) for each in series]
        return {"id": name, "title": title, "legend": legend, "data": charts.data(labels, series, currency)}

    return [
        chart("deferred-data", "Deferred at the end of the day", Series("Deferred", 2, [row.closing for row in rows])),
        chart(
            "recognised-data",
            "Recognised on the day",
            Series("Recognised", 1, [row.columns["recognised"] for row in rows]),
            Series("Breakage", 3, [row.columns["breakage"] for row in rows]),
        ),
    ]


# --- Addresses --------------------------------------------------------------------------------------------------------


def _allow(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Http404 from None


def _day_url(day: RevenueDay) -> str:
    return reverse("admin:billing_revenue_day", args=[day.date.isoformat()])


def _lines_url(day: RevenueDay, **wanted: str) -> str:
    query = "&".join(f"{name}={value}" for name, value in {"version": str(day.version), **wanted}.items() if value)
    return f"{reverse('admin:billing_revenue_lines', args=[day.date.isoformat()])}?{query}"
