"""Making and removing alerts."""

from collections.abc import Sequence
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from accounts.services import audit
from billing.engine.money import amount_string, decimals
from billing.errors import InvalidRequest, InvalidState, NotFound
from billing.models import Alert, Asset, Customer, SpendWatch
from billing.services.alerts import anomalies

ALERTS_MAX = 20
THRESHOLDS_MAX = 10
DAYS_MAX = 365
SHARE_MAX = 10
_OF: dict[str, set[str]] = {
    Alert.Kind.BALANCE_BELOW: {Alert.Of.AMOUNT, Alert.Of.LAST_TOP_UP},
    Alert.Kind.RUNWAY_BELOW: {Alert.Of.DAYS},
    Alert.Kind.GRANT_EXPIRING: {Alert.Of.DAYS},
    Alert.Kind.COMMITMENT_USED: {Alert.Of.COMMITMENT},
    Alert.Kind.SPEND_ANOMALY: {Alert.Of.USUAL},
}
_WITHOUT_ASSET = {Alert.Kind.GRANT_EXPIRING, Alert.Kind.COMMITMENT_USED, Alert.Kind.SPEND_ANOMALY}


def create(
    *,
    actor: audit.Actor,
    customer: Customer,
    kind: str,
    at: Sequence[Decimal],
    of: str,
    asset: Asset | None = None,
) -> Alert:
    """Tell the customer's people in time. ``at``: amounts, days, or shares of the last top-up or of a
    commitment, as ``of`` says.

    Where a threshold is crossed already, that is told at once. ``spend_anomaly`` takes no threshold: spending that is
    far from usual is told, also where nobody wanted that before. Raises ``InvalidRequest`` for what makes no sense.
    """
    asset = None if kind in _WITHOUT_ASSET else asset or customer.currency
    thresholds = check(kind=kind, of=of, at=at, asset=asset)
    with transaction.atomic():
        Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        if Alert.objects.filter(customer=customer, removed_at=None).count() >= ALERTS_MAX:
            raise InvalidState(f"There can be at most {ALERTS_MAX} alerts: remove one first.")
        alert = Alert.objects.create(
            customer=customer,
            kind=kind,
            asset=asset,
            at=[amount_string(threshold) for threshold in thresholds],
            of=of,
            created_at=timezone.now(),
        )
        _record(actor, "alert.created", alert)
        if kind == Alert.Kind.SPEND_ANOMALY and anomalies.action_of(customer.pk) == SpendWatch.Action.NOTHING:
            anomalies.choose(actor=actor, customer=customer, action=SpendWatch.Action.TELL)
    return alert


def check(*, kind: str, of: str, at: Sequence[Decimal], asset: Asset | None = None) -> list[Decimal]:
    """The thresholds in the order in which they are crossed. Raises ``InvalidRequest`` for what makes no sense."""
    if of not in _OF[kind]:
        raise InvalidRequest.field("of", "does not go with this kind")
    thresholds = sorted(set(at), reverse=of != Alert.Of.COMMITMENT)
    if not (of == Alert.Of.USUAL or thresholds) or len(thresholds) > THRESHOLDS_MAX:
        raise InvalidRequest.field("at", f"takes from 1 to {THRESHOLDS_MAX} thresholds")
    for threshold in thresholds:
        _check(threshold, of, asset)
    return thresholds


def remove(*, actor: audit.Actor, alert: Alert) -> None:
    """Tell of it no more. Raises ``NotFound`` where it was removed before."""
    with transaction.atomic():
        if not Alert.objects.filter(pk=alert.pk, removed_at=None).update(removed_at=timezone.now()):
            raise NotFound("There is no such alert.")
        _record(actor, "alert.removed", alert)
        if alert.kind == Alert.Kind.SPEND_ANOMALY and not _watched(alert.customer):
            anomalies.choose(actor=actor, customer=alert.customer, action=SpendWatch.Action.NOTHING)


def _watched(customer: Customer) -> bool:
    """Whether an alert for what is far from usual is kept."""
    return Alert.objects.filter(customer=customer, kind=Alert.Kind.SPEND_ANOMALY, removed_at=None).exists()


def _check(threshold: Decimal, of: str, asset: Asset | None) -> None:
    if threshold <= 0:
        raise InvalidRequest.field("at", "takes numbers above zero")
    if of == Alert.Of.DAYS and (threshold != threshold.to_integral_value() or threshold > DAYS_MAX):
        raise InvalidRequest.field("days", f"takes whole numbers up to {DAYS_MAX}")
    if of == Alert.Of.LAST_TOP_UP and (threshold > 1 or decimals(threshold) > 4):
        raise InvalidRequest.field("at", "takes shares of the last top-up up to 1, with at most 4 decimals")
    if of == Alert.Of.COMMITMENT and (threshold > SHARE_MAX or decimals(threshold) > 4):
        raise InvalidRequest.field("at", f"takes shares of the commitment up to {SHARE_MAX}, with at most 4 decimals")
    if of == Alert.Of.AMOUNT and asset is not None and decimals(threshold) > asset.precision:
        raise InvalidRequest.field("amount", f"{asset.code} has at most {asset.precision} decimals")


def _record(actor: audit.Actor, action: str, alert: Alert) -> None:
    audit.record(
        actor=actor,
        action=action,
        object_type="alert",
        object_id=str(alert.pk),
        organization_id=alert.customer.organization_id,
        after={"kind": alert.kind, "asset": alert.asset_id, "at": alert.at, "of": alert.of},
    )
