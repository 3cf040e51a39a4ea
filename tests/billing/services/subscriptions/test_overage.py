"""Plans on which usage goes on when the credits are gone: at the overage price, to the invoice, up to a cap."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing.models import Balance, Customer, PlanVersion, Subscription
from billing.selectors.ledger import history
from billing.services import subscriptions
from billing.services.catalog import plans
from billing.services.invoicing import invoices
from billing.services.subscriptions import overage
from billing.services.wallet import wallets
from tests.billing.services.conftest import Clock
from tests.builders import Shop


def credits_plan(shop: Shop, limit: str, code: str = "credits", **terms: Any) -> PlanVersion:
    """100 credits each month, a credit for a call; a cent for each call beyond them."""
    tokens = shop.asset("credits")
    price = replace(shop.price(shop.meter("calls", "calls"), "0.01"), covered_by=tokens)
    included = [plans.AllowanceTerms(tokens, Decimal(100))]
    return shop.plan(code, [price], allowances=included, overage_limit=Decimal(limit), **terms)


def put_on(customer: Customer, version: PlanVersion) -> Subscription:
    return subscriptions.start(actor=SYSTEM, customer=customer, plan=version.plan)


def limits(customer: Customer) -> tuple[Decimal, Decimal]:
    row = Balance.objects.get(customer=customer, asset="usd")
    return row.overdraft_limit, row.plan_overdraft


def allow(shop: Shop, customer: Customer, limit: str) -> None:
    wallets.set_overdraft_limit(actor=SYSTEM, customer=customer, asset=shop.usd, limit=Decimal(limit))


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


def test_it_is_for_usage_and_waits_for_the_fee(shop: Shop) -> None:
    acme = shop.customer(plan=None)

    subscription = put_on(acme, credits_plan(shop, "100", base_fee=Decimal(49)))

    assert subscription.past_due_since is not None
    assert limits(acme) == (0, 0)
    refused = shop.record(acme, calls=50)
    assert refused.error is not None
    assert refused.error.status == 402
    shop.fund(acme, "49")
    subscription.refresh_from_db()
    assert subscription.past_due_since is None
    assert limits(acme) == (100, 100)
    assert shop.record(acme, calls=110).cost == {"credits": 100, "usd": Decimal("0.1")}


def test_fees_take_the_overdraft_that_staff_set_and_leave_what_plans_allow(shop: Shop, clock: Clock) -> None:
    clock.stop()
    acme = shop.customer(plan=None)
    allow(shop, acme, "50")

    put_on(acme, credits_plan(shop, "100", base_fee=Decimal(49)))
    assert limits(acme) == (150, 100)
    assert shop.balance(acme).available == -49
    clock.forward(days=31)
    subscriptions.renew_due()

    # The second fee does not fit into what is left of 50, and while it is due the plan allows nothing.
    assert Subscription.objects.get(customer=acme).past_due_since is not None
    assert limits(acme) == (50, 0)


def test_at_the_end_of_a_period_the_next_plan_allows_its_own(shop: Shop, clock: Clock) -> None:
    clock.stop()
    acme = shop.customer(plan=None)
    larger = credits_plan(shop, "20", code="larger", base_fee=Decimal(5))
    subscription = put_on(acme, credits_plan(shop, "1"))
    wanted = subscriptions.Wanted(larger.plan)
    subscriptions.change(actor=SYSTEM, subscription=subscription, wanted=wanted, when="period_end")

    clock.forward(days=31)
    subscriptions.renew_due()
    assert limits(acme) == (0, 0)
    shop.fund(acme, "5")

    assert limits(acme) == (20, 20)
    assert shop.balance(acme).available == 0


def test_a_lower_limit_of_staff_holds_through_renewals_and_changes(shop: Shop, clock: Clock) -> None:
    clock.stop()
    acme = shop.customer(plan=None)
    larger = credits_plan(shop, "200", code="larger")
    subscription = put_on(acme, credits_plan(shop, "100"))

    allow(shop, acme, "50")
    assert limits(acme) == (50, 50)
    clock.forward(days=31)
    subscriptions.renew_due()
    assert limits(acme) == (50, 50)
    subscriptions.change(actor=SYSTEM, subscription=subscription, wanted=subscriptions.Wanted(larger.plan))
    assert limits(acme) == (50, 50)
    allow(shop, acme, "0")
    clock.forward(days=31)
    subscriptions.renew_due()
    assert limits(acme) == (0, 0)

    allow(shop, acme, "210")
    clock.forward(days=31)
    subscriptions.renew_due()
    assert limits(acme) == (210, 200)


def test_what_was_owed_when_the_plan_went_is_no_credit_once_it_is_paid(shop: Shop) -> None:
    acme = shop.customer(plan=None)
    subscription = put_on(acme, credits_plan(shop, "1"))
    shop.record(acme, calls=180)
    put = subscriptions.Wanted(credits_plan(shop, "0", code="none").plan)
    subscriptions.change(actor=SYSTEM, subscription=subscription, wanted=put)
    assert limits(acme) == (Decimal("0.8"), Decimal("0.8"))

    overage.lower_due()
    assert limits(acme) == (Decimal("0.8"), Decimal("0.8"))
    shop.fund(acme, "0.5")
    overage.lower_due()
    assert limits(acme) == (Decimal("0.3"), Decimal("0.3"))
    shop.fund(acme, "0.3")
    overage.lower_due()

    assert limits(acme) == (0, 0)


def test_the_trail_and_the_past_know_what_plans_allowed(shop: Shop, clock: Clock) -> None:
    start = clock.stop()
    acme = shop.customer(plan=None)
    shop.fund(acme, "1")
    clock.forward(hours=1)
    subscription = put_on(acme, credits_plan(shop, "1"))
    clock.forward(hours=1)
    subscriptions.cancel(actor=SYSTEM, subscription=subscription, when="now")

    lines = AuditEvent.objects.filter(action="wallet.overdraft_limit_changed", object_id=acme.external_id).order_by(
        "id"
    )
    assert [line.after["overdraft_limit"] for line in lines if line.after] == ["1", "0"]
    at = (start + timedelta(minutes=minutes) for minutes in (30, 90, 150))
    found = [row for moment in at for row in history.balances([acme.pk], at=moment) if row.asset == "usd"]
    assert [row.overdraft_limit for row in found] == [0, 1, 0]
