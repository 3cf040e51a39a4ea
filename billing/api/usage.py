"""``/usage``: what was used and what it came to, for dashboards and BI tools."""

import zoneinfo
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.http import HttpResponse, HttpResponseBase
from django.utils import timezone
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base
from billing.api.authentication import principal
from billing.api.fields import moment_or_none, moment_string
from billing.api.json import CSVRenderer, ExactJSONRenderer, ParquetRenderer
from billing.api.schema import events as schema
from billing.engine.money import amount_string
from billing.engine.spreadsheets import Cell, lines
from billing.errors import InvalidRequest
from billing.gateways import parquet
from billing.selectors.revenue import revenue_days
from billing.selectors.usage import usage

SPAN_DEFAULT = timedelta(days=30)
HOURS_SPAN_MAX = timedelta(days=93)
"""By the hour no longer time is answered for at once."""
ROWS_MAX = 100_000
_OWN = {"period_start", "asset", "quantity", "amount", "events"}
"""The members that every row has: a dimension of such a name cannot be shown beside them."""


class UsageView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "events:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {
        "GET": ("customer", *base.WINDOW, "granularity", "group_by", "meter", "timezone")
    }

    def get_renderers(self) -> list[BaseRenderer]:
        tables = [CSVRenderer(), ParquetRenderer()] if parquet.installed() else [CSVRenderer()]
        return [ExactJSONRenderer(), *tables]

    @schema.USAGE
    def get(self, request: Request) -> HttpResponseBase:
        customer_id = None
        external_id = base.text(request, "customer")
        if external_id is not None:
            customer_id = access.customer(principal=principal(request), external_id=external_id).pk
        elif (own := access.customers(principal=principal(request))) is not None:
            customer_id = own[0] if own else None
            if customer_id is None:
                raise InvalidRequest.field("customer", "This key belongs to no customer.")
        end = base.moment(request, "to") or timezone.now()
        start = base.moment(request, "from") or end - SPAN_DEFAULT
        if start >= end:
            raise InvalidRequest.field("from", "must be before to")
        granularity = base.text(request, "granularity") or "day"
        if granularity == "hour" and end - start > HOURS_SPAN_MAX:
            raise InvalidRequest.field("from", f"by the hour at most {HOURS_SPAN_MAX.days} days before to")
        group_by = [name for name in (base.text(request, "group_by") or "").split(",") if name]
        if taken := sorted(_OWN & set(group_by)):
            raise InvalidRequest.field("group_by", f"{', '.join(taken)}: every row has a member of that name already.")
        rows = usage.rows(
            customer_id=customer_id,
            start=start,
            end=end,
            granularity=granularity,
            group_by=group_by,
            meter=base.text(request, "meter"),
            timezone=_zone(base.text(request, "timezone") or "UTC"),
            limit=ROWS_MAX + 1,
        )
        if len(rows) > ROWS_MAX:
            raise InvalidRequest.field(
                "group_by", f"more than {ROWS_MAX:,} rows: ask for less time, longer periods or fewer names"
            )
        provisional = moment_or_none(revenue_days.provisional_from(start, end))
        if isinstance(request.accepted_renderer, ExactJSONRenderer):
            shown = [_show(row, group_by) for row in rows]
            return Response({"data": shown, "provisional_from": provisional, "next_cursor": None})
        return _table(request.accepted_renderer, rows, group_by, provisional)


def _zone(name: str) -> zoneinfo.ZoneInfo:
    if name not in zoneinfo.available_timezones():
        raise InvalidRequest.field("timezone", "must be an IANA name such as Europe/Berlin")
    return zoneinfo.ZoneInfo(name)


def _show(row: usage.UsageRow, group_by: Sequence[str]) -> dict[str, Any]:
    return {
        "period_start": moment_string(row.period_start),
        **dict(zip(group_by, row.group, strict=True)),
        "asset": row.asset,
        "quantity": amount_string(row.quantity),
        "amount": amount_string(row.amount),
        "events": row.events,
    }


def _table(
    renderer: BaseRenderer, rows: Sequence[usage.UsageRow], group_by: Sequence[str], provisional: str | None
) -> HttpResponse:
    """RFC 4180, where texts that a spreadsheet would run as a formula get an apostrophe in front; or Parquet."""
    columns = {"period_start": "time", **dict.fromkeys([*group_by, "asset"], "text")}
    columns |= {"quantity": "amount", "amount": "amount", "events": "number"}
    headers = {} if provisional is None else {"X-Provisional-From": provisional}
    if isinstance(renderer, ParquetRenderer):
        cells = ([row.period_start, *_cells(row)] for row in rows)
        return HttpResponse(parquet.stream(columns, cells), content_type=renderer.media_type, headers=headers)
    table = lines(list(columns), ([moment_string(row.period_start), *_cells(row)] for row in rows))
    return HttpResponse(table, content_type="text/csv; charset=utf-8", headers=headers)


def _cells(row: usage.UsageRow) -> Iterator[Cell]:
    yield from (*row.group, row.asset, row.quantity, row.amount, row.events)
