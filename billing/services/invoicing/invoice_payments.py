"""What staff note for an invoice by hand: money that came by bank, and what is given up.

Both come into the wallet as a grant, which pays the oldest debt first, and are for the oldest open invoice.
"""

from decimal import Decimal
from fractions import Fraction

from django.db import transaction
from django.utils import timezone

from accounts.ids import uuid7
from accounts.services import audit
from billing.engine.currencies import places
from billing.engine.money import EXACT, ZERO, amount_string, decimals, round_half_even
from billing.errors import AlreadyExists, InvalidRequest, InvalidState
from billing.models import (
    Approval,
    Balance,
    Collection,
    Customer,
    Grant,
    Invoice,
    InvoicePayment,
    PaymentAttempt,
    TopUp,
)
from billing.selectors.invoicing import invoices
from billing.services import four_eyes
from billing.services.invoicing import outcomes
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried
from billing.services.wallet import grants

WRITTEN_OFF = "written off"
"""The reference of what is given up, which no payment has."""


@retried
def record(
    *,
    actor: audit.Actor,
    invoice: Invoice,
    amount: Decimal,
    reference: str,
    reason: str = "",
    approval: Approval | None = None,
) -> InvoicePayment:
    """Note that ``amount``, tax included, came in for the invoice outside of the payment provider.

    ``reference`` is the bank's: the same one twice for an invoice is refused. Raises ``InvalidRequest`` for more than
    is open, ``InvalidState`` where an older invoice is, and ``ApprovalRequired`` (``four_eyes``).
    """
    coins = places(invoice.currency_id)
    if amount <= 0 or decimals(amount) > coins:
        raise InvalidRequest.field("amount", f"must be greater than zero, with at most {coins} decimals")
    with transaction.atomic():
        collection, net, tax = _open(invoice)
        if reference == WRITTEN_OFF or invoice.payments.filter(reference=reference).exists():
            raise AlreadyExists(f"A payment {reference} of {invoice.number} is noted already.")
        whole = EXACT.add(net, tax)
        if amount > whole:
            raise InvalidRequest.field("amount", f"is more than the {amount_string(whole)} that are open")
        share = round_half_even(Fraction(tax) * Fraction(amount) / Fraction(whole), precision=coins)
        kept = InvoicePayment.Kind.MONEY
        net = EXACT.subtract(amount, share)
        return _note(actor, collection, kept, approval, net=net, tax=share, reference=reference, reason=reason)


@retried
def write_off(*, actor: audit.Actor, invoice: Invoice, reason: str, approval: Approval | None = None) -> InvoicePayment:
    """Give up what is open of the invoice: it counts against revenue, and its tax is owed to the office no longer.

    No more than is owed: what was given back since the invoice is for a credit note. Raises ``InvalidState`` where
    nothing or an older invoice is open, or a charge for it is under way, and ``ApprovalRequired`` (``four_eyes``).
    """
    with transaction.atomic():
        collection, net, tax = _open(invoice)
        if TopUp.objects.filter(invoice=invoice, attempt__status__in=PaymentAttempt.OPEN).exists():
            raise InvalidState(f"A charge for {invoice.number} is under way: wait for what becomes of it.")
        net = min(net, Balance.objects.get(pk=invoice.balance_id).owed)
        if net + tax <= 0:
            raise InvalidState("What was used is given back: a credit note is what is missing.")
        kind = InvoicePayment.Kind.WRITE_OFF
        given_up = _note(actor, collection, kind, approval, net=net, tax=tax, reference=WRITTEN_OFF, reason=reason)
        outcomes.close(collection, Collection.State.UNCOLLECTIBLE, reason)
    return given_up


def _open(invoice: Invoice) -> tuple[Collection, Decimal, Decimal]:
    """The invoice's collection, locked after the wallet, and what is open of the amount and of the tax."""
    Journal.open([invoice.customer_id]).write()
    rows = Collection.objects.select_for_update(of=("self",)).select_related("invoice__customer", "invoice__currency")
    ours = list(rows.filter(invoice__balance_id=invoice.balance_id, state="open").order_by("invoice__first_seq"))
    paid = invoices.paid([row.invoice for row in ours])
    for row in ours:
        net, tax = invoices.open_parts(row.invoice, paid[row.invoice_id])
        if row.invoice_id == invoice.pk and net + tax > 0:
            return row, net, tax
        if net + tax > 0:
            raise InvalidState(f"{row.invoice.number} is older and open: money pays the oldest first.")
    raise InvalidState(f"Nothing of {invoice.number} is open.")


def _note(
    actor: audit.Actor,
    collection: Collection,
    kind: str,
    approval: Approval | None,
    *,
    net: Decimal,
    tax: Decimal,
    reference: str,
    reason: str,
) -> InvoicePayment:
    invoice = collection.invoice
    customer: Customer = invoice.customer
    money = kind == InvoicePayment.Kind.MONEY
    four_eyes.check(
        actor=actor,
        kind=Approval.Kind.INVOICE_PAYMENT if money else Approval.Kind.WRITE_OFF,
        amounts={invoice.currency_id: EXACT.add(net, tax)},
        customer_id=customer.pk,
        approval=approval,
    )
    payment = InvoicePayment.objects.create(
        customer=customer,
        invoice=invoice,
        kind=kind,
        amount=net,
        tax=tax,
        reference=reference,
        grant_id=uuid7() if net else None,
        created_at=timezone.now(),
    )
    if net:
        assert payment.grant_id is not None
        grants.create(
            actor=actor,
            id=payment.grant_id,
            customer=customer,
            asset=invoice.currency,
            amount=net,
            kind=Grant.Kind.PURCHASE if money else Grant.Kind.ADJUSTMENT,
            paid_amount=net if money else ZERO,
            paid_currency=invoice.currency if money else None,
            name=f"Invoice {invoice.number}" if money else f"Written off: {invoice.number}",
            metadata={"invoice": str(invoice.pk)},
            counted=True,
        )
    if tax:
        journal = Journal.open([customer.pk])
        head = journal.begin(
            customer_id=customer.pk,
            template="top_up.settled" if money else "invoice.taxed",
            reference=f"invoice-payment:{payment.pk}",
            occurred_at=journal.now,
            description=invoice.number,
        )
        name = "invoiced_tax" if money else "credited"
        journal.post_beside(head, customer.pk, invoice.currency_id, name, tax)
        journal.write()
    audit.record(
        actor=actor,
        action="invoice.payment_recorded" if money else "invoice.written_off",
        object_type="invoice",
        object_id=str(invoice.pk),
        organization_id=customer.organization_id,
        after={"amount": amount_string(net), "tax": amount_string(tax), "reference": reference, "reason": reason},
    )
    return payment
