"""Who changed what in the organization."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_GET

from accounts import steps
from accounts.models import AuditEvent
from accounts.services import audit
from portal import access, downloads
from portal.long_lists import LongList, oldest_first
from portal.periods import midnight, midnight_after, parse_day

PAGE_ROWS = 50
HEADER = (
    *("id", "time", "action", "actor", "actor_kind", "object_type", "object_id"),
    *("before", "after", "ip_address", "request_id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters(LongList):
    """What the address asks for; what makes no sense counts as not asked."""

    page = "trail"
    action: str
    who: str
    first: Any
    last: Any

    @classmethod
    def read(cls, request: HttpRequest) -> "Filters":
        return cls(
            action=access.asked(request, "action").strip()[:64],
            who=access.asked(request, "who").strip()[:200],
            first=parse_day(request.GET.get("from")),
            last=parse_day(request.GET.get("to")),
            oldest_first=oldest_first(request),
        )

    @property
    def asked(self) -> dict[str, str]:
        return {
            "action": self.action,
            "who": self.who,
            "from": self.first.isoformat() if self.first else "",
            "to": self.last.isoformat() if self.last else "",
        }

    def rows(self, visit: access.Visit) -> QuerySet[AuditEvent]:
        """The organization's lines that fit, in the order that is asked for."""
        found = AuditEvent.objects.filter(organization_id=visit.membership.organization_id)
        if self.action:
            found = found.filter(action=self.action)
        if self.who:
            found = found.filter(Q(detail__label=self.who) | Q(sealed_label=self.who))
        if self.first:
            found = found.filter(created_at__gte=midnight(self.first, visit.zone))
        if self.last:
            found = found.filter(created_at__lt=midnight_after(self.last, visit.zone))
        return found.order_by("id" if self.oldest_first else "-id")


@require_GET
@access.signed_in
@access.requires("audit:read")
def trail(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """One page of the trail."""
    filters, operators = Filters.read(request), audit.operators()
    found = filters.rows(visit)
    before = access.before(request)
    if before:
        found = found.filter(pk__gt=before) if filters.oldest_first else found.filter(pk__lt=before)
    rows = list(found[: PAGE_ROWS + 1])
    mine = AuditEvent.objects.filter(organization_id=visit.membership.organization_id).order_by()
    return access.render_for(
        request,
        visit,
        "portal/trail.html",
        filters=filters,
        query=filters.query(),
        rows=[audit.outward(row, operators) for row in rows[:PAGE_ROWS]],
        further=rows[PAGE_ROWS - 1].pk if len(rows) > PAGE_ROWS else None,
        actions=sorted(mine.values_list("action", flat=True).distinct()[:200]),
        people=sorted(_actors(mine)),
    )


def _actors(lines: QuerySet[AuditEvent]) -> set[str]:
    """Who acted, in words."""
    found = {
        name
        for column in ("detail__label", "sealed_label")
        for name in lines.values_list(column, flat=True).distinct()[:200]
    }
    return {name for name in found if name}


@require_GET
@access.signed_in
@access.requires("audit:read")
def trail_csv(request: HttpRequest, visit: access.Visit) -> HttpResponseBase:
    """All of it as a file, times in the customer's zone."""
    filters, operators = Filters.read(request), audit.operators()
    rows = steps.every(filters.rows(visit), newest_first=not filters.oldest_first)

    def cells() -> Iterator[list[downloads.Cell]]:
        for line in rows:
            row = audit.outward(line, operators)
            yield [
                str(row["pk"]),
                row["created_at"].astimezone(visit.zone),
                *(row[name] for name in ("action", "actor_label", "actor_kind", "object_type", "object_id")),
                _text(row["before"]),
                _text(row["after"]),
                row["ip_address"],
                line.request_id,
            ]

    return downloads.response(f"audit-{visit.customer.external_id[:40]}.csv", HEADER, cells())


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return "; ".join(f"{name}: {said}" for name, said in value.items()) if isinstance(value, dict) else str(value)
