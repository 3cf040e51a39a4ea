"""Stripe behind the provider-neutral interface: the only module that imports its library.

The version of its API is pinned here. Every write bears an idempotency key made from our own row, so that a repeat,
ours or the library's, is the same request.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import stripe
from django.conf import settings

from billing.engine.currencies import places
from billing.gateways.payments import (
    Charge,
    Dispute,
    Event,
    Forged,
    Line,
    Method,
    Order,
    Outcome,
    Payment,
    Payout,
    Refund,
    Refused,
    Standing,
    Unreachable,
)

API_VERSION = "2026-10-28.endive"
RETRIES = 1
PAGE = 100
_ONCE = {"max_network_retries": 0}
SIGNATURE_AGE_MAX_SECONDS = 300
_ATTEMPT, _REFUND = "ante_attempt", "ante_refund"
_KEEPABLE = ("card", "us_bank_account", "sepa_debit")
_WHOLE_PAYMENT = ["latest_charge.balance_transaction", "payment_method"]


def gateway() -> "Stripe":
    """The gateway for the settings as they are now."""
    return _gateway(
        settings.STRIPE_SECRET_KEY,
        settings.STRIPE_API_BASE,
        tuple(settings.STRIPE_WEBHOOK_SECRETS),
        settings.STRIPE_TIMEOUT_SECONDS,
    )


@cache
def _gateway(key: str, base: str, secrets: tuple[str, ...], timeout: float) -> "Stripe":
    return Stripe(key, base=base, secrets=secrets, timeout=timeout)


class Stripe:
    """``payments.Provider`` for one account."""

    def __init__(self, key: str, *, base: str, secrets: tuple[str, ...], timeout: float) -> None:
        self.mode = "stand-in" if base else "live" if "_live_" in key else "test"
        self._secrets = secrets
        self._client: Any = stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            base_addresses={"api": base} if base else None,
            max_network_retries=RETRIES,
            http_client=stripe.RequestsClient(timeout=(min(3.0, timeout), timeout)),
        )

    # --- Payments ------------------------------------------------------------------------------------------------

    def create_customer(self, *, reference: str, external_id: str, name: str, email: str) -> str:
        params = {"name": name, "metadata": {"ante_customer": reference, "external_id": external_id}}
        with _translated():
            made = self._client.v1.customers.create(
                params | ({"email": email} if email else {}), {"idempotency_key": f"customer-{reference}"}
            )
        return str(made.id)

    def forget_customer(self, customer_id: str) -> None:
        with _translated():
            self._client.v1.customers.delete(customer_id)

    def open_checkout(self, order: Order) -> Payment:
        params: dict[str, Any] = {
            "mode": "payment",
            "customer": order.customer_id,
            "client_reference_id": order.reference,
            "line_items": [_line_item(line, order.currency) for line in order.lines],
            "metadata": {_ATTEMPT: order.reference},
            "payment_intent_data": {"metadata": {_ATTEMPT: order.reference}},
            # Which methods are offered follows from the currency, the country and what the account has switched on.
            "success_url": order.return_url,
            "cancel_url": order.cancel_url,
            "adaptive_pricing": {"enabled": False},
        }
        if order.expires_at is not None:
            params["expires_at"] = int(order.expires_at.timestamp())
        if order.keep_method:
            # Method by method: asked for the whole payment, it would hide those that can be used only once.
            params["payment_method_options"] = {
                kind: {"setup_future_usage": "off_session"} for kind in _KEEPABLE if _fits(kind, order.currency)
            }
        with _translated():
            made = self._client.v1.checkout.sessions.create(
                params | {"expand": ["payment_intent"]}, {"idempotency_key": order.key}
            )
        return _of_session(made)

    def charge(self, order: Order, *, method_id: str, off_session: bool) -> Payment:
        params: dict[str, Any] = {
            "amount": to_minor(order.total, order.currency),
            "currency": order.currency,
            "customer": order.customer_id,
            "payment_method": method_id,
            "confirm": True,
            "description": ", ".join(line.name for line in order.lines),
            "metadata": {_ATTEMPT: order.reference},
            "expand": _WHOLE_PAYMENT,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never" if off_session else "always"},
        }
        params |= {"off_session": True} if off_session else {"return_url": order.return_url}
        create = self._client.v1.payment_intents.create
        try:
            made = _moved(lambda: create(params, {"idempotency_key": order.key} | _ONCE))
        except _CardDeclined as declined:
            return _declined(declined.error, order)
        return _of_intent(made)

    def session(self, session_id: str) -> Payment:
        with _translated():
            found = self._client.v1.checkout.sessions.retrieve(
                session_id, {"expand": [f"payment_intent.{part}" for part in _WHOLE_PAYMENT]}
            )
        return _of_session(found)

    def payment(self, payment_id: str) -> Payment:
        with _translated():
            return _of_intent(self._client.v1.payment_intents.retrieve(payment_id, {"expand": _WHOLE_PAYMENT}))

    def payment_of_charge(self, charge_id: str) -> Payment | None:
        with _translated():
            charge = self._client.v1.charges.retrieve(charge_id)
        payment_id = _get(charge, "payment_intent")
        return self.payment(str(payment_id)) if payment_id else None

    def find(self, *, reference: str, customer_id: str, since: datetime) -> Payment | None:
        # Lists are up to date at once; the search is not.
        params = {
            "customer": customer_id,
            "created": {"gte": int((since - timedelta(minutes=5)).timestamp())},
            "limit": PAGE,
        }
        with _translated():
            for session in self._client.v1.checkout.sessions.list(params).auto_paging_iter():
                if session.client_reference_id == reference:
                    return self.session(str(session.id))
            for intent in self._client.v1.payment_intents.list(params).auto_paging_iter():
                if _get(intent.metadata, _ATTEMPT) == reference:
                    return self.payment(str(intent.id))
        return None

    def expire(self, session_id: str) -> Payment:
        try:
            with _translated():
                self._client.v1.checkout.sessions.expire(session_id)
        except Refused:
            pass  # It is paid, or was closed already: the look that follows says which.
        return self.session(session_id)

    def cancel(self, payment_id: str) -> Payment:
        try:
            with _translated():
                self._client.v1.payment_intents.cancel(payment_id)
        except Refused:
            pass  # As above.
        return self.payment(payment_id)

    # --- Methods -------------------------------------------------------------------------------------------------

    def open_setup(self, *, customer_id: str, currency: str, return_url: str, cancel_url: str) -> str:
        params = {
            "mode": "setup",
            "customer": customer_id,
            "currency": currency,
            "success_url": return_url,
            "cancel_url": cancel_url,
        }
        with _translated():
            return str(self._client.v1.checkout.sessions.create(params).url)

    def methods(self, customer_id: str) -> list[Method]:
        with _translated():
            found = self._client.v1.customers.payment_methods.list(customer_id, {"limit": PAGE})
            return [method for each in found.auto_paging_iter() if (method := _method(each))]

    def remove_method(self, method_id: str) -> None:
        with _translated():
            self._client.v1.payment_methods.detach(method_id)

    def customer_of_method(self, method_id: str) -> str:
        with _translated():
            return str(_get(self._client.v1.payment_methods.retrieve(method_id), "customer") or "")

    # --- Refunds -------------------------------------------------------------------------------------------------

    def refund(self, *, reference: str, key: str, payment_id: str, amount: Decimal, currency: str) -> Refund:
        params = {
            "payment_intent": payment_id,
            "amount": to_minor(amount, currency),
            "metadata": {_REFUND: reference},
        }
        return _refund(_moved(lambda: self._client.v1.refunds.create(params, {"idempotency_key": key} | _ONCE)))

    def refund_by_id(self, refund_id: str) -> Refund:
        with _translated():
            return _refund(self._client.v1.refunds.retrieve(refund_id))

    def find_refund(self, *, reference: str, payment_id: str) -> Refund | None:
        with _translated():
            found = self._client.v1.refunds.list({"payment_intent": payment_id, "limit": PAGE})
            for each in found.auto_paging_iter():
                if _get(each.metadata, _REFUND) == reference:
                    return _refund(each)
        return None

    # --- Disputes ------------------------------------------------------------------------------------------------

    def dispute(self, dispute_id: str) -> Dispute:
        with _translated():
            return _dispute(self._client.v1.disputes.retrieve(dispute_id))

    def answer_dispute(self, dispute_id: str, *, key: str, evidence: Mapping[str, str], final: bool) -> Dispute:
        params = {"evidence": dict(evidence), "submit": final}
        with _translated():
            return _dispute(self._client.v1.disputes.update(dispute_id, params, {"idempotency_key": key}))

    # --- Comparing ------------------------------------------------------------------------------------------------

    def charges(self, *, since: datetime, until: datetime) -> Iterator[Charge]:
        params = _span(since, until) | {"expand": ["data.balance_transaction", "data.payment_intent"]}
        with _translated():
            for found in self._client.v1.charges.list(params).auto_paging_iter():
                if found.status == "succeeded":
                    yield _charge(found)

    def refunds(self, *, since: datetime, until: datetime) -> Iterator[Refund]:
        with _translated():
            for found in self._client.v1.refunds.list(_span(since, until)).auto_paging_iter():
                yield _refund(found)

    def disputes(self, *, since: datetime, until: datetime) -> Iterator[Dispute]:
        with _translated():
            for found in self._client.v1.disputes.list(_span(since, until)).auto_paging_iter():
                yield _dispute(found)

    def payouts(self, *, since: datetime, until: datetime) -> Iterator[Payout]:
        with _translated():
            for found in self._client.v1.payouts.list(_span(since, until)).auto_paging_iter():
                yield _payout(found)

    # --- Messages ------------------------------------------------------------------------------------------------

    def read_event(self, body: bytes, signature: str) -> Event:
        if not self._secrets:
            raise Forged("No webhook secret is set, so nothing can be believed.")
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise Forged("The body is not UTF-8.") from None
        for secret in self._secrets:
            try:
                stripe.WebhookSignature.verify_header(text, signature, secret, SIGNATURE_AGE_MAX_SECONDS)
            except (stripe.SignatureVerificationError, ValueError, IndexError):
                continue
            return _event(text)
        raise Forged("The signature does not fit the body, or is too old.")

    def page_of(self, object_id: str) -> str:
        if self.mode == "stand-in":
            return f"{settings.STRIPE_API_BASE}/#{object_id}"
        test = "" if self.mode == "live" else "test/"
        kind = {
            "pi_": "payments",
            "cus": "customers",
            "evt": "events",
            "re_": "refunds",
            "dp_": "disputes",
            "du_": "disputes",
        }.get(object_id[:3], "search")
        path = f"search?query={object_id}" if kind == "search" else f"{kind}/{object_id}"
        return f"https://dashboard.stripe.com/{test}{path}"


# --- What the library says, in our words ------------------------------------------------------------------------------


class _CardDeclined(Exception):
    def __init__(self, error: stripe.CardError) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def _translated() -> Iterator[None]:
    """The library's errors as ours: was it certainly not done, or is that unknown?"""
    try:
        yield
    except stripe.CardError as error:
        raise _CardDeclined(error) from error
    except stripe.RateLimitError as error:
        raise Refused(_said(error), code="rate_limit") from error
    except (stripe.InvalidRequestError, stripe.AuthenticationError) as error:
        if error.http_status == 409:  # Another request with the same key is being answered.
            raise Unreachable(_said(error)) from error
        raise Refused(_said(error), code=error.code or type(error).__name__) from error
    except stripe.PermissionError as error:
        raise Refused(_said(error), code="permission") from error
    except stripe.StripeError as error:
        raise Unreachable(_said(error)) from error


