"""How far usage may take a balance below zero."""

from decimal import Decimal

import pytest

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing.errors import InvalidRequest, InvalidState
from billing.models import Balance, Customer
from billing.services.wallet import wallets
from tests.builders import Shop


def limit(shop: Shop, customer: Customer, amount: str, asset: str = "usd") -> Balance:
    found = shop.usd if asset == "usd" else shop.asset(asset)
    return wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=found, limit=Decimal(amount))


def test_the_limit_is_set_and_on_the_trail(shop: Shop) -> None:
    acme = shop.customer()

    limit(shop, acme, "50")
    limit(shop, acme, "0.50")

    assert shop.balance(acme).overdraft_limit == Decimal("0.5")
    trail = AuditEvent.objects.filter(action="wallet.overdraft_limit_changed").order_by("id").last()
    assert trail is not None
    assert trail.before == {"asset": "usd", "overdraft_limit": "50"}
    assert trail.after == {"asset": "usd", "overdraft_limit": "0.5"}


def test_a_limit_for_an_asset_without_a_balance_makes_one(shop: Shop) -> None:
    acme = shop.customer()

    limit(shop, acme, "3", asset="images")

    assert shop.balance(acme, "images").overdraft_limit == 3


def test_a_negative_limit_is_refused(shop: Shop) -> None:
    acme = shop.customer()

    with pytest.raises(InvalidRequest):
        limit(shop, acme, "-1")

    assert shop.balance(acme).overdraft_limit == 0


def test_a_limit_below_what_is_owed_is_refused(shop: Shop) -> None:
    acme = shop.customer()
    limit(shop, acme, "5")
    shop.record(acme, output_tokens=400_000)

    with pytest.raises(InvalidState) as refusal:
        limit(shop, acme, "3.999999999999")

    assert refusal.value.figures == {"owed": Decimal(4)}
    assert shop.balance(acme).overdraft_limit == 5
    assert limit(shop, acme, "4").overdraft_limit == 4


def test_what_grants_still_hold_for_other_things_does_not_hide_a_debt(shop: Shop) -> None:
    acme = shop.customer()
    limit(shop, acme, "5")
    shop.fund(acme, "10", kind="promotional", applies_to={"meters": ["llm_input"]})
    shop.record(acme, output_tokens=400_000)
    assert shop.balance(acme).available == 6

    with pytest.raises(InvalidState):
        limit(shop, acme, "3")
