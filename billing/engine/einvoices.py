"""Invoices as data that other programs read: the terms of EN 16931, by their numbers (``BT-1``). Pure.

What the wallet had paid was taxed as it came in, so it is taken off the whole before the tax: the taxable amount is
what the invoice's own tax is on. Amounts of credit notes are positive: their type says which way they go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.engine.currencies import places
from billing.engine.money import EXACT, ZERO, amount_string, decimals, round_half_even
from billing.engine.taxes import EXEMPT, NONE, REVERSE_CHARGE, STANDARD, TREATMENTS

_CATEGORIES = {STANDARD: "S", REVERSE_CHARGE: "AE", EXEMPT: "E", NONE: "O"}
"""UNTDID 5305: standard rate, reverse charge, exempt, outside of the tax."""
_INVOICE, _CREDIT_NOTE, _ONE = "380", "381", "C62"
_DECIMALS_MAX = 4
"""Of quantities and prices."""


@dataclass(frozen=True, slots=True)
class Party:
    """Who asks, or is asked. ``country`` is two letters."""

    name: str = ""
    country: str = ""
    tax_id: str = ""
    address: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """``amount`` for ``quantity`` at ``unit_amount`` for ``per`` of it, where there is such a rate."""

    description: str
    amount: Decimal
    quantity: Decimal | None = None
    unit_amount: Decimal | None = None
    per: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Paper:
    """An invoice, or with ``credits`` a credit note. ``base`` is what ``tax`` is on, at ``rate``; ``note`` stands below
    it."""

    number: str
    credits: bool
    issued_on: date
    due_on: date
    first: date
    last: date
    currency: str
    seller: Party
    buyer: Party
    lines: Sequence[Line]
    total: Decimal
    base: Decimal
    tax: Decimal
    treatment: str
    rate: Decimal
    note: str = ""
    takes_back: tuple[str, date] | None = None


def lacks(seller: Party, buyer: Party) -> list[str]:
    """What the standard asks for and is not known."""
    needed = {
        "the seller's name": seller.name,
        "the seller's country": seller.country,
        "the seller's tax number": seller.tax_id,
        "the buyer's name": buyer.name,
        "the buyer's country": buyer.country,
    }
    return [name for name, value in needed.items() if not value]


def terms(paper: Paper) -> dict[str, Any]:
    """The paper by business terms, as texts."""
    sign = Decimal(-1 if paper.credits else 1)
    total, base, tax = (EXACT.multiply(amount, sign) for amount in (paper.total, paper.base, paper.tax))
    category = "Z" if paper.treatment == STANDARD and not paper.rate else _CATEGORIES[paper.treatment]
    vat = {} if category == "O" else {"rate": amount_string(paper.rate * 100)}
    paid = EXACT.subtract(total, base)
    found: dict[str, Any] = {
        "BT-1": paper.number,
        "BT-2": paper.issued_on,
        "BT-3": _CREDIT_NOTE if paper.credits else _INVOICE,
        "BT-5": paper.currency.upper(),
        "BT-9": paper.due_on,
        "BT-72": paper.last,
        "BT-73": paper.first,
        "BT-74": paper.last,
        "BG-4": _party(paper.seller, taxed=category != "O"),
        "BG-7": _party(paper.buyer, taxed=category != "O"),
        "BG-25": [_line(number, line, paper, sign, category) for number, line in enumerate(paper.lines, start=1)],
        "BG-23": [
            {
                "BT-116": amount_string(base),
                "BT-117": amount_string(tax),
                "BT-118": category,
                **({"BT-119": vat["rate"]} if vat else {}),
                **({} if category in {"S", "Z"} else {"BT-120": TREATMENTS[paper.treatment]}),
            }
        ],
        "BT-106": amount_string(total),
        "BT-109": amount_string(base),
        "BT-110": amount_string(tax),
        "BT-112": amount_string(EXACT.add(base, tax)),
        "BT-115": amount_string(EXACT.add(base, tax)),
        **({"BG-1": [{"BT-22": paper.note}]} if paper.note else {}),
    }
    if paid:
        off = paid > 0
        found["BG-20" if off else "BG-21"] = [
            {
                "amount": amount_string(paid.copy_abs()),
                "reason": "Paid from the wallet, and taxed as it came in",
                "vat_category_code": category,
                **({"vat_rate": vat["rate"]} if vat else {}),
            }
        ]
        found["BT-107" if off else "BT-108"] = amount_string(paid.copy_abs())
    if paper.takes_back is not None:
        found["BG-3"] = [{"BT-25": paper.takes_back[0], "BT-26": paper.takes_back[1]}]
    return found


def _party(party: Party, *, taxed: bool) -> dict[str, Any]:
    """Outside of the tax the number is no VAT number: it names the party, as the standard asks of a seller."""
    address = {f"addr_l{number}": line for number, line in enumerate(party.address[:3], start=1)}
    number = {"vat_identifier": party.tax_id} if taxed else {"identifiers": {"": party.tax_id}}
    return {"name": party.name, "country_code": party.country.upper(), **address, **(number if party.tax_id else {})}


def _line(number: int, line: Line, paper: Paper, sign: Decimal, category: str) -> dict[str, Any]:
    """With its rate where that gives the amount to the coin; else as one of a thing that costs so much."""
    amount = EXACT.multiply(line.amount, sign)
    quantity, price, per = Decimal(1).copy_sign(amount), amount.copy_abs(), None
    if line.quantity is not None and line.unit_amount is not None and _gives(line, paper.currency):
        quantity, price, per = EXACT.multiply(line.quantity, sign), line.unit_amount, line.per
    return {
        "BT-126": str(number),
        "BT-153": line.description,
        "BT-129": amount_string(quantity),
        "BT-130": _ONE,
        "BT-146": amount_string(price),
        **({} if per in {None, 1} else {"BT-149": amount_string(per or ZERO)}),
        "BT-131": amount_string(amount),
        "BT-151": category,
        **({} if category == "O" else {"BT-152": amount_string(paper.rate * 100)}),
    }


def _gives(line: Line, currency: str) -> bool:
    assert line.quantity is not None
    assert line.unit_amount is not None
    exact = Fraction(line.quantity) * Fraction(line.unit_amount) / Fraction(line.per or 1)
    fine = max(decimals(line.quantity), decimals(line.unit_amount)) > _DECIMALS_MAX
    return not fine and round_half_even(exact, precision=places(currency)) == line.amount
