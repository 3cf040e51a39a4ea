"""Looking how much of a commitment is used: each share is told once in a period, and the next period arms it again."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.engine.budgets import level
from billing.engine.money import amount_string
from billing.models import Alert, CommitmentTold
from billing.services import one_by_one
from billing.services.alerts.watching import chunks, tell
from billing.services.subscriptions import CommitmentNow, commitments_now


def watch_commitments() -> int:
    """Tell of commitments that are used by a share that an alert names. Returns how many times something was told.

    Safe to run twice and at the same time: who moves the level tells of it, in the same transaction.
    """
    told = 0
    now = timezone.now()
    for alerts in chunks(Alert.Kind.COMMITMENT_USED):
        for alert in alerts:
            with one_by_one.apart("alert", alert.pk):
                told += _watch(alert, now)
    return told


def _watch(alert: Alert, now: datetime) -> int:
    shares, highest, told = [Decimal(share) for share in alert.at], 0, 0
    for standing in commitments_now(alert.customer_id, now):
        reached = level(standing.used, limit=standing.committed, alert_at=shares)
        highest = max(highest, reached)
        told += _note(alert, standing, reached)
    if highest != alert.level:
        Alert.objects.filter(pk=alert.pk).update(level=highest)
    return told


def _note(alert: Alert, standing: CommitmentNow, reached: int) -> int:
    """Note the level that is reached in this period, and tell where it is higher than before, or the period is new."""
    period = standing.period
    key = {"alert": alert, "subscription_id": period.subscription_id, "customer_id": alert.customer_id}
    told: list[tuple[str, dict[str, Any]]] = []
    with transaction.atomic():
        CommitmentTold.objects.get_or_create(**key, defaults={"period": period, "level": 0})
        row = CommitmentTold.objects.select_for_update(of=("self",)).select_related("period").get(**key)
        if row.period.start > period.start:
            return 0  # Another worker, which looked later, was first.
        before, facts = row.level, _facts(standing)
        if row.period != period:
            if before:
                told.append(("commitment.reset", facts))
            before = 0
        if reached > before:
            told.append(("commitment.threshold_reached", {**facts, "threshold": alert.at[reached - 1]}))
        # It never falls within a period: usage that was taken back, or a look that is older, arms nothing again.
        highest = max(before, reached)
        if (row.period, row.level) != (period, highest):
            row.period, row.level = period, highest
            row.save(update_fields=["period", "level"])
        for kind, says in told:
            tell(alert, kind, says)
    return len(told)


def _facts(standing: CommitmentNow) -> dict[str, Any]:
    plan = standing.period.plan_version.plan
    return {
        "subscription": str(standing.period.subscription_id),
        "plan": plan.code,
        "plan_name": plan.name,
        "asset": plan.currency_id,
        "used": amount_string(standing.used),
        "committed": amount_string(standing.committed),
        "missing": amount_string(standing.missing),
        "ends_at": f"{standing.period.end:%Y-%m-%d %H:%M} UTC",
    }
