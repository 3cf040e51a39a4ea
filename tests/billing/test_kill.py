"""What was acknowledged is there, once, whatever is killed and whenever.

The whole product as ``manage.py up`` runs it, on data of its own; callers that send again what was not answered, and
keep a file of the positive answers; SIGKILL for every kind of process, PostgreSQL among them, and a Redis that is
killed, frozen, emptied and filled with nonsense. At the end the books are held against the file.

``ANTE_LONG=1``: 200 callers, 50 wallets, at least 10,000 debits, and more of everything.
"""

import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounts.ids import uuid7
from tests.billing.fire import EVENT, Answers, Caller, Product, Sampler, running
from tests.builders import LLM
from tests.config import processes


@dataclass(frozen=True)
class Ordeal:
    """How many callers and wallets, what happens in which order, and how many debits at least."""

    callers: int
    wallets: int
    blows: list[str]
    between: int
    """At least so many positive answers lie between two blows, and some chance."""
    debits: int


SHORT = Ordeal(
    callers=16,
    wallets=20,
    blows=[
        *("web worker", "postgres", "celery child", "valkey", "flush", "web"),
        *("confuse", "beat", "flush", "celery", "postgres", "freeze valkey"),
    ],
    between=40,
    debits=400,
)
LONG = Ordeal(
    callers=200,
    wallets=50,
    blows=[
        *SHORT.blows,
        *["web worker"] * 14,
        *["celery child"] * 4,
        "web",
        "web",
        "valkey",
        "flush",
        "confuse",
        "flush",
    ],
    between=250,
    debits=10_000,
)
FORGETFUL = Ordeal(callers=16, wallets=20, blows=["web", *["postgres"] * 4], between=200, debits=0)
ENDURES = os.environ.get("ANTE_LONG") == "1"
ORDEAL = LONG if ENDURES else SHORT
RECOVERY_SECONDS = 600.0


def fill(product: Product, wallets: int) -> dict[str, Decimal]:
    """A plan and customers, through the API. Every fourth has next to nothing."""
    caller = Caller(0, port=product.port, key=product.key, wallets=1, answers=Answers(Path(os.devnull)), stop=STOPPED)
    meter = {"code": "tokens", "name": "Tokens", "event_type": LLM, "aggregation": "sum", "value": "input_tokens"}
    price = {"meter": "tokens", "asset": "usd", "model": "per_unit", "unit_amount": "2.50", "per": "1000000"}
    caller.send("/meters", meter)
    caller.send("/plans", {"code": "pro", "name": "Pro", "currency": "USD", "prices": [price]})
    funds = {f"wallet-{n}": Decimal("0.005") if n % 4 == 0 else Decimal(50) for n in range(wallets)}
    for name, amount in funds.items():
        caller.send("/customers", {"external_id": name, "name": name, "currency": "USD"})
        caller.send("/subscriptions", {"customer": name, "plan": "pro"})
        caller.send(f"/customers/{name}/grants", {"asset": "usd", "amount": str(amount), "kind": "promotional"})
    return funds


STOPPED = threading.Event()


def endure(product: Product, answers: Answers, ordeal: Ordeal) -> tuple[list[Caller], Sampler, Counter[str]]:
    """Let the callers call while the blows fall, until there were debits enough."""
    stop, hit = threading.Event(), Counter[str]()
    sampler = Sampler(product, stop)
    callers = [
        Caller(number, port=product.port, key=product.key, wallets=ordeal.wallets, answers=answers, stop=stop)
        for number in range(1, ordeal.callers + 1)
    ]
    for thread in (sampler, *callers):
        thread.start()

    def wait_for(count: float) -> None:
        end = time.monotonic() + RECOVERY_SECONDS
        while answers.count < count and time.monotonic() < end and not any(caller.trouble for caller in callers):
            time.sleep(0.02)

    for blow in ordeal.blows:
        wait_for(answers.count + ordeal.between * (1 + random.random()))
        hit[blow] += product.suffer(blow)
    wait_for(max(ordeal.debits, answers.count + ordeal.between))
    stop.set()
    for thread in (sampler, *callers):
        thread.join(timeout=2 * RECOVERY_SECONDS)
    assert not any(caller.is_alive() for caller in callers), "a caller hangs"
    return callers, sampler, hit


def recorded(product: Product) -> set[tuple[str, str, str]]:
    return set(
        product.rows(
            "SELECT c.external_id, e.event_id, e.status FROM billing_usageevent e"
            " JOIN billing_customer c ON c.id = e.customer_id"
        )
    )


