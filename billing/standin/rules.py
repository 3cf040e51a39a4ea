"""What happens to payments at the stand-in: which cards are declined, what settles later, what can be refunded."""

import time
from collections.abc import Callable
from typing import Any

from billing.standin import currencies
from billing.standin.account import Account
from billing.standin.store import Store, Thing

DECLINED = {
    "4000000000000002": ("card_declined", "generic_decline", "Your card was declined."),
    "4000000000009995": ("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    "4000000000009987": ("card_declined", "lost_card", "Your card was declined."),
    "4000000000000069": ("expired_card", "", "Your card has expired."),
    "4000000000000127": ("incorrect_cvc", "", "Your card's security code is incorrect."),
    "4000000000000119": ("processing_error", "", "An error occurred while processing your card. Try again."),
}
DECLINED_LATER = "4000000000000341"
"""Can be kept, but is declined when it is charged afterwards."""
ASKS_ALWAYS = {"4000002760003184", "4000002500003155"}
"""The bank asks its owner each time: 3-D Secure."""
DISPUTED = "4000000000000259"
"""The charge succeeds and is disputed."""
REFUND_FAILS = "4000000000005126"
"""A refund succeeds at first and fails afterwards."""
DEBIT_FAILS = "000111111116"
TEST_METHODS = {
    "pm_card_visa": "4242424242424242",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_chargeCustomerFail": DECLINED_LATER,
    "pm_card_authenticationRequired": "4000002760003184",
}
BRANDS = {"4": "visa", "5": "mastercard", "3": "amex", "6": "discover"}
SESSION_LIFE = 24 * 3600
MINIMUM = 50
ANSWER_SECONDS = 9 * 24 * 3600
"""How long the bank waits for evidence."""
DISPUTE_FEE = 1_500
"""What a dispute costs, in the smallest coins; won or lost."""


class Wrong(Exception):
    """A request that is answered with an error: its HTTP status, and Stripe's error object."""

    def __init__(self, status: int, **error: Any) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error


class Rules:
    """Every change of an object, and the event that tells of it. ``tell`` takes the type and the object."""

    def __init__(self, store: Store, *, tell: Callable[[str, Thing], None], base: Callable[[], str]) -> None:
        self.store = store
        self.account = Account(store)
        self._tell = tell
        self._base = base

    def find(self, id: str, kind: str) -> Thing:
        found = self.store.get(id)
        if found is None or found["object"] != kind:
            raise Wrong(
                404,
                type="invalid_request_error",
                code="resource_missing",
                message=f"No such {kind}: '{id}'",
                param="id",
            )
        return found

    def save(self, thing: Thing, *events: str) -> Thing:
        self.store.save(thing)
        for kind in events:
            self._tell(kind, thing)
        return thing

    def forget_customer(self, thing: Thing) -> Thing:
        """Nothing is left of the customer but its id, and nobody finds it any more."""
        gone = {"id": thing["id"], "object": "deleted_customer", "deleted": True}
        self.store.save(gone)
        return gone

    # --- Payment pages -------------------------------------------------------------------------------------------

    def open_session(self, asked: Thing) -> Thing:
        mode = asked.get("mode", "payment")
        currency = asked.get("currency", "usd")
        total = 0
        lines = []
        for item in asked.get("line_items", []):
            price = item["price_data"]
            currency = price["currency"]
            total += int(price["unit_amount"]) * int(item.get("quantity", 1))
            lines.append({"name": price["product_data"]["name"], "amount": int(price["unit_amount"])})
        if mode == "payment":
            _chargeable(total, currency)
        if asked.get("customer"):
            self.find(asked["customer"], "customer")
        session = self.store.add(
            "cs_test",
            "checkout.session",
            mode=mode,
            customer=asked.get("customer"),
            client_reference_id=asked.get("client_reference_id"),
            amount_total=total if mode == "payment" else None,
            currency=currency,
            status="open",
            payment_status="unpaid",
            payment_intent=None,
            setup_intent=None,
            success_url=asked.get("success_url"),
            cancel_url=asked.get("cancel_url"),
            expires_at=int(asked.get("expires_at", time.time() + SESSION_LIFE)),
            metadata=asked.get("metadata", {}),
            payment_method_types=methods_for(currency, mode),
            _lines=lines,
            _intent=asked.get("payment_intent_data", {}),
            _keeps=sorted(asked.get("payment_method_options", {})),
        )
        session["url"] = f"{self._base()}/c/pay/{session['id']}"
        return self.save(session)

    def expire_session(self, session: Thing) -> Thing:
        if session["status"] != "open":
            raise Wrong(400, type="invalid_request_error", message="Only open sessions can be expired.")
        session |= {"status": "expired", "url": None}
        if session["payment_intent"]:
            intent = self.find(session["payment_intent"], "payment_intent")
            if intent["status"] in {"requires_payment_method", "requires_action"}:
                self.save(intent | {"status": "canceled"}, "payment_intent.canceled")
        return self.save(session, "checkout.session.expired")

    def pay(self, session: Thing, method: Thing) -> Thing:
        """The payer has pressed the button. The session, with its payment as it is then. Raises ``Wrong``."""
        if session["status"] != "open":
            raise Wrong(400, type="invalid_request_error", message="This page is closed.")
        if session["mode"] == "setup":
            return self._keep(session, method)
        intent = self.store.get(session["payment_intent"] or "") or self.store.add(
            "pi",
            "payment_intent",
            amount=session["amount_total"],
            amount_received=0,
            currency=session["currency"],
            customer=session["customer"],
            status="requires_payment_method",
            payment_method=None,
            latest_charge=None,
            last_payment_error=None,
            next_action=None,
            metadata=session["_intent"].get("metadata", {}),
            _session=session["id"],
        )
        session["payment_intent"] = intent["id"]
        self.save(session)
        intent["payment_method"] = method["id"]
        self.confirm(intent, off_session=False)
        return self._after(self.find(session["id"], "checkout.session"))

    def answer_bank(self, intent: Thing, *, yes: bool) -> Thing:
        """The payer has answered their bank's question."""
        if intent["status"] != "requires_action":
            raise Wrong(400, type="invalid_request_error", message="Nothing was asked.")
        intent["next_action"] = None
        if yes:
            self._begin(intent)
        else:
            failed = ("payment_intent_authentication_failure", "", "The bank could not confirm that it was you.")
            self._fail(intent, *failed)
        session = self.store.get(intent.get("_session") or "")
        if session is not None and yes:
            self._after(session)
        return self.find(intent["id"], "payment_intent")

    def _after(self, session: Thing) -> Thing:
        intent = self.find(session["payment_intent"], "payment_intent")
        if intent["status"] in {"processing", "succeeded"} and session["status"] == "open":
            method = self.find(intent["payment_method"], "payment_method")
            if method["type"] in session["_keeps"]:
                self._attach(method, session["customer"])
            paid = intent["status"] == "succeeded"
            session |= {"status": "complete", "payment_status": "paid" if paid else "unpaid", "url": None}
            self.save(session, "checkout.session.completed")
        return session

    def _keep(self, session: Thing, method: Thing) -> Thing:
        intent = self.store.add(
            "seti", "setup_intent", customer=session["customer"], payment_method=method["id"], status="succeeded"
        )
        self._attach(method, session["customer"])
        self._tell("setup_intent.succeeded", intent)
        session |= {"status": "complete", "setup_intent": intent["id"], "url": None}
        return self.save(session, "checkout.session.completed")

    def _attach(self, method: Thing, customer: str | None) -> None:
        if method["customer"] is None and customer:
            method["customer"] = customer
            self.save(method, "payment_method.attached")

    # --- Payments ------------------------------------------------------------------------------------------------

    def new_intent(self, asked: Thing) -> Thing:
        amount = int(asked["amount"])
        _chargeable(amount, asked["currency"])
        method = self.method(asked["payment_method"]) if asked.get("payment_method") else None
        if method is not None and method["customer"] != asked.get("customer") and method["id"] not in TEST_METHODS:
            raise Wrong(400, type="invalid_request_error", message="The payment method is not this customer's.")
        intent = self.store.add(
            "pi",
            "payment_intent",
            amount=amount,
            amount_received=0,
            currency=asked["currency"],
            customer=asked.get("customer"),
            status="requires_confirmation" if method else "requires_payment_method",
            payment_method=method["id"] if method else None,
            latest_charge=None,
            last_payment_error=None,
            next_action=None,
            metadata=asked.get("metadata", {}),
            _session=None,
            _return=asked.get("return_url"),
        )
        if asked.get("confirm") == "true":
            self.confirm(intent, off_session=asked.get("off_session") == "true")
        return self.find(intent["id"], "payment_intent")

    def confirm(self, intent: Thing, *, off_session: bool) -> None:
        """Charge the intent's method. Raises ``Wrong`` where that is declined; the intent is kept either way."""
        number = self.method(intent["payment_method"]).get("_number", "")
        refusal = DECLINED.get(number)
        if number == DECLINED_LATER and intent["_session"] is None:
            refusal = ("card_declined", "generic_decline", "Your card was declined.")
        if number in ASKS_ALWAYS and off_session:
            refusal = ("authentication_required", "authentication_required", "The bank asks for its owner's consent.")
        if refusal is not None:
            self._fail(intent, *refusal)
            code, decline, message = refusal
            extra = {"decline_code": decline} if decline else {}
            raise Wrong(402, type="card_error", code=code, message=message, payment_intent=public(intent), **extra)
        if number in ASKS_ALWAYS:
            intent["status"] = "requires_action"
            intent["next_action"] = {
                "type": "redirect_to_url",
                "redirect_to_url": {
                    "url": f"{self._base()}/c/bank/{intent['id']}",
                    "return_url": intent.get("_return"),
                },
            }
            self.save(intent, "payment_intent.requires_action")
            return
        self._begin(intent)

    def cancel(self, intent: Thing) -> Thing:
        if intent["status"] not in {"requires_payment_method", "requires_confirmation", "requires_action"}:
            raise Wrong(400, type="invalid_request_error", message="This payment can no longer be canceled.")
        return self.save(intent | {"status": "canceled", "next_action": None}, "payment_intent.canceled")

    def settle(self, intent: Thing, *, well: bool = True) -> Thing:
        """What was processing has come through, or has not."""
        if intent["status"] != "processing":
            raise Wrong(400, type="invalid_request_error", message="Only what is processing can be settled.")
        session = self.store.get(intent["_session"] or "")
        if well:
            self._succeed(intent)
            if session is not None:
                self.save(session | {"payment_status": "paid"}, "checkout.session.async_payment_succeeded")
        else:
            self._fail(intent, "payment_method_bank_account_debit_failed", "", "The bank did not honour the debit.")
            if session is not None:
                self.save(session, "checkout.session.async_payment_failed")
        return self.find(intent["id"], "payment_intent")

    def _begin(self, intent: Thing) -> None:
        method = self.method(intent["payment_method"])
        if method["type"] in {"us_bank_account", "sepa_debit"}:
            intent["status"] = "processing"
            self.save(intent, "payment_intent.processing")
        else:
            self._succeed(intent)

    def _succeed(self, intent: Thing) -> None:
        charge = self.store.add(
            "ch",
            "charge",
            amount=intent["amount"],
            amount_refunded=0,
            currency=intent["currency"],
            customer=intent["customer"],
            payment_intent=intent["id"],
            payment_method=intent["payment_method"],
            balance_transaction=None,
            status="succeeded",
            paid=True,
            refunded=False,
            disputed=False,
        )
        kept = (charge["amount"] * 29 + 500) // 1000 + 30
        charge = self.save(
            charge | {"balance_transaction": self.account.book(charge, "charge", charge["amount"], fee=kept)["id"]}
        )
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"]}
        self._tell("charge.succeeded", charge)
        self.save(intent, "payment_intent.succeeded")
        if self.method(intent["payment_method"]).get("_number") == DISPUTED:
            self.dispute(intent)

    def _fail(self, intent: Thing, code: str, decline: str, message: str) -> None:
        error = {"code": code, "message": message, "type": "card_error"} | (
            {"decline_code": decline} if decline else {}
        )
        intent |= {"status": "requires_payment_method", "last_payment_error": error}
        self.save(intent, "payment_intent.payment_failed")

    # --- Methods -------------------------------------------------------------------------------------------------

    def new_method(self, kind: str, *, number: str = "", expiry: str = "", wallet: str = "") -> Thing:
        detail: Thing = {}
        if kind == "card":
            month, _, year = expiry.partition("/")
            detail = {
                "brand": BRANDS.get(number[:1], "unknown"),
                "last4": number[-4:],
                "exp_month": int(month or 12),
                "exp_year": 2000 + int(year or 40) % 2000,
                "wallet": {"type": wallet} if wallet else None,
            }
        elif kind in {"us_bank_account", "sepa_debit"}:
            detail = {"bank_name": "TEST BANK", "last4": number[-4:]}
        return self.store.add("pm", "payment_method", type=kind, customer=None, _number=number, **{kind: detail})

    def method(self, id: str) -> Thing:
        """A method by its id; Stripe's ready-made test methods are made when they are asked for."""
        found = self.store.get(id)
        if found is None and id in TEST_METHODS:
            made = self.new_method("card", number=TEST_METHODS[id])
            return made
        if found is None or found["object"] != "payment_method":
            return self.find(id, "payment_method")
        return found

    # --- Money back ----------------------------------------------------------------------------------------------

    def refund(self, asked: Thing) -> Thing:
        intent = self.find(asked["payment_intent"], "payment_intent")
        if not intent["latest_charge"]:
            raise Wrong(400, type="invalid_request_error", message="This payment has no charge to refund.")
        charge = self.find(intent["latest_charge"], "charge")
        left = charge["amount"] - charge["amount_refunded"]
        amount = int(asked.get("amount", left))
        if amount > left or amount < 1:
            raise Wrong(
                400,
                type="invalid_request_error",
                code="charge_already_refunded",
                message="The refund is greater than what is left of the charge.",
            )
        _whole(amount, charge["currency"])
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        method = self.method(intent["payment_method"])
        refund = self.store.add(
            "re",
            "refund",
            amount=amount,
            currency=charge["currency"],
            charge=charge["id"],
            payment_intent=intent["id"],
            status="succeeded" if method["type"] == "card" else "pending",
            metadata=asked.get("metadata", {}),
        )
        self.account.book(refund, "refund", -amount)
        self._tell("refund.created", refund)
        self.save(charge, "charge.refunded")
        if method.get("_number") == REFUND_FAILS:
            self.settle_refund(refund, well=False)
        return self.find(refund["id"], "refund")

    def settle_refund(self, refund: Thing, *, well: bool) -> Thing:
        if well:
            return self.save(refund | {"status": "succeeded"}, "refund.updated")
        charge = self.find(refund["charge"], "charge")
        self.account.book(refund, "refund_failure", refund["amount"])
        self.save(charge | {"amount_refunded": charge["amount_refunded"] - refund["amount"], "refunded": False})
        return self.save(refund | {"status": "failed", "failure_reason": "expired_or_canceled_card"}, "refund.failed")

    def dispute(self, intent: Thing, *, amount: int | None = None, status: str = "needs_response") -> Thing:
        charge = self.find(intent["latest_charge"], "charge")
        dispute = self.store.add(
            "dp",
            "dispute",
            amount=amount or charge["amount"] - charge["amount_refunded"],
            currency=charge["currency"],
            charge=charge["id"],
            payment_intent=intent["id"],
            reason="fraudulent",
            status=status,
            balance_transactions=[],
            evidence={},
            evidence_details={"due_by": int(time.time()) + ANSWER_SECONDS, "submission_count": 0},
        )
        self.save(charge | {"disputed": True})
        self._tell("charge.dispute.created", dispute)
        if not status.startswith("warning"):
            dispute = self._take(dispute, out=True)
        return dispute

    def _take(self, dispute: Thing, *, out: bool) -> Thing:
        """The money goes, with a fee for it, or comes back without the fee."""
        amount = -dispute["amount"] if out else dispute["amount"]
        moved = self.account.book(dispute, "adjustment", amount, fee=DISPUTE_FEE if out else 0)
        dispute = dispute | {"balance_transactions": [*dispute["balance_transactions"], moved]}
        self._tell(f"charge.dispute.funds_{'withdrawn' if out else 'reinstated'}", self.save(dispute))
        return dispute

    def answer_dispute(self, dispute: Thing, asked: Thing) -> Thing:
        if dispute["status"] not in {"needs_response", "warning_needs_response"}:
            raise Wrong(400, type="invalid_request_error", message="This dispute takes no evidence any more.")
        dispute = dispute | {"evidence": dispute["evidence"] | asked.get("evidence", {})}
        if asked.get("submit", "true") == "true":
            dispute["status"] = dispute["status"].replace("needs_response", "under_review")
            dispute["evidence_details"] = dispute["evidence_details"] | {"submission_count": 1}
        return self.save(dispute, "charge.dispute.updated")

    def close_dispute(self, dispute: Thing, *, won: bool) -> Thing:
        return self.move_dispute(dispute, "won" if won else "lost")

    def move_dispute(self, dispute: Thing, status: str) -> Thing:
        """It has come to ``status``, with the money that goes or comes with that."""
        before, ended = dispute["status"], status in {"won", "lost", "warning_closed"}
        moved = self.save(dispute | {"status": status}, f"charge.dispute.{'closed' if ended else 'updated'}")
        free = {"won", "warning_needs_response", "warning_under_review", "warning_closed"}
        if (before in free) != (status in free):
            moved = self._take(moved, out=status not in free)
        return moved


def _chargeable(amount: int, currency: str) -> None:
    if amount < MINIMUM:
        raise Wrong(400, type="invalid_request_error", code="amount_too_small", message="Amount is too small.")
    _whole(amount, currency)


def _whole(amount: int, currency: str) -> None:
    if not currencies.is_whole(amount, currency):
        text = f"Amounts in {currency} must be rounded."
        raise Wrong(400, type="invalid_request_error", code="parameter_invalid_integer", message=text)


def methods_for(currency: str, mode: str = "payment") -> list[str]:
    """What is offered without being asked for, by currency."""
    debit = {"usd": ["us_bank_account"], "eur": ["sepa_debit"]}.get(currency, [])
    return ["card", *debit, *(["crypto"] if currency == "usd" and mode == "payment" else [])]


def public(thing: Thing) -> Thing:
    """An object as it is shown: without what only the stand-in knows."""
    return {name: value for name, value in thing.items() if not name.startswith("_")}
