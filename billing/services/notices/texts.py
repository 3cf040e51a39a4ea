"""What notices say: one sentence or two for each kind, from its facts."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import ROUND_DOWN, Context, Decimal
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import reading, roles
from accounts.reading import digits
from billing.engine.currencies import SIGNS, places
from billing.engine.money import decimals
from billing.models import Notice

TOPICS = {
    "budgets": _("Budgets that are used up, or nearly; how far commitments are used"),
    "balance": _("The balance is low, or lasts for days only"),
    "expiry": _("Value that expires soon"),
    "usage": _("Spending that is far from usual"),
    "receipts": _("Receipts of payments"),
    "payments": _("Invoices that are overdue; automatic top-ups that fail, stop or reach a limit"),
}
_SEEN_WITH = {
    "budgets": "wallets:read",
    "balance": "wallets:read",
    "expiry": "wallets:read",
    "usage": "events:read",
    "receipts": "invoices:read",
    "payments": "invoices:read",
}
"""The scope without which nobody is told of a topic: that of the pages that show the same."""
FOR_OPERATOR = frozenset({"usage.spike", "usage.anomaly_detected", "budget.plan_not_changed", "auto_top_up.disabled"})
"""What the operator is told as well, where there is a channel for it."""
_CUTTING = Context(prec=60)

Facts = Mapping[str, Any]


def topic(kind: str) -> str:
    """Which of ``TOPICS`` a kind of notice belongs to."""
    family = kind.partition(".")[0]
    topics = {
        "budget": "budgets",
        "commitment": "budgets",
        "grant": "expiry",
        "usage": "usage",
        "auto_top_up": "payments",
        "invoice": "payments",
    }
    topics |= {"top_up": "receipts"}
    return topics.get(family, "balance")


def topics_for(role: str) -> list[str]:
    """The topics of which somebody with this role may be told."""
    return [topic for topic in TOPICS if roles.may(role, _SEEN_WITH[topic])]


def hidden_from(role: str) -> list[str]:
    """The kinds of which somebody with this role is not told."""
    told = topics_for(role)
    return [kind for kind in _WORDS if topic(kind) not in told]


def words(kind: str, facts: Facts) -> tuple[str, str]:
    """Title and text of a notice, in the language and with the numbers that hold now."""
    return _WORDS[kind](facts)


def said(notice: Notice) -> tuple[str, str]:
    """The same of one that is kept; as it was written, where its facts are no longer enough."""
    try:
        title, text = words(notice.kind, notice.facts)
    except KeyError:
        return notice.title, notice.text
    return title[:200], text


def amount(number: str, unit: str) -> str:
    """``$4.99``, or ``1,200 image credits``. From one unit on cut to coins, never rounded up; below, every digit."""
    value = Decimal(number)
    sign = SIGNS.get(unit)
    if sign is None:
        return f"{digits(f'{value:,f}')} {unit.replace('_', ' ')}"
    size = value.copy_abs()
    coins = places(unit)
    if size >= 1 or decimals(size) <= coins:
        size = size.quantize(Decimal(1).scaleb(-coins), rounding=ROUND_DOWN, context=_CUTTING)
    return f"{'-' if value < 0 else ''}{sign}{digits(f'{size:,f}')}"


def moment(at: datetime) -> str:
    """``Nov 28, 2026 11:00 CET``: a letter says whose clock it is."""
    return f"{reading.moment(at)} {timezone.localtime(at):%Z}"


def _percent(share: str) -> str:
    return digits(f"{(Decimal(share) * 100).normalize():f} %")


def _named(facts: Facts) -> str:
    return f"{facts['name']} ({facts['value']})" if facts.get("value") else facts["name"]


def _until(facts: Facts) -> str:
    if not facts.get("resets_at"):
        return ""
    return " " + gettext("It begins anew on {time}.").format(time=_moment(facts["resets_at"]))


def _moment(told: str) -> str:
    """A moment of the facts, ``2026-11-28 10:00 UTC`` or as ISO 8601 has it."""
    return moment(datetime.fromisoformat(told.replace(" UTC", "+00:00")))


def _reason(facts: Facts) -> str:
    """A refusal's own words, translated where they are known."""
    return gettext(facts["reason"]) if facts["reason"] else ""


