"""``/usage``: what was used and what it came to, for dashboards and BI tools."""

import csv
import io
import zoneinfo
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.http import HttpResponse, HttpResponseBase
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base
from billing.api.authentication import principal
from billing.api.fields import moment_string
from billing.api.json import CSVRenderer, ExactJSONRenderer
from billing.api.schema import events as schema
from billing.engine.money import amount_string
from billing.engine.spreadsheets import harmless
from billing.errors import InvalidRequest
from billing.selectors.revenue import revenue_days
from billing.selectors.usage import usage

SPAN_DEFAULT = timedelta(days=30)
_OWN = {"period_start", "asset", "quantity", "amount", "events"}
"""The members that every row has: a dimension of such a name cannot be shown beside them."""


class UsageView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "events:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {
        "GET": ("customer", *base.WINDOW, "granularity", "group_by", "meter", "timezone")
    }
    renderer_classes = [ExactJSONRenderer, CSVRenderer]

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
        group_by = [name for name in (base.text(request, "group_by") or "").split(",") if name]
        if taken := sorted(_OWN & set(group_by)):
            raise InvalidRequest.field("group_by", f"{', '.join(taken)}: every row has a member of that name already.")
        rows = usage.rows(
            customer_id=customer_id,
            start=start,
            end=end,
            granularity=base.text(request, "granularity") or "day",
            group_by=group_by,
            meter=base.text(request, "meter"),
            timezone=_zone(base.text(request, "timezone") or "UTC"),
        )
        shown = [_show(row, group_by) for row in rows]
        moment = revenue_days.provisional_from(start, end)
        provisional = None if moment is None else moment_string(moment)
        if isinstance(request.accepted_renderer, CSVRenderer):
            return _csv(shown, group_by, provisional)
        return Response({"data": shown, "provisional_from": provisional, "next_cursor": None})


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


def _csv(rows: Sequence[Mapping[str, Any]], group_by: Sequence[str], provisional: str | None) -> HttpResponse:
    """RFC 4180. Texts that a spreadsheet would run as a formula get an apostrophe in front; numbers stay numbers."""
    out = io.StringIO()
    columns = ["period_start", *group_by, "asset", "quantity", "amount", "events"]
    writer = csv.DictWriter(out, columns, lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        texts = {name: harmless(row[name] or "") for name in group_by}
        writer.writerow({**row, **texts})
    headers = {} if provisional is None else {"X-Provisional-From": provisional}
    return HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)
