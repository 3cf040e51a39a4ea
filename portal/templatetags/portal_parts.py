"""Small parts of pages."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.template import Context
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import reading
from billing.engine.budgets import EACH
from billing.engine.money import amount_string
from billing.models import Alert, Budget, EntryKind, Grant, Notice, PaymentAttempt, PaymentMethod
from billing.selectors.ledger.statements import StatementRow
from billing.selectors.spending import budgets as selector
from billing.services import notices
from billing.services.invoicing import wording
from portal import amounts, refusals, trail_words
from portal.access import Visit
from portal.templatetags.money import money

register = template.Library()

PALETTE = 8
"""How many colours a chart has: the classes ``tone-1`` to ``tone-8``, and ``tone-0`` for the rest."""


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """One icon of the sprite. Without ``label`` it says nothing to assistive technology."""
    described = format_html('role="img" aria-label="{}"', label) if label else 'aria-hidden="true"'
    return format_html(
        '<svg class="icon" {}><use href="{}#{}"></use></svg>', SafeString(described), static("img/icons.svg"), name
    )


@register.simple_tag(takes_context=True)
def nav_link(context: Context, page: str, symbol: str, label: str, count: int = 0) -> SafeString:
    """An entry of the menu; the one of the page that is shown, or that it lies under, is marked. ``count``: how many
    are new."""
    address, path = reverse(f"portal:{page}"), context["request"].path
    here = path == address or (address != "/" and path.startswith(f"{address}/"))
    return format_html(
        '<a href="{}"{}>{}{}{}</a>',
        address,
        SafeString(' aria-current="page"') if here else "",
        icon(symbol),
        label,
        format_html(
            ' <span class="badge" data-variant="brand" aria-label="{}">{}</span>',
            gettext("{count} new").format(count=count),
            count,
        )
        if count
        else "",
    )


@register.simple_tag
def share_bar(share: Decimal | float, tone: int = 1) -> SafeString:
    """A bar that is filled by ``share``, 0 to 1. Drawn as SVG: style attributes are not allowed here."""
    width = max(0.0, min(1.0, float(share))) * 100
    return format_html(
        '<svg class="share-bar tone-{}" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="share-bar-track" width="100" height="4"></rect><rect width="{}" height="4"></rect></svg>',
        tone,
        f"{width:.2f}",
    )


@register.simple_tag
def stacked_bar(parts: list[tuple[float, int]]) -> SafeString:
    """One bar of several parts, each a share of the whole (0 to 1) and a tone, with a hair's breadth between them."""
    x = 0.0
    drawn = []
    for number, (share, tone) in enumerate(parts, start=1):
        gap = 0.4 if number < len(parts) else 0.0
        drawn.append((tone, f"{x:.2f}", f"{max(0.6, share * 100 - gap):.2f}"))
        x += share * 100
    return format_html(
        '<svg class="stacked-bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="share-bar-track" width="100" height="6"></rect>{}</svg>',
        format_html_join("", '<rect class="tone-{}" x="{}" width="{}" height="6"></rect>', drawn),
    )


@register.filter
def percent(share: Decimal | float) -> str:
    """``0.256`` as ``25.6%``."""
    value = float(share) * 100
    return reading.digits(f"{value:.1f}%" if 0 < value < 99.95 else f"{value:.0f}%")


_KIND_ICONS = {
    "top_up": "wallet",
    "grant": "coins",
    "usage": "chart-column",
    "hold": "lock",
    "release": "lock",
    "expiry": "hourglass",
    "void": "x",
    "reversal": "wallet",
    "reinstatement": "wallet",
}
_KIND_WORDS = dict(EntryKind.choices)


@register.simple_tag
def kind_icon(kind: str) -> SafeString:
    """The icon of a kind of movement."""
    return icon(_KIND_ICONS.get(kind, "receipt-text"))


@register.filter
def kind_words(kind: str) -> str:
    """A kind of movement in words."""
    return str(_KIND_WORDS.get(kind, kind))


