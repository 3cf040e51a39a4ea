"""The first page's figures of money that comes in, and of what waits. Each costs what its days hold."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Exists, OuterRef, Sum
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.utils import timezone

from accounts.ids import first_id
from billing.admin import attention, display
from billing.engine.money import ZERO
from billing.models import Approval, Grant, PaymentAttempt, SpendAnomaly, TopUp
from billing.selectors.reports import reports

PAID_AFTER_MAX = timedelta(days=30)
"""A payment that was begun longer ago is not waited for: bank debits take days."""


def payments(today: datetime) -> dict[str, Any]:
    """What the payment provider was asked for and said today: what came in by currency, and how many failed."""
    rows = (
        PaymentAttempt.objects.filter(id__gte=first_id(today - PAID_AFTER_MAX), finished_at__gte=today)
        .order_by()
        .values_list("status", "currency_id")
        .annotate(total=Sum("amount"), times=Count("id"))
    )
    found = list(rows)
    return {
        "paid": [
            {"figure": display.figure(total, currency), "times": times}
            for status, currency, total, times in found
            if status == PaymentAttempt.Status.SUCCEEDED
        ],
        "failed": sum(times for status, *_, times in found if status == PaymentAttempt.Status.FAILED),
    }


def recurring(currency: str, today: datetime) -> dict[str, Any]:
    """Monthly recurring revenue in this currency, as the report has it."""
    return {"figure": display.figure(reports.mrr(currency, today.date()), currency), "currency": currency}


def approvals(request: HttpRequest) -> dict[str, int]:
    """How many requests wait for a second person, and how many of them this one may decide."""
    waiting = Approval.objects.filter(state=Approval.State.WAITING, expires_at__gt=timezone.now())
    return {"all": waiting.count(), "yours": attention.approvals_for(request).count()}


def unusual() -> dict[str, int]:
    """Hours in the last day in which somebody spent far more than usual, by how far."""
    rows = SpendAnomaly.objects.filter(id__gte=first_id(timezone.now() - timedelta(days=1)))
    counts = dict(rows.order_by().values_list("level").annotate(times=Count("id")))
    return {
        "spikes": counts.get(SpendAnomaly.Level.SPIKE, 0),
        "runaways": counts.get(SpendAnomaly.Level.RUNAWAY, 0),
    }


def paid_in(start: datetime, currency: str) -> list[tuple[date, str, Decimal]]:
    """What was paid for grants made from ``start`` on: the day, how, how much of ``currency``. Without fee and tax."""
    rows = (
        Grant.objects.filter(
            # A payment's grant has the id that was chosen when the payment began.
            id__gte=first_id(start - PAID_AFTER_MAX),
            created_at__gte=start,
            paid_currency=currency,
            paid_amount__gt=ZERO,
        )
        .order_by()
        .annotate(day=TruncDate("created_at"), by_provider=Exists(TopUp.objects.filter(grant_id=OuterRef("pk"))))
        .values_list("day", "by_provider")
        .annotate(total=Sum("paid_amount"))
    )
    return [(day, "By the payment provider" if provider else "Noted by hand", total) for day, provider, total in rows]