def _moved(ask: Callable[[], Any]) -> Any:
    """Ask for money to be moved, and once more where nothing is known of the first time.

    The library's own repeat would not do: it hides that a refusal was the second answer, and that the first request,
    which nobody heard of, may have been done. That is unknown then, and not refused.
    """
    with suppress(Unreachable), _translated():
        return ask()
    try:
        with _translated():
            return ask()
    except Refused as refusal:
        raise Unreachable(f"Nothing is known of the first request, and the second was refused: {refusal}") from refusal


def _said(error: stripe.StripeError) -> str:
    return str(error.user_message or error)[:300]


def _get(found: Any, *path: str) -> Any:
    """A member of a member of …; None where any of them is missing."""
    for name in path:
        if found is None or isinstance(found, str):
            return None
        found = found[name] if name in found else None  # noqa: SIM401 - Stripe's objects have no get.
    return found


def _created(found: Any) -> datetime:
    return datetime.fromtimestamp(int(found.created), UTC)


def _id(found: Any) -> str:
    return str(found if isinstance(found, str) else _get(found, "id") or "")


_OF_INTENT = {
    "succeeded": Outcome.SUCCEEDED,
    "processing": Outcome.PROCESSING,
    "requires_capture": Outcome.PROCESSING,
    "requires_action": Outcome.REQUIRES_ACTION,
    "canceled": Outcome.CANCELED,
}


