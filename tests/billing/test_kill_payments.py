"""Money in, with SIGKILL for web and workers at each step of a payment: nothing lost, nothing twice.

The whole product as ``manage.py up`` runs it, beside the stand-in for the provider, which is left alive and remembers
what it took. Calls hang where the fault script says so; then whoever waits for them is killed, and started again. At
the end the books are held against what the provider took.

``ANTE_LONG=1``: every blow many times over, in any order, at any moment.
"""

import itertools
import json
import os
import random
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.billing.fire import Answers, Caller, Product, running
from tests.billing.test_kill import fill
from tests.config import processes

SHORT = ["processing", "timeout_after", "timeout_before"]
LONG = [*SHORT[:2] * 10, "timeout_before"]
BLOWS = LONG if os.environ.get("ANTE_LONG") == "1" else SHORT
PATIENCE_SECONDS = 600.0
MOVING = ("POST /v1/payment_intents", "POST /v1/checkout/sessions", "POST /v1/refunds")
CHARGED, PAGE, AUTOMATIC, REFUNDED = (f"wallet-{number}" for number in range(1, 5))


class Till:
    """What customers and the provider do, from outside."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.provider = json.loads((product.data / "servers.json").read_text())["environment"]["STRIPE_API_BASE"]
        self._numbers = itertools.count()

    def caller(self) -> Caller:
        answers = Answers(Path(os.devnull))
        return Caller(
            0, port=self.product.port, key=self.product.key, wallets=1, answers=answers, stop=threading.Event()
        )

    def post(self, path: str, body: Any) -> Any:
        """Sent until there is an answer, always under the same key."""
        return self.caller().send(path, body, {"Idempotency-Key": f"till-{next(self._numbers)}"})[1]

    def get(self, path: str) -> Any:
        address = f"http://127.0.0.1:{self.product.port}/api/v1{path}"
        asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {self.product.key}"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def control(self, what: str, **body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{self.provider}/_control/{what}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def pay(self, top_up: Any) -> None:
        """The payer fills in the provider's page, if there is one. Where they are sent on to may not be there."""
        if not top_up["checkout_url"]:
            return
        form = urllib.parse.urlencode({"kind": "card", "number": "4242424242424242", "expiry": "12/34"}).encode()
        with suppress(OSError):
            urllib.request.urlopen(top_up["checkout_url"], form, timeout=10)

    def open(self, customer: str, **fields: Any) -> Any:
        return self.post(f"/customers/{customer}/top-ups", {"amount": "30", **fields})

    def visit(self, customer: str) -> None:
        """A page is opened and paid on, unless what became of an earlier one is still being found out."""
        with suppress(AssertionError):
            self.pay(self.open(customer))

    def paid(self, customer: str) -> Any:
        top_up = self.open(customer, save_payment_method=True)
        self.pay(top_up)
        self.until(lambda: self.get(f"/top-ups/{top_up['id']}")["status"] == "succeeded")
        return top_up

    def until(self, holds: Callable[[], bool]) -> None:
        def calmly() -> bool:
            with suppress(OSError):
                return holds()
            return False

        assert processes.eventually(calmly, seconds=PATIENCE_SECONDS), self.product.log.read_text()[-3000:]

    def taken(self) -> set[str]:
        """The charges that went through at the provider."""
        found = self.control("charges")["data"]
        return {charge["id"] for charge in found if charge["status"] == "succeeded"}

    def credited(self) -> set[str]:
        return {
            charge
            for (charge,) in self.product.rows(
                "SELECT a.charge_id FROM billing_paymentattempt a JOIN billing_topup t ON t.attempt_id = a.id"
                " JOIN billing_grant g ON g.id = t.grant_id WHERE a.status = 'succeeded' AND t.status = 'succeeded'"
            )
        }

    def paid_back(self) -> int:
        """What the provider has paid back, in cents."""
        return sum(charge["amount_refunded"] for charge in self.control("charges")["data"])

    def is_settled(self) -> bool:
        """Whether all that the provider took or paid back is in the books, and no more, every message is done, and of
        nothing that was begun it is still being found out what became of it."""
        ((left, back),) = self.product.rows(
            "SELECT (SELECT COUNT(*) FROM billing_providerevent WHERE state = 'new')"
            " + (SELECT COUNT(*) FROM billing_paymentattempt WHERE status IN ('created', 'sent', 'unknown'))"
            " + (SELECT COUNT(*) FROM billing_refund WHERE status IN ('created', 'sent', 'unknown')),"
            " (SELECT COALESCE(SUM(amount + tax), 0) * 100 FROM billing_refund WHERE status = 'succeeded')"
        )
        return left == 0 and back == self.paid_back() and self.taken() == self.credited()


