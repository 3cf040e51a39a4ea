"""What became of usage events, also later on. The event's own row says what became of it at first."""

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext_lazy as _

from billing.models import Correction, UnpaidUsage, UsageEvent

REVERSED = "reversed"
STATUSES = {**dict(UsageEvent.Status.choices), REVERSED: _("Reversed")}
"""What an event can be, in words."""
BOOKED_BEFORE_MAX = timedelta(hours=48)
"""Events may lie at most 24 hours ahead: nothing that occurred at t was booked before t less this."""
_IS_REVERSED = Exists(
    Correction.objects.filter(
        kind=Correction.Kind.REVERSAL, customer_id=OuterRef("customer_id"), event_id=OuterRef("pk")
    )
)


def with_status(events: QuerySet[UsageEvent]) -> QuerySet[UsageEvent]:
    """The same events, such that ``status`` needs no query for each."""
    collected = UnpaidUsage.objects.filter(customer_id=OuterRef("customer_id"), event_id=OuterRef("pk"))
    return events.annotate(collected_at=Subquery(collected.values("collected_at")), is_reversed=_IS_REVERSED)


def not_reversed(events: QuerySet[UsageEvent]) -> QuerySet[UsageEvent]:
    """Those of ``events`` that stand."""
    return events.filter(~_IS_REVERSED)


def having_status(events: QuerySet[UsageEvent], status: str) -> QuerySet[UsageEvent]:
    """Those of ``events`` whose ``status`` it is now."""
    if status == REVERSED:
        return events.filter(_IS_REVERSED)
    if status == UsageEvent.Status.CHARGED:
        return not_reversed(events).filter(Q(status=status) | Q(unpaid__collected_at__isnull=False))
    return not_reversed(events).filter(status=status, unpaid__collected_at__isnull=True)


def collected_at(event: UsageEvent) -> datetime | None:
    """When an event that was unpaid at first was charged; None where it was charged at once, or not at all."""
    if not hasattr(event, "collected_at"):
        rows = UnpaidUsage.objects.filter(customer_id=event.customer_id, event=event)
        event.collected_at = rows.values_list("collected_at", flat=True).first()  # type: ignore[attr-defined]
    moment: datetime | None = event.collected_at  # type: ignore[attr-defined]
    return moment


def status(event: UsageEvent) -> str:
    """What the event is now: reversed, or what it was at first, or charged, if that came later."""
    if not hasattr(event, "is_reversed"):
        rows = UsageEvent.objects.filter(_IS_REVERSED, pk=event.pk, customer_id=event.customer_id)
        event.is_reversed = rows.exists()  # type: ignore[attr-defined]
    if event.is_reversed:  # type: ignore[attr-defined]
        return REVERSED
    return event.status if collected_at(event) is None else UsageEvent.Status.CHARGED
