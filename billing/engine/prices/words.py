"""Prices, and how they come to an amount, in a line of text. English, unless a ``Voice`` says it otherwise."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from billing.engine.currencies import grouped, written
from billing.engine.marking import gettext_noop
from billing.engine.money import EXACT, ZERO, amount_string
from billing.engine.prices.terms import Terms, TierTerms
from billing.engine.rating import ExplainedLine


@dataclass(frozen=True, slots=True)
class Voice:
    """``say`` puts a text into another language, before its places are filled in; ``number`` writes ``1,234.5`` as it
    is written there, and ``money`` an amount of an asset."""

    say: Callable[[str], str] = str
    number: Callable[[str], str] = str
    money: Callable[[Decimal, str], str] = written

    def amount(self, amount: Decimal | None, asset: str) -> str:
        return self.money(amount or ZERO, asset)

    def grouped(self, number: Decimal) -> str:
        return self.number(grouped(number))

    def percent(self, share: Decimal | None) -> str:
        return f"{self.number(amount_string(EXACT.multiply(share or ZERO, Decimal(100))))} %"


ENGLISH = Voice()

_NAMES = {
    "flat_amount": gettext_noop("flat {amount}"),
    "free_units": gettext_noop("{quantity} free"),
    "maximum": gettext_noop("beyond the maximum {amount}"),
    "discount": gettext_noop("discount {amount}"),
    "covered": gettext_noop("{quantity} covered"),
    "event": gettext_noop("{amount} as the event says"),
    "waived": gettext_noop("{quantity} not charged: failed run"),
    "refused": gettext_noop("refused by a budget {amount}"),
}
_FAMILIES = {
    "per_unit": "{amount} {per}",
    "package": gettext_noop("{amount} for each started {units}"),
    "flat": gettext_noop("{amount} per event"),
    "graduated": "{tiers} {per}",
    "volume": gettext_noop("all at {tiers} {per}"),
    "percentage": "{share}",
    "graduated_percentage": "{tiers}",
    "cost_plus": gettext_noop("the provider's cost and {markup}"),
    "event": gettext_noop("as the event says in {field}"),
}
_FULL_PACKAGES = gettext_noop("{amount} for each full {units}")


def describe(terms: Terms, asset: str, unit: str = "", voice: Voice = ENGLISH) -> str:
    """What a price is, such as ``$3.00 up to 1,000,000, then $2.00 per 1,000,000 tokens``."""
    said = _family(terms, asset, unit, voice)
    if terms.free_units:
        said += voice.say(gettext_noop(", the first {quantity} free")).format(quantity=voice.grouped(terms.free_units))
    if terms.minimum_amount is not None:
        least = voice.amount(terms.minimum_amount, asset)
        said += voice.say(gettext_noop(", at least {amount} a period")).format(amount=least)
    if terms.maximum_amount is not None:
        most = voice.amount(terms.maximum_amount, asset)
        said += voice.say(gettext_noop(", at most {amount} a period")).format(amount=most)
    return said


def _family(terms: Terms, asset: str, unit: str, voice: Voice) -> str:
    whole = terms.model == "package" and terms.rounding == "down"
    units = _units(terms.per, unit, voice)
    return voice.say(_FULL_PACKAGES if whole else _FAMILIES[terms.model]).format(
        amount=voice.amount(terms.unit_amount, asset),
        per=voice.say(gettext_noop("per {units}")).format(units=units),
        units=units,
        tiers=_tiers(terms.tiers or (), asset, voice),
        share=_percentage(terms, asset, voice),
        markup=voice.percent(terms.markup),
        field=terms.amount_field,
    )


def _percentage(terms: Terms, asset: str, voice: Voice) -> str:
    said = voice.percent(terms.rate)
    for text, amount in (
        (gettext_noop(" and {amount} per event"), terms.fixed_amount),
        (gettext_noop(", at least {amount} per event"), terms.minimum),
        (gettext_noop(", at most {amount} per event"), terms.maximum),
    ):
        if amount is not None:
            said += voice.say(text).format(amount=voice.amount(amount, asset))
    return said


def _tiers(tiers: Iterable[TierTerms], asset: str, voice: Voice) -> str:
    said = []
    for tier in tiers:
        price = voice.percent(tier.rate) if tier.rate is not None else voice.amount(tier.unit_amount, asset)
        if tier.flat_amount:
            flat = voice.amount(tier.flat_amount, asset)
            price += voice.say(gettext_noop(" and {amount} flat")).format(amount=flat)
        if tier.up_to is not None:
            price += voice.say(gettext_noop(" up to {quantity}")).format(quantity=voice.grouped(tier.up_to))
        said.append(price)
    return voice.say(gettext_noop(", then ")).join(said)


def plural(unit: str) -> str:
    """Several of a unit: ``tokens``; a symbol such as ``GB`` stays as it is."""
    return f"{unit}s" if unit and unit == unit.lower() else unit


def _units(per: Decimal | None, unit: str, voice: Voice) -> str:
    if per in (None, 1):
        return voice.say(unit or gettext_noop("unit"))
    return f"{voice.grouped(per or Decimal(1))} {voice.say(plural(unit) or gettext_noop('units'))}"


def arithmetic(lines: Iterable[ExplainedLine], amount: Decimal, asset: str, voice: Voice = ENGLISH) -> str:
    """How the lines come to the amount: ``1,000 × $3.00 ÷ 1,000,000 = $0.003``."""
    said = [line(each, asset, voice) for each in lines]
    return f"{' + '.join(said) or '0'} = {voice.amount(amount, asset)}"


def line(each: ExplainedLine, asset: str, voice: Voice = ENGLISH) -> str:
    """One line of it: ``1,000 × $3.00 ÷ 1,000,000``."""
    quantity = "" if each.quantity is None else voice.grouped(each.quantity)
    if each.kind in _NAMES:
        return voice.say(_NAMES[each.kind]).format(amount=voice.amount(each.amount, asset), quantity=quantity)
    per = "" if each.kind == "packages" or each.per in (None, 1) else f" ÷ {voice.grouped(each.per or Decimal(1))}"
    return f"{quantity} × {voice.amount(each.unit_amount, asset)}{per}"
