"""Stripe behind the provider-neutral interface: the only module that imports its library.

The version of its API is pinned here. Every write bears an idempotency key made from our own row, so that a repeat,
ours or the library's, is the same request.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import stripe
from django.conf import settings

from billing.gateways import stripe_objects as objects
from billing.gateways.payments import (
    About,
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
    PayoutPart,
    Refund,
    Refused,
    Unreachable,
)

API_VERSION = "2026-10-28.endive"
RETRIES = 1
PAGE = 100
_ONCE = {"max_network_retries": 0}
SIGNATURE_AGE_MAX_SECONDS = 300
_KEEPABLE = ("card", "us_bank_account", "sepa_debit")
_ABOUT = {
    "checkout.session": About.SESSION,
    "payment_intent": About.PAYMENT,
    "charge": About.CHARGE,
    "refund": About.REFUND,
    "dispute": About.DISPUTE,
    "setup_intent": About.METHOD,
    "payment_method": About.METHOD,
}
_WHOLE_PAYMENT = ["latest_charge.balance_transaction", "payment_method"]


def gateway() -> "Stripe":
    """The gateway for the settings as they are now. Raises ``Refused`` without a key."""
    if not settings.STRIPE_SECRET_KEY:
        raise Refused("No payment provider is set up here: STRIPE_SECRET_KEY is empty.", code="not_configured")
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

    signature_header = "Stripe-Signature"

    def __init__(self, key: str, *, base: str, secrets: tuple[str, ...], timeout: float) -> None:
        self.mode = "stand-in" if base else "live" if "_live_" in key else "test"
        self.live = self.mode == "live"
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
            "metadata": {objects.ATTEMPT: order.reference},
            "payment_intent_data": {"metadata": {objects.ATTEMPT: order.reference}},
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
        return objects.of_session(made)

    def charge(self, order: Order, *, method_id: str, off_session: bool) -> Payment:
        params: dict[str, Any] = {
            "amount": objects.to_minor(order.total, order.currency),
            "currency": order.currency,
            "customer": order.customer_id,
            "payment_method": method_id,
            "confirm": True,
            "description": ", ".join(line.name for line in order.lines),
            "metadata": {objects.ATTEMPT: order.reference},
            "expand": _WHOLE_PAYMENT,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never" if off_session else "always"},
        }
        params |= {"off_session": True} if off_session else {"return_url": order.return_url}
        create = self._client.v1.payment_intents.create
        try:
            made = _moved(lambda: create(params, {"idempotency_key": order.key} | _ONCE))
        except _CardDeclined as declined:
            return _declined(declined.error, order)
        return objects.of_intent(made)

    def session(self, session_id: str) -> Payment:
        with _translated():
            found = self._client.v1.checkout.sessions.retrieve(
                session_id, {"expand": [f"payment_intent.{part}" for part in _WHOLE_PAYMENT]}
            )
        return objects.of_session(found)

    def payment(self, payment_id: str) -> Payment:
        with _translated():
            return objects.of_intent(self._client.v1.payment_intents.retrieve(payment_id, {"expand": _WHOLE_PAYMENT}))

    def payment_of_charge(self, charge_id: str) -> Payment | None:
        with _translated():
            charge = self._client.v1.charges.retrieve(charge_id)
        payment_id = objects.member(charge, "payment_intent")
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
                if objects.member(intent.metadata, objects.ATTEMPT) == reference:
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
            return [method for each in found.auto_paging_iter() if (method := objects.method(each))]

    def remove_method(self, method_id: str) -> None:
        with _translated():
            self._client.v1.payment_methods.detach(method_id)

    def customer_of_method(self, method_id: str) -> str:
        with _translated():
            return str(objects.member(self._client.v1.payment_methods.retrieve(method_id), "customer") or "")

    # --- Refunds -------------------------------------------------------------------------------------------------

    def refund(self, *, reference: str, key: str, payment_id: str, amount: Decimal, currency: str) -> Refund:
        params = {
            "payment_intent": payment_id,
            "amount": objects.to_minor(amount, currency),
            "metadata": {objects.REFUND: reference},
        }
        return objects.refund(_moved(lambda: self._client.v1.refunds.create(params, {"idempotency_key": key} | _ONCE)))

    def refund_by_id(self, refund_id: str) -> Refund:
        with _translated():
            return objects.refund(self._client.v1.refunds.retrieve(refund_id))

    def find_refund(self, *, reference: str, payment_id: str) -> Refund | None:
        with _translated():
            found = self._client.v1.refunds.list({"payment_intent": payment_id, "limit": PAGE})
            for each in found.auto_paging_iter():
                if objects.member(each.metadata, objects.REFUND) == reference:
                    return objects.refund(each)
        return None

    # --- Disputes ------------------------------------------------------------------------------------------------

    def dispute(self, dispute_id: str) -> Dispute:
        with _translated():
            return objects.dispute(self._client.v1.disputes.retrieve(dispute_id))

    def answer_dispute(self, dispute_id: str, *, key: str, evidence: Mapping[str, str], final: bool) -> Dispute:
        params = {"evidence": dict(evidence), "submit": final}
        with _translated():
            return objects.dispute(self._client.v1.disputes.update(dispute_id, params, {"idempotency_key": key}))

    # --- Comparing ------------------------------------------------------------------------------------------------

    def charges(self, *, since: datetime, until: datetime) -> Iterator[Charge]:
        params = _span(since, until) | {"expand": ["data.balance_transaction", "data.payment_intent"]}
        with _translated():
            for found in self._client.v1.charges.list(params).auto_paging_iter():
                if found.status == "succeeded":
                    yield objects.charge(found)

    def refunds(self, *, since: datetime, until: datetime) -> Iterator[Refund]:
        with _translated():
            for found in self._client.v1.refunds.list(_span(since, until)).auto_paging_iter():
                yield objects.refund(found)

    def disputes(self, *, since: datetime, until: datetime) -> Iterator[Dispute]:
        with _translated():
            for found in self._client.v1.disputes.list(_span(since, until)).auto_paging_iter():
                yield objects.dispute(found)

    def payouts(self, *, since: datetime, until: datetime) -> Iterator[Payout]:
        with _translated():
            for found in self._client.v1.payouts.list(_span(since, until)).auto_paging_iter():
                yield objects.payout(found)

    def payout_parts(self, payout_id: str) -> Iterator[PayoutPart]:
        params = {"payout": payout_id, "limit": PAGE}
        with _translated():
            for found in self._client.v1.balance_transactions.list(params).auto_paging_iter():
                if found.type != "payout":
                    yield objects.payout_part(found)

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


def _span(since: datetime, until: datetime) -> dict[str, Any]:
    return {"created": {"gte": int(since.timestamp()), "lt": int(until.timestamp())}, "limit": PAGE}


def _declined(error: stripe.CardError, order: Order) -> Payment:
    """What a declined charge left behind."""
    body: Any = objects.member(error.json_body, "error") or {}
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


def _event(text: str) -> Event:
    """Read a message whose signature was right. One that is not understood is forged for all we know."""
    try:
        found: Any = stripe.Event.construct_from(json.loads(text), None)
        about = found.data.object
        return Event(
            id=str(found.id),
            type=str(found.type),
            about=_ABOUT.get(str(about.object)),
            object_id=str(objects.member(about, "id") or ""),
            created_at=objects.created(found),
            live=bool(found.livemode),
            related={
                name: objects.id_of(objects.member(about, name))
                for name in ("customer", "payment_intent")
                if objects.member(about, name)
            },
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise Forged("A signed message, but no event.") from error


def _line_item(line: Line, currency: str) -> dict[str, Any]:
    price = {
        "currency": currency,
        "unit_amount": objects.to_minor(line.amount, currency),
        "product_data": {"name": line.name},
    }
    return {"price_data": price, "quantity": 1}


def _fits(kind: str, currency: str) -> bool:
    return {"us_bank_account": "usd", "sepa_debit": "eur"}.get(kind, currency) == currency
