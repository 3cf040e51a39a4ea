"""What a period included, when the plan changes in its midst: what of it goes, and what comes."""

from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from billing.engine.money import EXACT, ZERO
from billing.engine.proration import part, share
from billing.models import Asset, Grant, PlanVersion, Subscription, SubscriptionPeriod
from billing.services.ledger.posting import Journal
from billing.services.subscriptions import periods
from billing.services.subscriptions.wanted import AllowanceLine


def lines(
    journal: Journal,
    subscription: Subscription,
    period: SubscriptionPeriod,
    version: PlanVersion,
    *,
    at: datetime,
    of: Fraction,
    credited: bool,
) -> list[AllowanceLine]:
    """What was included for the time that is left goes; what was not used before then stays, beside the share
    ``of`` what the new ``version`` includes.

    Where more than the share of the time gone by was used, the rest was used ahead. Where a fee comes back for that
    time (``credited``), it comes off the new, or it would cost nothing. What is held is not used.
    """
    remaining, held = _remaining(journal, period)
    old = subscription.plan_version
    whole = periods.bounds(at, version=old, anchor=subscription.anchor, zone=subscription.timezone)
    left = share(at, period.end, of=whole)
    included = _granted(period)
    new = {each.asset_id: each for each in version.allowances.select_related("asset")}
    assets = {asset.pk: asset for asset in (*remaining, *(each.asset for each in new.values()))}
    found = []
    for code, asset in sorted(assets.items()):
        before = remaining.get(asset, ZERO)
        gone = part(included.get(code, ZERO), left, precision=asset.precision)
        fresh = part(new[code].amount, of, precision=asset.precision) if code in new else ZERO
        ahead = max(ZERO, EXACT.subtract(gone, EXACT.add(before, held.get(asset, ZERO)))) if credited else ZERO
        after = EXACT.add(max(ZERO, EXACT.subtract(before, gone)), max(ZERO, EXACT.subtract(fresh, ahead)))
        if before or after:
            found.append(AllowanceLine(asset, before, after))
    return found


def take(journal: Journal, period: SubscriptionPeriod) -> None:
    """Void what is left of it, what came back to it a moment ago included."""
    for grant_id in Grant.objects.filter(period=period).values_list("pk", flat=True):
        state = journal.grants.get(grant_id)
        if state is not None and state.voided_at is None and (state.source.remaining or state.held):
            journal.void(state)


def _remaining(journal: Journal, period: SubscriptionPeriod) -> tuple[dict[Asset, Decimal], dict[Asset, Decimal]]:
    """What the wallet still has of what the period included, and what open authorizations hold of it."""
    remaining: dict[Asset, Decimal] = {}
    held: dict[Asset, Decimal] = {}
    for grant in Grant.objects.filter(period=period, open=True).select_related("asset"):
        state = journal.grants.get(grant.pk)
        rest = grant.remaining if state is None else state.source.remaining
        remaining[grant.asset] = EXACT.add(remaining.get(grant.asset, ZERO), rest)
        held[grant.asset] = EXACT.add(held.get(grant.asset, ZERO), grant.held if state is None else state.held)
    return remaining, held


def _granted(period: SubscriptionPeriod) -> dict[str, Decimal]:
    """What was included for the whole of the period. What was carried over is the customer's, whatever the plan."""
    included: dict[str, Decimal] = {}
    for each in period.plan_version.allowances.all():
        included[each.asset_id] = each.amount
    return included
