"""All that was asked for, line by line: whom and what it is about, and each further term, whatever its name."""

from collections.abc import Mapping, Sequence

from django.db.models import Model
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import User
from billing.admin import display
from billing.engine.money import parse
from billing.models import Approval, Grant, Invoice, Partner, Plan, PlanDraft, Subscription, TopUp, UsageEvent

Line = tuple[str, object]

_ROWS: Mapping[str, tuple[str, type[Model]]] = {
    "person": ("Person", User),
    "event": ("Event", UsageEvent),
    "subscription": ("Subscription", Subscription),
    "plan": ("Plan", Plan),
    "draft": ("Draft", PlanDraft),
    "grant": ("Grant", Grant),
    "extends": ("A later end for", Grant),
    "top_up": ("Top-up", TopUp),
    "invoice": ("Invoice", Invoice),
    "partner": ("Partner", Partner),
}
_WORDS: Mapping[str, str] = {
    "named": "Named",
    "number": "Number",
    "amount": "Amount",
    "asset": "Asset",
    "kind": "Kind",
    "name": "The customer sees",
    "paid_amount": "Paid for it",
    "paid_currency": "Paid in",
    "paid_back": "Paid back before",
    "expires_at": "Expires",
    "endless": "Never expires",
    "allow_debt": "May take from the overdraft",
    "limit": "New overdraft limit",
    "on_insufficient_funds": "When the wallet is empty",
    "upto": "For the days up to",
    "reference": "Reference",
    "terms": "Terms",
    "version": "Version",
    "when": "When",
    "at": "Figures as of",
    "discount": "Discount",
    "minimum_commitment": "Committed to, each period",
    "spend_cap": "Spend cap, each period",
    "starts_at": "Starts",
    "interval": "Every",
    "times": "How many times",
    "lapses": "What is left expires with its period",
    "rollover_limit": "Carried over, at most",
    "trial_days": "Days of trial",
    "seen": "Draft as of",
}
_MOMENTS = {"expires_at", "at", "seen"}
_AMOUNTS = {
    "amount": "asset",
    "limit": "asset",
    "rollover_limit": "asset",
    "paid_back": "asset",
    "paid_amount": "paid_currency",
}
"""Each with the term that names its asset; where there is none, it is the asset that moves."""
_BESIDE = {"customer", "reason", "changes"}
"""What has a line of its own already."""


def lines(approval: Approval) -> Sequence[Line]:
    """Words and value of all that was asked for. What the form does not name is not done either."""
    terms = approval.terms
    found: list[Line] = [("What", approval.get_kind_display())]
    if approval.customer is not None:
        found.append(("Customer", display.link(approval.customer)))
    found += [(words, _row(model, terms[name])) for name, (words, model) in _ROWS.items() if terms.get(name)]
    found += list(terms.get("changes", {}).items())
    others = [name for name in terms if name not in {*_WORDS, *_ROWS, *_BESIDE}]
    for name in (*_WORDS, *others):
        if terms.get(name) not in (None, "", False):
            found.append((_WORDS.get(name, name), _term(approval, name)))
    found += [(_WORDS[name], said) for name, said in _without_end(approval)]
    return [
        *found,
        ("Reason", approval.reason),
        ("Asked for by", str(approval.requested_by)),
        ("Asked for", display.moment(approval.created_at)),
        ("Lapses", display.moment(approval.expires_at)),
    ]


def _row(model: type[Model], pk: str) -> SafeString:
    """What it is called now, with its id; the id alone where it is gone."""
    found = model._default_manager.filter(pk=pk).first()
    return display.link_to(model, pk, pk) if found is None else format_html("{} {}", display.link(found), pk)


def _without_end(approval: Approval) -> Sequence[tuple[str, str]]:
    """What holds for good since the form left it empty: whoever decides must not take it for nothing."""
    terms = approval.terms
    if approval.kind != Approval.Kind.GRANT or "extends" in terms:
        return []
    end, said = ("times", "until it is canceled") if terms.get("interval") else ("expires_at", "never")
    return [] if terms.get(end) else [(end, said)]


def _term(approval: Approval, name: str) -> object:
    value = approval.terms[name]
    if name in _MOMENTS:
        return display.moment(parse_datetime(value))
    if name in _AMOUNTS and (number := parse(str(value))) is not None:
        return display.written(number, approval.terms.get(_AMOUNTS[name]) or next(iter(approval.amounts), "")).exact
    if value is True:
        return "yes"
    return display.pretty_json(value) if isinstance(value, dict) else value
