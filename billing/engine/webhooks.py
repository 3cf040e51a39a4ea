"""What endpoints are told: the types, what each says, when it is tried again. The catalogue of docs/webhooks.md."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from billing.engine.marking import gettext_noop

EVERYTHING = "*"
TEST = "webhook.test"
DELAYS = (
    *(timedelta(seconds=5), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30)),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 20)),
)
"""How long after each failure the next attempt comes: three days in all. What fails after the last one is given up."""
IN_ORDER = 3
"""So many attempts long a message holds back later ones of the same customer; then they go ahead of it."""


@dataclass(frozen=True, slots=True)
class EventType:
    """A type of message. ``says`` describes the members of ``data`` beside ``customer``; ``example`` is such data."""

    name: str
    when: str
    says: Mapping[str, str]
    example: Mapping[str, Any]
    named_only: bool = False
    """Not meant by ``*``: there are many of them."""
    about_customer: bool = True

    def body(self) -> dict[str, Any]:
        """A whole message of this type."""
        customer = {"customer": "acme"} if self.about_customer else {}
        return {"type": self.name, "timestamp": "2026-11-21T10:00:00Z", "data": customer | dict(self.example)}

    def schema(self) -> dict[str, Any]:
        """JSON Schema of a whole message. Members may be added later."""
        members = {name: {"description": text, **_kind(name, self.example[name])} for name, text in self.says.items()}
        if self.about_customer:
            members = {"customer": {"type": "string", "description": "Your id of the customer."}} | members
        data = {"type": "object", "required": list(members), "properties": members}
        return {
            "type": "object",
            "required": ["type", "timestamp", "data"],
            "properties": {
                "type": {"const": self.name},
                "timestamp": {"type": "string", "format": "date-time", "description": "When it happened."},
                "data": data,
            },
        }


_OR_NULL = frozenset({"resets_at", "days"})
"""Members that are null where there is no such time."""


def _kind(name: str, example: Any) -> dict[str, Any]:
    if name in _OR_NULL:
        return {"type": ["string", "null"]}
    if isinstance(example, bool):
        return {"type": "boolean"}
    if isinstance(example, int):
        return {"type": "integer"}
    if isinstance(example, list):
        return {"type": "array"}
    return {"type": "object"} if isinstance(example, Mapping) else {"type": "string"}


_ID = "01a1fca2-0de3-72ef-b935-f4644c566812"
_GRANT = {"grant": "Its id.", "asset": "What it is in."}
_TOP_UP = {
    **{"top_up": "Its id.", "amount": "What was to be paid, without fee and tax.", "currency": "In which currency."},
    **{"asset": "What comes into the wallet.", "credit": "How much of it, with the bonus."},
}
_TOP_UP_EXAMPLE = {"top_up": _ID, "amount": "100", "currency": "USD", "asset": "usd", "credit": "100"}
_NAMED_BUDGET = {"budget": "Its id.", "name": "Its name.", "limit": "How much it allows.", "unit": "Of what."}
_BUDGET = {
    **_NAMED_BUDGET,
    **{"spent": "How much of it is used.", "period": "For how long it is."},
    "resets_at": "When it begins anew; null where it never does.",
}
_NAMED_EXAMPLE = {"budget": _ID, "name": "Support", "limit": "50", "unit": "usd"}
_BUDGET_EXAMPLE = {
    **_NAMED_EXAMPLE,
    **{"spent": "40.2", "period": "month", "resets_at": "2026-12-01T00:00:00Z"},
}
_PACE = {
    **{"asset": "In what.", "hour": "The hour that it is about.", "spent": "What was spent in it so far."},
    **{"usual": "What such an hour usually comes to.", "times": "How many times that it is."},
    **{"scope": "Whose usage: an API key, a feature, or empty for all of the customer's.", "action": "What was done."},
}
_PACE_EXAMPLE = {
    **{"asset": "usd", "hour": "2026-11-21T10:00:00Z", "spent": "42.5", "usual": "0.9", "times": "47.2"},
    **{"scope": {"feature": "code-review"}, "action": "tell"},
}
_LASTS = {
    **{"asset": "In what.", "available": "How much is left."},
    "days": "For how many days it lasts at the pace of the last weeks; null for more than two years.",
}
_LASTS_EXAMPLE = {"asset": "usd", "available": "70", "days": "6"}
_COMMITMENT = {
    **{"subscription": "Its id.", "plan": "The plan's code.", "asset": "In what.", "used": "How much was used of it."},
    **{"committed": "What was agreed for the period.", "missing": "What is missing to it.", "ends_at": "Until when."},
}
_COMMITMENT_EXAMPLE = {
    **{"subscription": _ID, "plan": "enterprise", "asset": "usd", "used": "812.5", "committed": "1000"},
    **{"missing": "187.5", "ends_at": "2026-12-01 00:00 UTC"},
}
_FILE = {"name": "Its path.", "kind": "journal, events, charges or entries.", "format": "In which form."}
_FILE_EXAMPLE = {
    **{"name": "journal/2026/11/revenue-2026-11-20-v1.csv", "kind": "journal", "format": "csv"},
}

_INVOICE = {
    **{"invoice": "Its id.", "number": "Its number.", "currency": "In which currency.", "due_on": "By when."},
    **{"payable": "What was asked for.", "outstanding": "What of it is open.", "url": "Where it is seen."},
}
_INVOICE_EXAMPLE = {
    **{"invoice": _ID, "number": "INV-000042", "currency": "USD", "due_on": "2026-11-15"},
    **{"payable": "62.13", "outstanding": "62.13", "url": f"https://billing.example/invoices/{_ID}"},
}
_TYPES = [
    EventType("customer.created", gettext_noop("A customer was added."), {}, {}),
    EventType(
        "grant.created",
        gettext_noop("Value was put into the wallet."),
        {**_GRANT, "amount": "How much.", "kind": "purchase, promotional, allowance, adjustment or rollover."},
        {"grant": _ID, "asset": "usd", "amount": "100", "kind": "purchase"},
    ),
    EventType(
        "grant.expiring",
        gettext_noop("Value will expire soon: as many days before as an alert names."),
        {
            **_GRANT,
            **{"name": "What it is called.", "remaining": "How much is left of it.", "expires_at": "When."},
            "threshold": "Within how many days.",
        },
        {
            **{"grant": _ID, "asset": "usd", "name": "Launch credits", "remaining": "3.5"},
            **{"expires_at": "2026-11-28 10:00 UTC", "threshold": "7"},
        },
    ),
    EventType(
        "grant.expired",
        gettext_noop("What was left of a grant has expired."),
        {**_GRANT, "amount": "How much was left."},
        {"grant": _ID, "asset": "usd", "amount": "3.5"},
    ),
    EventType(
        "grant.voided",
        gettext_noop("What was left of a grant was taken back."),
        {**_GRANT, "amount": "How much was left."},
        {"grant": _ID, "asset": "usd", "amount": "3.5"},
    ),
    EventType(
        "wallet.balance_low",
        gettext_noop("The balance has fallen below what an alert names."),
        {"asset": "In what.", "available": "How much is left.", "threshold": "What the alert names."},
        {"asset": "usd", "available": "9.5", "threshold": "10"},
    ),
    EventType(
        "wallet.depleted",
        gettext_noop("Nothing is left of what an alert watches."),
        {"asset": "In what.", "available": "How much is left."},
        {"asset": "usd", "available": "0"},
    ),
    EventType(
        "wallet.balance_recovered",
        gettext_noop("The balance is above all that an alert names again."),
        {"asset": "In what.", "available": "How much there is."},
        {"asset": "usd", "available": "109.5"},
    ),
    EventType(
        "wallet.runway_short",
        gettext_noop("At its pace the balance lasts less long than an alert names."),
        {**_LASTS, "threshold": "How many days the alert names."},
        {**_LASTS_EXAMPLE, "threshold": "7"},
    ),
    EventType(
        "wallet.runway_recovered",
        gettext_noop("The balance lasts as long as an alert names again."),
        _LASTS,
        {"asset": "usd", "available": "570", "days": "49"},
    ),
    EventType(
        "wallet.adjusted",
        gettext_noop("The wallet was put right by hand."),
        {"asset": "In what.", "amount": "By how much; negative where it was taken out."},
        {"asset": "usd", "amount": "-5"},
    ),
    EventType("top_up.succeeded", gettext_noop("A payment came in and is in the wallet."), _TOP_UP, _TOP_UP_EXAMPLE),
    EventType(
        "top_up.failed",
        gettext_noop("A payment failed."),
        _TOP_UP | {"code": "Why."},
        _TOP_UP_EXAMPLE | {"code": "card_declined"},
    ),
    EventType(
        "top_up.refunded",
        gettext_noop("A payment is paid back, whole or in part."),
        {"top_up": "Its id.", "refund": "The refund's id.", "amount": "How much, with tax.", "currency": "Of what."},
        {"top_up": _ID, "refund": _ID, "amount": "20", "currency": "USD"},
    ),
    EventType(
        "auto_top_up.disabled",
        gettext_noop("An automatic top-up has stopped until somebody puts it right."),
        {"purpose": "Which.", "code": "Why, for a program.", "reason": "Why, in words."},
        {"purpose": "auto_top_up", "code": "card_declined", "reason": "The card was declined."},
    ),
    EventType("budget.threshold_reached", gettext_noop("A share of a budget is used."), _BUDGET, _BUDGET_EXAMPLE),
    EventType("budget.exceeded", gettext_noop("A budget is used up."), _BUDGET, _BUDGET_EXAMPLE),
    EventType(
        "budget.reset",
        gettext_noop("A budget that was used up has begun anew."),
        _BUDGET,
        _BUDGET_EXAMPLE | {"spent": "0"},
    ),
    EventType(
        "commitment.threshold_reached",
        gettext_noop("A share of a commitment is used, as an alert names it."),
        {**_COMMITMENT, "threshold": "Which share."},
        {**_COMMITMENT_EXAMPLE, "threshold": "0.8"},
    ),
    EventType(
        "commitment.reset",
        gettext_noop("The next period of a commitment began, of which such a share was used in the last one."),
        _COMMITMENT,
        _COMMITMENT_EXAMPLE | {"used": "0", "missing": "1000"},
    ),
    EventType(
        "budget.plan_changed",
        gettext_noop("A budget is used up, and its customer was moved to another plan."),
        {**_NAMED_BUDGET, "plan": "The code of the plan that it is now.", "previous": "The name of the one before."},
        {**_NAMED_EXAMPLE, "plan": "scale", "previous": "Pro"},
    ),
    EventType(
        "budget.plan_not_changed",
        gettext_noop("A budget is used up, and its customer could not be moved to another plan."),
        {**_NAMED_BUDGET, "plan": "The code of the plan that it was to be.", "reason": "Why it was not."},
        {**_NAMED_EXAMPLE, "plan": "scale", "reason": "The rest of the period costs 49 usd, and the wallet has 3."},
    ),
    EventType(
        "usage.recorded",
        gettext_noop("Usage was recorded: what was used and what it cost. To be asked for by name."),
        {
            "events": "For each event its id, source, type, status, time, model and tokens as far as known, and its"
            " cost by asset."
        },
        {
            "events": [
                {
                    **{"id": "inf-1", "source": "gateway", "type": "chat", "status": "charged"},
                    **{"time": "2026-11-21T10:00:00Z", "model": "gpt-4o", "tokens": "1450", "cost": {"usd": "0.007"}},
                }
            ]
        },
        named_only=True,
    ),
    EventType(
        "usage.reversed",
        gettext_noop("What an event had cost was given back."),
        {"event": "The event's id.", "source": "Its source.", "amounts": "What was given back, by asset."},
        {"event": "inf-1", "source": "gateway", "amounts": {"usd": "0.007"}},
    ),
    EventType(
        "usage.refunded",
        gettext_noop("A part of what an event had cost was given back."),
        {"event": "The event's id.", "source": "Its source.", "amounts": "What was given back, by asset."},
        {"event": "inf-1", "source": "gateway", "amounts": {"usd": "0.002"}},
    ),
    EventType("usage.spike", gettext_noop("Much more is spent than usual."), _PACE, _PACE_EXAMPLE),
    EventType(
        "usage.anomaly_detected",
        gettext_noop("So much is spent that something may have run away; an API key may have been paused."),
        _PACE,
        _PACE_EXAMPLE | {"scope": {"api_key": _ID}, "action": "pause"},
    ),
    EventType(
        "invoice.finalized",
        gettext_noop("An invoice or a credit note is final."),
        {
            **{"invoice": "Its id.", "number": "Its number.", "kind": "invoice or credit_note."},
            **{"due": "What is due, negative for a credit note.", "currency": "In which currency."},
            **{"tax": "The tax on it.", "payable": "Both together."},
        },
        {
            **{"invoice": _ID, "number": "INV-000042", "kind": "invoice"},
            **{"due": "52.21", "currency": "USD", "tax": "9.92", "payable": "62.13"},
        },
    ),
    EventType("invoice.paid", gettext_noop("An invoice is paid."), _INVOICE, _INVOICE_EXAMPLE | {"outstanding": "0"}),
    EventType(
        "invoice.reopened",
        gettext_noop("A payer's bank took back what had paid an invoice: it is open again."),
        _INVOICE,
        _INVOICE_EXAMPLE,
    ),
    EventType(
        "invoice.overdue",
        gettext_noop("An invoice is not paid in time: with each reminder."),
        _INVOICE,
        _INVOICE_EXAMPLE,
    ),
    EventType(
        "dispute.opened",
        gettext_noop("A payer disputes a payment."),
        {
            **{"dispute": "Its id.", "top_up": "The payment's id.", "status": "How it stands."},
            **{"amount": "How much.", "currency": "Of what.", "reason": "What the payer says."},
        },
        {
            **{"dispute": _ID, "top_up": _ID, "status": "needs_response"},
            **{"amount": "100", "currency": "USD", "reason": "fraudulent"},
        },
    ),
    EventType(
        "charge_dispute.opened",
        gettext_noop("A customer disputes charges."),
        {"dispute": "Its id.", "status": "How it stands.", "events": "How many events it is about."},
        {"dispute": _ID, "status": "open", "events": 2},
    ),
    EventType(
        "charge_dispute.closed",
        gettext_noop("Disputed charges were decided on, or are disputed no longer."),
        {
            **{"dispute": "Its id.", "status": "accepted, declined or withdrawn."},
            **{"events": "How many events it is about."},
        },
        {"dispute": _ID, "status": "accepted", "events": 2},
    ),
    EventType(
        "revenue_export.completed",
        gettext_noop("A day is closed and its export is there."),
        {"date": "Which day.", "sha256": "The hash of the export."},
        {"date": "2026-11-20", "sha256": "9f86d081884c7d65"},
        about_customer=False,
    ),
    EventType(
        "books.wrong",
        gettext_noop("The books were looked at, and something differs that did not before."),
        {"check": "The id of the look.", "wrong": "Which checks found something.", "first": "What, in words."},
        {"check": _ID, "wrong": ["balances"], "first": "balance-entries: A balance is the sum of its entries."},
        about_customer=False,
    ),
    EventType(
        "export.delivered",
        gettext_noop("A file is where EXPORT_TO says."),
        {**_FILE, "rows": "How many rows or lines it has.", "bytes": "Its size.", "sha256": "Its hash."},
        {**_FILE_EXAMPLE, "rows": 42, "bytes": 5120, "sha256": "9f86d081884c7d65"},
        about_customer=False,
    ),
    EventType(
        "export.failed",
        gettext_noop("A file could not be delivered at the first attempt; it is tried again until it can."),
        {**_FILE, "reason": "Why."},
        {**_FILE_EXAMPLE, "reason": "The bucket does not exist."},
        about_customer=False,
    ),
    EventType(
        "webhook_endpoint.disabled",
        gettext_noop("An endpoint failed for so long that nothing is sent to it any more."),
        {"endpoint": "Its id.", "url": "Its host: paths may be secret.", "reason": "Why."},
        {"endpoint": _ID, "url": "https://acme.example", "reason": "It has failed for three days."},
    ),
]
TYPES: dict[str, EventType] = {found.name: found for found in _TYPES}


@dataclass(frozen=True, slots=True)
class Wish:
    """Which types an endpoint wants."""

    names: Collection[str] = field(default_factory=tuple)

    def wants(self, name: str) -> bool:
        found = TYPES.get(name)
        return found is not None and (name in self.names or (EVERYTHING in self.names and not found.named_only))


def delay_after(failures: int) -> timedelta | None:
    """How long to wait after so many failed attempts; None where it is given up."""
    return DELAYS[failures - 1] if failures <= len(DELAYS) else None


def host_of(url: str) -> str:
    """What of an endpoint's address is told to others than those who look after it: what follows may be its secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
