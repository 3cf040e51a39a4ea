"""What Stripe's objects say, in our words: read member by member, so that what is missing is nothing, not an error.

Without the library: its objects are asked for their members and no more.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing.engine.currencies import payment_places, places
from billing.engine.money import decimals
from billing.gateways.payments import (
    Charge,
    Dispute,
    Method,
    Outcome,
    Payment,
    Payout,
    PayoutPart,
    Refund,
    Refused,
    Standing,
    Unreachable,
)

ATTEMPT, REFUND = "ante_attempt", "ante_refund"
"""Under these names our references are in an object's metadata."""


def member(found: Any, *path: str) -> Any:
    """A member of a member of …; None where any of them is missing."""
    for name in path:
        if found is None or isinstance(found, str):
            return None
        found = found[name] if name in found else None  # noqa: SIM401 - Stripe's objects have no get.
    return found


def created(found: Any) -> datetime:
    """When it was made, in UTC."""
    return datetime.fromtimestamp(int(found.created), UTC)


def id_of(found: Any) -> str:
    """The id of an object that is there in full or by its id; empty for none."""
    return str(found if isinstance(found, str) else member(found, "id") or "")


_OF_INTENT = {
    "succeeded": Outcome.SUCCEEDED,
    "processing": Outcome.PROCESSING,
    "requires_capture": Outcome.PROCESSING,
    "requires_action": Outcome.REQUIRES_ACTION,
    "canceled": Outcome.CANCELED,
}


def of_session(session: Any) -> Payment:
    """A payment page and, once somebody has begun to pay, the payment behind it."""
    intent = member(session, "payment_intent")
    intent = None if isinstance(intent, str) else intent
    if session.status == "open":
        outcome = Outcome.REQUIRES_ACTION
    elif session.status == "expired":
        outcome = Outcome.EXPIRED
    elif session.payment_status == "paid":
        outcome = Outcome.SUCCEEDED
    else:
        outcome = _OF_INTENT.get(str(member(intent, "status")), Outcome.FAILED)
    return _payment(
        intent,
        outcome=outcome,
        reference=str(session.client_reference_id or ""),
        customer_id=id_of(session.customer),
        minor=int(session.amount_total or 0),
        currency=str(session.currency or ""),
        session_id=str(session.id),
        payment_id=id_of(member(session, "payment_intent")),
        url=str(session.url or "") if outcome is Outcome.REQUIRES_ACTION else "",
    )


def of_intent(intent: Any) -> Payment:
    """A payment, as it is at this moment."""
    outcome = _OF_INTENT.get(str(intent.status), Outcome.FAILED)
    return _payment(
        intent,
        outcome=outcome,
        reference=str(member(intent, "metadata", ATTEMPT) or ""),
        customer_id=id_of(intent.customer),
        minor=int(intent.amount_received or intent.amount),
        currency=str(intent.currency),
        payment_id=str(intent.id),
        url=str(member(intent, "next_action", "redirect_to_url", "url") or ""),
    )


def _payment(intent: Any, *, outcome: Outcome, minor: int, currency: str, **known: Any) -> Payment:
    charge = member(intent, "latest_charge")
    paid_for = member(charge, "balance_transaction")
    fee_currency = str(member(paid_for, "currency") or "")
    fee = member(paid_for, "fee")
    failure = member(intent, "last_payment_error")
    return Payment(
        outcome=outcome,
        amount=from_minor(minor, currency),
        currency=currency,
        charge_id=id_of(charge),
        method=method(member(intent, "payment_method")),
        failure_code=str(member(failure, "decline_code") or member(failure, "code") or ""),
        failure=str(member(failure, "message") or "")[:300],
        fee=None if fee is None else from_minor(int(fee), fee_currency),
        fee_currency=fee_currency,
        **known,
    )


def method(found: Any) -> Method | None:
    """A means of payment; None where only its id is there."""
    if found is None or isinstance(found, str):
        return None
    kind = str(found.type)
    detail = member(found, kind)
    return Method(
        id=str(found.id),
        type=kind,
        brand=str(member(detail, "brand") or member(detail, "bank_name") or member(detail, "bank_code") or ""),
        last4=str(member(detail, "last4") or ""),
        exp_month=member(detail, "exp_month"),
        exp_year=member(detail, "exp_year"),
    )