def _of_session(session: Any) -> Payment:
    """A payment page and, once somebody has begun to pay, the payment behind it."""
    intent = _get(session, "payment_intent")
    intent = None if isinstance(intent, str) else intent
    if session.status == "open":
        outcome = Outcome.REQUIRES_ACTION
    elif session.status == "expired":
        outcome = Outcome.EXPIRED
    elif session.payment_status == "paid":
        outcome = Outcome.SUCCEEDED
    else:
        outcome = _OF_INTENT.get(str(_get(intent, "status")), Outcome.FAILED)
    return _payment(
        intent,
        outcome=outcome,
        reference=str(session.client_reference_id or ""),
        customer_id=_id(session.customer),
        minor=int(session.amount_total or 0),
        currency=str(session.currency or ""),
        session_id=str(session.id),
        payment_id=_id(_get(session, "payment_intent")),
        url=str(session.url or "") if outcome is Outcome.REQUIRES_ACTION else "",
    )


def _of_intent(intent: Any) -> Payment:
    outcome = _OF_INTENT.get(str(intent.status), Outcome.FAILED)
    return _payment(
        intent,
        outcome=outcome,
        reference=str(_get(intent, "metadata", _ATTEMPT) or ""),
        customer_id=_id(intent.customer),
        minor=int(intent.amount_received or intent.amount),
        currency=str(intent.currency),
        payment_id=str(intent.id),
        url=str(_get(intent, "next_action", "redirect_to_url", "url") or ""),
    )


