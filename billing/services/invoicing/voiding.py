"""Voiding: an invoice that should not have been issued is taken back as a whole, by a credit note.

Its number stays, and so do its entries. What was owed for it is owed no longer, and what had been paid of it is back in
the grants that paid.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from accounts.services import audit
from billing.engine.money import EXACT, amount_string
from billing.engine.taxes import Decision
from billing.errors import ApprovalRequired, InvalidState
from billing.models import Approval, Collection, Customer, Invoice, PaymentAttempt, TopUp
from billing.selectors import invoices as figures
from billing.services import four_eyes
from billing.services.invoicing import dunning, invoices, taxes
from billing.services.invoicing.invoices import Voided
from billing.services.ledger.giving_back import Part
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried


def agree(*, actor: audit.Actor, invoice: Invoice, approval: Approval | None = None) -> None:
    """Whether it may be voided now, and, where there is no ``approval``, by this person alone. Nothing is done.

    Raises ``InvalidState`` and ``ApprovalRequired``, as ``void`` does.
    """
    amounts = {invoice.currency_id: invoice.payable}
    with transaction.atomic():
        Journal.open([invoice.customer_id]).write()
        _voidable(invoice)
        if approval is None and actor.id is not None and (why := four_eyes.reason(actor.id, amounts)) is not None:
            raise ApprovalRequired(why, amounts=amounts)


def void(*, actor: audit.Actor, invoice: Invoice, reason: str, approval: Approval | None = None) -> Invoice:
    """Take the invoice back and return its credit note. Not to be called in a transaction: whoever knows the taxes is
    asked.

    What is owed beside it is invoiced first, so that the credit note is for this invoice alone. Raises ``InvalidState``
    for a credit note, one that is void or given up, or while a charge for it is under way, ``Unavailable``, and
    ``ApprovalRequired`` (``four_eyes``).
    """
    return _void(actor, invoice, reason, approval, decision=taxes.decide(invoice.customer, timezone.now()))


@retried
def _void(
    actor: audit.Actor, invoice: Invoice, reason: str, approval: Approval | None, *, decision: Decision
) -> Invoice:
    customer: Customer = invoice.customer
    with transaction.atomic():
        journal = Journal.open([customer.pk])
        journal.write()
        collection = _voidable(invoice)
        four_eyes.check(
            actor=actor,
            kind=Approval.Kind.INVOICE_VOID,
            amounts={invoice.currency_id: invoice.payable},
            customer_id=customer.pk,
            approval=approval,
        )
        invoices.document(invoice.balance, customer=customer, end=_after(journal), decision=decision)
        journal = Journal.open([customer.pk])
        voided = _book(journal, invoice)
        note = invoices.document(
            invoice.balance,
            customer=customer,
            end=_after(journal),
            decision=decision,
            voids=voided,
        )
        if note is None:
            raise _given_back_already(invoice)
        dunning.close(collection, Collection.State.VOIDED, reason)
        audit.record(
            actor=actor,
            action="invoice.voided",
            object_type="invoice",
            object_id=str(invoice.pk),
            organization_id=customer.organization_id,
            after={"credit_note": note.number, "amount": amount_string(voided.amount), "reason": reason},
        )
    return note


def _after(journal: Journal) -> datetime:
    return journal.now + timedelta(microseconds=1)


def _voidable(invoice: Invoice) -> Collection:
    """Its collection, locked after the wallet."""
    collection = Collection.objects.select_for_update(of=("self",)).filter(invoice=invoice).first()
    if collection is None:
        raise InvalidState("Only an invoice can be voided.")
    if collection.state in {Collection.State.VOIDED, Collection.State.UNCOLLECTIBLE}:
        raise InvalidState(f"{invoice.number} is {collection.get_state_display().lower()}.")
    if TopUp.objects.filter(invoice=invoice, attempt__status__in=PaymentAttempt.OPEN).exists():
        raise InvalidState(f"A charge for {invoice.number} is under way: wait for what becomes of it.")
    return collection


def _book(journal: Journal, invoice: Invoice) -> Voided:
    """Take what is due off what is owed, and out of what has paid it: without what was given back of it since, and no
    more than ever was owed."""
    balance = journal.balances[invoice.customer_id, invoice.currency_id]
    credited = figures.given_back(invoice)
    owed = EXACT.add(balance.owed, figures.settled(balance.id))
    amount: Decimal = min(EXACT.subtract(invoice.due, credited), owed)
    if amount <= 0:
        raise _given_back_already(invoice)
    head = journal.begin(
        customer_id=invoice.customer_id,
        template="invoice.voided",
        reference=f"invoice:{invoice.pk}:voided",
        occurred_at=journal.now,
        description=invoice.number,
    )
    journal.give_back(head, balance, [Part(None, amount)], charge_id=None, spent=False)
    journal.write()
    return Voided(invoice, amount, credited)


def _given_back_already(invoice: Invoice) -> InvalidState:
    return InvalidState(f"What {invoice.number} asks for was given back already.")
