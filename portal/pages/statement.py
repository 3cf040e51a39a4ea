"""Every movement of the wallet, newest or oldest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from billing.models import EntryKind
from billing.selectors.invoicing import sections
from billing.selectors.ledger import balances, statements
from portal import access, amounts, downloads, statement_paper
from portal.long_lists import LongList, oldest_first
from portal.periods import midnight, midnight_after, parse_day

PAGE_ROWS = 50
HEADER = (
    "id",
    "transaction",
    "occurred_at",
    "posted_at",
    "kind",
    "asset",
    "amount",
    "balance_after",
    "event",
    "meter",
    "model",
    "grant_id",
    "grant",
    "description",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters(LongList):
    """What the address asks for; what makes no sense counts as not asked."""

    page = "statement"
    asset: str
    kind: str
    first: date | None
    last: date | None
    search: str

    @classmethod
    def read(cls, request: HttpRequest) -> "Filters":
        kind = request.GET.get("kind", "")
        return cls(
            asset=access.asked(request, "asset"),
            kind=kind if kind in EntryKind.values else "",
            first=parse_day(request.GET.get("from")),
            last=parse_day(request.GET.get("to")),
            search=access.asked(request, "q").strip()[:255],
            oldest_first=oldest_first(request),
        )

    @property
    def asked(self) -> dict[str, str]:
        return {
            "asset": self.asset,
            "kind": self.kind,
            "from": self.first.isoformat() if self.first else "",
            "to": self.last.isoformat() if self.last else "",
            "q": self.search,
        }

    def sections(self, visit: access.Visit, now: datetime) -> "Sections":
        """What usage of the days that are asked for came to, by section; of this month where none are."""
        first = self.first or now.astimezone(visit.zone).date().replace(day=1)
        last = self.last or now.astimezone(visit.zone).date()
        start, end = midnight(first, visit.zone), midnight_after(last, visit.zone)
        return Sections(first, last, sections.used(visit.customer.pk, start=start, end=end))

    def arguments(self, visit: access.Visit) -> dict[str, Any]:
        """For the selector: days of the customer's calendar as moments, both days included."""
        return {
            "customer_id": visit.customer.pk,
            "asset": self.asset or None,
            "kind": self.kind or None,
            "start": midnight(self.first, visit.zone) if self.first else None,
            "end": midnight_after(self.last, visit.zone) if self.last else None,
            "search": self.search or None,
            "oldest_first": self.oldest_first,
        }


@dataclass(frozen=True, slots=True)
class Sections:
    """What usage of the days from ``first`` to ``last`` came to: section, asset, amount."""

    first: date
    last: date
    rows: list[tuple[str, str, Decimal]]


@require_GET
@access.signed_in
def statement(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """One page of the statement. With htmx: the results for new filters, or the further rows alone."""
    filters = Filters.read(request)
    before = access.before(request)
    more = before is not None
    page = statements.page(**filters.arguments(visit), before=before, limit=PAGE_ROWS)
    context: dict[str, Any] = {
        "filters": filters,
        "query": filters.query(),
        "page": page,
        "sections": None if more else filters.sections(visit, timezone.now()),
        "before": before,
        "kinds": EntryKind.choices,
        "assets": [balance.asset for balance in balances.current([visit.customer.pk])],
    }
    if not getattr(request, "htmx", False):
        return access.render_for(request, visit, "portal/statement.html", **context)
    if more:
        return access.render_for(request, visit, "portal/parts/statement_rows.html", **context)
    response = access.render_for(request, visit, "portal/parts/statement_results.html", **context)
    response["HX-Push-Url"] = f"{request.path}?{filters.query()}".rstrip("?")
    return response


@require_GET
@access.signed_in
def statement_csv(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """The whole statement for the same filters, amounts exact, times in the customer's zone."""
    rows = statements.everything(**Filters.read(request).arguments(visit))

    def cells() -> Iterator[list[downloads.Cell]]:
        for row in rows:
            yield [
                str(row.id),
                str(row.transaction_id),
                row.occurred_at.astimezone(visit.zone),
                row.posted_at.astimezone(visit.zone),
                row.kind,
                row.asset,
                row.amount,
                row.balance_after,
                row.event,
                row.meter,
                row.model,
                str(row.grant_id) if row.grant_id else None,
                row.grant,
                row.description,
            ]

    return downloads.response(f"statement-{visit.customer.external_id[:40]}.csv", HEADER, cells())


@require_GET
@access.signed_in
def statement_pdf(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The statement for the same filters as paper. One that is too long leads back to the page, which says so."""
    filters, most = Filters.read(request), statement_paper.ROWS_MAX
    page = statements.page(**filters.arguments(visit), limit=most)
    if page.next_cursor is not None:
        too_long = gettext("A PDF holds {many} movements at most. Choose fewer days, or take the CSV, which holds all.")
        messages.error(request, too_long.format(many=amounts.number(Decimal(most))))
        return redirect(f"{reverse('portal:statement')}?{filters.query()}")
    paper = statement_paper.pdf(visit, page.rows, first=filters.first, last=filters.last)
    return downloads.pdf(f"statement-{visit.customer.external_id[:40]}.pdf", paper)
