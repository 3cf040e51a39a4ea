"""What can be refused, and how the outside is told.

* BillingError
  + InvalidRequest (400)    one ``FieldError`` per field
  + Unauthenticated (401)
  + PaymentRequired (402)   InsufficientFunds, BudgetExceeded
  + PermissionDenied (403)  TwoFactorRequired, IpNotAllowed, ApprovalRequired, WalletFrozen
  + NotFound (404)          also for what belongs to somebody else
  + Conflict (409)          AlreadyExists, EventConflict, IdempotencyConflict, RequestInProgress, InvalidState
  + RequestTimeout (408)
  + PayloadTooLarge (413)
  + UnsupportedMediaType (415)
  + UnpricedUsage (422)
  + RateLimited (429)
  + InternalError (500)     a bug that one of several events met; the others were recorded
  + Unavailable (503)       PaymentsUnavailable, WalletBusy: safe to retry
* InvariantViolation: a bug. Not a BillingError, so no handler can answer it away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field. ``field`` is a path such as ``data.output_tokens`` or ``3.subject``."""

    field: str
    code: str
    detail: str


class BillingError(Exception):
    """A refusal. ``code`` is what a program branches on; ``figures`` are further members of the answer."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    stands: bool = False
    """Whether what was done on the way to the refusal stays done: a hold whose time was over, given back."""

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = (), **figures: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.figures = figures


class InvalidRequest(BillingError):
    status, code, title = 400, "invalid_request", "The request is not valid"

    @classmethod
    def field(cls, field: str, detail: str, *, code: str = "invalid") -> "InvalidRequest":
        """A refusal because of a single field."""
        return cls(f"{field}: {detail}", errors=[FieldError(field, code, detail)])

    def under(self, path: str) -> "InvalidRequest":
        """The same where what was wrong is a part of the request, at ``path``."""
        errors = [FieldError(f"{path}.{each.field}", each.code, each.detail) for each in self.errors]
        moved = InvalidRequest(f"{path}.{self.detail}" if errors else self.detail, errors=errors)
        moved.stands = self.stands
        return moved


class Unauthenticated(BillingError):
    status, code, title = 401, "unauthenticated", "No valid API key"


class PaymentRequired(BillingError):
    status, code, title = 402, "payment_required", "Payment required"


class InsufficientFunds(PaymentRequired):
    code, title = "insufficient_funds", "The wallet has too little"


class BudgetExceeded(PaymentRequired):
    code, title = "budget_exceeded", "A budget has too little left"


class PermissionDenied(BillingError):
    status, code, title = 403, "permission_denied", "Not allowed"


class TwoFactorRequired(PermissionDenied):
    code, title = "two_factor_required", "A second factor is required"


class IpNotAllowed(PermissionDenied):
    code, title = "ip_not_allowed", "Not allowed from this address"


class ApprovalRequired(PermissionDenied):
    """``figures`` has ``amounts``, what would have been moved by asset. Met by staff; no API key is asked for one."""

    code, title = "approval_required", "A second person has to approve this"


class WalletFrozen(PermissionDenied):
    code, title = "wallet_frozen", "The wallet is frozen"


class NotFound(BillingError):
    status, code, title = 404, "not_found", "Not found"


class Conflict(BillingError):
    status, code, title = 409, "conflict", "Conflict"


class AlreadyExists(Conflict):
    code, title = "already_exists", "Already exists"


class EventConflict(Conflict):
    code, title = "event_conflict", "The same event with other content"


class IdempotencyConflict(Conflict):
    code, title = "idempotency_conflict", "The same idempotency key with another request"


class RequestInProgress(Conflict):
    code, title = "request_in_progress", "The first request with this key is still running"


class InvalidState(Conflict):
    code, title = "invalid_state", "Not possible in this state"


class RequestTimeout(BillingError):
    status, code, title = 408, "request_timeout", "The request took too long to arrive"


class PayloadTooLarge(BillingError):
    status, code, title = 413, "payload_too_large", "Too large"


class UnsupportedMediaType(BillingError):
    status, code, title = 415, "unsupported_media_type", "Not a content type that is understood"


class UnpricedUsage(BillingError):
    status, code, title = 422, "unpriced_usage", "No price for this usage"


class RateLimited(BillingError):
    status, code, title = 429, "rate_limited", "Too many requests"


class InternalError(BillingError):
    status, code, title = 500, "internal_error", "Something is wrong on our side"


class Unavailable(BillingError):
    status, code, title = 503, "unavailable", "Try again shortly"


class PaymentsUnavailable(Unavailable):
    code, title = "payments_unavailable", "No payment can be made at the moment"


class WalletBusy(Unavailable):
    code, title = "wallet_busy", "The wallet is busy"


class InvariantViolation(AssertionError):
    """The books would become wrong. Nothing catches this: the transaction rolls back and the request fails."""
