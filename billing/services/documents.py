"""Invoices as PDF."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from billing.engine.money import amount_string
from billing.gateways import documents
from billing.models import Invoice

MINUS = "\N{MINUS SIGN}"


def invoice_pdf(invoice: Invoice) -> bytes:
    """The invoice as it was issued. What was paid of it since is not on it."""
    return documents.pdf("invoice", shown(invoice))


def shown(invoice: Invoice) -> dict[str, Any]:
    """What is on the paper: texts, ready to be set."""
    note = invoice.kind == Invoice.Kind.CREDIT_NOTE
    facts = [
        ("Issued", _day(invoice.issued_at)),
        ("Period", f"{_day(invoice.period_start)} to {_day(invoice.period_end - timedelta(microseconds=1))}"),
        *([] if note else [("Due", f"{invoice.due_on:%-d %b %Y}")]),
    ]
    return {
        "title": invoice.get_kind_display(),
        "number": invoice.number,
        "seller": invoice.seller,
        "buyer": invoice.buyer,
        "facts": facts,
        "currency": invoice.currency_id,
        "lines": [
            {
                "description": line.description,
                "quantity": "" if line.quantity is None else f"{_number(line.quantity)} {line.unit}".strip(),
                "amount": _money(line.amount),
            }
            for line in invoice.lines.order_by("position")
        ],
        "total": _money(invoice.total),
        "prepaid": _money(invoice.prepaid.copy_negate()) if invoice.prepaid else None,
        "due_title": "Credited" if note else "Due",
        "due": _money(invoice.due.copy_abs() if note else invoice.due),
        "note": settings.INVOICE_NOTE,
    }


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(ZoneInfo(settings.TIME_ZONE)):%-d %b %Y}"


def _money(amount: Decimal) -> str:
    return f"{MINUS if amount < 0 else ''}{amount.copy_abs():,.2f}"


def _number(quantity: Decimal) -> str:
    whole, _, rest = amount_string(quantity).partition(".")
    return f"{int(whole):,}{'.' + rest if rest else ''}"
