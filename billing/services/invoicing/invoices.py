"""Invoices: what customers owe, put on paper at the end of a period, with numbers that have no gap.

The ledger knows what is owed at any moment; an invoice says it for a run of a balance's entries. The balance is locked
while that is found, so that each entry is in exactly one run.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q
from django.utils import timezone

from accounts.services import audit
from billing import locks, pipeline
from billing.engine import invoicing
from billing.engine.currencies import places
from billing.engine.money import EXACT, ZERO, amount_string
from billing.engine.taxes import Decision
from billing.errors import Unavailable
from billing.models import (
    Asset,
    Balance,
    Collection,
    Customer,
    Invoice,
    InvoiceLine,
    InvoiceSeries,
    LedgerEntry,
    TaxProfile,
)
from billing.selectors.invoicing import invoice_lines
from billing.services import outbox
from billing.services.invoicing import invoice_taxes, taxes
from billing.services.retrying import retried

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Voided:
    """An invoice that is taken back, what of its entries' debt was booked back, and what had been given back before,
    which is on credit notes of its own."""

    invoice: Invoice
    amount: Decimal
    credited: Decimal


def issue_due() -> list[Invoice]:
    """Issue what customers owe for the period that is over. Safe to run twice."""
    now = timezone.now()
    end = period_end(now)
    later = Invoice.objects.filter(balance=OuterRef("pk"), period_end__gte=end)
    owing = (
        Balance.objects.filter(asset__kind=Asset.Kind.CURRENCY)
        .filter(Q(owed__gt=0) | Q(overdraft_limit__gt=0) | Q(invoices__isnull=False))
        .filter(~Exists(later))
        .distinct()
        .order_by("id")
    )
    issued = []
    for balance, until in [*((balance, end) for balance in owing), *((balance, now) for balance in _reached())]:
        try:
            invoice = issue(balance, end=until)
        except Unavailable as trouble:
            # A busy wallet, or a tax that nobody can tell now, is for the next run: nothing goes out untaxed.
            logger.warning("The invoice of %s waits: %s", balance.customer_id, trouble)
        except Exception:
            logger.exception("The invoice of %s waits", balance.customer_id)
        else:
            issued += [invoice] if invoice is not None else []
    return issued


def _reached() -> Iterator[Balance]:
    """The balances on which as much is owed that no invoice asks for as ``INVOICE_AMOUNT`` says."""
    if not settings.INVOICE_AMOUNT:
        return
    for balance in Balance.objects.filter(asset__kind=Asset.Kind.CURRENCY, owed__gte=settings.INVOICE_AMOUNT):
        last = Invoice.objects.filter(balance=balance).order_by("-first_seq").first()
        found = invoice_lines.owed(balance, after=last.last_seq if last else 0, upto=balance.seq)
        if found.owed >= settings.INVOICE_AMOUNT:
            yield balance


def period_end(now: datetime) -> datetime:
    """When the operator's last whole day, week or month (``INVOICE_EVERY``) was over."""
    zone = ZoneInfo(settings.TIME_ZONE)
    today = now.astimezone(zone).date()
    if settings.INVOICE_EVERY == "week":
        today -= timedelta(days=today.weekday())
    elif settings.INVOICE_EVERY == "month":
        today = today.replace(day=1)
    return datetime.combine(today, time.min, tzinfo=zone)


def issue(balance: Balance, *, end: datetime) -> Invoice | None:
    """Issue what is owed for the balance's entries that were posted before ``end`` and are in no invoice yet.

    None where nothing is: then the entries wait for the next one. What was given back more than used makes a credit
    note. One transaction, with the number and the tax. Not to be called in one; raises ``Unavailable``.
    """
    customer = Customer.objects.get(pk=balance.customer_id)
    return _issue(balance, customer=customer, end=end, decision=taxes.decide(customer, timezone.now()))


@retried
def _issue(balance: Balance, *, customer: Customer, end: datetime, decision: Decision) -> Invoice | None:
    with transaction.atomic():
        return document(balance, customer=customer, end=end, decision=decision)