def _reached(facts: Facts) -> tuple[str, str]:
    spent, limit = (amount(facts[name], facts["unit"]) for name in ("spent", "limit"))
    title = gettext("Budget {name}: {share} used").format(name=_named(facts), share=_percent(facts["threshold"]))
    return title, gettext("{spent} of {limit} are used.").format(spent=spent, limit=limit) + _until(facts)


def _exceeded(facts: Facts) -> tuple[str, str]:
    text = gettext("The limit of {limit} is reached. Nothing is refused: it only tells.")
    if facts["hard"]:
        text = gettext("The limit of {limit} is reached. Usage beyond it is refused.")
    title = gettext("Budget {name} is used up").format(name=_named(facts))
    return title, text.format(limit=amount(facts["limit"], facts["unit"])) + _until(facts)


def _reset(facts: Facts) -> tuple[str, str]:
    text = gettext("{limit} can be used again.").format(limit=amount(facts["limit"], facts["unit"]))
    return gettext("Budget {name} began anew").format(name=_named(facts)), text + _until(facts)


def _plan_changed(facts: Facts) -> tuple[str, str]:
    return (
        gettext("Budget {name} is used up: the plan is now {plan}").format(name=facts["name"], plan=facts["plan_name"]),
        gettext("The limit of {limit} is reached, so you were moved from {previous} to {plan}.").format(
            limit=amount(facts["limit"], facts["unit"]), previous=facts["previous"], plan=facts["plan_name"]
        ),
    )


def _plan_not_changed(facts: Facts) -> tuple[str, str]:
    return (
        gettext("Budget {name} is used up, and the plan could not be changed").format(name=facts["name"]),
        gettext("You were to be moved to {plan}. {reason} Usage beyond the limit is refused.").format(
            plan=facts["plan_name"], reason=_reason(facts)
        ),
    )


def _committed(facts: Facts) -> tuple[str, str]:
    text = gettext(
        "{used} of {committed} are used. What of the rest, {missing}, is not used until {time} is charged then."
    )
    if Decimal(facts["missing"]) == 0:
        text = gettext("{used} of {committed} are used. Nothing is missing to it any more.")
    used, committed, missing = (amount(facts[name], facts["asset"]) for name in ("used", "committed", "missing"))
    return (
        gettext("Commitment of {plan}: {share} used").format(
            plan=facts["plan_name"], share=_percent(facts["threshold"])
        ),
        text.format(used=used, committed=committed, missing=missing, time=_moment(facts["ends_at"])),
    )


def _committed_anew(facts: Facts) -> tuple[str, str]:
    text = gettext("Usage of at least {committed} is agreed until {time}.")
    return (
        gettext("The commitment of {plan} began anew").format(plan=facts["plan_name"]),
        text.format(committed=amount(facts["committed"], facts["asset"]), time=_moment(facts["ends_at"])),
    )


def _low(facts: Facts) -> tuple[str, str]:
    below = amount(facts["threshold"], facts["asset"])
    if facts.get("share"):
        share = _percent(facts["share"])
        below = gettext("{amount} ({share} of the last top-up)").format(amount=below, share=share)
    text = gettext("Your AI Agent balance is low. {left} left, below {below}.")
    if facts.get("auto_top_up"):
        text = gettext("Your AI Agent balance is low. Auto-recharge initiated. {left} left, below {below}.")
    left = amount(facts["available"], facts["asset"])
    return gettext("Your AI Agent balance is low"), text.format(left=left, below=below)


def _depleted(facts: Facts) -> tuple[str, str]:
    text = gettext("{left} left: usage is refused until the wallet is topped up.")
    left = amount(facts["available"], facts["asset"])
    return gettext("Your AI Agent balance is used up"), text.format(left=left)


def _recovered(facts: Facts) -> tuple[str, str]:
    left = amount(facts["available"], facts["asset"])
    return gettext("Your balance has recovered"), gettext("The wallet has {left} again.").format(left=left)


def _short(facts: Facts) -> tuple[str, str]:
    left = amount(facts["available"], facts["asset"])
    return (
        gettext("Your balance lasts less than {days} days").format(days=facts["threshold"]),
        gettext("At the pace of the last weeks {left} last for about {days} days.").format(
            left=left, days=facts["days"]
        ),
    )


def _long_again(facts: Facts) -> tuple[str, str]:
    days = facts["days"] or gettext("more than 730")
    return (
        gettext("Your balance lasts long enough again"),
        gettext("At the present pace: {days} days.").format(days=days),
    )


