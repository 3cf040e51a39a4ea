"""The payment provider of the tests: the stand-in in this process, and what people and banks do at it."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from django.test import Client

from accounts.services.audit import SYSTEM
from billing.models import Asset, Customer, Pack, PaymentAttempt, PaymentMethod, ProviderEvent, TopUp
from billing.services.funding import attempts, inbox, methods, packs, profiles, quotes, top_ups
from billing.standin.rules import Wrong, public
from billing.standin.server import Running, serve
from tests.builders import Shop

KEY, SECRET = "sk_test_tests", "whsec_tests"
VISA, DECLINED, ASKS, KEPT_DECLINED = "4242424242424242", "4000000000000002", "4000002760003184", "4000000000000341"


class Bank:
    """The stand-in with its messages held back until a test delivers them."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.rules = running.rules
        self._seen: set[str] = set()

    def pay(self, url: str, *, kind: str = "card", number: str = VISA, yes: bool = True) -> str:
        """What a person does on the page: fill it in, and answer the bank. The address they are sent on to, or an
        error's text."""
        session = self.rules.store.get(url.rsplit("/", 1)[1])
        assert session is not None
        with self.rules.store.changing():
            try:
                method = self.rules.new_method(kind, number=number, expiry="12/34")
                session = self.rules.pay(session, method)
            except Wrong as wrong:
                return str(wrong.error["message"])
            intent = self.rules.store.get(session["payment_intent"] or "")
            if intent is not None and intent["status"] == "requires_action":
                self.rules.answer_bank(intent, yes=yes)
        return str(session["success_url"])

    def payments(self) -> list[dict[str, Any]]:
        return self.rules.store.all("payment_intent")

    def charges(self) -> list[dict[str, Any]]:
        return self.rules.store.all("charge")

    def settle(self, *, well: bool = True) -> None:
        """The newest payment that is processing comes through, or does not."""
        with self.rules.store.changing():
            intent = next(one for one in self.payments() if one["status"] == "processing")
            self.rules.settle(intent, well=well)

    def answer(self, *, yes: bool) -> None:
        """The bank's question about the newest payment is answered."""
        with self.rules.store.changing():
            intent = next(one for one in self.payments() if one["status"] == "requires_action")
            self.rules.answer_bank(intent, yes=yes)

    def dispute(self, top_up: TopUp, amount: int | None = None, status: str = "needs_response") -> str:
        """The payer's bank wants the payment back, or ``amount`` cents of it. The dispute's id."""
        with self.rules.store.changing():
            intent = self.rules.find(again(top_up).attempt.payment_id, "payment_intent")
            return str(self.rules.dispute(intent, amount=amount, status=status)["id"])

    def decide(self, dispute_id: str, status: str) -> None:
        """The dispute has come to this; the provider tells of it as it does."""
        with self.rules.store.changing():
            self.rules.move_dispute(self.rules.find(dispute_id, "dispute"), status)

    def change_dispute(self, dispute_id: str, amount: int) -> None:
        """The dispute is over so many cents now."""
        with self.rules.store.changing():
            found = self.rules.find(dispute_id, "dispute")
            self.rules.save(found | {"amount": amount}, "charge.dispute.updated")

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens at the provider meanwhile has not happened afterwards."""
        store, seen = self.rules.store, set(self._seen)
        with store._lock:
            before = store._connection.serialize()
        yield
        self._seen = seen
        self.running.script.replace([])
        with store._lock:
            store._connection.deserialize(before)

    def faults(self, *kinds: str, call: str = "POST /v1", times: int = 1) -> None:
        self.running.script.replace([{"kind": kind, "call": call, "times": times} for kind in kinds])

    # --- Messages ------------------------------------------------------------------------------------------------

    def events(self) -> list[dict[str, Any]]:
        """Every message so far, the oldest first."""
        return [public(event) for event in self.rules.store.all("event")][::-1]

    def news(self) -> list[dict[str, Any]]:
        """The messages since this was asked last."""
        fresh = [event for event in self.events() if event["id"] not in self._seen]
        self._seen |= {event["id"] for event in fresh}
        return fresh

    def send(self, event: dict[str, Any]) -> Any:
        """One message over HTTP, signed. The answer."""
        body = json.dumps(event).encode()
        return post(body, self.running.webhooks.sign(body))

    def deliver(self, events: Iterable[dict[str, Any]] | None = None) -> None:
        """All that is new, or these, and the worker's work on them."""
        for event in self.news() if events is None else events:
            assert self.send(event).status_code == 200
        work()


