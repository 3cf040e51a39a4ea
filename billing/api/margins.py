"""``/margins``: what usage was charged, what it cost, and what is left. For the operator's keys alone."""

import csv
import io
import zoneinfo
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from billing import access
from billing.api import base
from billing.api.authentication import principal
from billing.api.fields import amount_or_none
from billing.api.json import CSVRenderer, ExactJSONRenderer
from billing.api.schema import costs as schema
from billing.engine.money import amount_string
from billing.engine.spreadsheets import harmless
from billing.errors import InvalidRequest
from billing.selectors.reports import margins

SPAN_DEFAULT = timedelta(days=30)
_OWN = (
    *("asset", "charged", "charged_with_cost", "cost", "margin", "margin_share", "below_floor"),
    *("events", "events_without_cost"),
)


class MarginsView(base.View):
    scopes: ClassVar[Mapping[str, str]] = {"GET": "margins:read"}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {
        "GET": (*base.WINDOW, "group_by", "customer", "meter", "model", "timezone")
    }
    renderer_classes = [ExactJSONRenderer, CSVRenderer]

    @schema.MARGINS
    def get(self, request: Request) -> HttpResponseBase:
        access.operator(principal=principal(request))
        external_id = base.text(request, "customer")
        customer_id = external_id and access.customer(principal=principal(request), external_id=external_id).pk
        end = base.moment(request, "to") or timezone.now()
        start = base.moment(request, "from") or end - SPAN_DEFAULT
        if start >= end:
            raise InvalidRequest.field("from", "must be before to")
        zone = base.text(request, "timezone") or "UTC"
        if zone not in zoneinfo.available_timezones():
            raise InvalidRequest.field("timezone", "must be an IANA name such as Europe/Berlin")
        group_by = [name for name in (base.text(request, "group_by") or "").split(",") if name]
        if taken := sorted(set(_OWN) & set(group_by)):
            raise InvalidRequest.field("group_by", f"{', '.join(taken)}: every row has a member of that name already.")
        found = margins.rows(
            start=start,
            end=end,
            group_by=group_by,
            customer_id=customer_id or None,
            meter=base.text(request, "meter"),
            model=base.text(request, "model"),
            timezone=zoneinfo.ZoneInfo(zone),
        )
        shown = [show(row, group_by) for row in found]
        if isinstance(request.accepted_renderer, CSVRenderer):
            return HttpResponse(_csv(shown, group_by), content_type="text/csv; charset=utf-8")
        return Response({"data": shown, "floor": amount_string(_floor()), "next_cursor": None})


def _floor() -> Decimal:
    floor: Decimal = settings.MARGIN_FLOOR
    return floor


def show(row: margins.MarginRow, group_by: Sequence[str]) -> dict[str, Any]:
    """A row as the API gives it."""
    return {
        **dict(zip(group_by, row.group, strict=True)),
        "asset": row.asset,
        "charged": amount_string(row.charged),
        "charged_with_cost": amount_string(row.charged_with_cost),
        "cost": amount_string(row.cost),
        "margin": amount_or_none(row.margin),
        "margin_share": amount_or_none(row.share),
        "below_floor": row.below(_floor()),
        "events": row.events,
        "events_without_cost": row.events_without_cost,
    }


def _csv(rows: Sequence[Mapping[str, Any]], group_by: Sequence[str]) -> str:
    """RFC 4180. Texts that a spreadsheet would run as a formula get an apostrophe in front; numbers stay numbers."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [*group_by, *_OWN], lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        texts = {name: harmless(row[name] or "") for name in group_by}
        writer.writerow({**row, **texts, "below_floor": str(row["below_floor"]).lower()})
    return out.getvalue()
