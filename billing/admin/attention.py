"""What waits for somebody: a line for each matter that there is, with how many, and the list that holds them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model, QuerySet, Value
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts.ids import first_id
from billing.admin.periods import PARAMETER
from billing.models import (
    Approval,
    AutoTopUp,
    BookCheck,
    Discrepancy,
    Dispute,
    ExportFile,
    NoticeDelivery,
    OutboxEvent,
    PaymentAttempt,
    RevenueDay,
    SpendAnomaly,
    StripeEvent,
    WebhookDelivery,
)

COUNTED_MAX = 100
"""More than these are "99+": nobody reads on, and the count stays cheap."""
_WEEK = timedelta(days=7)
_DAY_OVERDUE = timedelta(hours=6)
"""How long after its end a day of the books is usually closed."""


@dataclass(frozen=True, slots=True)
class Matter:
    """``number`` is "1" to "99+"; ``url`` leads to the list; ``urgent``: money or a deadline hangs on it."""

    title: str
    number: str
    url: str
    urgent: bool


def matters(request: HttpRequest) -> list[Matter]:
    """What this person may see of what waits for somebody; the urgent first. One query."""
    looked_at = [matter for matter in _looked_at(request) if _may_see(request, matter[1].model)]
    counts = _counts([rows for _, rows, _, _ in looked_at])
    found = [
        Matter(title, f"{COUNTED_MAX - 1}+" if count == COUNTED_MAX else str(count), _list(rows.model, query), urgent)
        for (title, rows, query, urgent), count in zip(looked_at, counts, strict=True)
        if count
    ]
    return sorted(found, key=lambda matter: not matter.urgent)


def _counts(several: Sequence[QuerySet[Any]]) -> list[int]:
    """How many rows each has, up to ``COUNTED_MAX``."""
    numbered = [
        rows.order_by().annotate(place=Value(place)).values_list("place", flat=True)[:COUNTED_MAX]
        for place, rows in enumerate(several)
    ]
    found: Counter[int] = Counter(numbered[0].union(*numbered[1:], all=True) if numbered else ())
    return [found[place] for place in range(len(several))]


def _looked_at(request: HttpRequest) -> Iterator[tuple[str, QuerySet[Any], dict[str, str], bool]]:
    now = timezone.now()
    recent = {"id__gte": first_id(now - _WEEK)}
    week = {PARAMETER: "7d"}
    yield "Approvals that wait for a second person", approvals_for(request), {"state__exact": "waiting"}, True
    yield (
        "Disputes that need an answer",
        Dispute.objects.filter(status=Dispute.Status.OPEN),
        {"status__exact": "open"},
        True,
    )
    yield (
        "Differences from the payment provider",
        Discrepancy.objects.filter(state=Discrepancy.State.OPEN),
        {"state__exact": "open"},
        True,
    )
    yield (
        "Payments whose outcome is unknown",
        PaymentAttempt.objects.filter(status=PaymentAttempt.Status.UNKNOWN),
        {"status__exact": "unknown"},
        True,
    )
    yield (
        "Payments that failed this week",
        PaymentAttempt.objects.filter(status=PaymentAttempt.Status.FAILED, **recent),
        {"status__exact": "failed", **week},
        False,
    )
    yield (
        "Automatic top-ups that are suspended",
        AutoTopUp.objects.filter(enabled=True, state=AutoTopUp.State.SUSPENDED),
        {"state__exact": "suspended"},
        False,
    )
    yield (
        "Runaway spending in the last day",
        SpendAnomaly.objects.filter(id__gte=first_id(now - timedelta(days=1)), level=SpendAnomaly.Level.RUNAWAY),
        {"level__exact": "runaway"},
        True,
    )
    yield (
        "Looks at the books in the last day that found something",
        BookCheck.objects.filter(state=BookCheck.State.WRONG, id__gte=first_id(now - timedelta(days=1))),
        {"state__exact": "wrong"},
        True,
    )
    yield (
        "Files that could not be delivered yet",
        ExportFile.objects.filter(state=ExportFile.State.WAITING).exclude(last_error=""),
        {"state__exact": "waiting"},
        False,
    )
    yield (
        "Days of the books that should be closed",
        RevenueDay.objects.exclude(state=RevenueDay.State.CLOSED).filter(end__lt=now - _DAY_OVERDUE),
        {},
        True,
    )
    yield (
        "Messages of the payment provider that could not be processed",
        StripeEvent.objects.filter(state=StripeEvent.State.PARKED),
        {"state__exact": "parked"},
        True,
    )
    yield (
        "Messages that could not be passed on",
        OutboxEvent.objects.filter(state=OutboxEvent.State.PARKED),
        {"state__exact": "parked"},
        True,
    )
    yield (
        "Webhook deliveries given up this week",
        WebhookDelivery.objects.filter(state=WebhookDelivery.State.FAILED, **recent),
        {"state__exact": "failed", **week},
        False,
    )
    yield (
        "Notices that could not be sent this week",
        NoticeDelivery.objects.filter(state=NoticeDelivery.State.FAILED, **recent),
        {"state__exact": "failed"},
        False,
    )


def approvals_for(request: HttpRequest) -> QuerySet[Approval]:
    """Requests that wait for somebody else than the person who made them, for this one to decide."""
    waiting = Approval.objects.filter(state=Approval.State.WAITING, expires_at__gt=timezone.now())
    return waiting.exclude(requested_by=request.user.pk)


def _may_see(request: HttpRequest, model: type[Model]) -> bool:
    return request.user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")


def _list(model: type[Model], query: dict[str, str]) -> str:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{address}?{urlencode(query)}" if query else address
