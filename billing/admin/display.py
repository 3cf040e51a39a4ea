"""How the back office writes amounts, moments and links. The books stay exact: the exact figure is always in the page.

An amount is written in two parts: what people read (``$12.34``) and the digits behind it, smaller. Both parts have a
fixed width in tables, so that the decimal points of a column stand above one another.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Context, Decimal
from typing import Any

import msgspec
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.engine import currencies
from billing.engine.money import amount_string
from billing.models import Asset
from billing.models.ledger import Account

MINUS = "\N{MINUS SIGN}"
NOTHING = format_html('<span class="ante-none">{}</span>', "–")
_CUT = Context(prec=60, rounding=ROUND_DOWN)
_ROUND = Context(prec=60)

_AMOUNT = re.compile(r"(?<![\w.-])(\d+(?:\.\d+)?) ([a-z]\w*)")
_REST = re.compile(r"\bhas \d+(?:\.\d+)?(?= (?:for it|available|left)\b)")
"""What there is of it, which is said without its asset."""

_encode = msgspec.json.Encoder(decimal_format="number").encode
_currencies: dict[str, bool] = {}


@dataclass(frozen=True, slots=True)
class Written:
    """An amount as text: ``main`` is what is read first, ``tail`` the digits behind, ``exact`` all of it."""

    main: str
    tail: str
    exact: str


def is_currency(asset: str) -> bool:
    """Whether the asset is money. What an asset is never changes, so each is looked up once."""
    if asset not in _currencies:
        _look_up()
    return _currencies.get(asset, False)


def _look_up() -> None:
    _currencies.update((row.code, row.kind == Asset.Kind.CURRENCY) for row in Asset.objects.all())


def written(value: Decimal, asset: str, *, signed: bool = False) -> Written:
    """The amount in its asset, cut and never rounded: ``main`` and ``tail`` together are exact."""
    money, usual = is_currency(asset), places(asset)
    whole = value.copy_abs().quantize(Decimal(1).scaleb(-usual), context=_CUT)
    _, _, decimals = amount_string(value.copy_abs()).partition(".")
    sign = MINUS if value < 0 else "+" if signed and value > 0 else ""
    before = f"{sign}{currencies.SIGNS.get(asset, '') if money else ''}"
    unit = "" if money and asset in currencies.SIGNS else f"\N{NO-BREAK SPACE}{asset.upper() if money else asset}"
    tail = decimals[usual:]
    if not usual and tail:
        tail = f".{tail}"
    return Written(f"{before}{whole:,f}", tail, f"{before}{whole:,f}{tail}{unit}")


def amount(value: Decimal | None, asset: str, *, signed: bool = False) -> SafeString:
    """For a table's column. Hovering shows the exact amount with its asset."""
    if value is None:
        return NOTHING
    parts = written(value, asset, signed=signed)
    tail = parts.tail if len(parts.tail) <= 7 else f"{parts.tail[:6]}…"
    tone = " ante-zero" if value == 0 else ""
    return format_html(
        '<span class="ante-amount{}" title="{}"><span>{}</span><small>{}</small></span>',
        tone,
        parts.exact,
        parts.main,
        tail,
    )


def figure(value: Decimal, asset: str, *, cut: bool = False) -> SafeString:
    """For a headline: in coins, or, for less than one unit of money, with as many decimals as tell it from nothing.

    ``cut`` is for what may be spent: it never shows more than there is.
    """
    money, decimals = is_currency(asset), places(asset)
    if money and 0 < value.copy_abs() < 1:
        decimals = max(decimals, min(6, 1 - value.adjusted()))
    shown = value.copy_abs().quantize(Decimal(1).scaleb(-decimals), context=_CUT if cut else _ROUND)
    sign = MINUS if value < 0 and shown else ""
    before = symbol(asset) if money else ""
    return format_html(
        '<span class="ante-figure" title="{}">{}{}{}</span>', written(value, asset).exact, sign, before, f"{shown:,f}"
    )


def text(value: Decimal, currency: str) -> str:
    """In the coins of the currency: ``$1,234.50``, ``¥1,235``."""
    return f"{MINUS if value < 0 else ''}{symbol(currency)}{value.copy_abs():,.{places(currency)}f}"


