"""Voiding: an invoice that should not have been issued is taken back as a whole, by a credit note.

Its number stays, and so do its entries. What was owed for it is owed no longer, and what had been paid of it is back in
the grants that paid. That it is to be taken back is noted first (``ask``); from then on it is collected no more. Then
whoever knows the taxes is asked, and it is done (``finish``): at once, or by a worker as soon as they answer.
"""

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.services import audit
from billing.engine.money import EXACT, amount_string
from billing.engine.taxes import Decision
from billing.errors import InvalidState, Unavailable
from billing.models import Approval, Collection, Customer, Invoice, PaymentAttempt, TopUp
from billing.selectors.invoicing import invoices as figures
from billing.services import four_eyes
from billing.services.invoicing import invoices, outcomes, taxes
from billing.services.invoicing.invoices import Voided
from billing.services.ledger.giving_back import Part, give_back
from billing.services.ledger.posting import Journal
from billing.services.retrying import retried

logger = logging.getLogger(__name__)

State = Collection.State


def void(*, actor: audit.Actor, invoice: Invoice, reason: str, approval: Approval | None = None) -> Invoice | None:
    """``ask`` and ``finish``. Not to be called in a transaction."""
    return finish(ask(actor=actor, invoice=invoice, reason=reason, approval=approval))


@retried
def ask(*, actor: audit.Actor, invoice: Invoice, reason: str, approval: Approval | None = None) -> UUID:
    """Note that the invoice is to be taken back; returns its collection's id, for ``finish``.

    Raises ``InvalidState`` for a credit note, one that is void or given up, of which all was given back, or while a
    charge for it is under way, and ``ApprovalRequired`` (``four_eyes``).
    """
    with transaction.atomic():
        journal = Journal.open([invoice.customer_id])
        journal.write()
        collection = _locked(invoice)
        if collection.state not in {State.OPEN, State.PAID}:
            raise InvalidState(f"{invoice.number} is {collection.get_state_display().lower()}.")
        if TopUp.objects.filter(invoice=invoice, attempt__status__in=PaymentAttempt.OPEN).exists():
            raise InvalidState(f"A charge for {invoice.number} is under way: wait for what becomes of it.")
        _left(journal, invoice)
        four_eyes.check(
            actor=actor,
            kind=Approval.Kind.INVOICE_VOID,
            amounts={invoice.currency_id: invoice.payable},
            customer_id=invoice.customer_id,
            approval=approval,
        )
        collection.state, collection.reason = State.VOIDING, reason[:500]
        collection.save(update_fields=["state", "reason"])
        _record(actor, invoice, "invoice.void_asked", reason=reason)
    return collection.pk


def finish(collection_id: UUID) -> Invoice | None:
    """Take the invoice back and return its credit note. Not to be called in a transaction.

    What is owed beside it is invoiced first, so that the credit note is for this invoice alone. None where it cannot be
    found out what tax is due, or the wallet is busy: then a worker does it later (``finish_due``). Raises
    ``InvalidState`` where all of it was given back since: then it is as it was.
    """
    invoice = Invoice.objects.select_related("customer").get(collection__pk=collection_id)
    try:
        return _finish(invoice, decision=taxes.decide(invoice.customer, timezone.now()))
    except Unavailable as trouble:
        logger.warning("The voiding of %s waits: %s", invoice.number, trouble)
        return None
    except InvalidState as refusal:
        _leave(invoice, refusal.detail)
        raise


def finish_due() -> None:
    """Finish what was asked for and could not be done at once. Safe to run twice, and at the same time."""
    for collection_id in list(Collection.objects.filter(state=State.VOIDING).values_list("pk", flat=True)):
        try:
            finish(collection_id)
        except InvalidState as refusal:
            logger.warning("The invoice of %s is not voided: %s", collection_id, refusal)
        except Exception:
            logger.exception("The voiding of %s waits", collection_id)


@retried
def _finish(invoice: Invoice, *, decision: Decision) -> Invoice | None:
    customer: Customer = invoice.customer
    with transaction.atomic():
        journal = Journal.open([customer.pk])
        journal.write()
        collection = _locked(invoice)
        if collection.state != State.VOIDING:
            return Invoice.objects.filter(voids=invoice).first()  # Somebody else has finished it.
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
        outcomes.close(collection, State.VOIDED, collection.reason)
        # Why is what somebody of the staff wrote down when they asked for it: it stands there.
        amount = amount_string(voided.amount)
        _record(audit.SYSTEM, invoice, "invoice.voided", credit_note=note.number, amount=amount)
    return note


@retried
def _leave(invoice: Invoice, why: str) -> None:
    """It cannot be taken back any more: it is paid, or collected, as it was before."""
    with transaction.atomic():
        Journal.open([invoice.customer_id]).write()
        collection = _locked(invoice)
        if collection.state == State.VOIDING:
            collection.state = State.PAID if collection.closed_at else State.OPEN
            collection.reason = why[:500]
            collection.save(update_fields=["state", "reason"])
            _record(audit.SYSTEM, invoice, "invoice.void_refused", reason=why)
            # What had paid it may have been taken back meanwhile.
            outcomes.reopen(invoice.customer_id, invoice.currency_id)


def _locked(invoice: Invoice) -> Collection:
    """Its collection, locked after the wallet."""
    collection = Collection.objects.select_for_update(of=("self",)).filter(invoice=invoice).first()
    if collection is None:
        raise InvalidState("Only an invoice can be voided.")
    return collection


def _after(journal: Journal) -> datetime:
    return journal.now + timedelta(microseconds=1)


def _left(journal: Journal, invoice: Invoice) -> tuple[Decimal, Decimal]:
    """What of the invoice there is to take back, which is no more than ever was owed, and what was given back of it
    since."""
    balance = journal.balances[invoice.customer_id, invoice.currency_id]
    credited = figures.given_back(invoice)
    owed = EXACT.add(balance.owed, figures.settled(balance.id))
    amount: Decimal = min(EXACT.subtract(invoice.due, credited), owed)
    if amount <= 0:
        raise _given_back_already(invoice)
    return amount, credited


def _book(journal: Journal, invoice: Invoice) -> Voided:
    """Take what is left of it off what is owed, and out of what has paid it."""
    amount, credited = _left(journal, invoice)
    head = journal.begin(
        customer_id=invoice.customer_id,
        template="invoice.voided",
        reference=f"invoice:{invoice.pk}:voided",
        occurred_at=journal.now,
        description=invoice.number,
    )
    balance = journal.balances[invoice.customer_id, invoice.currency_id]
    give_back(journal, head, balance, [Part(None, amount)], charge_id=None, spent=False)
    journal.write()
    return Voided(invoice, amount, credited)


def _record(actor: audit.Actor, invoice: Invoice, action: str, **facts: str) -> None:
    audit.record(
        actor=actor,
        action=action,
        object_type="invoice",
        object_id=str(invoice.pk),
        organization_id=invoice.customer.organization_id,
        after=facts,
    )


def _given_back_already(invoice: Invoice) -> InvalidState:
    return InvalidState(f"What {invoice.number} asks for was given back already.")
