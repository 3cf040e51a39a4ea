"""Tax on invoices: on what an invoice asks for and nobody has paid yet, since money that comes in is taxed as it does.

It is owed to the office from the day of the invoice. A credit note takes it back in the proportion in which it was
asked for; what of it had been paid goes into the wallet.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from django.db.models import Sum

from billing.engine.currencies import places
from billing.engine.money import EXACT, ZERO, exact_sum, round_half_even
from billing.engine.taxes import NONE, STANDARD, Decision, Part, shares
from billing.engine.taxes import on as tax_on
from billing.models import Balance, Grant, Invoice, InvoicePayment, InvoiceTax
from billing.selectors.invoicing import invoices
from billing.services.ledger.book import Transaction
from billing.services.ledger.posting import Journal


@dataclass(frozen=True, slots=True)
class Tax:
    """``total`` on ``base``, both negative on a credit note; of that ``given`` goes into the wallet. ``withheld`` would
    come back too, had a payer's bank not taken it back already."""

    treatment: str
    base: Decimal = ZERO
    total: Decimal = ZERO
    given: Decimal = ZERO
    withheld: Decimal = ZERO
    parts: tuple[Part, ...] = ()
    places: int = 2


def on(
    balance: Balance, due: Decimal, decision: Decision, *, taken_up: Decimal, voids: Invoice | None, credited: Decimal
) -> Tax:
    """The tax of a document over ``due`` of the balance, which is locked.

    ``taken_up``: what of its entries had been written off, and is no debt after all. ``voids``: the invoice that it
    takes back, with all of its tax but for that on what was ``credited`` of it before.
    """
    coins = places(balance.asset_id)
    if voids is not None:
        left = round_half_even(EXACT.subtract(voids.tax_base, credited), precision=coins)
        base = min(voids.tax_base, max(ZERO, left))
        share = Fraction(base) / Fraction(voids.tax_base) if base else Fraction(0)
        return _given_back(balance, voids, base, round_half_even(Fraction(voids.tax) * share, precision=coins), coins)
    if due < 0:
        return _credited(balance, EXACT.subtract(due.copy_abs(), min(taken_up, due.copy_abs())), coins)
    if decision.treatment != STANDARD:
        return Tax(decision.treatment)
    base = round_half_even(invoices.unpaid_of(balance.pk, due), precision=coins)
    return Tax(STANDARD, base, tax_on(base, decision, places=coins), parts=decision.parts, places=coins)


def _credited(balance: Balance, amount: Decimal, coins: int) -> Tax:
    """What comes back with ``amount``, as the last taxed invoice had it."""
    last = Invoice.objects.filter(balance=balance, tax__gt=0, voided_by=None).order_by("-first_seq").first()
    if last is None or not amount:
        return Tax(NONE)
    share = Fraction(last.tax) / Fraction(last.tax_base)
    asked = Invoice.objects.filter(balance=balance).aggregate(base=Sum("tax_base"))
    base = min(amount, asked["base"])
    return _given_back(balance, last, base, round_half_even(Fraction(base) * share, precision=coins), coins)


def _given_back(balance: Balance, invoice: Invoice, base: Decimal, tax: Decimal, coins: int) -> Tax:
    """``tax`` on ``base`` as the invoice has it, and no more than all invoices asked for."""
    asked = Invoice.objects.filter(balance=balance).aggregate(tax=Sum("tax"))
    # The office has what was written off, or lost in a dispute, back already.
    given_up = InvoicePayment.objects.filter(invoice__balance=balance, kind=InvoicePayment.Kind.WRITE_OFF)
    room = EXACT.subtract(asked["tax"], given_up.aggregate(tax=Sum("tax"))["tax"] or ZERO)
    most = max(ZERO, min(tax, room))
    total = max(ZERO, min(most, EXACT.subtract(room, invoices.tax_disputed(balance.pk))))
    withheld = EXACT.subtract(most, total)
    if not total:
        return Tax(NONE, withheld=withheld)
    unpaid = invoices.open_tax(balance.customer_id, balance.asset_id)
    parts = tuple(Part(each.name, each.rate) for each in invoice.taxes.order_by("position"))
    return Tax(STANDARD, -base, -total, max(ZERO, EXACT.subtract(total, unpaid)), withheld, parts, coins)


def book(invoice: Invoice, tax: Tax) -> None:
    """Write the parts of the invoice's tax, and post it. A part of the invoice's transaction."""
    if not tax.total:
        return
    amounts = shares(tax.total, [part.rate for part in tax.parts], places=tax.places)
    assert exact_sum(amounts) == tax.total
    InvoiceTax.objects.bulk_create(
        InvoiceTax(
            customer_id=invoice.customer_id,
            invoice=invoice,
            position=position,
            name=part.name,
            rate=part.rate,
            amount=amount,
        )
        for position, (part, amount) in enumerate(zip(tax.parts, amounts, strict=True), start=1)
    )
    journal = Journal.open([invoice.customer_id])
    head = journal.begin(
        customer_id=invoice.customer_id,
        template="invoice.taxed",
        reference=f"invoice:{invoice.pk}:tax",
        occurred_at=journal.now,
        description=invoice.number,
    )
    owed = EXACT.subtract(tax.total.copy_abs(), tax.given)
    if owed:
        name = "tax" if tax.total > 0 else "credited"
        journal.post_beside(head, invoice.customer_id, invoice.currency_id, name, owed)
    if tax.given:
        give(journal, head, invoice.customer_id, invoice.currency_id, tax.given, name=f"Tax of {invoice.number}")
    journal.write()


def give(journal: Journal, head: Transaction, customer_id: UUID, currency: str, amount: Decimal, *, name: str) -> None:
    """Put tax that had been paid into the wallet, out of what is owed to the office: a part of ``invoice.taxed``."""
    grant = Grant(
        customer_id=customer_id,
        balance_id=journal.balances[customer_id, currency].id,
        asset_id=currency,
        kind=Grant.Kind.ADJUSTMENT,
        name=name,
        amount=amount,
        remaining=amount,
        effective_at=journal.now,
        paid_amount=amount,
        paid_currency_id=currency,
    )
    journal.grant_value(journal.new_grant(grant), head)
