"""Voiding a grant: what is left goes back to where it came from, what is spent or held stays, and once is enough."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing.errors import InvalidState
from billing.models import Customer, Grant, LedgerEntry, LedgerTransaction, OutboxEvent
from billing.services import authorizations
from billing.services.wallet import grants
from tests.billing.services.conftest import Clock
from tests.builders import Shop

REASON = "Bought by mistake"


def void(grant: Grant) -> Grant:
    return grants.void(actor=SYSTEM, grant=grant, reason=REASON)


def units(grant: Grant) -> tuple[Decimal, ...]:
    """(remaining, held, drawn, voided)"""
    grant.refresh_from_db()
    return grant.remaining, grant.held, grant.drawn, grant.voided


def held(shop: Shop, customer: Customer, amount: str) -> authorizations.Opened:
    return authorizations.open_amount(customer=customer, asset=shop.usd, amount=Decimal(amount))


@pytest.mark.parametrize(
    ("kind", "account"),
    [
        ("purchase", "cash_clearing"),
        ("promotional", "promotional_expense"),
        ("allowance", "allowances"),
        ("adjustment", "adjustment"),
        ("rollover", "allowances"),
    ],
)
def test_what_is_left_goes_back_to_where_it_came_from(shop: Shop, clock: Clock, kind: str, account: str) -> None:
    acme = shop.customer()
    grant = shop.fund(acme, "1", kind=kind)
    shop.record(acme, input_tokens=1000)

    voided = void(grant)

    assert units(grant) == (0, 0, Decimal("0.0025"), Decimal("0.9975"))
    assert voided.status_at(clock.now()) == "voided"
    assert not voided.open
    assert shop.balance(acme).available == 0
    transaction = LedgerTransaction.objects.get(template="grant.voided")
    assert transaction.reference.startswith(f"grant:{grant.pk}:voided:")
    entry = transaction.entries.get()
    assert (entry.debit, entry.credit, entry.kind) == ("wallet_available", account, "void")
    assert (entry.amount, entry.available_after, entry.grant_id) == (Decimal("0.9975"), 0, grant.pk)


def test_the_trail_says_who_and_why_and_the_world_is_told(shop: Shop) -> None:
    acme = shop.customer()
    grant = shop.fund(acme, "5")

    void(grant)

    trail = AuditEvent.objects.get(action="grant.voided")
    assert (trail.object_id, trail.organization_id) == (str(grant.pk), acme.organization_id)
    assert trail.after == {"customer": "acme", "voided": "5", "reason": REASON}
    message = OutboxEvent.objects.get(type="grant.voided")
    assert message.payload == {"grant": str(grant.pk), "asset": "usd", "amount": "5"}


def test_a_grant_that_has_not_started_is_closed_without_an_entry_and_never_starts(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    grant = shop.fund(acme, "5", effective_at=clock.now() + timedelta(hours=1))

    assert void(grant).status_at(clock.now()) == "voided"
    clock.forward(hours=2)
    assert grants.settle_due() == 0

    assert units(grant) == (0, 0, 0, 5)
    assert (grant.posted, grant.open) == (False, False)
    assert LedgerEntry.objects.count() == 0
    assert shop.balance(acme).available == 0


def test_one_whose_start_was_not_booked_yet_is_booked_and_taken_back(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    grant = shop.fund(acme, "5", effective_at=clock.now() + timedelta(hours=1))
    clock.forward(hours=2)

    void(grant)

    assert [entry.kind for entry in LedgerEntry.objects.order_by("seq")] == ["top_up", "void"]


@pytest.mark.parametrize("end", ["void", "expiry", "capture", "partial"])
def test_what_is_held_stays_and_goes_out_when_it_is_given_back(shop: Shop, clock: Clock, end: str) -> None:
    acme = shop.customer()
    grant = shop.fund(acme, "10")
    opened = held(shop, acme, "4")

    assert void(grant).status_at(clock.now()) == "voided"
    assert units(grant) == (0, 4, 0, 6)
    assert (shop.balance(acme).available, shop.balance(acme).held) == (0, 4)

    if end == "void":
        authorizations.void(authorization=opened.authorization)
    elif end == "expiry":
        clock.forward(hours=1)
        assert authorizations.expire_due() == 1
    elif end == "capture":
        authorizations.capture_amount(authorization=opened.authorization, amount=Decimal(1))
    else:
        authorizations.capture_amount(authorization=opened.authorization, amount=Decimal(1), final=False)

    expected = {"void": (0, 0, 0, 10), "expiry": (0, 0, 0, 10), "capture": (0, 0, 1, 9), "partial": (0, 3, 1, 6)}
    assert units(grant) == expected[end]
    assert shop.balance(acme).available == 0
    assert grant.status_at(clock.now()) == "voided"
    if end != "partial":
        assert LedgerTransaction.objects.filter(template="grant.voided").count() == 2


def test_usage_pays_from_what_was_held_on_a_voided_grant_and_from_nothing_else_of_it(shop: Shop) -> None:
    acme = shop.customer()
    grant = shop.fund(acme, "10")
    opened = authorizations.open_for_usage(event=shop.event(acme, id="", input_tokens=1_000_000))
    void(grant)

    event = shop.event(acme, input_tokens=400_000)
    authorizations.capture_usage(authorization=opened.authorization, event=event)

    assert units(grant) == (0, 0, 1, 9)
    assert shop.record(acme, input_tokens=1).status == "rejected"


def test_what_came_back_to_a_voided_grant_is_void_even_after_its_time(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    grant = shop.fund(acme, "10", expires_at=clock.now() + timedelta(minutes=5))
    held(shop, acme, "4")
    void(grant)

    clock.forward(hours=1)
    grants.settle_due()
    authorizations.expire_due()

    assert units(grant) == (0, 0, 0, 10)
    assert grant.expired == 0


def test_all_of_it_held_is_still_something_to_take_back(shop: Shop, clock: Clock) -> None:
    acme = shop.customer()
    grant = shop.fund(acme, "4")
    opened = held(shop, acme, "4")

    assert void(grant).status_at(clock.now()) == "voided"
    assert not LedgerEntry.objects.filter(kind="void").exists()
    authorizations.void(authorization=opened.authorization)

    assert units(grant) == (0, 0, 0, 4)


@pytest.mark.parametrize("state", ["depleted", "expired", "expired, not booked", "voided", "voided, held"])
def test_where_nothing_is_left_it_is_refused(shop: Shop, clock: Clock, state: str) -> None:
    acme = shop.customer()
    grant = shop.fund(acme, "0.0025", expires_at=clock.now() + timedelta(hours=1))
    if state == "depleted":
        shop.record(acme, input_tokens=1000)
    elif state.startswith("expired"):
        clock.forward(hours=2)
        if state == "expired":
            grants.settle_due()
    else:
        if state == "voided, held":
            held(shop, acme, "0.001")
        void(grant)
    before = (LedgerEntry.objects.count(), units(grant), AuditEvent.objects.count())

    with pytest.raises(InvalidState) as refusal:
        void(grant)

    assert refusal.value.figures == {"status": state.partition(",")[0]}
    assert (LedgerEntry.objects.count(), units(grant), AuditEvent.objects.count()) == before
