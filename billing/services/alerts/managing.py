"""Making and removing alerts."""

from collections.abc import Sequence
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from accounts.services import audit
from billing.engine.money import amount_string, decimals
from billing.errors import InvalidRequest, InvalidState, NotFound
from billing.models import Alert, Asset, Customer

ALERTS_MAX = 20
THRESHOLDS_MAX = 10
DAYS_MAX = 365


def create(
    *,
    actor: audit.Actor,
    customer: Customer,
    kind: str,
    at: Sequence[Decimal],
    of: str,
    asset: Asset | None = None,
) -> Alert:
    """Tell the customer's people in time. ``at``: amounts, shares of the last top-up, or days, as ``of`` says.

    Where a threshold is crossed already, that is told at once. Raises ``InvalidRequest`` for what makes no sense.
    """
    of_days = of == Alert.Of.DAYS
    asset = None if kind == Alert.Kind.GRANT_EXPIRING else asset or customer.currency
    if of_days == (kind == Alert.Kind.BALANCE_BELOW):
        raise InvalidRequest.field("of", "does not go with this kind")
    thresholds = sorted(set(at), reverse=True)
    if not 1 <= len(thresholds) <= THRESHOLDS_MAX:
        raise InvalidRequest.field("at", f"takes from 1 to {THRESHOLDS_MAX} thresholds")
    for threshold in thresholds:
        _check(threshold, of, asset)
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
    return alert


def remove(*, actor: audit.Actor, alert: Alert) -> None:
    """Tell of it no more. Raises ``NotFound`` where it was removed before."""
    with transaction.atomic():
        if not Alert.objects.filter(pk=alert.pk, removed_at=None).update(removed_at=timezone.now()):
            raise NotFound("There is no such alert.")
        _record(actor, "alert.removed", alert)


def _check(threshold: Decimal, of: str, asset: Asset | None) -> None:
    if threshold <= 0:
        raise InvalidRequest.field("at", "takes numbers above zero")
    if of == Alert.Of.DAYS and (threshold != threshold.to_integral_value() or threshold > DAYS_MAX):
        raise InvalidRequest.field("days", f"takes whole numbers up to {DAYS_MAX}")
    if of == Alert.Of.LAST_TOP_UP and (threshold > 1 or decimals(threshold) > 4):
        raise InvalidRequest.field("at", "takes shares of the last top-up up to 1, with at most 4 decimals")
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
