"""A platform fee with tokens included, and overage beyond them: to the cent, period after period."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from accounts.services.audit import SYSTEM
from billing.models import Customer
from billing.services.catalog import plans
from tests.billing.services.conftest import Clock
from tests.billing.services.subscriptions.test_subscriptions import moment, start
from tests.builders import Shop


@pytest.fixture
def customer(shop: Shop, clock: Clock) -> Customer:
    """On $49 a month with 500,000 tokens; beyond them $0.015 and $0.030 per 1,000; an agent's step is $0.10."""
    clock.stop(moment("2027-01-01"))
    tokens = shop.asset("base_tokens")
    per_thousand: list[tuple[str, str]] = [("prompt", "0.015"), ("completion", "0.030")]
    covered = [
        replace(shop.price(shop.meter(name, name), amount, per="1000"), covered_by=tokens)
        for name, amount in per_thousand
    ]
    version = plans.create(
        actor=SYSTEM,
        code="platform",
        name="Platform",
        currency=shop.usd,
        interval="month",
        base_fee=Decimal(49),
        allowances=[plans.AllowanceTerms(tokens, Decimal(500_000))],
        prices=[*covered, shop.price(shop.meter("steps", "steps"), "0.10")],
    )
    customer = shop.customer(plan=None, usd="200")
    start(customer, version)
    return customer


def spent(shop: Shop, customer: Customer) -> Decimal:
    return 200 - shop.balance(customer).available


def use(shop: Shop, customer: Customer, **data: Any) -> None:
    assert shop.record(customer, **data).status == "charged"


def test_what_is_included_costs_the_fee_alone(shop: Shop, customer: Customer) -> None:
    use(shop, customer, prompt=250_000, completion=150_000)
    assert spent(shop, customer) == 49
    assert shop.balance(customer, "base_tokens").available == 100_000


def test_overage_is_charged_only_beyond_it_and_steps_never_take_from_it(shop: Shop, customer: Customer) -> None:
    use(shop, customer, steps=12)
    assert spent(shop, customer) == Decimal("50.20")
    assert shop.balance(customer, "base_tokens").available == 500_000
    use(shop, customer, prompt=450_000)
    use(shop, customer, prompt=250_000, completion=100_000, steps=18)
    assert spent(shop, customer) == 58


def test_the_next_period_begins_with_all_of_it_again(shop: Shop, customer: Customer, clock: Clock) -> None:
    use(shop, customer, prompt=600_000)
    assert spent(shop, customer) == Decimal("50.50")
    clock.stop(moment("2027-02-01"))
    use(shop, customer, completion=500_000)
    assert spent(shop, customer) == Decimal("50.50") + 49
    assert shop.balance(customer, "base_tokens").available == 0
