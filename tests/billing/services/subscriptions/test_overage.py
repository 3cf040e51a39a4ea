"""Plans on which usage goes on when the credits are gone: at the overage price, to the invoice, up to a cap."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.models import Balance, Customer, PlanVersion, Subscription
from billing.services import subscriptions
from billing.services.catalog import plans
from billing.services.invoicing import invoices
from billing.services.wallet import wallets
from tests.billing.services.conftest import Clock
from tests.builders import Shop


def credits_plan(shop: Shop, overage: str, code: str = "credits", **terms: Any) -> PlanVersion:
    """100 credits each month, a credit for a call; a cent for each call beyond them."""
    tokens = shop.asset("credits")
    price = replace(shop.price(shop.meter("calls", "calls"), "0.01"), covered_by=tokens)
    included = [plans.AllowanceTerms(tokens, Decimal(100))]
    return shop.plan(code, [price], allowances=included, overage_limit=Decimal(overage), **terms)


def put_on(customer: Customer, version: PlanVersion) -> Subscription:
    return subscriptions.start(actor=SYSTEM, customer=customer, plan=version.plan)


def limits(customer: Customer) -> tuple[Decimal, Decimal]:
    row = Balance.objects.get(customer=customer, asset="usd")
    return row.overdraft_limit, row.plan_overdraft


def test_after_the_credits_usage_goes_to_the_invoice_up_to_the_cap(shop: Shop) -> None:
    acme = shop.customer(plan=None)
    put_on(acme, credits_plan(shop, "1"))

    within, beyond, over = (shop.record(acme, calls=calls) for calls in (90, 60, 60))

    assert within.cost == {"credits": 90}
    assert beyond.cost == {"credits": 10, "usd": Decimal("0.5")}
    assert shop.balance(acme).available == Decimal("-0.5")
    # 60 more would be $0.60, and only $0.50 of the cap is left.
    assert over.error is not None
    assert over.error.code == "insufficient_funds"
    assert shop.record(acme, calls=50).cost == {"usd": Decimal("0.5")}
    invoice = invoices.issue(shop.balance(acme), end=timezone.now())
    assert invoice is not None
    assert invoice.total == 1


def test_without_it_usage_is_refused_when_the_credits_are_gone(shop: Shop) -> None:
    acme = shop.customer(plan=None)
    put_on(acme, credits_plan(shop, "0"))

    assert shop.record(acme, calls=100).error is None
    refused = shop.record(acme, calls=1)

    assert refused.error is not None
    assert refused.error.status == 402
    assert limits(acme) == (0, 0)


def test_it_comes_and_goes_with_the_plan_and_leaves_what_staff_allowed(shop: Shop) -> None:
    acme = shop.customer(plan=None)
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(5))
    first, second = credits_plan(shop, "1"), credits_plan(shop, "20", code="larger")

    subscription = put_on(acme, first)
    assert limits(acme) == (6, 1)
    changed = subscriptions.change(actor=SYSTEM, subscription=subscription, wanted=subscriptions.Wanted(second.plan))
    assert limits(acme) == (25, 20)
    subscriptions.cancel(actor=SYSTEM, subscription=changed, when="now")

    assert limits(acme) == (5, 0)


def test_it_ends_with_the_period_and_what_is_owed_by_then_stays_allowed(shop: Shop, clock: Clock) -> None:
    clock.stop()
    acme = shop.customer(plan=None)
    subscription = put_on(acme, credits_plan(shop, "1"))
    shop.record(acme, calls=130)
    subscriptions.cancel(actor=SYSTEM, subscription=subscription)
    assert limits(acme) == (1, 1)

    clock.forward(days=31)
    subscriptions.renew_due()

    assert limits(acme) == (Decimal("0.3"), Decimal("0.3"))
    assert shop.balance(acme).available == Decimal("-0.3")


def test_before_it_starts_nothing_is_allowed(shop: Shop) -> None:
    acme = shop.customer(plan=None)
    plan = credits_plan(shop, "1").plan

    subscriptions.start(actor=SYSTEM, customer=acme, plan=plan, starts_at=timezone.now() + timedelta(days=2))

    assert limits(acme) == (0, 0)
