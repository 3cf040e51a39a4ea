"""Amounts as people read them. The books stay exact: every page also carries the exact figure."""

import time
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal

from django.utils.translation import gettext, gettext_noop

from accounts.reading import MINUS, digits
from billing.engine import currencies
from billing.engine.money import amount_string, decimals
from billing.engine.prices.words import Voice, plural
from billing.models import Asset

_FINE_PLACES = 4
_LIVE_PLACES = 6
_ROUNDING = Context(prec=60)
_CUTTING = Context(prec=60, rounding=ROUND_DOWN)
_FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """How an asset is written: currencies with a symbol and their usual decimals, units with their name."""

    code: str
    name: str
    currency: bool

    @property
    def symbol(self) -> str:
        return currencies.SIGNS.get(self.code, f"{self.code.upper()}\N{NO-BREAK SPACE}") if self.currency else ""

    @property
    def places(self) -> int:
        return currencies.places(self.code) if self.currency else 0


@dataclass(frozen=True, slots=True)
class Figure:
    """An amount in three sizes of type: ``$74``, ``.09`` and the digits behind, cut and never rounded up."""

    whole: str
    fraction: str
    tail: str
    exact: str


_looks: dict[str, tuple[float, Look]] = {}


def look(code: str) -> Look:
    """How to write the asset. Assets are few and seldom change: they are read again after a minute."""
    read_at, known = _looks.get(code, (0.0, None))
    if known is None or time.monotonic() - read_at > _FRESH_SECONDS:
        asset = Asset.objects.filter(pk=code).first()
        if asset is None:
            return Look(code, code, currency=False)
        known = Look(asset.code, asset.name, asset.kind == Asset.Kind.CURRENCY)
        _looks[code] = (time.monotonic(), known)
    return known


def forget() -> None:
    """Read every asset anew."""
    _looks.clear()


def number(amount: Decimal, *, places: int | None = None) -> str:
    """Grouped digits with exactly ``places`` decimals, or, without it, with those it has. A true minus sign.

    All figures here are written as the reader writes numbers.
    """
    if places is None:
        plain = f"{Decimal(amount_string(amount.copy_abs())):,f}"
    else:
        plain = f"{amount.copy_abs().quantize(Decimal(1).scaleb(-places), context=_ROUNDING):,f}"
    return f"{MINUS if amount < 0 and plain.strip('0.,') else ''}{digits(plain)}"


def places_for(amount: Decimal, *, usual: int, fine: bool = False) -> int:
    """How many decimals to show so that an amount that is not zero never looks like zero.

    The usual ones from one unit up; up to four below one unit; exactly four with ``fine``; and for what is still
    smaller, the first two digits that are not zero.
    """
    needed = decimals(amount)
    if needed <= usual or (amount.copy_abs() >= 1 and not fine):
        return usual
    if amount.copy_abs() >= Decimal(1).scaleb(-_FINE_PLACES):
        return _FINE_PLACES if fine else max(usual, min(_FINE_PLACES, needed))
    return min(needed, 1 - amount.adjusted())


def text(amount: Decimal, code: str, *, signed: bool = False, fine: bool = False, unit: bool = True) -> str:
    """``$74.10``, ``−$0.0034``, ``1,250 Image credits``. With ``signed`` also ``+$100.00``."""
    look_ = look(code)
    places = places_for(amount, usual=look_.places, fine=fine)
    written = number(amount.copy_abs(), places=places if look_.currency else min(places, decimals(amount)))
    sign = MINUS if amount < 0 else "+" if signed and amount > 0 else ""
    return f"{sign}{look_.symbol}{written}{_unit(look_) if unit else ''}"


def exact_text(amount: Decimal, code: str, *, signed: bool = False) -> str:
    """The amount to its last digit: what hovering shows."""
    look_ = look(code)
    sign = MINUS if amount < 0 else "+" if signed and amount > 0 else ""
    written = number(amount.copy_abs(), places=max(look_.places, decimals(amount)))
    return f"{sign}{look_.symbol}{written}{_unit(look_)}"


def figure(amount: Decimal, code: str) -> Figure:
    """The amount for the large live figure: cut after six decimals, so that it never shows more than there is."""
    look_ = look(code)
    places = min(_LIVE_PLACES, max(look_.places, decimals(amount)))
    cut = amount.copy_abs().quantize(Decimal(1).scaleb(-places), context=_CUTTING)
    whole, _, rest = f"{cut:,f}".partition(".")
    shown = look_.places if look_.currency else len(rest)
    sign = MINUS if amount < 0 else ""
    return Figure(
        whole=f"{sign}{look_.symbol}{digits(whole)}",
        fraction=f"{digits('.')}{rest[:shown]}" if rest[:shown] else "",
        tail=rest[shown:].rstrip("0"),
        exact=exact_text(amount, code),
    )


def _unit(look_: Look) -> str:
    return "" if look_.currency else f"\N{NO-BREAK SPACE}{look_.name}"


UNITS = (
    gettext_noop("call"),
    gettext_noop("calls"),
    gettext_noop("character"),
    gettext_noop("characters"),
    gettext_noop("event"),
    gettext_noop("events"),
    gettext_noop("hour"),
    gettext_noop("hours"),
    gettext_noop("image"),
    gettext_noop("images"),
    gettext_noop("message"),
    gettext_noop("messages"),
    gettext_noop("minute"),
    gettext_noop("minutes"),
    gettext_noop("page"),
    gettext_noop("pages"),
    gettext_noop("request"),
    gettext_noop("requests"),
    gettext_noop("second"),
    gettext_noop("seconds"),
    gettext_noop("step"),
    gettext_noop("steps"),
    gettext_noop("token"),
    gettext_noop("tokens"),
)
"""Units that meters usually have; those of the operator's own are said as they stand."""


def units(unit: str) -> str:
    """Several of a meter's unit, in the reader's language."""
    return gettext(plural(unit)) if unit else ""


VOICE = Voice(say=gettext, number=digits, money=exact_text)
"""How prices and their arithmetic are said to the reader."""
