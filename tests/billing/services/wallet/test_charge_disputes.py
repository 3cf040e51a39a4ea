"""Charges that a customer disputes with us: one open case an event, and what was accepted goes back."""

from decimal import Decimal

import pytest

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing.errors import InvalidRequest, InvalidState
from billing.models import ChargeDispute, Customer, DisputedEvent, OutboxEvent, UsageEvent
from billing.selectors.funding import charge_disputes as selector
from billing.selectors.usage import events
from billing.services.wallet import charge_disputes, corrections
from tests.billing.models.going_around import refused_by
from tests.builders import Shop


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer(usd="10")


def used(shop: Shop, customer: Customer, id: str, tokens: int = 400_000) -> UsageEvent:
    shop.record(customer, id=id, input_tokens=tokens)
    return UsageEvent.objects.get(customer=customer, event_id=id)


def lodge(customer: Customer, *found: UsageEvent, reason: str = "We were asleep") -> ChargeDispute:
    return charge_disputes.lodge(actor=SYSTEM, customer=customer, events=found, reason=reason)


def test_nothing_moves_until_it_is_accepted_and_then_all_of_it_goes_back(shop: Shop, acme: Customer) -> None:
    one, two = used(shop, acme, "one"), used(shop, acme, "two")
    dispute = lodge(acme, one, two)
    assert shop.balance(acme).available == Decimal(8)
    assert selector.amounts([dispute])[dispute.pk] == {"usd": Decimal(2)}
    assert selector.latest_of(one) == dispute

    corrections.reverse(actor=SYSTEM, event=two, reason="Seen already")
    charge_disputes.accept(actor=SYSTEM, dispute=dispute, answer="You are right")

    assert shop.balance(acme).available == Decimal(10)
    assert events.status(UsageEvent.objects.get(pk=one.pk)) == events.REVERSED
    dispute.refresh_from_db()
    assert (dispute.status, dispute.answer) == ("accepted", "You are right")
    told = OutboxEvent.objects.filter(type__startswith="charge_dispute").order_by("id")
    assert [row.type for row in told] == ["charge_dispute.opened", "charge_dispute.closed"]
    assert AuditEvent.objects.filter(object_id=str(dispute.pk)).count() == 2


def test_declined_and_withdrawn_charges_stand_and_may_be_disputed_again(shop: Shop, acme: Customer) -> None:
    one = used(shop, acme, "one")
    charge_disputes.decline(actor=SYSTEM, dispute=lodge(acme, one), answer="It was you")
    charge_disputes.withdraw(actor=SYSTEM, dispute=lodge(acme, one))

    lodge(acme, one)

    assert shop.balance(acme).available == Decimal(9)
    assert DisputedEvent.objects.filter(open=True).count() == 1


def test_an_event_is_in_one_open_case_and_a_case_is_decided_once(shop: Shop, acme: Customer) -> None:
    one, two = used(shop, acme, "one"), used(shop, acme, "two")
    dispute = lodge(acme, one)

    with pytest.raises(InvalidState):
        lodge(acme, two, one)
    charge_disputes.decline(actor=SYSTEM, dispute=dispute, answer="No")
    with pytest.raises(InvalidState):
        charge_disputes.accept(actor=SYSTEM, dispute=dispute, answer="Yes")

    assert ChargeDispute.objects.count() == 1
    assert shop.balance(acme).available == Decimal(8)


@pytest.mark.parametrize("what", ["refused", "reversed", "none", "no reason"])
def test_what_was_not_charged_cannot_be_disputed(shop: Shop, acme: Customer, what: str) -> None:
    found = [used(shop, acme, "one", 10**9 if what == "refused" else 1000)]
    if what == "reversed":
        corrections.reverse(actor=SYSTEM, event=found[0], reason="By mistake")

    with pytest.raises(InvalidRequest):
        lodge(acme, *([] if what == "none" else found), reason=" " if what == "no reason" else "Why?")

    assert not ChargeDispute.objects.exists()


def test_the_database_keeps_a_decision_and_every_case(shop: Shop, acme: Customer) -> None:
    lodge(acme, used(shop, acme, "one"))
    assert refused_by("UPDATE billing_chargedispute SET reason = ''") == "nobody"
    assert refused_by("DELETE FROM billing_chargedispute CASCADE") != "nobody"
    assert refused_by("UPDATE billing_chargedispute SET status = 'declined', closed_at = now()") == (
        "billing_chargedispute_answered"
    )
    charge_disputes.withdraw(actor=SYSTEM, dispute=ChargeDispute.objects.get())
    assert refused_by("UPDATE billing_chargedispute SET status = 'open', closed_at = NULL") == "23001"