@register.simple_tag
def when(moment: datetime) -> SafeString:
    """The time of day for today, the date as well for other days; the whole of it on hover. In the customer's zone."""
    local, now = timezone.localtime(moment), timezone.localtime()
    paper, shown = "", reading.day(local)
    if local.date() == now.date():
        paper, shown = f"{reading.day_of_year(local)}, ", f"{local:%H:%M:%S}"  # On paper today is a day like any other.
    elif local.year == now.year:
        shown = f"{reading.day_of_year(local)}, {local:%H:%M}"
    return format_html(
        '<time datetime="{}" title="{}"><span class="paper-only">{}</span>{}</time>',
        moment.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S %Z}",
        paper,
        shown,
    )


@register.filter
def day(moment: date | None) -> str:
    """``Nov 21, 2026``, as the reader writes dates."""
    return reading.day(moment) if moment else ""


@register.filter
def day_of_year(moment: date | None) -> str:
    """``Nov 21``."""
    return reading.day_of_year(moment) if moment else ""


@register.filter
def moment(moment: datetime | None) -> str:
    """``Nov 21, 2026 17:05``."""
    return reading.moment(moment) if moment else ""


@register.filter
def moment_of_year(moment: datetime | None) -> str:
    """``Nov 21, 17:05``."""
    return f"{reading.day_of_year(moment)}, {timezone.localtime(moment):%H:%M}" if moment else ""


_METHOD_WORDS = {
    "card": _("Card"),
    "link": "Link",
    "us_bank_account": _("US bank account"),
    "sepa_debit": _("SEPA debit"),
    "crypto": _("Stablecoin"),
}


@register.filter
def method_name(method: PaymentMethod) -> str:
    """A kept method as its owner knows it: ``Visa ···· 4242``."""
    return _method_words(method.type, method.brand, method.last4)


@register.filter
def used_method(attempt: PaymentAttempt) -> str:
    """The same of the method that a payment was made with; empty where none was chosen yet."""
    return _method_words(attempt.method_type, attempt.method_brand, attempt.method_last4)


def _method_words(type: str, brand: str, last4: str) -> str:
    name = brand.title() if brand and type == "card" else str(_METHOD_WORDS.get(type, type.replace("_", " ").title()))
    return f"{name} ···· {last4}" if last4 else name


@register.filter
def words(name: str) -> str:
    """The name of a field as people read it: ``input_tokens`` as ``Input tokens``."""
    return name.replace("_", " ").replace(".", " ").strip().capitalize()


@register.filter
def plain(number: Decimal) -> str:
    """A number to its last digit, without needless zeros."""
    return reading.ungrouped(amount_string(number))


_A_PERIOD = {
    "day": _("a day"),
    "week": _("a week"),
    "month": _("a month"),
    "quarter": _("a quarter"),
    "year": _("a year"),
}


@register.filter
def a_period(interval: str) -> str:
    """``a month``: how often a plan's fee comes."""
    return str(_A_PERIOD[interval])


@register.filter
def within(words: object) -> str:
    """Words as they stand within a sentence: small in English, as they are in languages that write nouns large."""
    return str(words).lower() if get_language() == "en" else str(words)


_SPANS = {Decimal(60): _("per minute"), Decimal(3600): _("per hour")}


@register.filter
def per_unit(per: Decimal, unit: str) -> str:
    """``per token``, ``per 1M tokens``, ``per hour`` for 3,600 seconds."""
    if unit == "second" and per in _SPANS:
        return str(_SPANS[per])
    if per == 1:
        return gettext("per {unit}").format(unit=gettext(unit or "unit"))
    return gettext("per {number} {units}").format(number=per_units(per), units=amounts.units(unit or "unit"))


@register.filter
def per_units(per: Decimal) -> str:
    """``1M`` for a million, ``1K`` for a thousand, otherwise the grouped number."""
    for size, letter in ((1_000_000_000, "B"), (1_000_000, "M"), (1000, "K")):
        if per >= size and per % size == 0:
            return f"{int(per / size)}{letter}"
    return reading.digits(f"{per.normalize():,f}")


