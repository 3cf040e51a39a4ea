"""Watching what is spent: an hour far beyond the usual is told, and the API key that spends it is paused, if asked for.

Judged by a worker right after the sums by the hour are brought up to date, so within seconds of the usage. The hour
that runs is held against what a whole hour may come to: nothing is extrapolated from its first minutes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone

from accounts.models import ApiKey
from accounts.services import api_keys, audit
from billing.engine import anomalies as engine
from billing.engine.money import amount_string
from billing.models import Customer, SpendAnomaly, SpendWatch
from billing.selectors.spending import spending
from billing.selectors.spending.spending import Scope
from billing.services import one_by_one, outbox
from billing.services.ledger import bulk
from billing.services.notices import writing

QUIET = timedelta(hours=6)
"""So long nothing more is told of the same."""
REMEMBERED_SECONDS = 2 * 3600
MAIN_SHARE = Decimal("0.5")
"""A key that spends this share of an hour's whole is who spends it."""
Level = SpendAnomaly.Level
Action = SpendWatch.Action
_TYPES: dict[str, str] = {Level.SPIKE: "usage.spike", Level.RUNAWAY: "usage.anomaly_detected"}


@dataclass(frozen=True, slots=True)
class Judged:
    """What an hour is held against. ``spike`` and ``runaway`` are the bounds."""

    usual: Decimal
    spike: Decimal
    runaway: Decimal


def watch() -> int:
    """Judge what the running hour, and the one before it, came to so far. Returns how many anomalies are new."""
    this_hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    return sum(_watch(hour) for hour in (this_hour - engine.HOUR, this_hour))


def choose(*, actor: audit.Actor, customer: Customer, action: str) -> SpendWatch:
    """Lay down what is done where the customer's spending runs away."""
    with transaction.atomic():
        # Whoever comes first is alone with the row as well: until it is there, it is as if it said ``TELL``.
        watched, _ = SpendWatch.objects.select_for_update(no_key=True).get_or_create(
            customer=customer, defaults={"action": Action.TELL}
        )
        before, watched.action = watched.action, action
        if before == action:
            return watched
        watched.save()
        audit.record(
            actor=actor,
            action="spend_watch.changed",
            object_type="customer",
            object_id=customer.external_id,
            organization_id=customer.organization_id,
            before={"action": before},
            after={"action": action},
        )
    return watched


def action_of(customer_id: UUID) -> str:
    """What is done for this customer."""
    chosen = SpendWatch.objects.filter(customer_id=customer_id).values_list("action", flat=True).first()
    return chosen or Action.TELL


def _watch(hour: datetime) -> int:
    spent = {scope: amount for scope, amount in spending.in_hour(hour).items() if amount > settings.ANOMALY_FLOOR}
    bounds, found = _bounds(spent, hour), 0
    # A key's or a feature's own anomaly says more than the customer's whole, which is then not told as well.
    for scope, amount in sorted(spent.items(), key=lambda item: item[0].kind == "customer"):
        judged = bounds.get(scope)
        if judged is None or amount <= judged.spike:
            continue
        level = Level.RUNAWAY if amount > judged.runaway else Level.SPIKE
        with one_by_one.apart("spending of customer", scope.customer_id):
            action = action_of(scope.customer_id)
            if action != Action.NOTHING:
                found += _note(scope, hour, level, amount, judged, action, spent)
    return found


def _bounds(scopes: Iterable[Scope], hour: datetime) -> dict[Scope, Judged]:
    """The bounds of each scope's hour, where enough is known of it: worked out once, and then remembered."""
    keys = {scope: _key(scope, hour) for scope in scopes}
    known = cache.get_many(keys.values())
    for scope, key in keys.items():
        if key not in known:
            usual = engine.baseline(spending.before(scope, hour), hour)
            known[key] = {} if usual is None else asdict(_judged(usual))
            cache.set(key, known[key], REMEMBERED_SECONDS)
    return {scope: Judged(**known[key]) for scope, key in keys.items() if known[key]}


