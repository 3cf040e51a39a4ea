"""Many debits cross the threshold at once, and many workers see it: one charge a round.

``ANTE_LONG=1``: 200 debits a round, 100 rounds.
"""

import faulthandler
import os
import sys
import time
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from billing.models import AutoTopUp, PaymentAttempt, TopUp
from billing.selectors.funding import standing
from billing.services.funding import automatic, top_ups
from tests.billing.services.funding.orders import cents, order, spend
from tests.billing.services.ledger.test_races import together
from tests.owner import as_owner
from tests.payments import Bank, Payer

LONG = os.environ.get("ANTE_LONG") == "1"
ROUNDS, DEBITS = (100, 200) if LONG else (3, 20)
THREADS, SWEEPERS = 10, 4
"""So many connections at once: the database gives a hundred to everybody together."""
STALLED_SECONDS = 300


def crossing(payer: Payer, dollars: Decimal) -> list[Any]:
    """``DEBITS`` that take ``dollars`` together, and workers that all see it, at the same moment."""
    tokens = int(dollars / DEBITS * 100_000)

    def share() -> None:
        for _ in range(DEBITS // THREADS):
            assert payer.shop.record(payer.customer, output_tokens=tokens).error is None

    def sweep() -> None:
        for _ in range(3):
            automatic.run_due()

    return together(*[share] * THREADS, *[sweep] * SWEEPERS)


@pytest.mark.timeout(3600 if LONG else 600)
def test_however_many_cross_at_once_there_is_one_charge_a_round(committed_db: None, payer: Payer, bank: Bank) -> None:
    payer.keep()
    order(payer, amount=Decimal(20), monthly_limit=Decimal(100_000))
    automatic.run_due()
    for number in range(ROUNDS):
        began = time.monotonic()
        faulthandler.dump_traceback_later(STALLED_SECONDS, file=sys.__stderr__)
        results = crossing(payer, Decimal(12))
        faulthandler.cancel_dump_traceback_later()
        assert not [result for result in results if isinstance(result, Exception)]
        automatic.run_due()
        assert len(cents(bank)) == number + 2
        assert len(cents(bank)) == TopUp.objects.filter(status="succeeded").count()
        spent = payer.available - Decimal(21)
        if spent > 0:
            spend(payer, str(spent))
        if LONG:
            print(f"round {number + 1}: {time.monotonic() - began:.1f} s", file=sys.__stderr__, flush=True)


def begun_at_once(payer: Payer, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Four workers that do not look whether something is under way begin the same order: what each got."""
    payer.keep()
    order(payer, amount=Decimal(20))
    monkeypatch.setattr(standing, "under_way", lambda rule: False)
    monkeypatch.setattr(automatic, "_pending", lambda rule: Decimal(0))
    rule = AutoTopUp.objects.get()
    return together(*[lambda: automatic.begin(rule.pk)] * 4)


def test_where_nobody_looks_the_database_keeps_it_to_one(
    committed_db: None, payer: Payer, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = begun_at_once(payer, monkeypatch)
    assert len([one for one in begun if not isinstance(one, Exception)]) == 1
    assert PaymentAttempt.objects.count() == 1


def test_control_without_that_either_each_worker_charges(
    committed_db: None, payer: Payer, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'billing_attempt_one_at_a_time'")
        (made,) = cursor.fetchone()
    as_owner("DROP INDEX billing_attempt_one_at_a_time")
    try:
        for top_up_id in begun_at_once(payer, monkeypatch):
            top_ups.start(top_up_id)
        assert cents(bank) == [2000] * 4
    finally:
        as_owner(made)
