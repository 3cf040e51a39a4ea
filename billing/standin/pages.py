"""The pages that people see at the stand-in: to pay on, to answer a bank on, and to play the provider's part on."""

from html import escape
from typing import Any

from billing.standin.currencies import written
from billing.standin.rules import DEBIT_FAILS
from billing.standin.store import Thing

NAMES = {
    "card": "Card",
    "wallet": "Apple Pay, Google Pay or Link",
    "us_bank_account": "US bank account",
    "sepa_debit": "SEPA debit",
    "crypto": "Stablecoin",
}
CARDS = (
    ("4242 4242 4242 4242", "is paid at once"),
    ("4000 0000 0000 0002", "is declined"),
    ("4000 0000 0000 9995", "has too little on it"),
    ("4000 0027 6000 3184", "asks for 3-D Secure"),
    ("4000 0000 0000 0341", "can be kept, is declined later"),
    ("4000 0000 0000 0259", "is paid, then disputed"),
    ("4000 0000 0000 5126", "is paid; a refund fails"),
)
_STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d8dce2, #3a4048); --soft: light-dark(#5c6570, #a4adb8); }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; background: light-dark(#f4f5f7, #15181c); }
main { max-width: 30rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
main.wide { max-width: 68rem; }
.note { background: light-dark(#fff3d6, #40351a); border-radius: 8px; padding: .5rem .75rem; font-size: 13px; }
.box { background: light-dark(#fff, #1e2328); border: 1px solid var(--line); border-radius: 12px; padding: 1.25rem; }
h1 { font-size: 1.9rem; margin: .25rem 0 1rem; } h2 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
ul { list-style: none; padding: 0; margin: 0 0 1rem; } li { display: flex; justify-content: space-between; gap: 1rem; }
fieldset { border: 0; padding: 0; margin: 0; } label { display: block; margin: .6rem 0; }
input[type=text] { width: 100%; padding: .55rem; border: 1px solid var(--line); border-radius: 8px; font: inherit; }
.row { display: flex; gap: .75rem; } .row label { flex: 1; }
button { font: inherit; padding: .6rem 1rem; border-radius: 8px; border: 1px solid var(--line); cursor: pointer; }
button.pay { width: 100%; margin-top: .75rem; background: #0b5cff; color: #fff; border: 0; font-weight: 600; }
.error { background: light-dark(#ffe3e3, #4a2020); border-radius: 8px; padding: .6rem .75rem; margin: 0 0 1rem; }
small, .soft { color: var(--soft); } table { border-collapse: collapse; width: 100%; font-size: 13px; }
td, th { text-align: left; padding: .35rem .6rem .35rem 0; border-top: 1px solid var(--line); vertical-align: top; }
form.inline { display: inline; } form.inline button { padding: .1rem .5rem; } code { font-size: 12px; }
"""
_NOTE = "<p class=note>A stand-in for the payment provider. No card is real here and no money moves.</p>"


def page(title: str, body: str, *, wide: bool = False) -> str:
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<main{' class=wide' if wide else ''}>{_NOTE}{body}</main>"
    )


def checkout(session: Thing, error: str = "") -> str:
    """The page to pay on, or to add a method on."""
    paying = session["mode"] == "payment"
    heading = written(session["amount_total"], session["currency"]) if paying else "Add a payment method"
    lines = "".join(
        f"<li><span>{escape(line['name'])}</span><span>{written(line['amount'], session['currency'])}</span></li>"
        for line in session["_lines"]
    )
    kinds = list(session["payment_method_types"])
    if paying:
        kinds.insert(1, "wallet")
    choices = "".join(
        f"<label><input type=radio name=kind value={kind}{' checked' if kind == 'card' else ''}> {NAMES[kind]}</label>"
        for kind in kinds
    )
    debit = ""
    if {"us_bank_account", "sepa_debit"} & set(kinds):
        debit = (
            "<label>Account number, for a bank debit"
            "<input type=text name=account value=000123456789 autocomplete=off></label>"
            f"<small><code>{DEBIT_FAILS}</code> is refused by the bank days later.</small>"
        )
    cards = "".join(f"<tr><td><code>{number}</code><td>{what}" for number, what in CARDS)
    cancel = escape(session.get("cancel_url") or "#")
    told = f"<p class=error role=alert>{escape(error)}</p>" if error else ""
    return page(
        "Pay" if paying else "Add a payment method",
        f"<h1>{heading}</h1><div class=box>{told}<ul>{lines}</ul><form method=post><fieldset>{choices}</fieldset>"
        "<label>Card number<input type=text name=number value='4242 4242 4242 4242' inputmode=numeric autocomplete=off>"
        "</label><div class=row><label>Expires<input type=text name=expiry value='12/34' autocomplete=off></label>"
        "<label>Security code<input type=text name=cvc value=123 autocomplete=off></label></div>"
        f"{debit}<button class=pay>{'Pay' if paying else 'Save'}</button></form>"
        f"<p><a href='{cancel}'>Back without paying</a></p></div><h2>Numbers to try</h2><table>{cards}</table>",
    )


def bank(intent: Thing) -> str:
    """The bank's question of 3-D Secure."""
    return page(
        "Your bank",
        f"<h1>Is it you?</h1><div class=box><p>Your bank asks whether you want to pay "
        f"{written(intent['amount'], intent['currency'])}.</p><form method=post>"
        "<button name=answer value=yes class=pay>Yes, pay</button> <p><button name=answer value=no>No</button></p>"
        "</form></div>",
    )


def closed(text: str, back: str = "") -> str:
    link = f"<p><a href='{escape(back)}'>Go back</a></p>" if back else ""
    return page("Closed", f"<h1>{escape(text)}</h1>{link}")


def desk(payments: list[Thing], refunds: list[Thing], disputes: list[Thing]) -> str:
    """All that has happened, with what the provider, a bank or a card's owner could do next."""
    rows = ""
    for intent in payments:
        actions = ""
        if intent["status"] == "processing":
            actions = _button(f"settle/{intent['id']}", "Settle") + _button(f"fail/{intent['id']}", "Fail")
        if intent["status"] == "succeeded":
            actions = _button(f"dispute/{intent['id']}", "Dispute")
        rows += _row(intent, actions)
    back = ""
    for refund in refunds:
        actions = ""
        if refund["status"] == "pending":
            back_id = refund["id"]
            actions = _button(f"settle-refund/{back_id}", "Settle") + _button(f"fail-refund/{back_id}", "Fail")
        back += _row(refund, actions)
    disputed = ""
    for dispute in disputes:
        actions = ""
        if dispute["status"] == "needs_response":
            actions = _button(f"win/{dispute['id']}", "Won") + _button(f"lose/{dispute['id']}", "Lost")
        disputed += _row(dispute, actions)
    return page(
        "Payments",
        f"<h1>Payments</h1><div class=box><table>{rows or '<tr><td>None yet.'}</table></div>"
        f"<h2>Refunds</h2><div class=box><table>{back or '<tr><td>None yet.'}</table></div>"
        f"<h2>Disputes</h2><div class=box><table>{disputed or '<tr><td>None yet.'}</table></div>",
        wide=True,
    )


def _row(thing: Any, actions: str) -> str:
    amount = written(thing["amount"], thing["currency"])
    return f"<tr id={thing['id']}><td><code>{thing['id']}</code><td>{amount}<td>{thing['status']}<td>{actions}"


def _button(path: str, text: str) -> str:
    return f"<form class=inline method=post action='/_control/{path}'><button>{text}</button></form> "
