"""Fifty programs at once, and the balance runs low: one payment, and nobody is refused while it is made."""

import threading
from decimal import Decimal

from accounts.services.audit import SYSTEM
from billing.services.funding import automatic, rules
from tests.billing.api.conftest import Api, cloud_event
from tests.billing.services.ledger.test_races import together
from tests.payments import Bank, Payer

CALLERS, CALLS = 50, 4


def test_fifty_callers_are_served_while_the_wallet_is_topped_up(committed_db: None, payer: Payer, bank: Bank) -> None:
    payer.keep()
    payer.shop.fund(payer.customer, "1100")
    order = rules.Order(asset=payer.shop.usd, threshold=Decimal(1000), amount=Decimal(500))
    rules.put(actor=SYSTEM, customer=payer.customer, order=order)
    key, done = payer.shop.key(), threading.Event()

    def caller(number: int) -> list[int]:
        """Four calls for a dollar each."""
        api, data = Api(key), {"output_tokens": 100_000}
        sent = [api.post("/events", cloud_event(f"{number}-{call}", data=data)) for call in range(CALLS)]
        return [answer.status_code for answer in sent]

    def sweep() -> None:
        while not done.wait(0.2):
            automatic.run_due()

    sweeper = threading.Thread(target=lambda: together(sweep, sweep), daemon=True)
    sweeper.start()
    answers = together(*(lambda number=number: caller(number) for number in range(CALLERS)))
    done.set()
    sweeper.join(60)
    automatic.run_due()

    assert answers == [[201] * CALLS] * CALLERS
    assert [charge["amount"] for charge in bank.charges()] == [50_000]
    assert payer.available == 1100 - CALLERS * CALLS + 500