def said(detail: str) -> str:
    """What a service says or refuses, its amounts as people read them: ``1000 usd`` as ``$1,000.00``."""
    if not _currencies:
        _look_up()
    assets = [found[2] for found in _AMOUNT.finditer(detail) if found[2] in _currencies]
    if not assets:
        return detail
    detail = _REST.sub(lambda found: f"{found[0]} {assets[0]}", detail)

    def exact(found: re.Match[str]) -> str:
        return written(Decimal(found[1]), found[2]).exact if found[2] in assets else found[0]

    return _AMOUNT.sub(exact, detail)


def places(asset: str) -> int:
    """How many decimals people expect of it: those of the currency's coins, none of a unit."""
    return currencies.places(asset) if is_currency(asset) else 0


def symbol(asset: str) -> str:
    """What stands before an amount of this currency; nothing where it has no sign of its own."""
    return currencies.SIGNS.get(asset, "")


def percent(share: Decimal) -> SafeString:
    """A share as a percentage with one decimal."""
    shown = (share * 100).quantize(Decimal("0.1"), context=_ROUND)
    sign = MINUS if shown < 0 else ""
    return format_html('<span class="ante-number">{}{} %</span>', sign, amount_string(shown.copy_abs()))


def quantity(value: Decimal) -> SafeString:
    """A metered quantity: grouped digits, no needless zeros."""
    return format_html('<span class="ante-number">{}</span>', f"{Decimal(amount_string(value)):,f}")


def count(value: int) -> SafeString:
    return format_html('<span class="ante-number">{}</span>', f"{value:,}")


def moment(value: datetime | None) -> SafeString:
    """``2026-11-20 14:03:22`` in the back office's time zone; hovering shows it with fractions and zone."""
    if value is None:
        return NOTHING
    local = timezone.localtime(value)
    return format_html(
        '<time class="ante-time" datetime="{}" title="{}">{}</time>',
        local.isoformat(),
        local.isoformat(sep=" "),
        f"{local:%Y-%m-%d %H:%M:%S}",
    )


def link(obj: Model | None, text: object = None) -> SafeString:
    """A link to the object's own page."""
    if obj is None:
        return NOTHING
    return link_to(type(obj), obj.pk, str(obj) if text is None else text)


def link_to(model: type[Model], pk: object, text: object) -> SafeString:
    """The same without loading the object."""
    if pk is None:
        return NOTHING
    return format_html('<a class="ante-link" href="{}">{}</a>', _address(model, pk), text)


def address(obj: Model) -> str:
    """Where the object's own page is."""
    return _address(type(obj), obj.pk)


def _address(model: type[Model], pk: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])


def short_id(pk: object) -> str:
    """The end of an id: its beginning is the time and much the same for neighbours."""
    return f"…{str(pk)[-8:]}"


def posting(debit: str, credit: str) -> SafeString:
    """From which account to which."""
    return format_html(
        '<span class="ante-posting"><span>{}</span><i>→</i><span>{}</span></span>',
        _account(debit),
        _account(credit),
    )


def _account(code: str) -> str:
    return str(Account(code).label) if code in Account.values else code


def age(seconds: int) -> str:
    """``3 hours``, ``12 s``: the largest unit that there is a whole one of."""
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            number = seconds // size
            return f"{number} {name}{'' if number == 1 else 's'}"
    return f"{seconds} s"


def badge(text: object, tone: str) -> SafeString:
    """``tone``: good, bad, warn, info or quiet."""
    return format_html('<span class="ante-badge ante-{}">{}</span>', tone, text)


def pretty_json(value: Any) -> SafeString:
    """JSON to be read, numbers as they were sent."""
    if value in (None, {}, []):
        return NOTHING
    return format_html('<pre class="ante-json">{}</pre>', msgspec.json.format(_encode(value), indent=2).decode())


def pairs(value: Any) -> SafeString:
    """A small JSON object on one line: ``model gpt-5 · user u_01``."""
    if not isinstance(value, dict) or not value:
        return NOTHING
    words = (f"{key} {', '.join(map(str, held)) if isinstance(held, list) else held}" for key, held in value.items())
    return format_html('<span class="ante-pairs">{}</span>', " · ".join(words))


def forget() -> None:
    """Look assets up anew: for tests, which make the same codes again."""
    _currencies.clear()
