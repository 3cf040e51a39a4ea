"""The single events behind a figure of the explorer, each with a link to why it was charged; and those that come in."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.http import require_GET

from billing.engine.money import ZERO
from billing.selectors import charged_events, tail
from billing.selectors import usage as selector
from billing.selectors.charged_events import EventPage
from portal import access, downloads, explorer, payloads
from portal.explorer import Question

PAGE_ROWS = 50
SHOWN = ("model", "user", "project", "feature", "session")


@require_GET
@access.signed_in
def usage_events(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The latest of them, and with htmx the further rows alone."""
    question = Question.read(request, visit)
    before = access.before(request)
    context: dict[str, Any] = {
        "question": question,
        "query": urlencode(question.query()),
        "page": _page(visit, question, before, PAGE_ROWS),
        "before": before,
    }
    if getattr(request, "htmx", False) and before is not None:
        return access.render_for(request, visit, "portal/parts/usage_event_rows.html", **context)
    keys = explorer.key_names(visit) if selector.API_KEY in question.where else {}
    total, events = _total(visit, question)
    return access.render_for(
        request,
        visit,
        "portal/usage_events.html",
        filters=question.filters(keys),
        total=total,
        events=events,
        back=question.link(hour=None),
        **context,
    )


@require_GET
@access.signed_in
def usage_events_csv(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """All of them, the latest first: what each came to in the asset, less what was taken back."""
    question = Question.read(request, visit)

    def cells() -> Iterator[list[downloads.Cell]]:
        for row in charged_events.every(**_asked(visit, question)):
            values = [row.dimensions.get(name) for name in SHOWN]
            moment = row.occurred_at.astimezone(visit.zone)
            yield [moment, row.event_id, row.type, *values, question.asset, row.amount]

    name = f"events-{question.period.first}-{question.period.last}.csv"
    return downloads.response(name, ["occurred_at", "event", "type", *SHOWN, "asset", "amount"], cells())


@require_GET
@access.signed_in
def usage_live(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The latest events, and from then on those that come in."""
    events = [payloads.event(row) for row in tail.latest([visit.customer.pk])]
    return access.render_for(request, visit, "portal/usage_live.html", events=events, latest=tail.LATEST)


@require_GET
def usage_live_json(request: HttpRequest) -> JsonResponse:
    """The latest events, once: for browsers that cannot keep a stream open."""
    headers = {"Cache-Control": "no-store"}
    try:
        customer = access.customer_for(request)
    except Http404:
        return JsonResponse({"detail": "Sign in first."}, status=401, headers=headers)
    return JsonResponse(payloads.new_events(tail.latest([customer.pk]), ()) or {"events": []}, headers=headers)


def _page(visit: access.Visit, question: Question, before: UUID | None, limit: int) -> EventPage:
    return charged_events.page(**_asked(visit, question), before=before, limit=limit)


def _asked(visit: access.Visit, question: Question) -> dict[str, Any]:
    return {
        "customer_id": visit.customer.pk,
        "start": question.start,
        "end": question.end,
        "asset": question.asset,
        "meter": question.meter.code if question.meter else None,
        "where": question.where,
    }


def _total(visit: access.Visit, question: Question) -> tuple[Decimal, int]:
    """What all of them come to, and how many stand."""
    found = selector.totals(
        customer_id=visit.customer.pk,
        start=question.start,
        end=question.end,
        meter=question.meter.code if question.meter else None,
        where=question.where,
    )
    return next(((row.amount, row.events) for row in found if row.asset == question.asset), (ZERO, 0))