def _expiring(facts: Facts) -> tuple[str, str]:
    left = amount(facts["remaining"], facts["asset"])
    title = gettext("{left} will expire tomorrow")
    if facts["threshold"] != "1":
        title = gettext("{left} will expire within {days} days")
    text = gettext("{left} of {name} will expire on {time}. What is used before that is not lost.")
    return (
        title.format(left=left, days=facts["threshold"]),
        text.format(left=left, name=facts["name"], time=_moment(facts["expires_at"])),
    )


def _spike(facts: Facts) -> tuple[str, str]:
    spent, usual = (amount(facts[name], facts["asset"]) for name in ("spent", "usual"))
    whose = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts["scope"].items())
    text = gettext("{spent} were spent, and {usual} are usual.")
    if whose:
        text = gettext("{spent} were spent by {whose}, and {usual} are usual.")
    title = gettext("Much more is spent than usual: {spent} in an hour").format(spent=spent)
    return title, text.format(spent=spent, usual=usual, whose=whose)


def _runaway(facts: Facts) -> tuple[str, str]:
    text = _spike(facts)[1]
    if facts["paused_key"]:
        paused = gettext("{key} is paused until you resume it.").format(key=facts["paused_key"])
        return gettext("An API key was paused: it spent far too much"), f"{text} {paused}"
    unpaused = gettext("Nothing was paused.")
    return gettext("Something may have run away"), f"{text} {unpaused}"


def _received(facts: Facts) -> tuple[str, str]:
    paid, came_in = amount(facts["paid"], facts["currency"]), amount(facts["credit"], facts["asset"])
    text = gettext("{amount} are in your wallet. The receipt: {link}")
    return (
        gettext("We received {amount}").format(amount=paid),
        text.format(amount=came_in, link=facts["receipt_url"]),
    )


def _declined(facts: Facts) -> tuple[str, str]:
    text = gettext("{reason} It is tried again later. See {link}")
    return gettext("An automatic top-up was declined"), text.format(reason=_reason(facts), link=facts["fix_url"])


def _stopped(facts: Facts) -> tuple[str, str]:
    text = gettext("{reason} Nothing more is charged until you put it right: {link}")
    return gettext("Automatic top-ups have stopped"), text.format(reason=_reason(facts), link=facts["fix_url"])


def _at_the_limit(facts: Facts) -> tuple[str, str]:
    text = gettext("The limit that you set for this month is reached. Nothing more is charged in it: {link}")
    return gettext("Automatic top-ups have reached their limit"), text.format(link=facts["fix_url"])


def _burst(facts: Facts) -> tuple[str, str]:
    text = gettext(
        "Your wallet was topped up {count} times within an hour. If that surprises you, see what spends it. {link}"
    )
    return gettext("Many automatic top-ups"), text.format(count=facts["count"], link=facts["fix_url"])


def _overdue(facts: Facts) -> tuple[str, str]:
    text = gettext("{left} of it are open; it was due on {day}. See and pay it: {link}")
    return (
        gettext("Invoice {number} is overdue").format(number=facts["number"]),
        text.format(
            left=amount(facts["outstanding"], facts["currency"].lower()),
            day=reading.day(date.fromisoformat(facts["due_on"])),
            link=facts["url"],
        ),
    )


_WORDS: dict[str, Callable[[Facts], tuple[str, str]]] = {
    "budget.threshold_reached": _reached,
    "budget.exceeded": _exceeded,
    "budget.reset": _reset,
    "budget.plan_changed": _plan_changed,
    "budget.plan_not_changed": _plan_not_changed,
    "commitment.threshold_reached": _committed,
    "commitment.reset": _committed_anew,
    "wallet.balance_low": _low,
    "wallet.depleted": _depleted,
    "wallet.balance_recovered": _recovered,
    "wallet.runway_short": _short,
    "wallet.runway_recovered": _long_again,
    "grant.expiring": _expiring,
    "usage.spike": _spike,
    "usage.anomaly_detected": _runaway,
    "top_up.succeeded": _received,
    "auto_top_up.declined": _declined,
    "auto_top_up.disabled": _stopped,
    "auto_top_up.limit_reached": _at_the_limit,
    "auto_top_up.burst": _burst,
    "invoice.overdue": _overdue,
}
