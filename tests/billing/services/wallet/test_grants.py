"""Grants: value comes in, lapses and starts, always through the ledger and always once."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing.errors import InvalidRequest
from billing.models import Grant, LedgerEntry, LedgerTransaction, OutboxEvent
from billing.services import authorizations, one_by_one
from billing.services.ledger import posting as ledger
from billing.services.wallet import grants, wallets
from tests.billing.services.conftest import Clock
from tests.builders import Shop


def test_a_purchase_is_in_the_wallet_at_once(shop: Shop) -> None:
    acme = shop.customer()

    grant = shop.fund(acme, "100", name="Card")

    balance = shop.balance(acme)
    assert (balance.available, balance.lifetime_granted, balance.seq) == (Decimal(100), Decimal(100), 1)
    assert (grant.amount, grant.remaining, grant.posted, grant.open) == (Decimal(100), Decimal(100), True, True)
    assert (grant.paid_amount, grant.paid_currency_id, grant.priority) == (Decimal(100), "usd", 50)
    entry = LedgerEntry.objects.get()
    assert (entry.debit, entry.credit, entry.kind, entry.amount) == (
        "cash_clearing",
        "wallet_available",
        "top_up",
        Decimal(100),
    )
    assert (entry.grant_id, entry.available_after, entry.seq) == (grant.pk, Decimal(100), 1)
    assert LedgerTransaction.objects.get().reference == f"grant:{grant.pk}"


@pytest.mark.parametrize(
    ("kind", "debit", "entry_kind"),
    [
        ("purchase", "cash_clearing", "top_up"),
        ("promotional", "promotional_expense", "grant"),
        ("allowance", "allowances", "grant"),
        ("adjustment", "adjustment", "adjustment"),
        ("rollover", "allowances", "grant"),
    ],
)
def test_each_kind_comes_from_an_account_of_its_own(shop: Shop, kind: str, debit: str, entry_kind: str) -> None:
    shop.fund(shop.customer(), "1", kind=kind)

    entry = LedgerEntry.objects.get()
    assert (entry.debit, entry.credit, entry.kind) == (debit, "wallet_available", entry_kind)
    assert LedgerTransaction.objects.get().template == f"grant.{kind}"


def test_the_world_and_the_trail_are_told(shop: Shop) -> None:
    acme = shop.customer()

    grant = shop.fund(acme, "0.50")

    message = OutboxEvent.objects.get(type="grant.created")
    assert message.payload == {"grant": str(grant.pk), "asset": "usd", "amount": "0.5", "kind": "purchase"}
    trail = AuditEvent.objects.get(action="grant.created")
    assert (trail.object_id, trail.organization_id) == (str(grant.pk), acme.organization_id)
    assert trail.after == {"customer": "acme", "asset": "usd", "amount": "0.5", "kind": "purchase"}


@pytest.mark.parametrize("amount", ["0", "-1", "-0.000000000001"])
def test_an_amount_must_be_positive(shop: Shop, amount: str) -> None:
    acme = shop.customer()

    with pytest.raises(InvalidRequest) as refusal:
        grants.create(actor=SYSTEM, customer=acme, asset=shop.usd, amount=Decimal(amount), kind="purchase")

    assert [error.field for error in refusal.value.errors] == ["amount"]
    assert Grant.objects.count() == LedgerEntry.objects.count() == 0


def test_an_amount_finer_than_its_asset_is_refused_not_rounded(shop: Shop) -> None:
    acme = shop.customer()
    shop.asset("images", precision=0)

    with pytest.raises(InvalidRequest, match="images has at most 0 decimals"):
        shop.fund(acme, "1.5", asset="images", kind="promotional")

    assert shop.fund(acme, "2.000", asset="images", kind="promotional").remaining == 2


@pytest.mark.parametrize(
    ("effective_in", "expires_in"), [(None, -1), (None, 0), (10, 10), (10, 5), (-20, -10)], ids=str
)
def test_a_grant_must_end_after_its_start_and_after_now(
    shop: Shop, clock: Clock, effective_in: int | None, expires_in: int
) -> None:
    now = clock.stop()
    acme = shop.customer()
    starts = None if effective_in is None else now + timedelta(seconds=effective_in)

    with pytest.raises(InvalidRequest) as refusal:
        shop.fund(acme, "1", effective_at=starts, expires_at=now + timedelta(seconds=expires_in))

    assert [error.field for error in refusal.value.errors] == ["expires_at"]
    assert Grant.objects.count() == 0


def test_a_wallet_takes_no_more_than_its_balance_can_hold(shop: Shop) -> None:
    acme = shop.customer()
    shop.fund(acme, "600000000000000000")
    shop.fund(acme, "300000000000000000", effective_at=timezone.now() + timedelta(days=1))

    with pytest.raises(InvalidRequest) as refusal:
        shop.fund(acme, "100000000000000000")

    assert [error.field for error in refusal.value.errors] == ["amount"]
    shop.fund(acme, "99999999999999999.999999999999")
    assert shop.balance(acme).available == Decimal("699999999999999999.999999999999")


def test_a_scheduled_grant_is_no_money_yet(shop: Shop) -> None:
    acme = shop.customer()

    grant = shop.fund(acme, "100", effective_at=timezone.now() + timedelta(hours=1))

    assert (grant.posted, grant.open, grant.remaining) == (False, True, Decimal(100))
    assert grant.status_at(timezone.now()) == "scheduled"
    assert shop.balance(acme).available == 0
    assert LedgerEntry.objects.count() == 0


def test_a_grant_that_started_in_the_past_is_active_now(shop: Shop) -> None:
    acme = shop.customer()
    started = timezone.now() - timedelta(days=3)

    shop.fund(acme, "100", effective_at=started)

    assert shop.balance(acme).available == 100
    transaction = LedgerTransaction.objects.get()
    assert (transaction.occurred_at, transaction.posted_at > started) == (started, True)


def test_the_worker_expires_what_has_lapsed(shop: Shop, clock: Clock) -> None:
    acme = shop.customer(usd="5")
    expires_at = clock.stop() + timedelta(hours=1)
    grant = shop.fund(acme, "100", expires_at=expires_at)
    assert grants.settle_due() == 0

    clock.stop(expires_at)
    assert grants.settle_due() == 1

    grant.refresh_from_db()
    assert (grant.remaining, grant.expired, grant.open) == (Decimal(0), Decimal(100), False)
    assert grant.status_at(expires_at) == "expired"
    assert shop.balance(acme).available == 5
    transaction = LedgerTransaction.objects.get(template="grant.expired")
    assert (transaction.reference, transaction.occurred_at) == (f"grant:{grant.pk}:expired:0", expires_at)
    entry = LedgerEntry.objects.get(kind="expiry")
    assert (entry.debit, entry.credit, entry.amount) == ("wallet_available", "breakage", Decimal(100))
    message = OutboxEvent.objects.get(type="grant.expired")
    assert message.payload == {"grant": str(grant.pk), "asset": "usd", "amount": "100"}


def test_what_is_held_of_a_very_large_grant_expires_later_as_well(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    amount = "123456789012345678.123456789012"
    grant = shop.fund(acme, amount, kind="promotional", expires_at=clock.now() + timedelta(hours=1))
    authorizations.open_for_usage(event=shop.event(acme, input_tokens=400_000))
    clock.forward(hours=2)
    grants.settle_due()
    authorizations.expire_due()

    grant.refresh_from_db()
    assert (grant.expired, grant.remaining) == (Decimal(amount), 0)
    references = LedgerTransaction.objects.filter(template="grant.expired").order_by("id")
    assert [reference.partition(":expired:")[2] for reference in references.values_list("reference", flat=True)] == [
        "0",
        f"x{123456789012345677123456789012:x}",
    ]


def test_the_worker_takes_only_what_is_left(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    grant = shop.fund(acme, "1", expires_at=clock.now() + timedelta(hours=1))
    shop.record(acme, input_tokens=1000)

    clock.forward(hours=2)
    grants.settle_due()

    grant.refresh_from_db()
    assert (grant.drawn, grant.expired) == (Decimal("0.0025"), Decimal("0.9975"))


def test_the_worker_starts_what_is_due(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    starts_at = clock.stop() + timedelta(hours=1)
    grant = shop.fund(acme, "100", effective_at=starts_at)

    clock.stop(starts_at)
    assert grants.settle_due() == 1

    grant.refresh_from_db()
    assert grant.posted
    assert shop.balance(acme).available == 100
    assert LedgerTransaction.objects.get().occurred_at == starts_at


def test_the_worker_books_a_scheduled_grant_that_has_come_and_gone(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    shop.fund(acme, "100", effective_at=clock.now() + timedelta(hours=1), expires_at=clock.now() + timedelta(hours=2))

    clock.forward(hours=3)
    assert grants.settle_due() == 2

    assert [(e.kind, e.amount) for e in LedgerEntry.objects.order_by("seq")] == [
        ("top_up", Decimal(100)),
        ("expiry", Decimal(100)),
    ]
    assert shop.balance(acme).available == 0


def test_twice_is_once(shop: Shop, clock: Clock) -> None:
    for number in range(3):
        shop.fund(shop.customer(f"c{number}"), "1", expires_at=clock.now() + timedelta(hours=1))
    clock.forward(hours=2)

    assert [grants.settle_due(), grants.settle_due()] == [3, 0]
    assert LedgerEntry.objects.filter(kind="expiry").count() == 3


def test_many_wallets_are_settled_in_one_run(shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_by_one, "PAGE", 2)
    for number in range(5):
        acme = shop.customer(f"c{number}", plan=None)
        shop.fund(acme, "1", expires_at=clock.now() + timedelta(hours=1))
        shop.fund(acme, "2", expires_at=clock.now() + timedelta(hours=1))
    clock.forward(hours=2)

    assert grants.settle_due() == 10


def test_an_expiry_does_not_touch_what_is_owed(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    shop.fund(
        acme,
        "10",
        kind="promotional",
        applies_to={"meters": ["llm_input"]},
        expires_at=clock.now() + timedelta(hours=1),
    )
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(1))
    shop.record(acme, output_tokens=50_000)
    assert shop.balance(acme).available == Decimal("9.5")

    clock.forward(hours=2)
    grants.settle_due()

    balance = shop.balance(acme)
    assert (balance.available, balance.owed) == (Decimal("-0.5"), Decimal("0.5"))


def test_a_crash_after_the_first_wallet_leaves_it_settled_and_the_next_run_does_the_rest(
    shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        shop.fund(shop.customer(f"c{number}"), "1", expires_at=clock.now() + timedelta(hours=1))
    clock.forward(hours=2)
    write, calls = ledger.Journal.write, []

    def crash_second(journal: ledger.Journal, *args: Any, **kwargs: Any) -> None:
        calls.append(journal)
        if len(calls) == 2:
            raise SystemExit("the worker is gone")
        write(journal, *args, **kwargs)

    with monkeypatch.context() as broken:
        broken.setattr(ledger.Journal, "write", crash_second)
        with pytest.raises(SystemExit):
            grants.settle_due()

    assert LedgerEntry.objects.filter(kind="expiry").count() == 1
    assert grants.settle_due() == 1


@pytest.mark.parametrize(
    ("fields", "ahead", "status"),
    [
        ({}, 0, "active"),
        ({"effective_at": 10}, 5, "scheduled"),
        ({"effective_at": 10}, 10, "active"),
        ({"expires_at": 10}, 9, "active"),
        ({"expires_at": 10}, 10, "expired"),
    ],
)
def test_a_grants_status_does_not_wait_for_a_worker(
    shop: Shop, clock: Clock, fields: dict[str, int], ahead: int, status: str
) -> None:
    now = clock.stop()
    moments = {name: now + timedelta(seconds=seconds) for name, seconds in fields.items()}

    grant = shop.fund(shop.customer(), "1", **moments)

    assert grant.status_at(now + timedelta(seconds=ahead)) == status


def test_a_spent_grant_is_depleted_and_stays_so_after_its_time(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    grant = shop.fund(acme, "0.0025", expires_at=clock.now() + timedelta(hours=1))
    shop.record(acme, input_tokens=1000)
    clock.forward(hours=2)
    grants.settle_due()

    grant.refresh_from_db()
    assert grant.status_at(clock.now()) == "depleted"
    assert LedgerEntry.objects.filter(kind="expiry").count() == 0


def test_a_restricted_grant_does_not_pay_a_debt_that_other_usage_made(shop: Shop) -> None:
    acme = shop.customer()
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(1))
    shop.record(acme, output_tokens=30_000)
    assert shop.balance(acme).owed == Decimal("0.3")

    grant = shop.fund(acme, "0.2", applies_to={"meters": ["llm_input"]})

    assert (grant.remaining, grant.drawn) == (Decimal("0.2"), Decimal(0))
    assert shop.balance(acme).owed == Decimal("0.3")
    shop.fund(acme, "1")
    assert shop.balance(acme).owed == 0
