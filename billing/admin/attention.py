"""What waits for somebody: a line for each matter that there is, with how many, and the list that holds them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model, Q, QuerySet, Value
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts.ids import first_id
from accounts.models import OutgoingMail
from billing.admin.periods import PARAMETER
from billing.models import (
    Approval,
    AutoTopUp,
    BookCheck,
    Customer,
    Discrepancy,
    Dispute,
    ExportFile,
    NoticeDelivery,
    OutboxEvent,
    PaymentAttempt,
    ProviderEvent,
    RevenueDay,
    SpendAnomaly,
    Subscription,
    WebhookDelivery,
)
from billing.selectors import waiting
from billing.services import approvals

COUNTED_MAX = 100
"""More than these are "99+": nobody reads on, and the count stays cheap."""
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_DAY_OVERDUE = timedelta(hours=6)
"""How long after its end a day of the books is usually closed."""


@dataclass(frozen=True, slots=True)
class Matter:
    """``number`` is "1" to "99+"; ``url`` leads to the list; ``urgent``: money or a deadline hangs on it."""

    title: str
    number: str
    url: str
    urgent: bool


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Rows of ``model`` with the values of ``where``, by which its list can be asked for too, and what else holds;
    ``listed`` is what the list has a filter of its own for. ``page`` shows them where the model has no list."""

    title: str
    model: type[Model]
    where: Mapping[str, str]
    further: Q = field(default_factory=Q)
    listed: Mapping[str, str] = field(default_factory=dict)
    page: str = ""
    this_week: bool = False
    urgent: bool = True

    @property
    def rows(self) -> QuerySet[Any]:
        rows = self.model._default_manager.filter(self.further, **self.where)
        return rows.filter(_since(_WEEK)) if self.this_week else rows

    @property
    def url(self) -> str:
        meta = self.model._meta
        query = {**{f"{name}__exact": value for name, value in self.where.items()}, **self.listed}
        if self.this_week:
            query[PARAMETER] = "7d"
        address = reverse(f"admin:{self.page or f'{meta.app_label}_{meta.model_name}_changelist'}")
        return f"{address}?{urlencode(query)}" if query else address


def matters(request: HttpRequest) -> list[Matter]:
    """What this person may see of what waits for somebody; the urgent first. One query."""
    seen = [each for each in looked_at(request) if _may_see(request, each.model)]
    counts = _counts([each.rows for each in seen])
    found = [
        Matter(each.title, f"{COUNTED_MAX - 1}+" if count == COUNTED_MAX else str(count), each.url, each.urgent)
        for each, count in zip(seen, counts, strict=True)
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


def looked_at(request: HttpRequest) -> list[_Waiting]:
    """Whatever may wait for somebody, whether this person may see it or not."""
    overdue = ~Q(state=RevenueDay.State.CLOSED) & Q(end__lt=timezone.now() - _DAY_OVERDUE)
    failed, parked = {"state": "failed"}, {"state": "parked"}
    return [
        _Waiting("Approvals that wait for a second person", Approval, {"state": "waiting"}, _may_decide(request)),
        _Waiting("Disputes that need an answer", Dispute, {"status": "open"}),
        _Waiting("Differences from the payment provider", Discrepancy, {"state": "open"}),
        _Waiting("Payments whose outcome is unknown", PaymentAttempt, {"status": "unknown"}),
        _Waiting("Payments that failed this week", PaymentAttempt, {"status": "failed"}, this_week=True, urgent=False),
        _Waiting(
            "Automatic top-ups that are suspended", AutoTopUp, {"state": "suspended"}, Q(enabled=True), urgent=False
        ),
        _Waiting("Runaway spending in the last day", SpendAnomaly, {"level": "runaway"}, _since(_DAY)),
        _Waiting(
            "Looks at the books in the last day that found something", BookCheck, {"state": "wrong"}, _since(_DAY)
        ),
        _Waiting(
            "Files that could not be delivered yet", ExportFile, {"state": "waiting"}, ~Q(last_error=""), urgent=False
        ),
        _Waiting("Days of the books that should be closed", RevenueDay, {}, overdue, page="billing_revenue"),
        _Waiting(
            "Subscriptions with a period that could not be settled for days",
            Subscription,
            {},
            Q(pk__in=waiting.unsettled()),
            {"status": "unsettled"},
        ),
        _Waiting(
            "Erased customers whom the payment provider has not forgotten for a day",
            Customer,
            {},
            Q(pk__in=waiting.unforgotten()),
            {"erasure": "unforgotten"},
        ),
        _Waiting("Messages of the payment provider that could not be processed", ProviderEvent, parked),
        _Waiting("Messages that could not be passed on", OutboxEvent, parked),
        _Waiting("Webhook deliveries given up this week", WebhookDelivery, failed, this_week=True, urgent=False),
        _Waiting("Notices that could not be sent this week", NoticeDelivery, failed, _since(_WEEK), urgent=False),
        _Waiting(
            "Letters about accounts that could not be sent",
            OutgoingMail,
            {},
            Q(attempts__gte=OutgoingMail.ATTEMPTS_MAX),
            urgent=False,
        ),
    ]


def approvals_for(request: HttpRequest) -> QuerySet[Approval]:
    """Requests that wait for somebody else than the person who made them, for this one to decide."""
    return Approval.objects.filter(_may_decide(request), state=Approval.State.WAITING)


def _since(ago: timedelta) -> Q:
    return Q(id__gte=first_id(timezone.now() - ago))


def _may_decide(request: HttpRequest) -> Q:
    if not request.user.has_perm(approvals.DECIDE):
        return Q(pk__in=())
    return Q(expires_at__gt=timezone.now()) & ~Q(requested_by=request.user.pk)


def _may_see(request: HttpRequest, model: type[Model]) -> bool:
    return request.user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")
