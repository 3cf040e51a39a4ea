"""Amounts in templates: short to read, exact on hover, aligned in columns."""

from decimal import Decimal

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts import reading
from billing.engine.money import amount_string, decimals
from portal import amounts

register = template.Library()


@register.simple_tag
def money(amount: Decimal, asset: str, *, signed: bool = False, fine: bool = False, unit: bool = True) -> SafeString:
    """``<data value="0.0012" title="$0.0012">$0.0012</data>``."""
    return format_html(
        '<data class="money" value="{}" title="{}">{}</data>',
        amount_string(amount),
        amounts.exact_text(amount, asset, signed=signed),
        amounts.text(amount, asset, signed=signed, fine=fine, unit=unit),
    )


@register.simple_tag
def money_column(amount: Decimal, asset: str, *, signed: bool = False, fine: bool = True) -> SafeString:
    """The same for a table's column: the points of all rows stand below each other."""
    shown = amounts.text(amount, asset, signed=signed, fine=fine, unit=False)
    whole, point, fraction = shown.partition(reading.active().point)
    return format_html(
        '<data class="money money-column{}" value="{}" title="{}">{}<span class="money-fraction">{}{}</span></data>',
        " money-in" if signed and amount > 0 else "",
        amount_string(amount),
        amounts.exact_text(amount, asset, signed=signed),
        whole,
        point,
        fraction,
    )


@register.simple_tag
def figure(amount: Decimal, asset: str, name: str = "available") -> SafeString:
    """The large figure that the live updates change; ``name`` says which figure of the asset it is."""
    parts = amounts.figure(amount, asset)
    return format_html(
        '<data class="figure" value="{}" title="{}" data-figure="{}.{}">'
        '<span class="figure-whole">{}</span><span class="figure-fraction">{}</span>'
        '<span class="figure-tail">{}</span></data>',
        amount_string(amount),
        parts.exact,
        asset,
        name,
        parts.whole,
        parts.fraction,
        parts.tail,
    )


@register.simple_tag
def quantity(amount: Decimal) -> SafeString:
    """A number of units: grouped, at most four decimals, exact on hover."""
    places = min(amounts.places_for(amount, usual=0, fine=True), decimals(amount))
    return format_html(
        '<data class="money" value="{}" title="{}">{}</data>',
        amount_string(amount),
        amounts.number(amount),
        amounts.number(amount, places=places),
    )


@register.simple_tag
def rate(amount: Decimal, asset: str) -> SafeString:
    """A price of a unit, to its last digit."""
    shown = amounts.exact_text(amount, asset)
    return format_html('<data class="money" value="{}">{}</data>', amount_string(amount), shown)


@register.simple_tag
def number_marks() -> SafeString:
    """What the scripts have to know of how the reader writes numbers: attributes of the page."""
    style = reading.active()
    return format_html(' data-group="{}" data-point="{}"', style.group, style.point)


@register.filter
def grouped(count: int) -> str:
    """How many of something: ``12,345``."""
    return reading.digits(f"{count:,}")


@register.filter
def fill(amount: Decimal | str) -> str:
    """What a field for a number is filled in with: no groups, the reader's decimal point."""
    return reading.ungrouped(amount_string(amount) if isinstance(amount, Decimal) else amount)


@register.filter
def asset_name(code: str) -> str:
    """``USD`` for a currency, the name for a unit."""
    look = amounts.look(code)
    return look.code.upper() if look.currency else look.name


@register.filter
def unit_name(code: str) -> str:
    """The name of a unit; nothing for a currency, which its amounts tell by themselves."""
    look = amounts.look(code)
    return "" if look.currency else look.name
