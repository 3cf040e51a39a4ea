"""What the services refuse is said in the reader's language, and is listed as long as it is said."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from accounts.reading import Reading, reading_as
from billing import errors
from billing.errors import InvalidRequest, InvalidState
from portal import refusals

ROOT = Path(settings.BASE_DIR)
SERVICES = ROOT / "billing" / "services"
ASKED = [
    "alerts/managing.py",
    "budgets/managing.py",
    "customer/sign_up.py",
    *(f"funding/{name}.py" for name in ("attempts", "methods", "quotes", "rules", "top_ups")),
    *(f"notices/{name}.py" for name in ("reading", "sending", "targets")),
    *(f"subscriptions/{name}.py" for name in ("changing", "ending", "periods", "starting")),
    "wallet/charge_disputes.py",
    "webhooks/endpoints.py",
]
"""What the pages ask."""
ELSEWHERE = re.compile(
    r"Only the operator|Reverse the charges|what is bought|of no use at fixed|goes with change_plan|only one value"
    r"|is for a change|is for canceling|no version {}|0\.15|periods of the plan|too far ahead|must be from 0"
    r"|events can be disputed|asked for anew"
)
"""What only the API or the back office can ask for."""


def template(node: ast.expr) -> str | None:
    """A text as it stands in the code, ``{}`` for what is filled in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def refused(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            call = node.exc
            is_field = isinstance(call.func, ast.Attribute) and call.func.attr == "field"
            said = template(call.args[1 if is_field else 0])
            if (is_field or hasattr(errors, ast.unparse(call.func))) and said not in {None, "{}"}:
                yield str(said)


LISTED = {re.sub(r"{\w+}", "{}", text) for text in (*refusals.SENTENCES, *refusals.PHRASES)}


@pytest.mark.parametrize("name", ASKED)
def test_what_the_services_refuse_is_listed(name: str) -> None:
    assert [said for said in refused(SERVICES / name) if said not in LISTED and not ELSEWHERE.search(said)] == []


def test_what_is_listed_is_still_said() -> None:
    said = set()
    for path in (
        *(ROOT / "billing").rglob("*.py"),
        *(ROOT / "accounts").rglob("*.py"),
        *(ROOT / "portal").rglob("*.py"),
    ):
        if path.name != "refusals.py":
            said |= {template(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.expr)}
    assert LISTED - said == set()


@pytest.mark.usefixtures("db")
def test_words_in_german() -> None:
    amount = InvalidRequest.field("amount", "must be from 5 to 10000 USD")
    erased = InvalidState("Money is owed. Pay it first. A payment is under way.")
    taken = "This takes 0.007 usd, and a budget has 1000 left until 2026-12-01T00:00:00Z."
    with reading_as(Reading.of("de")):
        assert (
            refusals.said(taken)
            == "Dafür braucht es $0,007, und ein Budget hat bis 01.12.2026 00:00 noch $1.000,00 übrig."
        )
        assert refusals.words(amount) == "Betrag muss $5,00 bis $10.000,00 betragen."
        assert refusals.words(erased) == "Es ist noch Geld offen. Zahlen Sie es zuerst. Eine Zahlung läuft."
        assert refusals.said("nobody knows this") == "nobody knows this"
        assert refusals.words(InvalidState("The subscription is on Pro {x} by now.")).endswith("im Tarif Pro {x}.")
    assert refusals.words(amount) == "Amount must be from $5.00 to $10,000.00."
    assert refusals.words(erased) == erased.detail