def is_quiet(product: Product) -> bool:
    """Whether the workers have done what was left: messages relayed, and what nobody captured given back."""
    return product.rows(
        "SELECT (SELECT COUNT(*) FROM billing_outboxevent WHERE state <> 'relayed'),"
        " (SELECT COUNT(*) FROM billing_authorization WHERE status = 'open' AND expires_at <= now())"
    ) == [(0, 0)]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_was_acknowledged_survives_every_kill(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers")
    with running(tmp_path) as product:
        funds = fill(product, ORDEAL.wallets)
        callers, sampler, hit = endure(product, answers, ORDEAL)

        assert [caller.trouble for caller in callers if caller.trouble] == []
        assert {blow for blow in ORDEAL.blows if not hit[blow]} == set(), "a blow went amiss"
        assert hit["postgres"] >= 2
        assert sum(caller.lost_answers for caller in callers) > 0, "nobody was interrupted, so this proves nothing"
        statuses = sum((caller.statuses for caller in callers), Counter[int]())
        assert {200, 201, 402} <= statuses.keys()
        assert (sampler.below, sampler.samples > 20) == (0, True), "a balance was below its limit"

        assert processes.eventually(product.is_ready, seconds=RECOVERY_SECONDS)
        assert processes.eventually(lambda: is_quiet(product), seconds=RECOVERY_SECONDS), product.log.read_text()[
            -2000:
        ]
        acknowledged, found = answers.read(), recorded(product)
        print(f"{len(acknowledged)} acknowledged, {dict(statuses)}, {dict(hit)}, {sampler.samples} samples")
        assert len(acknowledged) >= ORDEAL.debits
        assert acknowledged - found == set(), "an acknowledged event is lost"
        assert {*acknowledged, ("wallet-1", str(uuid7()), "charged")} - found != set(), "a loss would not be seen"
        check_books(product, answers, funds)
        proved = processes.run("verify_ledger", DATA_DIR=str(product.data))
        assert proved.returncode == 0, proved.stdout + proved.stderr


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not ENDURES, reason="ANTE_LONG=1")
def test_a_database_that_answers_before_it_has_written_is_found_out(tmp_path: Path) -> None:
    """The control: with ``synchronous_commit`` off some of what was acknowledged is lost, and this is seen."""
    answers = Answers(tmp_path / "answers")
    with running(tmp_path) as product:
        fill(product, FORGETFUL.wallets)
        with product.database() as connection:
            connection.execute("ALTER ROLE CURRENT_USER SET synchronous_commit = off")
        callers, _, hit = endure(product, answers, FORGETFUL)

        assert hit["postgres"] >= 1
        assert processes.eventually(product.is_ready, seconds=RECOVERY_SECONDS)
        lost = answers.read() - recorded(product)
        told = [caller.trouble for caller in callers if caller.trouble]  # What they were promised is not there.
        print(f"{len(lost)} of {answers.count} acknowledged are lost; {len(told)} callers noticed")
        assert lost or told


def check_books(product: Product, answers: Answers, funds: dict[str, Decimal]) -> None:
    """Nothing twice, nothing below the limit, no gap, and each wallet down by what its events cost."""
    doubled = product.rows(
        "SELECT customer_id, source, event_id FROM billing_usageevent GROUP BY 1, 2, 3 HAVING COUNT(*) > 1"
    )
    assert doubled == []
    charges = product.rows("SELECT event_id, SUM(amount), COUNT(*) FROM billing_charge GROUP BY 1")
    assert {(amount, count) for _, amount, count in charges} == {(EVENT, 1)}
    wallets: list[Any] = product.rows(
        "SELECT c.external_id, b.available, b.held, b.seq,"
        "  (SELECT COUNT(*) FROM billing_usageevent e WHERE e.customer_id = c.id AND e.status = 'charged'),"
        "  (SELECT array_agg(seq ORDER BY seq) FROM billing_ledgerentry l WHERE l.balance_id = b.id)"
        " FROM billing_customer c JOIN billing_balance b ON b.customer_id = c.id"
    )
    assert len(wallets) == len(funds)
    for name, available, held, seq, charged, seqs in wallets:
        assert available >= 0, name
        assert available + held == funds[name] - EVENT * charged, name
        assert seqs == list(range(1, seq + 1)), name
    captured = list(answers.authorizations())
    ends = product.rows("SELECT status, captured FROM billing_authorization WHERE id = ANY(%s::uuid[])", captured)
    # Who captured after the time was over was charged all the same.
    assert {status for status, _ in ends} <= {"captured", "expired"}
    assert {amount for status, amount in ends if status == "captured"} == {EVENT}