def refund(found: Any) -> Refund:
    """Money on its way back."""
    outcomes = {"succeeded": Outcome.SUCCEEDED, "failed": Outcome.FAILED, "canceled": Outcome.FAILED}
    return Refund(
        id=str(found.id),
        outcome=outcomes.get(str(found.status), Outcome.PROCESSING),
        reference=str(member(found, "metadata", REFUND) or ""),
        payment_id=id_of(member(found, "payment_intent")),
        amount=from_minor(int(found.amount), str(found.currency)),
        currency=str(found.currency),
        failure=str(member(found, "failure_reason") or ""),
        created_at=created(found),
    )


def charge(found: Any) -> Charge:
    """Money that was taken, with our reference from the charge or its payment."""
    booked = member(found, "balance_transaction")
    fee, fee_currency = member(booked, "fee"), str(member(booked, "currency") or "")
    return Charge(
        id=str(found.id),
        payment_id=id_of(member(found, "payment_intent")),
        reference=str(member(found, "metadata", ATTEMPT) or member(found, "payment_intent", "metadata", ATTEMPT) or ""),
        amount=from_minor(int(found.amount), str(found.currency)),
        currency=str(found.currency),
        fee=None if fee is None else from_minor(int(fee), fee_currency),
        fee_currency=fee_currency,
        created_at=created(found),
    )


def payout(found: Any) -> Payout:
    """Money on its way to the operator's bank."""
    return Payout(
        id=str(found.id),
        amount=from_minor(int(found.amount), str(found.currency)),
        currency=str(found.currency),
        failed=str(found.status) in {"failed", "canceled"},
        failure=str(member(found, "failure_message") or member(found, "failure_code") or ""),
        created_at=created(found),
        parted=bool(member(found, "automatic")),
    )


def payout_part(found: Any) -> PayoutPart:
    """A line of the account that was paid out."""
    return PayoutPart(
        id=str(found.id),
        source_id=id_of(member(found, "source")),
        net=from_minor(int(found.net), str(found.currency)),
    )


_STANDINGS = {
    "warning_needs_response": Standing.INQUIRY,
    "warning_under_review": Standing.INQUIRY,
    "warning_closed": Standing.CLOSED,
    "prevented": Standing.CLOSED,
    "needs_response": Standing.OPEN,
    "under_review": Standing.UNDER_REVIEW,
    "won": Standing.WON,
    "lost": Standing.LOST,
}


def dispute(found: Any) -> Dispute:
    """A dispute with what it costs; ``Unreachable`` for a status that nobody here has heard of."""
    standing = _STANDINGS.get(str(found.status))
    if standing is None:
        raise Unreachable(f"The dispute {found.id} is {found.status}, which means nothing here.")
    due_by = member(found, "evidence_details", "due_by")
    booked = member(found, "balance_transactions") or []
    fee_currency = str(member(booked[0], "currency")) if booked else ""
    return Dispute(
        id=str(found.id),
        standing=standing,
        payment_id=id_of(member(found, "payment_intent")),
        amount=from_minor(int(found.amount), str(found.currency)),
        currency=str(found.currency),
        reason=str(member(found, "reason") or ""),
        opened_at=created(found),
        answer_by=None if due_by is None else datetime.fromtimestamp(int(due_by), UTC),
        fee=from_minor(sum(int(each.fee) for each in booked), fee_currency),
        fee_currency=fee_currency,
    )


_IN_HUNDREDTHS = frozenset({"isk", "ugx"})
"""Stripe counts them in hundredths, as they once were, and takes whole coins alone."""


def to_minor(amount: Decimal, currency: str) -> int:
    """``Decimal("12.50")`` USD as 1250. Raises where the amount is finer than what is paid in the currency."""
    if decimals(amount) > payment_places(currency):
        raise Refused(f"{amount} {currency} is finer than what can be paid in it.", code="amount_too_fine")
    return int(amount.scaleb(_minor_places(currency)))


def from_minor(minor: int, currency: str) -> Decimal:
    """``1250`` of USD as 12.50."""
    return Decimal(minor).scaleb(-_minor_places(currency))


def _minor_places(currency: str) -> int:
    return 2 if currency in _IN_HUNDREDTHS else places(currency)