@register.simple_tag
def unread_notices(visit: Visit) -> int:
    """How many notices the person has not read yet."""
    told = notices.inbox(user=visit.user, customer=visit.customer, role=visit.membership.role)
    return told.filter(read_at=None).count()


@register.simple_tag
def budget_amount(amount: Decimal, budget: Budget, *, unit: bool = True) -> SafeString:
    """An amount of what the budget counts; with ``unit`` false events are a bare number."""
    if budget.asset_id is None:
        count = reading.digits(f"{amount:,.0f}")
        return format_html(
            "{}", ngettext("{events} event", "{events} events", int(amount)).format(events=count) if unit else count
        )
    return money(amount, budget.asset_id)


@register.filter
def budget_covers(budget: Budget) -> str:
    """What a budget is for, in words: ``user u_17, each session``."""
    words = [
        gettext("each {name}").format(name=name) if value == EACH else f"{name} {value}"
        for name, value in budget.scope.items()
    ]
    if people := [person.get_full_name() for person in selector.people(budget)]:
        words.append(gettext("{names} together").format(names=" + ".join(people)) if budget.people else people[0])
    if budget.api_key is not None:
        words.append(gettext("key {name}").format(name=budget.api_key.name))
    return ", ".join(words) or gettext("All usage")


@register.filter
def budget_at_cap(budget: Budget) -> str:
    """What happens at its limit, in words."""
    if not budget.hard:
        return gettext("only tells")
    if budget.plan is not None:
        return gettext("moves to the plan {plan}").format(plan=budget.plan.name)
    return str(_AT_CAP[budget.at_cap])


_AT_CAP = {
    Budget.AtCap.REFUSE.value: _("refuses what is beyond"),
    Budget.AtCap.THROTTLE.value: _("asks to come again later"),
    Budget.AtCap.PAUSE_KEY.value: _("refuses and pauses the key"),
}


_GRANT_NAMES: dict[str, Any] = {**dict(Grant.Kind.choices), "Top-up": EntryKind.TOP_UP.label}


@register.filter
def grant_kind(kind: str) -> str:
    """What kind of grant it is, in words."""
    return str(Grant.Kind(kind).label)


@register.filter
def grant_name(name: str | None) -> str:
    """A grant as it is called; one that was given no name goes by its kind, and a top-up's by that, in words."""
    return str(_GRANT_NAMES.get(name, name)) if name else ""


@register.filter
def movement_name(row: StatementRow) -> str:
    """What a movement that no meter counted is called: a fee by what it is for, others by the grant that they moved."""
    return line_words(row.description) if row.kind == EntryKind.FEE else grant_name(row.grant)


@register.filter
def line_words(description: str) -> str:
    """What a line of an invoice or a fee says, in the reader's language."""
    return wording.line(description)


@register.filter
def topic_words(topic: str) -> str:
    """What notices of this topic are about."""
    return str(notices.TOPICS[topic])


register.filter("action_words", trail_words.action)
register.filter("facts", trail_words.facts)
register.filter("in_words", refusals.said)
register.filter("units", amounts.units)


@register.filter
def said(notice: Notice) -> dict[str, str]:
    """Title and text of a notice, for the reader."""
    title, text = notices.said(notice)
    return {"title": title, "text": text}


@register.filter
def share_percent(share: str) -> str:
    """``0.8`` as ``80%``."""
    return reading.digits(f"{amount_string(Decimal(share) * 100)}%")


@register.filter
def alert_at(alert: Alert) -> str:
    """The thresholds of an alert in words."""
    if alert.of == Alert.Of.USUAL:
        return ""
    if alert.of == Alert.Of.DAYS:
        return gettext("{days} days").format(days=", ".join(alert.at))
    if alert.of == Alert.Of.COMMITMENT:
        return ", ".join(map(share_percent, alert.at))
    if alert.of == Alert.Of.LAST_TOP_UP:
        return gettext("{shares} of the last top-up").format(shares=", ".join(map(share_percent, alert.at)))
    return ", ".join(amounts.text(Decimal(amount), alert.asset_id or "") for amount in alert.at)
