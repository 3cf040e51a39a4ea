"""``/revenue``: the days of the books and their files. For the operator's keys alone."""

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any, ClassVar

from django.http import FileResponse, HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base, pagination
from billing.api.authentication import principal
from billing.api.fields import moment_string
from billing.api.schema import revenue as schema
from billing.engine.money import amount_string, amount_strings
from billing.errors import InvalidRequest, InvalidState, NotFound
from billing.models import RevenueDay
from billing.selectors.revenue import revenue
from billing.services import exports


class DaysView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "revenue:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": (*base.WINDOW, *base.PAGE)}

    @schema.DAYS
    def get(self, request: Request) -> Response:
        access.operator(principal=principal(request))
        first, last = _date(request, "from"), _date(request, "to")
        if first is not None and last is not None and first > last:
            raise InvalidRequest.field("from", "must not be after to")
        return Response(pagination.page(request, revenue.days(first=first, last=last), show_day))


class ExportView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "revenue:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {"GET": ("version",)}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """``format`` is the file's here, not the answer's."""
        renderer = self.get_renderers()[0]
        return renderer, renderer.media_type

    @schema.EXPORT
    def get(self, request: Request, date: str) -> HttpResponseBase:
        access.operator(principal=principal(request))
        format = base.text(request, "format") or "csv"
        if format not in exports.JOURNAL_FORMATS:
            raise InvalidRequest.field("format", f"must be one of {', '.join(exports.JOURNAL_FORMATS)}")
        file = exports.journal(_closed(_day(date, "date"), base.text(request, "version")), format)
        response = FileResponse(file.body, as_attachment=True, filename=file.name, content_type=file.content_type)
        response["ETag"] = f'"{file.sha256}"'
        return response


def show_day(day: RevenueDay) -> dict[str, Any]:
    """A day as the API gives it."""
    closed = day.state == RevenueDay.State.CLOSED
    return {
        "date": day.date.isoformat(),
        "version": day.version,
        "state": day.state,
        "timezone": day.zone,
        "start": moment_string(day.start),
        "end": moment_string(day.end),
        "closed_at": moment_string(day.closed_at) if day.closed_at else None,
        "sha256": day.sha256 or None,
        "entries": day.entries,
        "late_entries": day.late,
        "files": day.files,
        "currencies": list(_currencies(day)) if closed else [],
    }


def _currencies(day: RevenueDay) -> Iterator[dict[str, str]]:
    for row in revenue.roll_forward(day):
        yield {
            "currency": row.currency.upper(),
            "opening": amount_string(row.opening),
            **amount_strings(row.columns),
            "closing": amount_string(row.closing),
            "revenue": amount_string(row.revenue),
            "receivable": amount_string(row.receivable),
            "promotional": amount_string(row.promotional),
            "included": amount_string(row.included),
        }


def _closed(on: date, version: str | None) -> RevenueDay:
    rows = RevenueDay.objects.filter(date=on).order_by("-version")
    if version is not None:
        if not (version.isascii() and version.isdigit() and len(version) < 6):
            raise InvalidRequest.field("version", "must be a whole number")
        rows = rows.filter(version=int(version))
    found = rows.filter(state=RevenueDay.State.CLOSED).first() or rows.first()
    if found is None:
        raise NotFound("There is no such day in the books.")
    if found.state != RevenueDay.State.CLOSED:
        raise InvalidState(f"{found.date:%Y-%m-%d} is not closed yet.", state=found.state)
    return found


def _date(request: Request, name: str) -> date | None:
    text = base.text(request, name)
    return None if text is None else _day(text, name)


def _day(text: str, name: str) -> date:
    try:
        # As it is written out: the short forms of ISO 8601 are not taken.
        if len(text) == len("2026-01-31"):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidRequest.field(name, "must be a date such as 2026-01-31")