def _payment(intent: Any, *, outcome: Outcome, minor: int, currency: str, **known: Any) -> Payment:
    charge = _get(intent, "latest_charge")
    paid_for = _get(charge, "balance_transaction")
    fee_currency = str(_get(paid_for, "currency") or "")
    fee = _get(paid_for, "fee")
    failure = _get(intent, "last_payment_error")
    return Payment(
        outcome=outcome,
        amount=from_minor(minor, currency),
        currency=currency,
        charge_id=_id(charge),
        method=_method(_get(intent, "payment_method")),
        failure_code=str(_get(failure, "decline_code") or _get(failure, "code") or ""),
        failure=str(_get(failure, "message") or "")[:300],
        fee=None if fee is None else from_minor(int(fee), fee_currency),
        fee_currency=fee_currency,
        **known,
    )


def _declined(error: stripe.CardError, order: Order) -> Payment:
    """What a declined charge left behind."""
    body: Any = _get(error.json_body, "error") or {}
    intent = body.get("payment_intent") or {}
    return Payment(
        outcome=Outcome.FAILED,
        reference=order.reference,
        customer_id=order.customer_id,
        amount=order.total,
        currency=order.currency,
        payment_id=str(intent.get("id", "")),
        failure_code=str(body.get("decline_code") or error.code or ""),
        failure=str(error.user_message or "")[:300],
    )


def _method(found: Any) -> Method | None:
    if found is None or isinstance(found, str):
        return None
    kind = str(found.type)
    detail = _get(found, kind)
    return Method(
        id=str(found.id),
        type=kind,
        brand=str(_get(detail, "brand") or _get(detail, "bank_name") or _get(detail, "bank_code") or ""),
        last4=str(_get(detail, "last4") or ""),
        exp_month=_get(detail, "exp_month"),
        exp_year=_get(detail, "exp_year"),
    )