def strike(till: Till, blow: str, refundable: Any) -> float:
    """Four payments are under way; then web and worker are killed in the middle of them: when that was."""
    product = till.product
    if blow == "processing":
        # The provider's messages arrive, and whoever works them through waits for the provider.
        till.control("faults", faults=[{"kind": "timeout_before", "call": "GET /v1/", "times": 4}])
    else:
        till.control("faults", faults=[{"kind": blow, "call": call, "times": 4} for call in MOVING])
    card = till.get(f"/customers/{CHARGED}/payment-methods")["data"][0]["id"]
    event = till.caller()._event() | {"subject": AUTOMATIC, "id": f"{blow}-{time.monotonic()}"}
    event["data"] = {"input_tokens": 2_000_000}
    acts: list[Callable[[], Any]] = [
        lambda: till.open(CHARGED, payment_method=card),
        lambda: till.visit(PAGE),
        lambda: till.caller().send("/events", event),
        lambda: till.post(f"/top-ups/{refundable['id']}/refund", {"amount": "1"}),
    ]
    threads = [threading.Thread(target=act, daemon=True) for act in acts]
    for thread in threads:
        thread.start()
    under_way = (
        "SELECT (SELECT COUNT(*) FROM billing_paymentattempt WHERE status = 'sent')"
        " + (SELECT COUNT(*) FROM billing_refund WHERE status = 'sent')"
        " + (SELECT COUNT(*) FROM billing_providerevent WHERE state = 'new')"
    )
    end = time.monotonic() + 20
    while time.monotonic() < end and product.rows(under_way)[0][0] < 3:
        time.sleep(0.1)
    time.sleep(random.random())
    assert product.suffer("web") + product.suffer("celery") >= 2
    killed = time.monotonic()
    till.control("faults", faults=[])
    for thread in threads:
        thread.join(timeout=PATIENCE_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "somebody still waits for an answer"
    return killed


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_what_was_paid_is_in_the_wallet_once_whatever_is_killed(tmp_path: Path) -> None:
    with running(tmp_path) as product:
        fill(product, 5)
        till = Till(product)
        refundable = till.paid(REFUNDED)
        for customer in (CHARGED, AUTOMATIC):
            till.paid(customer)
        rule = {"threshold": "79.5", "amount": "5", "monthly_limit": "100000", "enabled": True}
        address = f"http://127.0.0.1:{product.port}/api/v1/customers/{AUTOMATIC}/auto-top-up"
        headers = {"Authorization": f"Bearer {product.key}", "Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(address, json.dumps(rule).encode(), headers, method="PUT"))
        before = till.taken()

        for blow in BLOWS:
            killed = strike(till, blow, refundable)
            till.until(till.is_settled)
            print(f"{blow}: settled {time.monotonic() - killed:.1f} s after the kill, {len(till.taken())} charges")

        charges = till.control("charges")["data"]
        references = [
            row[0] for row in product.rows("SELECT charge_id FROM billing_paymentattempt WHERE charge_id <> ''")
        ]
        assert len(references) == len(set(references)), "a charge was credited twice"
        assert till.taken() - before, "nothing was paid meanwhile, so this proves nothing"
        assert till.taken() == till.credited()
        assert {charge["payment_intent"] for charge in charges} == {
            row[0] for row in product.rows("SELECT payment_id FROM billing_paymentattempt WHERE charge_id <> ''")
        }
        for command in ("verify_ledger", "reconcile_payments"):
            proved = processes.run(command, DATA_DIR=str(product.data))
            assert proved.returncode == 0, proved.stdout + proved.stderr
