"""Looking whether alerts' thresholds are crossed. Nothing of it is on the way of a charge: workers come by.

A crossing is told by whoever moves the alert's level, in the transaction that moves it: once, however many look.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db import connection, transaction
from django.utils import timezone

from billing.engine.money import EXACT, ZERO, amount_string
from billing.models import Alert, AutoTopUp, ExpiryTold, Grant
from billing.selectors.ledger import balances
from billing.selectors.spending import forecasts
from billing.services import one_by_one, outbox
from billing.services.ledger import bulk
from billing.services.notices import Told, publication

CHUNK = 500
LOOK_AGAIN_SECONDS = 3600
"""So long a runway is as it was while its balance does not move."""
_ENDING = """
SELECT w.alert, g.id, MAX(w.level)
  FROM unnest(%(alerts)s::uuid[], %(customers)s::uuid[], %(levels)s::int[], %(days)s::int[])
       AS w(alert, customer, level, days)
  JOIN billing_grant g ON g.customer_id = w.customer AND g.open AND g.posted AND g.remaining > 0
       AND g.expires_at > %(now)s AND g.expires_at <= %(now)s + make_interval(days => w.days)
       AND g.kind <> ALL(%(renewed)s)
 WHERE NOT EXISTS (SELECT FROM billing_recurringgrantperiod r WHERE r.grant_id = g.id)
   AND NOT EXISTS (SELECT FROM billing_expirytold t
                    WHERE t.alert_id = w.alert AND t.grant_id = g.id AND t.customer_id = w.customer
                      AND t.level >= w.level)
 GROUP BY 1, 2
 ORDER BY 1, 2
"""
"""Grants of plans, and those that recur, are not told of: the next ones follow."""


def watch_balances() -> int:
    """Tell of balances that fell below a threshold, or are above all of them again. Returns how many alerts moved."""
    moved = 0
    for alerts in chunks(Alert.Kind.BALANCE_BELOW):
        customers = {alert.customer_id for alert in alerts}
        available = {(row.customer_id, row.asset): row.available for row in balances.current(customers)}
        last = _last_top_ups([alert.customer_id for alert in alerts if alert.of == Alert.Of.LAST_TOP_UP])
        for alert in alerts:
            key = (alert.customer_id, alert.asset_id or "")
            amounts = _amounts(alert, last.get(key))
            with one_by_one.apart("alert", alert.pk):
                if amounts is not None:
                    moved += _watch_balance(alert, available.get(key, ZERO), amounts)
    return moved


def _watch_balance(alert: Alert, available: Decimal, amounts: Sequence[Decimal]) -> bool:
    """The last level is that nothing is left at all."""
    level = sum(available < amount for amount in amounts) + (available <= 0)
    if level == alert.level:
        return False
    facts: dict[str, Any] = {"asset": alert.asset_id, "available": amount_string(available)}
    if available <= 0:
        return _move(alert, level, "wallet.depleted", facts)
    if level == 0:
        return _move(alert, level, "wallet.balance_recovered", facts)
    facts["threshold"] = amount_string(amounts[level - 1])
    if alert.of == Alert.Of.LAST_TOP_UP:
        facts["share"] = alert.at[level - 1]
    if _is_refilled(alert, available):
        facts["auto_top_up"] = True
    return _move(alert, level, "wallet.balance_low", facts)


def _is_refilled(alert: Alert, available: Decimal) -> bool:
    """Whether an automatic top-up is on its way at this balance."""
    rules = AutoTopUp.objects.filter(
        customer_id=alert.customer_id,
        asset=alert.asset_id,
        purpose=AutoTopUp.Purpose.AUTO_TOP_UP,
        state=AutoTopUp.State.ARMED,
        enabled=True,
    )
    return rules.filter(threshold__gt=available).exists()


def _amounts(alert: Alert, last_top_up: Decimal | None) -> list[Decimal] | None:
    """The thresholds as amounts; None for shares of a top-up that there was not."""
    if alert.of == Alert.Of.AMOUNT:
        return [Decimal(threshold) for threshold in alert.at]
    return None if last_top_up is None else [EXACT.multiply(Decimal(share), last_top_up) for share in alert.at]


def _last_top_ups(customer_ids: Sequence[UUID]) -> dict[tuple[UUID, str], Decimal]:
    """What was bought last, by customer and asset."""
    bought = Grant.objects.filter(customer_id__in=customer_ids, kind=Grant.Kind.PURCHASE, posted=True)
    latest = bought.order_by("customer_id", "asset_id", "-effective_at", "-id").distinct("customer_id", "asset_id")
    return {(row.customer_id, row.asset_id): row.amount for row in latest}


def watch_runways() -> int:
    """Tell of balances that will not last for long at their pace. Returns how many alerts moved."""
    moved = 0
    for alerts in chunks(Alert.Kind.RUNWAY_BELOW):
        stirred = _stirred(alerts)
        for alert in stirred:
            with one_by_one.apart("alert", alert.pk):
                moved += _watch_runway(alert)
        cache.set_many({_looked(alert): seq for alert, seq in stirred.items()}, LOOK_AGAIN_SECONDS)
    return moved


def _watch_runway(alert: Alert) -> bool:
    assert alert.asset_id is not None
    forecast = forecasts.forecast(alert.customer, alert.asset_id)
    days = forecast.runway_days
    level = 0 if days is None else sum(days < Decimal(threshold) for threshold in alert.at)
    facts = {
        "asset": alert.asset_id,
        "available": amount_string(forecast.available),
        "days": None if days is None else str(int(days)),
    }
    if level > alert.level:
        return _move(alert, level, "wallet.runway_short", facts | {"threshold": alert.at[level - 1]})
    if level < alert.level:
        return _move(alert, level, "wallet.runway_recovered" if level == 0 else "", facts)
    return False


def _stirred(alerts: Sequence[Alert]) -> dict[Alert, int]:
    """Those whose balance moved since the last look, or that nobody looked at for an hour, with the balance's seq."""
    seqs = {(row.customer_id, row.asset): row.seq for row in balances.current({alert.customer_id for alert in alerts})}
    now = {alert: seqs.get((alert.customer_id, alert.asset_id or ""), 0) for alert in alerts}
    before = cache.get_many([_looked(alert) for alert in alerts])
    return {alert: seq for alert, seq in now.items() if before.get(_looked(alert)) != seq}