class Payer:
    """Acme, and what its people do to pay."""

    def __init__(self, shop: Shop, bank: Bank, customer: Customer | None = None) -> None:
        self.shop = shop
        self.bank = bank
        self.customer: Customer = customer or shop.customer(country="US")

    def quote(self, amount: str = "25", currency: str = "usd") -> quotes.Quote:
        return quotes.quote(
            customer=self.customer, amount=Decimal(amount), currency=self.shop.asset(currency, kind="currency")
        )

    def plan(self, method: PaymentMethod | None = None, **fields: Any) -> attempts.Plan:
        way = PaymentAttempt.Way.CHECKOUT if method is None else PaymentAttempt.Way.METHOD
        fields = {"way": way, "return_url": "https://acme.test/back"} | fields
        return attempts.Plan(method=method, **fields)

    def create(self, amount: str = "25", currency: str = "usd", **fields: Any) -> TopUp:
        quote = self.quote(amount, currency)
        return top_ups.create(actor=SYSTEM, customer=self.customer, quote=quote, plan=self.plan(**fields))

    def open(self, amount: str = "25", **fields: Any) -> TopUp:
        """A top-up, as it is once the provider has been asked."""
        return top_ups.start(self.create(amount, **fields).pk)

    def keep(self, number: str = "4242424242424242") -> PaymentMethod:
        """A card that is kept with the provider."""
        profile = profiles.ensure(self.customer)
        url = methods.open_setup(customer=self.customer, return_url="https://acme.test/", cancel_url="")
        self.bank.pay(url, number=number)
        methods.sync(profile.pk)
        return methods.kept(self.customer.pk, "stand-in").filter(last4=number[-4:])[0]

    def paid(self, amount: str = "25", **fields: Any) -> TopUp:
        """A top-up that was paid by card and is in the wallet."""
        top_up = self.open(amount, **fields)
        self.bank.pay(top_up.attempt.checkout_url)
        attempts.look_up(top_up.attempt_id)
        return again(top_up)

    def pack(self, asset: Asset, amount: str = "1000") -> Pack:
        """So much of the asset for $40."""
        return packs.create(
            actor=SYSTEM,
            code="k",
            name="1,000",
            asset=asset,
            amount=Decimal(amount),
            price=Decimal(40),
            currency=self.shop.usd,
        )

    @property
    def available(self) -> Decimal:
        return self.shop.balance(self.customer).available


def again(top_up: TopUp) -> TopUp:
    """As it is now."""
    return TopUp.objects.select_related("attempt").get(pk=top_up.pk)


def post(body: bytes, signature: str | None) -> Any:
    headers = {} if signature is None else {"stripe-signature": signature}
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    return client.generic("POST", "/api/v1/webhooks/stripe", body, content_type="application/json", headers=headers)


def work() -> None:
    """The worker has its time, and nothing is to be waited for."""
    ProviderEvent.objects.filter(state="new").update(due_at="2020-01-01T00:00:00Z")
    inbox.work()


@contextmanager
def standing_in(settings: Any) -> Iterator[Bank]:
    """A stand-in of one's own, named in the settings."""
    running = serve(":memory:", webhook="http://127.0.0.1:9/", key=KEY, secret=SECRET)
    running.webhooks.paused = True
    settings.STRIPE_SECRET_KEY = KEY
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    settings.STRIPE_API_BASE = running.base
    settings.STRIPE_TIMEOUT_SECONDS = 0.5
    try:
        yield Bank(running)
    finally:
        running.close()


def submit(url: str, **fields: str) -> tuple[int, str]:
    """Send a form as a browser would: the status, and where to go or the page."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any) -> None:
            return None

    body = urllib.parse.urlencode(fields).encode()
    try:
        with urllib.request.build_opener(Stay).open(url, body, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers.get("Location") or answer.read().decode()
