"""What agreed terms are worth, as far as that can be known beforehand: so that what is worth much takes two people."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from billing.engine.money import EXACT, ZERO, exact_sum, round_half_even
from billing.engine.proration import discounted
from billing.models import PlanVersion
from billing.selectors.usage import usage
from billing.services.catalog import plans
from billing.services.subscriptions import cheaper

MONTHS = {"day": Decimal(365) / 12, "week": Decimal(365) / 84, "month": Decimal(1)}
_YEAR = {"quarter": 3, "year": 12}


def given_away(
    *,
    customer_id: UUID,
    before: Sequence[PlanVersion],
    version: PlanVersion,
    less_committed: Decimal = ZERO,
    free_days: int = 0,
    total: Decimal = ZERO,
    now: datetime,
) -> Mapping[str, Decimal]:
    """By asset: what a change of terms gives the customer that they did not have. Nothing is below zero.

    What is agreed takes off more from a month's fee and from usage like that of the last 30 days than it does on any
    version of ``before`` (where they are, then where they were to go): a discount is weighed anew on each plan and
    version. What the plan itself has for the commitment was given by nobody. To it come what that usage costs less by
    other prices, as far as a month's fee is not more by as much; what is committed to no longer; what the ``free_days``
    would cost that a trial has beyond the plan's own; and what comes back into the wallet now (``total`` below zero).
    """
    currency, more, free = version.plan.currency_id, ZERO, ZERO
    dearer = EXACT.subtract(monthly(version, ZERO), monthly(before[0], ZERO) if before else ZERO)
    less = cheaper.less(customer_id, cheaper.changed(version, before), currency=currency, now=now)
    less = EXACT.subtract(less, max(ZERO, dearer))
    if free_days > 0 or _agreed_off(version) > 0:
        used = _used(customer_id, currency, now)
        so_far = max((_worth(each, used) for each in before), default=ZERO)
        more = EXACT.subtract(_worth(version, used), so_far)
        # Who is in a trial has usage, and the fee of the plan they are on, for nothing already.
        had = monthly(before[0], ZERO) if before else used.copy_negate()
        free = _of_days(EXACT.subtract(monthly(version, ZERO), had), max(0, free_days))
    found = (more, less, less_committed, free, total.copy_negate())
    return {currency: exact_sum(max(ZERO, number) for number in found)}


def comes_with(
    version: PlanVersion, *, before: Sequence[PlanVersion] = (), now: Mapping[str, Decimal] | None = None
) -> Mapping[str, Decimal]:
    """By asset: what a period of the version includes beyond its fee, and what it lets be owed, as far as none of
    ``before`` does. Where more comes into the wallet ``now``, beyond what is paid for it, that counts instead."""
    of_period = _more(_included(version), [_included(each) for each in before])
    found = {
        asset: max(of_period.get(asset, ZERO), (now or {}).get(asset, ZERO)) for asset in {*of_period, *(now or {})}
    }
    return added(found, _more(_owed(version), [_owed(each) for each in before]))


def added(*parts: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    """The sum of amounts by asset, of which none below zero counts."""
    assets = {asset for part in parts for asset in part}
    return {asset: exact_sum(max(ZERO, part.get(asset, ZERO)) for part in parts) for asset in assets}


def _included(version: PlanVersion) -> Mapping[str, Decimal]:
    """Beyond its fee without a discount, as what is off is weighed by itself."""
    currency = version.plan.currency_id
    found = dict(version.allowances.values_list("asset_id", "amount"))
    return found | {currency: max(ZERO, EXACT.subtract(found.get(currency, ZERO), version.base_fee))}


def _owed(version: PlanVersion) -> Mapping[str, Decimal]:
    return {version.plan.currency_id: version.overage_limit}


def _more(found: Mapping[str, Decimal], before: Sequence[Mapping[str, Decimal]]) -> Mapping[str, Decimal]:
    """What is more than in each of ``before``."""
    had = {asset: max((each.get(asset, ZERO) for each in before), default=ZERO) for asset in found}
    return {asset: EXACT.subtract(amount, had[asset]) for asset, amount in found.items()}


def _agreed_off(version: PlanVersion) -> Decimal:
    """The share that is off beyond what everybody has for the same commitment."""
    return max(ZERO, EXACT.subtract(version.discount, plans.discount_of(version, version.minimum_commitment)))


def _worth(version: PlanVersion, used: Decimal) -> Decimal:
    """What is agreed takes off in a month with so much usage."""
    return round_half_even(_agreed_off(version) * EXACT.add(monthly(version, ZERO), used), precision=6)


def _of_days(month: Decimal, days: int) -> Decimal:
    """The share of so many days: a month is thirty."""
    return round_half_even(Fraction(month) * days / 30, precision=6)


def _used(customer_id: UUID, currency: str, now: datetime) -> Decimal:
    rows = usage.totals(customer_id=customer_id, start=now - cheaper.LOOK_BACK, end=now)
    return next((row.amount for row in rows if row.asset == currency), ZERO)


def monthly(version: PlanVersion, discount: Decimal) -> Decimal:
    """The version's fee as it recurs in a month, less ``discount``; at six decimals where it does not divide."""
    fee = discounted(version.base_fee, discount, precision=version.plan.currency.precision)
    if version.interval in _YEAR:
        return (fee / _YEAR[version.interval]).quantize(Decimal("0.000001"))
    return (fee * MONTHS[version.interval]).quantize(Decimal("0.000001")) if version.interval != "month" else fee
