"""What the database asks to be tried again is, a few times, and then the caller is told."""

from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection

from accounts.services import audit
from billing.errors import WalletBusy
from billing.services import subscriptions
from billing.services.catalog import plans
from billing.services.customer import customers
from billing.services.retrying import ATTEMPTS_MAX, retried
from tests.builders import Shop


def trouble(cause: type[psycopg.Error]) -> OperationalError:
    error = OperationalError("trouble")
    error.__cause__ = cause()
    return error


def failing(times: int, cause: type[psycopg.Error]) -> Any:
    calls: list[int] = []

    @retried
    def function() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise trouble(cause)
        return len(calls)

    function.calls = calls  # type: ignore[attr-defined]
    return function


TRANSIENT = [psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure]


@pytest.mark.parametrize("cause", TRANSIENT)
def test_a_lock_that_could_not_be_had_is_tried_again(committed_db: None, cause: type[psycopg.Error]) -> None:
    assert failing(ATTEMPTS_MAX - 1, cause)() == ATTEMPTS_MAX


@pytest.mark.parametrize("cause", TRANSIENT)
def test_after_a_few_times_the_wallet_is_busy(committed_db: None, cause: type[psycopg.Error]) -> None:
    function = failing(99, cause)

    with pytest.raises(WalletBusy):
        function()

    assert len(function.calls) == ATTEMPTS_MAX


@pytest.mark.parametrize("cause", [psycopg.errors.AdminShutdown, psycopg.errors.QueryCanceled])
def test_other_trouble_is_not_tried_again(committed_db: None, cause: type[psycopg.Error]) -> None:
    function = failing(99, cause)

    with pytest.raises(OperationalError):
        function()

    assert len(function.calls) == 1


def test_a_part_of_a_transaction_is_not_repeated_alone(db: None) -> None:
    assert connection.in_atomic_block
    function = failing(1, psycopg.errors.DeadlockDetected)

    with pytest.raises(OperationalError):
        function()

    assert len(function.calls) == 1


@pytest.mark.parametrize("what", ["update", "publish_version", "start"])
def test_the_slow_changes_are_tried_again_as_a_whole(
    committed_db: None, shop: Shop, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    customer, plan = shop.customer(plan=None), shop.plan().plan
    prices = [shop.price(shop.meter("llm_input"), "1")]
    record, failures = audit.record, [trouble(psycopg.errors.LockNotAvailable)]

    def fails_once(**fields: Any) -> Any:
        line = record(**fields)
        if failures:
            raise failures.pop()
        return line

    monkeypatch.setattr(audit, "record", fails_once)
    if what == "update":
        assert customers.update(actor=audit.SYSTEM, customer=customer, changes={"name": "New"}).name == "New"
    elif what == "publish_version":
        version = plans.publish_version(actor=audit.SYSTEM, plan=plan, interval="month", prices=prices)
        assert version.number == 2
    else:
        assert subscriptions.start(actor=audit.SYSTEM, customer=customer, plan=plan).plan_version.number == 1
    assert failures == []