def document(
    balance: Balance, *, customer: Customer, end: datetime, decision: Decision, voids: Voided | None = None
) -> Invoice | None:
    """As ``issue``, in the caller's transaction. With ``voids`` it is a credit note that takes an invoice back."""
    clock = locks.ledger_time()
    pipeline.run([locks.balances([balance.customer_id]), clock])
    now: datetime = clock.rows[0][0]
    last = Invoice.objects.filter(balance=balance).order_by("-first_seq").first()
    after = last.last_seq if last else 0
    run = LedgerEntry.objects.filter(balance=balance, seq__gt=after, posted_at__lt=end)
    upto = run.aggregate(highest=Max("seq"))["highest"]
    if upto is None:
        return None
    found = invoice_lines.owed(balance, after=after, upto=upto)
    taken_back = None if voids is None else voids.invoice
    items = found.items if voids is None else [*_taken_back(voids), *_besides(voids, found.items)]
    owed_before = last.owed_after if last else ZERO
    totals = invoicing.in_coins(items, owed=found.owed, owed_before=owed_before, places=places(balance.asset_id))
    if totals.due == 0:
        return None
    kind = Invoice.Kind.INVOICE if totals.due > 0 else Invoice.Kind.CREDIT_NOTE
    tax = invoice_taxes.on(
        balance,
        totals.due,
        decision,
        taken_up=found.taken_up,
        voids=taken_back,
        credited=voids.credited if voids else ZERO,
    )
    series, sequence = _number(kind)
    profile = TaxProfile.objects.filter(customer=customer).first() or TaxProfile(customer=customer)
    invoice = Invoice.objects.create(
        customer=customer,
        balance=balance,
        currency_id=balance.asset_id,
        kind=kind,
        series=series,
        sequence=sequence,
        number=f"{series}-{sequence:06d}",
        period_start=last.period_end if last else run.order_by("seq").values_list("posted_at", flat=True)[0],
        period_end=end,
        first_seq=after + 1,
        last_seq=upto,
        total=totals.total,
        prepaid=totals.prepaid,
        due=totals.due,
        due_before=EXACT.add(last.due_before, last.due) if last else ZERO,
        tax=tax.total,
        tax_base=tax.base,
        tax_given=tax.given,
        tax_withheld=tax.withheld,
        tax_treatment=tax.treatment,
        owed_after=EXACT.add(owed_before, found.owed),
        due_on=now.astimezone(ZoneInfo(settings.TIME_ZONE)).date() + timedelta(days=settings.INVOICE_DUE_DAYS),
        voids=taken_back,
        seller=settings.INVOICE_SELLER,
        buyer=_buyer(customer, profile),
        parties=_parties(customer, profile),
        issued_at=now,
    )
    InvoiceLine.objects.bulk_create(_lines(invoice, items, totals))
    invoice_taxes.book(invoice, tax)
    if kind == Invoice.Kind.INVOICE:
        due_at = datetime.combine(invoice.due_on, time.min, tzinfo=ZoneInfo(settings.TIME_ZONE))
        Collection.objects.create(customer=customer, invoice=invoice, next_try_at=due_at)
    _tell(invoice)
    return invoice


def _tell(invoice: Invoice) -> None:
    """That it is issued: who wants to know, and the trail."""
    facts = {
        "invoice": str(invoice.pk),
        "number": invoice.number,
        "kind": invoice.kind,
        "due": amount_string(invoice.due),
        "tax": amount_string(invoice.tax),
        "payable": amount_string(invoice.payable),
        "currency": invoice.currency_id.upper(),
    }
    outbox.publish([outbox.Message("invoice.finalized", invoice.customer_id, facts)], now=invoice.issued_at)
    audit.record(
        actor=audit.SYSTEM,
        action="invoice.finalized",
        object_type="invoice",
        object_id=str(invoice.pk),
        organization_id=invoice.customer.organization_id,
        after=facts,
    )


def _besides(voids: Voided, items: Sequence[invoicing.Item]) -> Iterator[invoicing.Item]:
    """What else the entries are for: less than a coin that was owed, and what the wallet paid."""
    for item in items:
        exact = EXACT.add(item.exact, voids.amount) if item.kind == "adjustment" else item.exact
        if exact:
            yield replace(item, exact=exact)


def _taken_back(voids: Voided) -> list[invoicing.Item]:
    """The lines of the invoice the other way round, and what of them was credited before."""
    before = [invoicing.Item("adjustment", "", "Credited before", voids.credited)] if voids.credited else []
    return before + [
        invoicing.Item(
            *(line.kind, line.product, line.description, line.exact.copy_negate()),
            quantity=None if line.quantity is None else line.quantity.copy_negate(),
            unit=line.unit,
            metadata=line.metadata,
            unit_amount=line.unit_amount,
            per=line.per,
        )
        for line in voids.invoice.lines.order_by("position")
    ]


def _number(kind: str) -> tuple[str, int]:
    code = settings.INVOICE_SERIES if kind == Invoice.Kind.INVOICE else settings.CREDIT_NOTE_SERIES
    InvoiceSeries.objects.bulk_create([InvoiceSeries(code=code)], ignore_conflicts=True)
    locked = locks.invoice_series(code)
    pipeline.run([locked])
    sequence = int(locked.rows[0][0]) + 1
    InvoiceSeries.objects.filter(code=code).update(last=sequence)
    return code, sequence


def _lines(invoice: Invoice, items: Sequence[invoicing.Item], totals: invoicing.Totals) -> list[InvoiceLine]:
    return [
        InvoiceLine(
            customer_id=invoice.customer_id,
            invoice=invoice,
            position=position,
            kind=item.kind,
            product=item.product,
            description=item.description[:200],
            quantity=item.quantity,
            unit=item.unit,
            unit_amount=item.unit_amount,
            per=item.per,
            metadata=dict(item.metadata),
            amount=amount,
            exact=item.exact,
        )
        for position, (item, amount) in enumerate(zip(items, totals.amounts, strict=True), start=1)
    ]


def _buyer(customer: Customer, profile: TaxProfile) -> list[str]:
    number = f"Tax number {profile.tax_id}" if profile.tax_id else ""
    texts = (customer.name, *profile.address, customer.country, number, customer.email, customer.external_id)
    return [text for text in texts if text]


def _parties(customer: Customer, profile: TaxProfile) -> dict[str, dict[str, Any]]:
    """Seller and buyer as ``engine.einvoices.Party`` has them."""
    name, *address = [*settings.INVOICE_SELLER, ""]
    return {
        "seller": {
            "name": name,
            "country": settings.TAX_HOME_COUNTRY,
            "tax_id": settings.INVOICE_SELLER_TAX_ID,
            "address": [line for line in address if line],
        },
        "buyer": {
            "name": customer.name,
            "country": customer.country,
            "tax_id": profile.tax_id,
            "address": list(profile.address),
        },
    }
