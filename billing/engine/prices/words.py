"""Prices, and how they come to an amount, in a line of text."""

from collections.abc import Iterable
from decimal import Decimal

from billing.engine.money import EXACT, ZERO, amount_string
from billing.engine.prices.terms import Terms, TierTerms
from billing.engine.rating import ExplainedLine

_NAMES = {
    "flat_amount": "flat {amount}",
    "free_units": "{quantity} free",
    "maximum": "beyond the maximum {amount}",
    "discount": "discount {amount}",
    "covered": "{quantity} covered",
    "event": "{amount} as the event says",
    "waived": "{quantity} not charged: failed run",
    "refused": "refused by a budget {amount}",
}


def describe(terms: Terms, asset: str, unit: str = "") -> str:
    """What a price is, such as ``3 usd per 1,000,000 tokens up to 1,000,000, then 2 usd``."""
    said = _family(terms, asset, unit or "unit")
    if terms.free_units:
        said += f", the first {grouped(terms.free_units)} free"
    if terms.minimum_amount is not None:
        said += f", at least {amount_string(terms.minimum_amount)} {asset} a period"
    if terms.maximum_amount is not None:
        said += f", at most {amount_string(terms.maximum_amount)} {asset} a period"
    return said


def _family(terms: Terms, asset: str, unit: str) -> str:
    per = _per(terms.per, unit)
    amount = f"{_amount(terms.unit_amount)} {asset}"
    tiers = _tiers(terms.tiers or (), asset)
    whole = "full" if terms.rounding == "down" else "started"
    return {
        "per_unit": f"{amount} {per}",
        "package": f"{amount} for each {whole} {per.removeprefix('per ')}",
        "flat": f"{amount} per event",
        "graduated": f"{tiers} {per}",
        "volume": f"all at {tiers} {per}",
        "percentage": _percentage(terms, asset),
        "graduated_percentage": tiers,
        "cost_plus": f"the provider's cost and {_percent(terms.markup)}",
        "event": f"as the event says in {terms.amount_field}",
    }[terms.model]


def _percentage(terms: Terms, asset: str) -> str:
    more = "" if terms.fixed_amount is None else f" and {amount_string(terms.fixed_amount)} {asset} per event"
    for word, amount in (("at least", terms.minimum), ("at most", terms.maximum)):
        if amount is not None:
            more += f", {word} {amount_string(amount)} {asset} per event"
    return _percent(terms.rate) + more


def _tiers(tiers: Iterable[TierTerms], asset: str) -> str:
    said = []
    for tier in tiers:
        price = f"{_amount(tier.unit_amount)} {asset}" if tier.rate is None else _percent(tier.rate)
        flat = f" and {amount_string(tier.flat_amount)} {asset} flat" if tier.flat_amount else ""
        said.append(f"{price}{flat}" + ("" if tier.up_to is None else f" up to {grouped(tier.up_to)}"))
    return ", then ".join(said)


def _per(per: Decimal | None, unit: str) -> str:
    return f"per {unit}" if per in (None, 1) else f"per {grouped(per or Decimal(1))} {unit}s"


def _percent(share: Decimal | None) -> str:
    return f"{amount_string(EXACT.multiply(share or ZERO, Decimal(100)))} %"


def _amount(amount: Decimal | None) -> str:
    return amount_string(amount or ZERO)


def grouped(number: Decimal) -> str:
    """``1,000,000.5``"""
    return f"{Decimal(amount_string(number)):,f}"


def arithmetic(lines: Iterable[ExplainedLine], amount: Decimal, asset: str) -> str:
    """How the lines come to the amount: ``1,000 × 3 ÷ 1,000,000 = 0.003 usd``."""
    said = [line(each) for each in lines]
    return f"{' + '.join(said) or '0'} = {amount_string(amount)} {asset}"


def line(each: ExplainedLine) -> str:
    """One line of it: ``1,000 × 3 ÷ 1,000,000``."""
    quantity = "" if each.quantity is None else grouped(each.quantity)
    if each.kind in _NAMES:
        return _NAMES[each.kind].format(amount=amount_string(each.amount), quantity=quantity)
    per = "" if each.kind == "packages" or each.per in (None, 1) else f" ÷ {grouped(each.per or Decimal(1))}"
    return f"{quantity} × {_amount(each.unit_amount)}{per}"
