"""What a plan version says, each term in words under a name, so that two of them can be laid side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing.engine.currencies import grouped, written
from billing.engine.prices import words
from billing.models import FairUse, PlanVersion, Price
from billing.selectors.catalog.catalog import price_terms
from billing.services.catalog import plans
from billing.services.catalog.prices import PriceTerms

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
Sheet = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """A term that is not the same on both sides; None where one side has no such term."""

    what: str
    before: str | None
    after: str | None


def of_version(version: PlanVersion) -> Sheet:
    """A published version's terms."""
    allowances = [(each.asset_id, each.amount, each.rollover_limit) for each in version.allowances.all()]
    prices = version.prices.select_related("meter", "asset", "cached_of").prefetch_related("tiers")
    sheet = _general(version, version.plan.currency_id, allowances)
    for limit in version.fair_use.select_related("meter"):
        sheet[_limited(limit)] = grouped(limit.limit)
    for price in prices:
        said = words.describe(price_terms(price), price.asset_id, price.meter.unit)
        _put(sheet, _what(price, price.asset_id), said + _conditions(price, price.covered_by_id))
    return sheet


def of_terms(terms: plans.Terms, currency: str) -> Sheet:
    """The terms of a version that is not published yet, of a plan in that currency."""
    allowances = [(each.asset.code, each.amount, each.rollover_limit) for each in terms.allowances]
    sheet = _general(terms, currency, allowances)
    for limit in terms.fair_use:
        sheet[_limited(limit)] = grouped(limit.limit)
    for price in terms.prices:
        _put(sheet, *of_price(price))
    return sheet


def of_price(price: PriceTerms) -> tuple[str, str]:
    """What the price is for, and what it says."""
    said = words.describe(price, price.asset.code, price.meter.unit)
    covered_by = price.covered_by.code if price.covered_by else None
    return _what(price, price.asset.code), said + _conditions(price, covered_by)


def differences(before: Sheet, after: Sheet) -> list[Difference]:
    """What is not the same, in the order of the sheets."""
    names = dict.fromkeys([*before, *after])
    found = (Difference(name, before.get(name), after.get(name)) for name in names)
    return [each for each in found if each.before != each.after]


def _general(
    terms: PlanVersion | plans.Terms, currency: str, allowances: Sequence[tuple[str, Decimal, Decimal]]
) -> dict[str, str]:
    sheet = {
        "Base fee": written(terms.base_fee, currency),
        "Period": PlanVersion.Interval(terms.interval).label,
        "Trial days": str(terms.trial_days),
        "Minimum commitment": written(terms.minimum_commitment, currency),
        "When the wallet is empty": (
            f"to the invoice, up to {written(terms.overage_limit, currency)}" if terms.overage_limit else "refused"
        ),
        "Cached tokens": PlanVersion.CachedTokens(terms.cached_tokens).label,
    }
    steps = plans.commitment_discounts(terms) if isinstance(terms, PlanVersion) else terms.commitment_discounts
    for step in steps:
        sheet[f"Committed to {written(step.start, currency)} or more"] = f"{step.discount:.2%} off"
    for asset, amount, rollover in sorted(allowances):
        more = f", up to {grouped(rollover)} carried over" if rollover else ""
        sheet[f"Included {asset}"] = f"{grouped(amount)}{more}"
    return sheet


def _limited(limit: FairUse | plans.FairUseTerms) -> str:
    return f"Fair use of {limit.meter.name if limit.meter else limit.asset.code if limit.asset else ''}"


def _put(sheet: dict[str, str], what: str, said: str) -> None:
    """Two prices of one name cannot be published; a draft may have them."""
    while what in sheet:
        what += " (again)"
    sheet[what] = said


def _what(price: Price | PriceTerms, asset: str) -> str:
    where = [f"{name} {' or '.join(values)}" for name, values in sorted(price.match.items())]
    return ", ".join([f"{price.meter.name} in {asset}", *where, *_times(price.valid)])


def _times(valid: Mapping[str, Any]) -> list[str]:
    if not valid:
        return []
    hours = [f"{start}–{end} h" for start, end in valid.get("hours", [])]
    days = [_DAYS[day - 1] for day in valid.get("weekdays", [])]
    return [" ".join([*days, *hours, valid.get("zone", "UTC")])]


def _conditions(price: Price | PriceTerms, covered_by: str | None) -> str:
    said = f", taken from {covered_by} first" if covered_by else ""
    if price.cached_of is not None:
        said += f", or as {price.cached_of.name} at retail"
    if price.failure_policy != Price.FailurePolicy.PORTION:
        said += f"; a failed run: {Price.FailurePolicy(price.failure_policy).label.lower()}"
    return said