def _looked(alert: Alert) -> str:
    return f"runway:{alert.pk}"


def watch_expiries() -> int:
    """Tell of grants that expire soon while something of them is left. Returns how many were told of."""
    told = 0
    for alerts in chunks(Alert.Kind.GRANT_EXPIRING):
        ending = _ending(alerts)
        by_id = {alert.pk: alert for alert in alerts}
        grants = Grant.objects.in_bulk({grant_id for _, grant_id, _ in ending}) if ending else {}
        for alert_id, grant_id, level in ending:
            with one_by_one.apart("alert", alert_id):
                told += _tell_of_expiry(by_id[alert_id], grants[grant_id], level)
    return told


def _ending(alerts: Sequence[Alert]) -> list[tuple[UUID, UUID, int]]:
    """What is to be told: alerts with the grants that came within a threshold of theirs, and its level. Only what was
    not told before is read, so that who is quiet costs nothing."""
    crossings = [(alert, level, int(days)) for alert in alerts for level, days in enumerate(alert.at, start=1)]
    with connection.cursor() as cursor:
        cursor.execute(
            _ENDING,
            {
                "alerts": [alert.pk for alert, _, _ in crossings],
                "customers": [alert.customer_id for alert, _, _ in crossings],
                "levels": [level for _, level, _ in crossings],
                "days": [days for _, _, days in crossings],
                "renewed": list(Grant.RENEWED),
                "now": timezone.now(),
            },
        )
        return list(cursor.fetchall())


def _tell_of_expiry(alert: Alert, grant: Grant, level: int) -> bool:
    assert grant.expires_at is not None
    key = {"alert": alert, "grant": grant, "customer_id": alert.customer_id}
    with transaction.atomic():
        _, fresh = ExpiryTold.objects.get_or_create(**key, defaults={"level": level})
        if not fresh and not ExpiryTold.objects.filter(**key, level__lt=level).update(level=level):
            return False
        tell(
            alert,
            "grant.expiring",
            {
                "grant": str(grant.pk),
                "name": grant.name or f"{grant.get_kind_display()} grant",
                "asset": grant.asset_id,
                "remaining": amount_string(grant.remaining),
                "expires_at": f"{grant.expires_at:%Y-%m-%d %H:%M} UTC",
                "threshold": alert.at[level - 1],
            },
        )
    return True


def chunks(kind: str) -> Iterator[list[Alert]]:
    """The alerts of this kind that are kept, so many at a time, with their customers."""
    kept = Alert.objects.filter(kind=kind, removed_at=None).select_related("customer").order_by("pk")
    after = None
    while rows := list((kept if after is None else kept.filter(pk__gt=after))[:CHUNK]):
        yield rows
        after = rows[-1].pk


def _move(alert: Alert, level: int, kind: str, facts: dict[str, Any]) -> bool:
    """Note the level that is reached, and tell of it where it is worse than before, or where all is well again.

    False where somebody else has moved it meanwhile, or the alert is gone.
    """
    with transaction.atomic():
        still = Alert.objects.filter(pk=alert.pk, level=alert.level, removed_at=None)
        if not still.update(level=level):
            return False
        if level > alert.level or level == 0:
            tell(alert, kind, facts)
    return True


def tell(alert: Alert, kind: str, facts: dict[str, Any]) -> None:
    """Tell the people and the world, in the caller's transaction."""
    now = timezone.now()
    payload = {"alert": str(alert.pk), **facts}
    bulk.run(
        publication([Told(alert.customer_id, kind, payload)], now=now),
        outbox.publication([outbox.Message(kind, alert.customer_id, payload)], now=now),
    )
