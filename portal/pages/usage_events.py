"""The single events behind a figure of the explorer, each with a link to why it was charged; and those that come in."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from billing.engine.money import ZERO
from billing.selectors.customer import members
from billing.selectors.usage import charged_events, tail
from billing.selectors.usage import usage as selector
from portal import access, downloads, explorer, long_lists, payloads
from portal.explorer import Question

PAGE_ROWS = 50
SHOWN = ("model", "user", "project", "feature", "session")


@require_GET
@access.signed_in
def usage_events(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The latest of them, or the oldest, and with htmx the further rows alone."""
    question, before = Question.read(request, visit), access.before(request)
    oldest_first = long_lists.oldest_first(request)
    latest, oldest = (urlencode(question.query() | first) for first in ({}, long_lists.OLDEST_FIRST))
    context: dict[str, Any] = {
        "question": question,
        "query": oldest if oldest_first else latest,
        "page": charged_events.page(
            **_asked(visit, question), before=before, oldest_first=oldest_first, limit=PAGE_ROWS
        ),
        "oldest_first": oldest_first,
        "turned": f"{request.path}?{latest if oldest_first else oldest}",
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
        back=reverse("portal:member", args=[question.member.pk]) if question.member else question.link(hour=None),
        formats=downloads.formats(),
        **context,
    )


@require_GET
@access.signed_in
def usage_events_file(request: HttpRequest, visit: access.Visit, format: str) -> HttpResponseBase:
    """All of them, the latest first: what each came to in the asset, less what was taken back."""
    question = Question.read(request, visit)

    def cells() -> Iterator[list[downloads.Cell]]:
        for row in charged_events.every(**_asked(visit, question)):
            values = [row.dimensions.get(name) for name in SHOWN]
            moment = row.occurred_at.astimezone(visit.zone)
            yield [moment, row.event_id, row.type, *values, question.asset, row.amount]

    texts = dict.fromkeys(["event", "type", *SHOWN, "asset"], "text")
    name = f"events-{question.period.first}-{question.period.last}"
    return downloads.table(name, format, {"occurred_at": "time", **texts, "amount": "amount"}, cells())


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


def _asked(visit: access.Visit, question: Question) -> dict[str, Any]:
    return {
        "customer_id": visit.customer.pk,
        "start": question.start,
        "end": question.end,
        "asset": question.asset,
        "meter": question.meter.code if question.meter else None,
        "where": question.where,
        "member": members.of(question.member) if question.member else None,
    }


def _total(visit: access.Visit, question: Question) -> tuple[Decimal, int]:
    """What all of them come to, and how many stand."""
    found = selector.totals(
        customer_id=visit.customer.pk,
        start=question.start,
        end=question.end,
        meter=question.meter.code if question.meter else None,
        where=question.where,
        member=members.of(question.member) if question.member else None,
    )
    return next(((row.amount, row.events) for row in found if row.asset == question.asset), (ZERO, 0))
