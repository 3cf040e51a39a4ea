"""A top-up follows its payment: what was paid comes into the wallet, once, in the transaction that notes it."""

from datetime import datetime, timedelta

from django.conf import settings

from accounts.services.audit import SYSTEM
from billing.engine.money import EXACT, ZERO, amount_string
from billing.models import Grant, PaymentAttempt, TopUp
from billing.selectors.invoicing import invoices
from billing.services import notices, outbox
from billing.services.ledger import bulk
from billing.services.ledger.posting import Journal
from billing.services.wallet import grants

_OF_ATTEMPT = {
    PaymentAttempt.Status.REQUIRES_ACTION: TopUp.Status.REQUIRES_ACTION,
    PaymentAttempt.Status.PROCESSING: TopUp.Status.PROCESSING,
    PaymentAttempt.Status.UNKNOWN: TopUp.Status.PROCESSING,
    PaymentAttempt.Status.SUCCEEDED: TopUp.Status.SUCCEEDED,
    PaymentAttempt.Status.FAILED: TopUp.Status.FAILED,
    PaymentAttempt.Status.CANCELED: TopUp.Status.CANCELED,
    PaymentAttempt.Status.EXPIRED: TopUp.Status.EXPIRED,
}
BUSINESS_DAYS = {"us_bank_account": 4, "sepa_debit": 6, "crypto": 0}
"""How long methods take that are not instant, counted in the days on which banks work."""


def title(top_up: TopUp) -> str:
    """What is bought, in a few words."""
    if top_up.pack is not None:
        return top_up.pack.name
    if top_up.invoice is not None:
        return f"Invoice {top_up.invoice.number}"
    return f"Wallet top-up, {amount_string(top_up.credit)} {top_up.asset_id.upper()}"


def follow(top_up: TopUp, attempt: PaymentAttempt, *, now: datetime) -> None:
    """Bring the top-up to where its attempt is. The attempt is locked, and this is a part of its transaction."""
    status = _OF_ATTEMPT.get(PaymentAttempt.Status(attempt.status))
    if status is None or status == top_up.status:
        return
    top_up.status = status
    if status == TopUp.Status.PROCESSING:
        top_up.expected_at = expected(attempt.method_type, now)
    if status == TopUp.Status.SUCCEEDED:
        top_up.settled_at = now
    top_up.save(update_fields=["status", "expected_at", "settled_at"])
    if status == TopUp.Status.SUCCEEDED:
        _credit(top_up, attempt)
        _tell("top_up.succeeded", top_up, now)
        bulk.run(notices.publication([_received(top_up, attempt)], now=now))
    elif status == TopUp.Status.FAILED:
        _tell("top_up.failed", top_up, now, code=attempt.failure_code)


def expected(method_type: str, now: datetime) -> datetime | None:
    """When money on its way should be in; None where that is a matter of moments."""
    days = BUSINESS_DAYS.get(method_type, 0)
    moment = now
    while days:
        moment += timedelta(days=1)
        days -= moment.weekday() < 5
    return moment if moment > now else None


def _credit(top_up: TopUp, attempt: PaymentAttempt) -> None:
    metadata = {"top_up": str(top_up.pk), "payment": attempt.payment_id}
    if not top_up.credit:
        _book_beside(top_up)  # The tax of an invoice alone: nothing comes into the wallet.
        return
    grants.create(
        id=top_up.grant_id,
        actor=SYSTEM,
        customer=top_up.customer,
        asset=top_up.asset,
        amount=top_up.credit,
        kind=Grant.Kind.PURCHASE,
        paid_amount=top_up.amount,
        paid_currency=top_up.currency,
        name="Top-up" if top_up.pack is None and top_up.invoice is None else title(top_up),
        metadata=metadata,
    )
    if top_up.bonus:
        grants.create(
            id=top_up.bonus_grant_id,
            actor=SYSTEM,
            customer=top_up.customer,
            asset=top_up.asset,
            amount=top_up.bonus,
            kind=Grant.Kind.PROMOTIONAL,
            name="Top-up bonus",
            metadata=metadata,
        )
    _book_beside(top_up)


def _book_beside(top_up: TopUp) -> None:
    """What of the payment is not the grant's: the fee, the tax, and the exchange of what was paid into what came in."""
    exchanged = top_up.asset_id != top_up.currency_id
    if not (top_up.fee or top_up.tax or exchanged):
        return
    customer_id, paid = top_up.customer_id, top_up.currency_id
    journal = Journal.open([customer_id])
    head = journal.begin(
        customer_id=customer_id, template="top_up.settled", reference=f"top_up:{top_up.pk}", occurred_at=journal.now
    )
    if top_up.fee:
        journal.post_beside(head, customer_id, paid, "fee", top_up.fee)
    # What came in as something else pays nothing that is owed in this currency, nor the tax on it.
    invoiced = ZERO if exchanged else min(top_up.tax, invoices.open_tax(customer_id, paid))
    if invoiced:
        # What an invoice asks for is owed to the office already: this pays what the customer owes of it.
        journal.post_beside(head, customer_id, paid, "invoiced_tax", invoiced)
        TopUp.objects.filter(pk=top_up.pk).update(invoiced_tax=invoiced)
    if top_up.tax > invoiced:
        journal.post_beside(head, customer_id, paid, "tax", EXACT.subtract(top_up.tax, invoiced))
    if exchanged:
        journal.post_beside(head, customer_id, paid, "exchanged", top_up.amount)
        journal.post_beside(head, customer_id, top_up.asset_id, "credited", top_up.credit)
    journal.write()


def _received(top_up: TopUp, attempt: PaymentAttempt) -> notices.Told:
    """The notice that goes out with the receipt."""
    facts = {
        "top_up": str(top_up.pk),
        "paid": amount_string(attempt.amount),
        "currency": top_up.currency_id,
        "credit": amount_string(EXACT.add(top_up.credit, top_up.bonus)),
        "asset": top_up.asset_id,
        "receipt_url": f"{settings.BASE_URL}/top-ups/{top_up.pk}/receipt",
    }
    return notices.Told(top_up.customer_id, "top_up.succeeded", facts)


def _tell(type: str, top_up: TopUp, now: datetime, **more: str) -> None:
    payload = {
        "top_up": top_up.pk,
        "amount": amount_string(top_up.amount),
        "currency": top_up.currency_id.upper(),
        "asset": top_up.asset_id,
        "credit": amount_string(EXACT.add(top_up.credit, top_up.bonus)),
        **more,
    }
    outbox.publish([outbox.Message(type, top_up.customer_id, payload)], now=now)