def _refund(found: Any) -> Refund:
    outcomes = {"succeeded": Outcome.SUCCEEDED, "failed": Outcome.FAILED, "canceled": Outcome.FAILED}
    return Refund(
        id=str(found.id),
        outcome=outcomes.get(str(found.status), Outcome.PROCESSING),
        reference=str(_get(found, "metadata", _REFUND) or ""),
        payment_id=_id(_get(found, "payment_intent")),
        amount=from_minor(int(found.amount), str(found.currency)),
        currency=str(found.currency),
        failure=str(_get(found, "failure_reason") or ""),
        created_at=_created(found),
    )


def _span(since: datetime, until: datetime) -> dict[str, Any]:
    return {"created": {"gte": int(since.timestamp()), "lt": int(until.timestamp())}, "limit": PAGE}


def _charge(found: Any) -> Charge:
    booked = _get(found, "balance_transaction")
    fee, fee_currency = _get(booked, "fee"), str(_get(booked, "currency") or "")
    return Charge(
        id=str(found.id),
        payment_id=_id(_get(found, "payment_intent")),
        reference=str(_get(found, "metadata", _ATTEMPT) or _get(found, "payment_intent", "metadata", _ATTEMPT) or ""),
        amount=from_minor(int(found.amount), str(found.currency)),
        currency=str(found.currency),
        fee=None if fee is None else from_minor(int(fee), fee_currency),
        fee_currency=fee_currency,
        created_at=_created(found),
    )


def _payout(found: Any) -> Payout:
    return Payout(
        id=str(found.id),
        amount=from_minor(int(found.amount), str(found.currency)),
        currency=str(found.currency),
        failed=str(found.status) in {"failed", "canceled"},
        failure=str(_get(found, "failure_message") or _get(found, "failure_code") or ""),
        created_at=_created(found),
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


def _dispute(found: Any) -> Dispute:
    standing = _STANDINGS.get(str(found.status))
    if standing is None:
        raise Unreachable(f"The dispute {found.id} is {found.status}, which means nothing here.")
    due_by = _get(found, "evidence_details", "due_by")
    return Dispute(
        id=str(found.id),
        standing=standing,
        payment_id=_id(_get(found, "payment_intent")),
        amount=from_minor(int(found.amount), str(found.currency)),
        currency=str(found.currency),
        reason=str(_get(found, "reason") or ""),
        opened_at=_created(found),
        answer_by=None if due_by is None else datetime.fromtimestamp(int(due_by), UTC),
    )


def _event(text: str) -> Event:
    """Read a message whose signature was right. One that is not understood is forged for all we know."""
    try:
        found: Any = stripe.Event.construct_from(json.loads(text), None)
        about = found.data.object
        return Event(
            id=str(found.id),
            type=str(found.type),
            object_type=str(about.object),
            object_id=str(_get(about, "id") or ""),
            created_at=_created(found),
            live=bool(found.livemode),
            related={name: _id(_get(about, name)) for name in ("customer", "payment_intent") if _get(about, name)},
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise Forged("A signed message, but no event.") from error


def _line_item(line: Line, currency: str) -> dict[str, Any]:
    price = {
        "currency": currency,
        "unit_amount": to_minor(line.amount, currency),
        "product_data": {"name": line.name},
    }
    return {"price_data": price, "quantity": 1}


def _fits(kind: str, currency: str) -> bool:
    return {"us_bank_account": "usd", "sepa_debit": "eur"}.get(kind, currency) == currency


def to_minor(amount: Decimal, currency: str) -> int:
    """``Decimal("12.50")`` USD as 1250. Raises where the amount is finer than the currency."""
    minor = amount.scaleb(places(currency))
    if minor != minor.to_integral_value():
        raise Refused(f"{amount} {currency} is finer than the currency's smallest coin.", code="amount_too_fine")
    return int(minor)


def from_minor(minor: int, currency: str) -> Decimal:
    return Decimal(minor).scaleb(-places(currency))
