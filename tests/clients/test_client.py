"""The client: what it sends, what it repeats, what it raises."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ante_client import (
    Ante,
    AsyncAnte,
    Conflict,
    NotFound,
    PaymentRequired,
    Refused,
    Retry,
    Throttled,
    UnpricedUsage,
    Unreachable,
    Unseen,
    calls,
    new_id,
)
from tests.clients.conftest import QUICK
from tests.clients.standin import OPERATOR_KEY, Billing, Refusal

EXPECTED = {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 1000}
USED = {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 300}


def test_so_much_of_a_metric_at_a_price(ante: Ante, billing: Billing) -> None:
    name = ante.usage.record("acme", "gpt_tokens", 8420, unit_price="0.00003", meta={"user": "u_17"})

    (event,) = billing.events.values()
    assert event["id"] == name
    assert event["type"] == "gpt_tokens"
    assert event["data"] == {"user": "u_17", "quantity": "8420", "unit_price": "0.00003", "amount": "0.25260"}
    assert billing.wallets["acme"] == Decimal("99.7474")


@pytest.mark.parametrize("quantity", [0.1, True, "NaN", "Infinity", "many"])
def test_what_is_not_exact_is_not_sent(ante: Ante, billing: Billing, quantity: Any) -> None:
    with pytest.raises((TypeError, ValueError, ArithmeticError)):
        ante.usage.record("acme", "gpt_tokens", quantity)

    assert billing.seen == []


def test_meta_cannot_say_what_the_arguments_say(ante: Ante) -> None:
    with pytest.raises(ValueError, match="amount"):
        ante.usage.record("acme", "gpt_tokens", 1, meta={"amount": "0"})


def test_one_id_from_the_hold_to_the_debit(ante: Ante, billing: Billing) -> None:
    name = new_id()

    held = ante.wallet.authorize("acme", "llm.completion", EXPECTED | {"inference_id": name}, id=name)
    assert held.id is not None
    assert billing.wallets["acme"] == Decimal("98.9")
    event = calls.event(customer="acme", type="llm.completion", data=USED, id=name, source="app")
    receipt = ante.wallet.capture(held.id, event)

    assert billing.seen[0].headers["idempotency-key"] == name
    assert receipt.id == name
    assert receipt.cost == {"usd": Decimal("0.4")}
    assert billing.wallets["acme"] == Decimal("99.6")
    assert ante.balance("acme")["usd"].available == Decimal("99.6")


def test_what_is_voided_goes_back(ante: Ante, billing: Billing) -> None:
    held = ante.wallet.authorize_amount("acme", "usd", "10")
    assert held.id is not None

    ante.wallet.void(held.id)

    assert billing.wallets["acme"] == 100


@pytest.mark.parametrize("fault", ["cut", "lose", 500, 503, 429])
def test_the_same_is_asked_again_and_happens_once(ante: Ante, billing: Billing, fault: Any) -> None:
    billing.faults.append(fault)

    ante.wallet.authorize("acme", "llm.completion", EXPECTED)

    assert len({request.headers["idempotency-key"] for request in billing.seen}) == 1
    assert len(billing.authorizations) == 1
    assert billing.wallets["acme"] == Decimal("98.9")


def test_an_event_is_sent_again_under_its_id(ante: Ante, billing: Billing) -> None:
    billing.faults.extend(["lose", 503, "cut"])

    ante.usage.report("acme", "llm.completion", USED)

    assert len(billing.seen) == 4
    assert len(billing.events) == 1


def test_after_so_many_tries_it_is_unreachable(ante: Ante, billing: Billing) -> None:
    billing.faults.extend([503] * QUICK.attempts)

    with pytest.raises(Unreachable, match="a fault"):
        ante.balance("acme")

    assert len(billing.seen) == QUICK.attempts


@pytest.mark.parametrize(
    ("act", "kind", "code"),
    [
        (lambda ante: ante.balance("globex"), NotFound, "not_found"),
        (lambda ante: ante.usage.report("acme", "unpriced", USED), UnpricedUsage, "unpriced_usage"),
        (lambda ante: ante.wallet.authorize_amount("acme", "usd", 101), PaymentRequired, "insufficient_funds"),
    ],
    ids=["not_found", "unpriced", "funds"],
)
def test_a_refusal_is_an_exception_and_is_not_repeated(
    ante: Ante, billing: Billing, act: Callable[[Ante], Any], kind: type[Refused], code: str
) -> None:
    with pytest.raises(kind) as raised:
        act(ante)

    assert raised.value.code == code
    assert len(billing.seen) == 1


def test_the_same_id_with_other_content_is_a_conflict(ante: Ante) -> None:
    ante.usage.report("acme", "llm.completion", USED, id="one")

    with pytest.raises(Conflict):
        ante.usage.report("acme", "llm.completion", EXPECTED, id="one")


def test_retry_after_is_heeded_but_not_for_ever() -> None:
    retry = Retry(first=0.1, longest=4.0)

    assert retry.pause(1, 2.0) == 2.0
    assert retry.pause(1, 3600.0) == 4.0
    assert 0.05 <= retry.pause(1) <= 0.1
    assert 2.0 <= retry.pause(30) <= 4.0


def test_closed_means_that_nobody_passes_unasked(ante: Ante, billing: Billing) -> None:
    billing.away = True

    with pytest.raises(Unreachable):
        ante.wallet.authorize("acme", "llm.completion", EXPECTED)


def test_open_lets_so_many_pass_and_no_more(billing: Billing) -> None:
    billing.wallets |= {"globex": Decimal(100), "poor": Decimal(0)}
    unseen = Unseen(runs=3, runs_of_one=2)
    with Ante(billing.address, OPERATOR_KEY, fail="open", unseen=unseen, retry=QUICK) as ante:
        with pytest.raises(PaymentRequired):
            ante.wallet.authorize("poor", "llm.completion", EXPECTED)
        billing.away = True

        assert [ante.wallet.authorize("acme", "llm.completion", EXPECTED).unseen for _ in range(2)] == [True, True]
        with pytest.raises(Unreachable):
            ante.wallet.authorize("acme", "llm.completion", EXPECTED)
        with pytest.raises(Unreachable):  # Who had nothing a moment ago.
            ante.wallet.authorize("poor", "llm.completion", EXPECTED)
        assert ante.wallet.authorize("globex", "llm.completion", EXPECTED).unseen
        with pytest.raises(Unreachable):  # All together.
            ante.wallet.authorize("globex", "llm.completion", EXPECTED)

        billing.away = False
        assert not ante.wallet.authorize("acme", "llm.completion", EXPECTED).unseen
        billing.away = True
        assert ante.wallet.authorize("acme", "llm.completion", EXPECTED).unseen


def test_a_budget_that_asks_to_come_again_later_is_an_answer(billing: Billing) -> None:
    """Whoever fails open does not get past it."""
    billing.faults.append(Refusal(429, "rate_limited", budget="b", resets_at="2027-01-01T00:00:00Z"))
    with Ante(billing.address, OPERATOR_KEY, fail="open", retry=QUICK) as ante, pytest.raises(Throttled) as raised:
        ante.wallet.authorize("acme", "llm.completion", EXPECTED)
    assert raised.value.problem["resets_at"] == "2027-01-01T00:00:00Z"
    assert len(billing.seen) == 1


def test_a_run_that_breaks_off_raises_its_own_error_whoever_is_away(ante: Ante, billing: Billing) -> None:
    billing.leaves_after = "/authorizations"
    with pytest.raises(ZeroDivisionError), ante.inference("acme", "llm.completion", EXPECTED):
        raise ZeroDivisionError
    assert billing.statuses() == ["open"]  # It lapses by itself.


def test_the_same_for_asyncio(billing: Billing) -> None:
    async def work() -> None:
        async with AsyncAnte(billing.address, OPERATOR_KEY, retry=QUICK) as ante:
            billing.faults.append("lose")
            name = new_id()
            held = await ante.wallet.authorize("acme", "llm.completion", EXPECTED, id=name)
            assert held.id is not None
            assert held.affordable == {"output_tokens": Decimal(99900)}
            event = calls.event(customer="acme", type="llm.completion", data=USED, id=name, source="app")
            assert (await ante.wallet.capture(held.id, event)).cost == {"usd": Decimal("0.4")}
            await ante.usage.record("acme", "gpt_tokens", 10, unit_price="0.01")
            assert (await ante.balance("acme"))["usd"].available == Decimal("99.5")
            with pytest.raises(PaymentRequired):
                await ante.wallet.authorize_amount("acme", "usd", 1000)
            await asyncio.gather(*(ante.usage.report("acme", "llm.completion", USED) for _ in range(20)))

    asyncio.run(work())

    assert len(billing.events) == 22
