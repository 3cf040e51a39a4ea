"""Invoices and receipts as PDF, in the language of whoever asks for them; the data in them are English."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext

from accounts import reading
from billing.engine.currencies import grouped, places
from billing.engine.einvoices import Line, Paper, Party, lacks, terms
from billing.engine.taxes import EXEMPT, REVERSE_CHARGE, STANDARD, TREATMENTS
from billing.gateways import documents, einvoices
from billing.models import Asset, Invoice, InvoiceLine, Refund, TopUp
from billing.selectors.invoicing import sections
from billing.services.invoicing import wording

MINUS = "\N{MINUS SIGN}"
_SAID = {REVERSE_CHARGE, EXEMPT}
"""Where no tax is due, and the law wants the reason on the paper."""


def invoice_pdf(invoice: Invoice) -> bytes:
    """The invoice as it was issued. What was paid of it since is not on it.

    It carries its own data (Factur-X) where those are known and the extra ``einvoice`` is installed.
    """
    data = einvoice(invoice)
    if data is None:
        return documents.pdf("invoice", shown(invoice))
    return einvoices.embed(documents.pdf("invoice", shown(invoice), carries=True), data)


def einvoice(invoice: Invoice) -> bytes | None:
    """The invoice as XML of EN 16931; None where a party is not known well enough, several taxes are due together, or
    nobody here can write it."""
    seller, buyer = (Party(**invoice.parties.get(name, {})) for name in ("seller", "buyer"))
    taxes = list(invoice.taxes.order_by("position"))
    if lacks(seller, buyer) or len(taxes) > 1 or not einvoices.installed():
        return None
    zone = ZoneInfo(settings.TIME_ZONE)
    return einvoices.xml(
        terms(
            Paper(
                number=invoice.number,
                credits=invoice.kind == Invoice.Kind.CREDIT_NOTE,
                issued_on=invoice.issued_at.astimezone(zone).date(),
                due_on=invoice.due_on,
                first=invoice.period_start.astimezone(zone).date(),
                last=(invoice.period_end - timedelta(microseconds=1)).astimezone(zone).date(),
                currency=invoice.currency_id,
                seller=seller,
                buyer=buyer,
                lines=[
                    Line(_titled(line, line.description), line.amount, line.quantity, line.unit_amount, line.per)
                    for line in invoice.lines.order_by("position")
                ],
                total=invoice.total,
                base=invoice.tax_base if invoice.tax_treatment == STANDARD else invoice.due,
                tax=invoice.tax,
                treatment=invoice.tax_treatment,
                rate=taxes[0].rate if taxes else Decimal(0),
                note=settings.INVOICE_NOTE,
                takes_back=(invoice.voids.number, invoice.voids.issued_at.astimezone(zone).date())
                if invoice.voids
                else None,
            )
        )
    )


def _titled(line: InvoiceLine, description: str) -> str:
    return ", ".join([description, *(f"{key} {value}" for key, value in sorted(line.metadata.items()))])


def shown(invoice: Invoice) -> dict[str, Any]:
    """What is on the paper: texts, ready to be set."""
    note, money = invoice.kind == Invoice.Kind.CREDIT_NOTE, partial(_money, currency=invoice.currency_id)
    facts = [
        (gettext("Issued"), _day(invoice.issued_at)),
        (
            gettext("Period"),
            gettext("{first} to {last}").format(
                first=_day(invoice.period_start), last=_day(invoice.period_end - timedelta(microseconds=1))
            ),
        ),
        *([(gettext("For invoice"), invoice.voids.number)] if invoice.voids else []),
        *([] if note else [(gettext("Due"), _on(invoice.due_on))]),
    ]
    return {
        "title": str(invoice.get_kind_display()),
        "number": invoice.number,
        "seller": invoice.seller,
        "buyer": invoice.buyer,
        "facts": facts,
        "currency": invoice.currency_id,
        "headings": [gettext("Description"), gettext("Quantity"), gettext("Rate")],
        "words": {
            "for": gettext("For"),
            "total": gettext("Total"),
            "net": gettext("Net"),
        },
        "sections": [
            {
                "name": section.name,
                "lines": [
                    {
                        "description": _titled(line, wording.line(line.description)),
                        "quantity": "" if line.quantity is None else f"{_number(line.quantity)} {line.unit}".strip(),
                        "rate": "" if line.unit_amount is None else _rate(line.unit_amount, line.per),
                        "amount": money(line.amount),
                    }
                    for line in section.lines
                ],
                "subtotal": money(section.subtotal),
            }
            for section in sections.of_lines(invoice.lines.order_by("position"))
        ],
        "total": money(invoice.total),
        "prepaid_title": _prepaid_title(invoice),
        "prepaid": money(invoice.prepaid.copy_negate()) if invoice.prepaid else None,
        "net": money(invoice.due) if invoice.tax else None,
        "taxes": [
            {
                "name": gettext("{tax} {rate} % on {base}").format(
                    tax=tax.name, rate=_number(tax.rate * 100), base=money(invoice.tax_base)
                ),
                "amount": money(tax.amount),
            }
            for tax in invoice.taxes.order_by("position")
        ],
        "treatment": f"{gettext(TREATMENTS[invoice.tax_treatment])}." if invoice.tax_treatment in _SAID else "",
        "due_title": gettext("Credited") if note else gettext("Due"),
        "due": money(invoice.payable.copy_abs() if note else invoice.payable),
        "note": settings.INVOICE_NOTE,
    }


def _prepaid_title(invoice: Invoice) -> str:
    """A reversal gives back what the wallet had paid; a void takes back what was owed alone."""
    if invoice.prepaid > 0:
        return gettext("Paid from the wallet already")
    return gettext("Stays paid from the wallet") if invoice.voids else gettext("Back in the wallet already")


def receipt_pdf(top_up: TopUp) -> bytes:
    """The receipt of a top-up that is in the wallet, with what was paid back of it by now."""
    return documents.pdf("receipt", shown_receipt(top_up))


def shown_receipt(top_up: TopUp) -> dict[str, Any]:
    """What is on the receipt: both currencies and the rate where what came in is not what was paid."""
    attempt, customer, paid_in = top_up.attempt, top_up.customer, top_up.currency_id
    assert top_up.settled_at is not None
    means = (attempt.method_brand or attempt.method_type).replace("_", " ")
    method = f"{means[:1].upper()}{means[1:]} {attempt.method_last4}".strip()
    came_in = [(gettext("Came into the wallet"), _unit(top_up.credit, top_up.asset))]
    if top_up.rate is not None:
        code = _code(top_up.asset)
        came_in.append((gettext("Rate"), f"1 {paid_in.upper()} = {_number(top_up.rate)} {code}"))
    if top_up.bonus:
        came_in.append((gettext("Bonus"), _unit(top_up.bonus, top_up.asset)))
    money = partial(_money, currency=paid_in)
    refunds = top_up.refunds.filter(status=Refund.Status.SUCCEEDED).order_by("pk")
    for refund in refunds:
        assert refund.finished_at is not None
        back = gettext("Paid back on {day}").format(day=_day(refund.finished_at))
        came_in.append((back, f"{money(refund.total)} {paid_in.upper()}"))
    return {
        "title": gettext("Receipt"),
        "number": str(top_up.pk),
        "seller": settings.INVOICE_SELLER,
        "buyer": [text for text in (customer.name, customer.email, customer.country, customer.external_id) if text],
        "facts": [(gettext("Paid on"), _day(top_up.settled_at)), (gettext("Paid with"), method or "–")],
        "words": {"for": gettext("For"), "paid": gettext("Paid")},
        "lines": [
            (name, f"{money(amount)} {paid_in.upper()}")
            for name, amount in (
                (top_up.pack.name if top_up.pack else gettext("Wallet top-up"), top_up.amount),
                (gettext("Payment fee"), top_up.fee),
                (gettext("Tax"), top_up.tax),
            )
            if amount
        ],
        "paid": f"{money(attempt.amount)} {paid_in.upper()}",
        "after": came_in,
        "note": settings.INVOICE_NOTE,
    }


def _code(asset: Asset) -> str:
    return asset.code.upper() if asset.kind == Asset.Kind.CURRENCY else asset.name


def _unit(amount: Decimal, asset: Asset) -> str:
    money = asset.kind == Asset.Kind.CURRENCY
    return f"{_money(amount, asset.pk) if money else _number(amount)} {_code(asset)}"


def _day(moment: datetime) -> str:
    return _on(moment.astimezone(ZoneInfo(settings.TIME_ZONE)).date())


def _on(day: date) -> str:
    """``9 Dec 2026`` on an English paper, and elsewhere as the reader writes dates."""
    return f"{day:%-d %b %Y}" if reading.active() == reading.PLAIN else reading.day(day)


def _money(amount: Decimal, currency: str) -> str:
    return f"{MINUS if amount < 0 else ''}{reading.digits(f'{amount.copy_abs():,.{places(currency)}f}')}"


def _rate(unit_amount: Decimal, per: Decimal | None) -> str:
    if per in {None, 1}:
        return _number(unit_amount)
    return gettext("{amount} per {many}").format(amount=_number(unit_amount), many=_number(per or Decimal(1)))


def _number(quantity: Decimal) -> str:
    return f"{MINUS if quantity < 0 else ''}{reading.digits(grouped(quantity.copy_abs()))}"
