"""What notices say: one sentence or two for each kind, from its facts."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import ROUND_DOWN, Context, Decimal
from typing import Any

from billing.engine.money import decimals

TOPICS = {
    "budgets": "Budgets that are used up, or nearly; how far commitments are used",
    "balance": "The balance is low, or lasts for days only",
    "expiry": "Value that expires soon",
    "usage": "Spending that is far from usual",
    "receipts": "Receipts of payments",
    "payments": "Invoices that are overdue; automatic top-ups that fail, stop or reach a limit",
}
FOR_OPERATOR = frozenset({"usage.spike", "usage.anomaly_detected", "budget.plan_not_changed", "auto_top_up.disabled"})
"""What the operator is told as well, where there is a channel for it."""
_SIGNS = {"usd": "$", "eur": "€", "gbp": "£"}
_CENT = Decimal("0.01")
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


def words(kind: str, facts: Facts) -> tuple[str, str]:
    """Title and text of a notice."""
    return _WORDS[kind](facts)


def amount(number: str, unit: str) -> str:
    """``$4.99``, or ``1,200 image_credits``. From one unit on cut to cents, never rounded up; below, every digit."""
    value = Decimal(number)
    sign = _SIGNS.get(unit)
    if sign is None:
        return f"{value:,f} {unit}"
    size = value.copy_abs()
    if size >= 1 or decimals(size) <= 2:
        size = size.quantize(_CENT, rounding=ROUND_DOWN, context=_CUTTING)
    return f"{'-' if value < 0 else ''}{sign}{size:,f}"


def _percent(share: str) -> str:
    return f"{(Decimal(share) * 100).normalize():f} %"


def _named(facts: Facts) -> str:
    return f"{facts['name']} ({facts['value']})" if facts.get("value") else facts["name"]


def _until(facts: Facts) -> str:
    if not facts.get("resets_at"):
        return ""
    return f" It begins anew at {datetime.fromisoformat(facts['resets_at']):%Y-%m-%d %H:%M} UTC."


def _reached(facts: Facts) -> tuple[str, str]:
    spent, limit = (amount(facts[name], facts["unit"]) for name in ("spent", "limit"))
    share = _percent(facts["threshold"])
    return f"Budget {_named(facts)}: {share} used", f"{spent} of {limit} are used.{_until(facts)}"


def _exceeded(facts: Facts) -> tuple[str, str]:
    limit = amount(facts["limit"], facts["unit"])
    effect = "Usage beyond it is refused." if facts["hard"] else "Nothing is refused: it only tells."
    return f"Budget {_named(facts)} is used up", f"The limit of {limit} is reached. {effect}{_until(facts)}"


def _reset(facts: Facts) -> tuple[str, str]:
    limit = amount(facts["limit"], facts["unit"])
    return f"Budget {_named(facts)} began anew", f"{limit} can be used again.{_until(facts)}"


def _plan_changed(facts: Facts) -> tuple[str, str]:
    limit = amount(facts["limit"], facts["unit"])
    return (
        f"Budget {facts['name']} is used up: the plan is now {facts['plan_name']}",
        f"The limit of {limit} is reached, so you were moved from {facts['previous']} to {facts['plan_name']}.",
    )


def _plan_not_changed(facts: Facts) -> tuple[str, str]:
    return (
        f"Budget {facts['name']} is used up, and the plan could not be changed",
        f"You were to be moved to {facts['plan_name']}. {facts['reason']} Usage beyond the limit is refused.",
    )


def _committed(facts: Facts) -> tuple[str, str]:
    used, committed, missing = (amount(facts[name], facts["asset"]) for name in ("used", "committed", "missing"))
    rest = f"What of the rest, {missing}, is not used until {facts['ends_at']} is charged then."
    if Decimal(facts["missing"]) == 0:
        rest = "Nothing is missing to it any more."
    return (
        f"Commitment of {facts['plan_name']}: {_percent(facts['threshold'])} used",
        f"{used} of {committed} are used. {rest}",
    )


def _committed_anew(facts: Facts) -> tuple[str, str]:
    committed = amount(facts["committed"], facts["asset"])
    return (
        f"The commitment of {facts['plan_name']} began anew",
        f"Usage of at least {committed} is agreed until {facts['ends_at']}.",
    )


def _low(facts: Facts) -> tuple[str, str]:
    left = amount(facts["available"], facts["asset"])
    below = amount(facts["threshold"], facts["asset"])
    share = f" ({_percent(facts['share'])} of the last top-up)" if facts.get("share") else ""
    initiated = " Auto-recharge initiated." if facts.get("auto_top_up") else ""
    return (
        "Your AI Agent balance is low",
        f"Your AI Agent balance is low.{initiated} {left} left, below {below}{share}.",
    )


def _depleted(facts: Facts) -> tuple[str, str]:
    left = amount(facts["available"], facts["asset"])
    return "Your AI Agent balance is used up", f"{left} left: usage is refused until the wallet is topped up."


def _recovered(facts: Facts) -> tuple[str, str]:
    left = amount(facts["available"], facts["asset"])
    return "Your balance has recovered", f"There are {left} in the wallet again."


def _short(facts: Facts) -> tuple[str, str]:
    left = amount(facts["available"], facts["asset"])
    return (
        f"Your balance lasts less than {facts['threshold']} days",
        f"At the pace of the last weeks {left} last for about {facts['days']} days.",
    )


def _long_again(facts: Facts) -> tuple[str, str]:
    return "Your balance lasts long enough again", f"At the present pace: {facts['days'] or 'more than 730'} days."


def _expiring(facts: Facts) -> tuple[str, str]:
    left = amount(facts["remaining"], facts["asset"])
    return (
        f"{left} expire within {facts['threshold']} days" if facts["threshold"] != "1" else f"{left} expire tomorrow",
        f"{left} of {facts['name']} expire at {facts['expires_at']}. What is used before that is not lost.",
    )


def _spike(facts: Facts) -> tuple[str, str]:
    spent, usual = (amount(facts[name], facts["asset"]) for name in ("spent", "usual"))
    whose = "".join(f" by {name.replace('_', ' ')} {value}" for name, value in facts["scope"].items())
    return f"Much more is spent than usual: {spent} in an hour", f"{spent} were spent{whose}, and {usual} are usual."


def _runaway(facts: Facts) -> tuple[str, str]:
    _, text = _spike(facts)
    if facts["paused_key"]:
        return (
            "An API key was paused: it spent far too much",
            f"{text} {facts['paused_key']} is paused until you resume it.",
        )
    return "Something may have run away", f"{text} Nothing was paused."


def _received(facts: Facts) -> tuple[str, str]:
    paid, came_in = amount(facts["paid"], facts["currency"]), amount(facts["credit"], facts["asset"])
    return f"We received {paid}", f"{came_in} are in your wallet. The receipt: {facts['receipt_url']}"


def _declined(facts: Facts) -> tuple[str, str]:
    return "An automatic top-up was declined", f"{facts['reason']} It is tried again later. See {facts['fix_url']}"


def _stopped(facts: Facts) -> tuple[str, str]:
    text = f"{facts['reason']} Nothing more is charged until you put it right: {facts['fix_url']}"
    return "Automatic top-ups have stopped", text


def _at_the_limit(facts: Facts) -> tuple[str, str]:
    text = f"The limit that you set for this month is reached. Nothing more is charged in it: {facts['fix_url']}"
    return "Automatic top-ups have reached their limit", text


def _burst(facts: Facts) -> tuple[str, str]:
    text = (
        f"Your wallet was topped up {facts['count']} times within an hour. If that surprises you, see what spends it."
    )
    return "Many automatic top-ups", f"{text} {facts['fix_url']}"


def _overdue(facts: Facts) -> tuple[str, str]:
    left = amount(facts["outstanding"], facts["currency"].lower())
    return (
        f"Invoice {facts['number']} is overdue",
        f"{left} of it are open; it was due on {facts['due_on']}. See and pay it: {facts['url']}",
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