def _key(scope: Scope, hour: datetime) -> str:
    value = sha256(scope.value.encode()).hexdigest()[:32]
    return f"spending:{scope.customer_id}:{scope.asset}:{scope.kind}:{value}:{hour:%Y%m%d%H}"


def _judged(usual: engine.Baseline) -> Judged:
    spike = engine.SPIKE.above(usual, settings.ANOMALY_FLOOR)
    return Judged(usual.usual, spike, engine.RUNAWAY.above(usual, settings.ANOMALY_FLOOR))


def _note(
    scope: Scope,
    hour: datetime,
    level: str,
    amount: Decimal,
    judged: Judged,
    action: str,
    spent: Mapping[Scope, Decimal],
) -> bool:
    """Write it down and tell of it, once; pause whoever spends it, where that is wished."""
    now = timezone.now()
    same = {"customer_id": scope.customer_id, "asset_id": scope.asset, "scope": scope.kind, "value": scope.value}
    levels = [Level.RUNAWAY] if level == Level.RUNAWAY else list(Level)
    told = SpendAnomaly.objects.filter(customer_id=scope.customer_id, asset_id=scope.asset, level__in=levels)
    if scope.kind != "customer":
        told = told.filter(scope=scope.kind, value=scope.value)
    with transaction.atomic():
        if told.filter(created_at__gt=now - QUIET).exists():
            return False
        anomaly, new = SpendAnomaly.objects.get_or_create(
            **same,
            hour=hour,
            level=level,
            defaults={
                "spent": amount,
                "usual": judged.usual,
                "above": judged.runaway if level == Level.RUNAWAY else judged.spike,
                "created_at": now,
            },
        )
        if not new:
            return False
        key = _spender(scope, amount, spent) if level == Level.RUNAWAY and action == Action.PAUSE else None
        if key is not None:
            reason = f"It spent {amount_string(amount)} {scope.asset} in an hour, far more than usual."
            anomaly.paused = bool(api_keys.pause([key.pk], reason=reason))
            anomaly.save(update_fields=["paused"])
        facts = _facts(anomaly, key)
        outbox.publish([outbox.Message(_TYPES[level], scope.customer_id, facts)], now=now)
        bulk.run(writing.publication([writing.Told(scope.customer_id, _TYPES[level], facts)], now=now))
    return True


def _spender(scope: Scope, amount: Decimal, spent: Mapping[Scope, Decimal]) -> ApiKey | None:
    """The customer's own key that spends it, if one does. The operator's keys serve others too and are never paused."""
    keys = {
        other.value: sum_
        for other, sum_ in spent.items()
        if (other.customer_id, other.asset, other.kind) == (scope.customer_id, scope.asset, "api_key")
    }
    main = scope.value if scope.kind == "api_key" else max(keys, key=lambda key: keys[key], default="")
    if not main or keys.get(main, Decimal(0)) < amount * MAIN_SHARE:
        return None
    organization = Customer.objects.values_list("organization_id", flat=True).get(pk=scope.customer_id)
    return ApiKey.objects.filter(pk=main, organization_id=organization).first()


def _facts(anomaly: SpendAnomaly, key: ApiKey | None) -> dict[str, Any]:
    times = anomaly.spent / anomaly.usual if anomaly.usual else None
    return {
        "asset": anomaly.asset_id,
        "hour": anomaly.hour.isoformat().replace("+00:00", "Z"),
        "spent": amount_string(anomaly.spent),
        "usual": amount_string(anomaly.usual),
        "times": None if times is None else amount_string(round(times, 1)),
        "scope": {} if anomaly.scope == SpendAnomaly.Scope.CUSTOMER else {anomaly.scope: anomaly.value},
        "action": Action.PAUSE if anomaly.paused else Action.TELL,
        "paused_key": key.name if key is not None and anomaly.paused else None,
    }
