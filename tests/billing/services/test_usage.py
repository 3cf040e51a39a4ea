"""Recording usage: exactly once, to the last digit."""

from decimal import Decimal

from billing.errors import EventConflict, InsufficientFunds
from billing.models import LedgerEntry, UsageEvent
from billing.services import usage
from tests.builders import Shop


def test_an_event_is_debited_when_it_is_recorded(shop: Shop) -> None:
    acme = shop.customer(usd="100")

    outcome = shop.record(acme, input_tokens=1000, output_tokens=450)

    assert outcome.status == "charged"
    assert outcome.cost == {"usd": Decimal("0.007")}
    assert outcome.balance == {"usd": Decimal("99.993")}
    assert shop.balance(acme).available == Decimal("99.993")


def test_the_same_event_again_gets_the_first_answer(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    event = shop.event(acme, input_tokens=1000)

    first, second = usage.record([event])[0], usage.record([event])[0]

    assert second.replayed
    assert (second.cost, second.balance, second.transaction_id) == (first.cost, first.balance, first.transaction_id)
    assert shop.balance(acme).available == Decimal("99.9975")


def test_the_same_event_with_other_content_is_a_conflict(shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.record(acme, id="one", input_tokens=1000)

    outcome = shop.record(acme, id="one", input_tokens=1001)

    assert isinstance(outcome.error, EventConflict)
    assert shop.balance(acme).available == Decimal("99.9975")


def test_a_refused_event_is_kept_and_charges_nothing(shop: Shop) -> None:
    acme = shop.customer(usd="0.001")

    outcome = shop.record(acme, id="big", input_tokens=1000)

    assert isinstance(outcome.error, InsufficientFunds)
    assert outcome.error.figures == {"asset": "usd", "available": Decimal("0.001"), "required": Decimal("0.0025")}
    assert UsageEvent.objects.get(event_id="big").status == "rejected"
    assert LedgerEntry.objects.filter(kind="usage").count() == 0
    assert shop.balance(acme).available == Decimal("0.001")
