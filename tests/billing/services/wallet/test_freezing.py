"""A frozen wallet pays for no usage, decided under the lock that a debit takes; what was promised before is kept."""

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing import locks
from billing.errors import InvalidState, WalletFrozen
from billing.models import Balance, Customer, OutboxEvent, UsageEvent, Wallet
from billing.services import authorizations, usage
from billing.services.usage import unpaid
from billing.services.wallet import wallets
from tests.builders import Shop


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer(usd="10")


def freeze(customer: Customer) -> None:
    wallets.freeze(actor=SYSTEM, customer=customer, reason="Stolen card")


def test_usage_is_refused_with_its_own_code_and_charged_again_afterwards(acme: Customer, shop: Shop) -> None:
    freeze(acme)
    refused = shop.record(acme, id="during", input_tokens=1000)
    assert isinstance(refused.error, WalletFrozen)
    row = UsageEvent.objects.get(event_id="during")
    assert (row.status, row.refusal["code"]) == ("rejected", "wallet_frozen")  # type: ignore[index]
    assert shop.balance(acme).available == 10

    wallets.unfreeze(actor=SYSTEM, customer=acme, reason="It was not")

    assert shop.record(acme, id="after", input_tokens=1000).error is None
    # The same event again gets the same answer, as with every refusal.
    again = shop.record(acme, id="during", input_tokens=1000)
    assert isinstance(again.error, WalletFrozen)
    assert again.replayed


def test_a_program_is_told_so(acme: Customer, shop: Shop, client: Client) -> None:
    freeze(acme)
    event = {"specversion": "1.0", "id": "1", "source": "gateway", "type": "llm.completion", "subject": "acme"}
    answer = client.post(
        "/api/v1/events",
        {**event, "data": {"input_tokens": 1}},
        content_type="application/json",
        headers={"authorization": f"Bearer {shop.key()}"},
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "wallet_frozen")


def test_the_others_of_a_batch_are_charged(acme: Customer, shop: Shop) -> None:
    other = shop.customer("other", usd="5")
    freeze(acme)
    events = [shop.event(who, input_tokens=1000) for who in (acme, other, acme, other)]
    assert [outcome.error is None for outcome in usage.record(events)] == [False, True, False, True]


def test_nothing_more_is_set_aside_and_what_was_is_captured(acme: Customer, shop: Shop) -> None:
    before = authorizations.open_for_usage(event=shop.event(acme, input_tokens=1_000_000)).authorization
    plain = authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(1)).authorization
    freeze(acme)
    with pytest.raises(WalletFrozen):
        authorizations.open_for_usage(event=shop.event(acme, input_tokens=1))
    with pytest.raises(WalletFrozen):
        authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(1))

    captured = authorizations.capture_usage(authorization=before, event=shop.event(acme, input_tokens=1_200_000))
    authorizations.capture_amount(authorization=plain, amount=Decimal(1))

    assert captured.outcome is not None
    assert captured.outcome.cost == {"usd": Decimal("2.5")}  # What was set aside, and no more.
    assert shop.balance(acme).available == Decimal("6.5")


def test_debts_of_before_are_collected_from_what_comes_in(shop: Shop) -> None:
    acme = shop.customer(on_insufficient_funds="overdraft")
    assert shop.record(acme, id="unpaid", input_tokens=1_000_000).status == "unpaid"
    freeze(acme)
    shop.fund(acme, "5")
    assert unpaid.collect_due() == 1
    assert shop.balance(acme).available == Decimal("2.5")


def test_a_balance_made_later_is_frozen_as_well(acme: Customer, shop: Shop) -> None:
    freeze(acme)
    shop.asset("credits")
    shop.fund(acme, "5", asset="credits")
    assert set(Balance.objects.filter(customer=acme).values_list("asset", "frozen")) == {
        ("usd", True),
        ("credits", True),
    }
    wallets.unfreeze(actor=SYSTEM, customer=acme, reason="It was not")
    assert not Balance.objects.filter(frozen=True).exists()


def test_it_is_told_and_kept_in_the_trail_once(acme: Customer) -> None:
    freeze(acme)
    with pytest.raises(InvalidState, match="frozen already"):
        freeze(acme)
    assert Wallet.objects.get(customer=acme).frozen_reason == "Stolen card"
    assert AuditEvent.objects.filter(action="wallet.frozen").count() == 1
    assert OutboxEvent.objects.filter(type="wallet.frozen").count() == 1
    wallets.unfreeze(actor=SYSTEM, customer=acme, reason="x")
    with pytest.raises(InvalidState, match="unfrozen already"):
        wallets.unfreeze(actor=SYSTEM, customer=acme, reason="x")
    assert Wallet.objects.get(customer=acme).frozen_at is None


def test_it_costs_the_charge_no_further_question(acme: Customer, shop: Shop) -> None:
    def questions() -> int:
        with CaptureQueriesContext(connection) as asked:
            shop.record(acme, input_tokens=1000)
        return len(asked)

    questions()
    open_ = questions()
    freeze(acme)
    assert questions() <= open_


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """A freezing that stops before its commit: (it has come there, it may go on)."""
    there, go_on = threading.Event(), threading.Event()
    record = wallets.audit.record

    def slowly(**line: Any) -> Any:
        if line["action"] == "wallet.frozen":
            there.set()
            go_on.wait(60)
        return record(**line)

    monkeypatch.setattr(wallets.audit, "record", slowly)
    yield there, go_on
    go_on.set()


def _charge_during(acme: Customer, shop: Shop, held_up: tuple[threading.Event, threading.Event]) -> Any:
    """What became of an event that came while the wallet was being frozen, and was decided on when it was."""
    there, go_on = held_up
    outcomes: list[Any] = []
    event = shop.event(acme, input_tokens=1000)

    def run(step: Any) -> None:
        try:
            outcomes.append(step())
        finally:
            connections.close_all()

    freezing = threading.Thread(target=run, args=(lambda: freeze(acme),))
    freezing.start()
    assert there.wait(60)
    charging = threading.Thread(target=run, args=(lambda: usage.record([event])[0],))
    charging.start()
    # It comes to the lock, or, where there is none, past it.
    charging.join(0.7)
    go_on.set()
    freezing.join(60)
    charging.join(60)
    return next(outcome for outcome in outcomes if outcome is not None)


def test_a_charge_that_waits_for_a_freezing_is_refused(
    committed_db: None, shop: Shop, held_up: tuple[threading.Event, threading.Event]
) -> None:
    outcome = _charge_during(shop.customer(usd="10"), shop, held_up)
    assert isinstance(outcome.error, WalletFrozen)


@pytest.mark.corrupts_books
def test_without_the_lock_it_would_be_charged(
    committed_db: None,
    shop: Shop,
    held_up: tuple[threading.Event, threading.Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    acme = shop.customer(usd="10")
    shop.record(acme, input_tokens=1)
    monkeypatch.setattr(locks, "_BALANCES", locks._BALANCES.replace("FOR UPDATE", ""))
    assert _charge_during(acme, shop, held_up).error is None
