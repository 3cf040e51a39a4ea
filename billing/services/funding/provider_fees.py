"""What the payment provider keeps: booked once it is known, in the currency in which the provider settles.

The operator's side alone: no wallet is touched by it.
"""

from decimal import Decimal
from uuid import UUID

from billing.engine.money import EXACT, ZERO
from billing.models import Asset, Dispute, LedgerTransaction, PaymentAttempt
from billing.services.ledger.posting import Journal


def book(attempt: PaymentAttempt) -> None:
    """Book what was kept of a payment that is in. The attempt is locked; booked once, however often this is called.

    A currency that is no asset here cannot be booked: the attempt says what was kept all the same.
    """
    if attempt.status != PaymentAttempt.Status.SUCCEEDED or not attempt.fee or is_booked(attempt):
        return
    _post(attempt.customer_id, attempt.fee_currency, "payment.fee", _reference(attempt), attempt.fee)


def is_booked(attempt: PaymentAttempt) -> bool:
    """Whether what was kept of it is in the books, or never can be."""
    if not attempt.fee or not _is_asset(attempt.fee_currency):
        return True
    booked = LedgerTransaction.objects.filter(customer_id=attempt.customer_id, reference=_reference(attempt))
    return booked.exists()


def book_of_dispute(dispute: Dispute, fee: Decimal, currency: str) -> None:
    """Bring what the provider takes for a dispute to ``fee``, from what is booked. The payment's attempt is locked."""
    more = EXACT.subtract(fee, dispute.fee)
    if not more or not _is_asset(currency):
        return
    _post(dispute.customer_id, currency, "payment.dispute_fee", f"dispute:{dispute.pk}:{dispute.revision}:fee", more)
    dispute.fee = fee


def _post(customer_id: UUID, currency: str, template: str, reference: str, amount: Decimal) -> None:
    journal = Journal.open([customer_id])
    head = journal.begin(customer_id=customer_id, template=template, reference=reference, occurred_at=journal.now)
    name = "kept" if amount > ZERO else "returned"
    journal.post_beside(head, customer_id, currency, name, amount.copy_abs())
    journal.write()


def _reference(attempt: PaymentAttempt) -> str:
    return f"payment:{attempt.pk}:fee"


def _is_asset(currency: str) -> bool:
    return Asset.objects.filter(pk=currency, kind=Asset.Kind.CURRENCY).exists()
