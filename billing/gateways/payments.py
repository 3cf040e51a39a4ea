"""What the product asks of a payment provider, in its own words. No provider is named here and none is imported.

Amounts are in the currency's own units, such as ``Decimal("12.50")``; the provider's are the gateway's to convert.
``reference`` is always an id of ours: the provider keeps it with its object, and finds the object by it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from billing.engine.money import exact_sum


class Outcome(StrEnum):
    """What has become of a payment."""

    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Method:
    """A means of payment as it may be shown: what kind, and the few digits by which its owner knows it.

    ``id`` is empty for one that was used once and not kept.
    """

    id: str
    type: str
    brand: str = ""
    last4: str = ""
    exp_month: int | None = None
    exp_year: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """What a payment page lists: a name and an amount."""

    name: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """A payment that is asked for. ``key`` makes asking twice the same as asking once."""

    reference: str
    key: str
    customer_id: str
    currency: str
    lines: Sequence[Line]
    return_url: str
    cancel_url: str
    expires_at: datetime | None = None
    keep_method: bool = False

    @property
    def total(self) -> Decimal:
        return exact_sum(line.amount for line in self.lines)


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as the provider sees it at this moment. ``url`` is where the payer has something to do."""

    outcome: Outcome
    reference: str
    customer_id: str
    amount: Decimal
    currency: str
    session_id: str = ""
    payment_id: str = ""
    charge_id: str = ""
    url: str = ""
    method: Method | None = None
    failure_code: str = ""
    failure: str = ""
    fee: Decimal | None = None
    fee_currency: str = ""


@dataclass(frozen=True, slots=True)
class Refund:
    """Money on its way back to the payer."""

    id: str
    outcome: Outcome
    reference: str
    payment_id: str
    amount: Decimal
    currency: str
    failure: str
    created_at: datetime


class Standing(StrEnum):
    """Where a dispute is."""

    INQUIRY = "inquiry"
    OPEN = "open"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Dispute:
    """A payment that its payer's bank wants back, or asks about, as the provider sees it at this moment."""

    id: str
    standing: Standing
    payment_id: str
    amount: Decimal
    currency: str
    reason: str
    opened_at: datetime
    answer_by: datetime | None = None
    fee: Decimal = Decimal(0)
    """What the provider takes for it beside the amount."""
    fee_currency: str = ""


@dataclass(frozen=True, slots=True)
class Charge:
    """Money that was taken, as the provider's own books have it. ``reference`` is ours, where there is one."""

    id: str
    payment_id: str
    reference: str
    amount: Decimal
    currency: str
    fee: Decimal | None
    fee_currency: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Payout:
    """Money on its way from the provider to the operator's bank account."""

    id: str
    amount: Decimal
    currency: str
    failed: bool
    failure: str
    created_at: datetime
    parted: bool = False
    """Whether the provider says what is in it: ``payout_parts``."""


@dataclass(frozen=True, slots=True)
class PayoutPart:
    """A movement that a payout pays out, less what was kept of it.

    ``source_id`` is of the charge, refund or dispute that it is for; empty for a fee of the provider's own.
    """

    id: str
    source_id: str
    net: Decimal


class About(StrEnum):
    """What a message of the provider's is about, as far as anything here depends on it."""

    SESSION = "session"
    PAYMENT = "payment"
    CHARGE = "charge"
    REFUND = "refund"
    DISPUTE = "dispute"
    METHOD = "method"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at the provider. Only what to look at is taken from it; what is true is asked for.

    ``type`` is the provider's word for it. ``about`` is None where nothing here depends on it; ``related`` has the
    provider's id of the ``customer``, where it names one.
    """

    id: str
    type: str
    about: About | None
    object_id: str
    created_at: datetime
    live: bool
    related: Mapping[str, str] = field(default_factory=dict)


class Unreachable(Exception):
    """No answer, or one that says nothing: whether it was done is not known."""


class Refused(Exception):
    """The provider did not do it and will not. ``code`` is its word for why."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Forged(Exception):
    """A message that says it is from the provider, and is not."""


class Provider(Protocol):
    """A payment provider. Every method may raise ``Unreachable`` or ``Refused``."""

    mode: str
    """The account, in at most 16 letters, such as ``live`` or ``test``: ids of one mean nothing to another."""
    live: bool
    """Whether real money moves."""
    signature_header: str
    """The header that the signature of its messages comes in."""

    def create_customer(self, *, reference: str, external_id: str, name: str, email: str) -> str: ...

    def forget_customer(self, customer_id: str) -> None:
        """Delete the customer there, with all that is known of them. Asked twice it is ``Refused``."""

    def open_checkout(self, order: Order) -> Payment:
        """A page of the provider's on which the order can be paid."""

    def charge(self, order: Order, *, method_id: str, off_session: bool) -> Payment:
        """Charge a kept method. With ``off_session`` nobody is there to answer the bank's questions."""

    def session(self, session_id: str) -> Payment: ...

    def payment(self, payment_id: str) -> Payment: ...

    def payment_of_charge(self, charge_id: str) -> Payment | None: ...

    def find(self, *, reference: str, customer_id: str, since: datetime) -> Payment | None:
        """The payment that bears our reference, if the provider has one."""

    def expire(self, session_id: str) -> Payment:
        """Close a payment page. What is paid by then stays paid: look at the outcome."""

    def cancel(self, payment_id: str) -> Payment:
        """Give up a payment that its payer has not confirmed. What is paid by then stays paid."""

    def open_setup(self, *, customer_id: str, currency: str, return_url: str, cancel_url: str) -> str:
        """The address of a page on which a method can be added."""

    def methods(self, customer_id: str) -> list[Method]: ...

    def remove_method(self, method_id: str) -> None: ...

    def customer_of_method(self, method_id: str) -> str: ...

    def refund(self, *, reference: str, key: str, payment_id: str, amount: Decimal, currency: str) -> Refund: ...

    def refund_by_id(self, refund_id: str) -> Refund: ...

    def find_refund(self, *, reference: str, payment_id: str) -> Refund | None: ...

    def dispute(self, dispute_id: str) -> Dispute: ...

    def answer_dispute(self, dispute_id: str, *, key: str, evidence: Mapping[str, str], final: bool) -> Dispute:
        """Give the bank our side, by the provider's names of its fields. What is ``final`` cannot be added to."""

    # What happened in the half-open span from ``since`` to ``until``, for comparing.

    def charges(self, *, since: datetime, until: datetime) -> Iterator[Charge]:
        """The charges that succeeded."""

    def refunds(self, *, since: datetime, until: datetime) -> Iterator[Refund]: ...

    def disputes(self, *, since: datetime, until: datetime) -> Iterator[Dispute]: ...

    def payouts(self, *, since: datetime, until: datetime) -> Iterator[Payout]: ...

    def payout_parts(self, payout_id: str) -> Iterator[PayoutPart]:
        """What a payout that is ``parted`` is made of."""

    def read_event(self, body: bytes, signature: str) -> Event:
        """Check the signature of a message and read it. Raises ``Forged``."""

    def page_of(self, object_id: str) -> str:
        """Where staff see the object at the provider."""


def provider() -> Provider:
    """The provider that PAYMENT_PROVIDER names. Raises ``Refused`` where it is not set up.

    By name, since a provider's library may take long to import, and so that one of somebody else's may take its place.
    """
    found: Provider = import_string(settings.PAYMENT_PROVIDER)()
    return found
