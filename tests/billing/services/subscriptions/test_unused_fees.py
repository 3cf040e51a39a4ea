"""What comes back of a fee that went beyond the wallet: what was paid of it, and nothing of what was let off."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.services.audit import SYSTEM
from billing.models import Customer, Grant, Invoice, OutboxEvent, Recognition, Subscription
from billing.selectors.ledger import history
from billing.services import revenue, subscriptions
from billing.services.invoicing import invoice_payments, invoices, voiding
from billing.services.revenue import closing
from billing.services.wallet import wallets
from tests.billing.selectors.revenue.test_revenue_books import as_if_ended
from tests.billing.services.conftest import Clock
from tests.billing.services.subscriptions.test_subscription_changes import change, preview
from tests.billing.services.subscriptions.test_subscriptions import available, make_plan, moment, start
from tests.builders import Shop

D = Decimal
Step = Callable[[Shop, Customer], object]


def owing(shop: Shop, clock: Clock, *, wallet: str = "0", **fields: Any) -> Subscription:
    """A customer whose fee of 100 for June was taken, and what the wallet had not is owed. It is the 1st."""
    clock.stop(moment("2026-06-01"))
    acme = shop.customer(plan=None, usd=wallet, **fields)
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=D(200))
    return start(acme, make_plan(shop, fee="100"))


def owing_beside_seats(shop: Shop, clock: Clock) -> Subscription:
    """30 of the wallet went to seats, 1 each and for the whole month, so that all of the fee of 100 is owed."""
    clock.stop(moment("2026-06-01"))
    shop.plan("seats", [shop.price(shop.meter("seats", "seats", aggregation="latest"), "1")])
    acme = shop.customer(plan="seats", usd="30")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=D(200))
    shop.record(acme, seats=30)
    return start(acme, make_plan(shop, fee="100"))


def invoice(shop: Shop, acme: Customer, *, hours: int = 1) -> Invoice:
    found = invoices.issue(shop.balance(acme), end=moment("2026-06-01") + timedelta(hours=hours))
    assert found is not None
    return found


def write_off(shop: Shop, acme: Customer) -> None:
    invoice_payments.write_off(actor=SYSTEM, invoice=Invoice.objects.get(), reason="Bankrupt")


def void(shop: Shop, acme: Customer) -> None:
    assert voiding.void(actor=SYSTEM, invoice=Invoice.objects.get(), reason="by mistake") is not None


def pays(amount: str) -> Step:
    return lambda shop, acme: shop.fund(acme, amount)


def cancel(shop: Shop, subscription: Subscription) -> Decimal:
    subscriptions.cancel(actor=SYSTEM, subscription=subscription, when="now", refund=True)
    return D(OutboxEvent.objects.get(type="subscription.canceled").payload["refunded"])


def move(shop: Shop, subscription: Subscription) -> Decimal:
    """To a plan that costs 40 for the rest of the month. What the preview says comes back."""
    dear = make_plan(shop, "dear", fee="80")
    shown = preview(subscription, dear)
    change(subscription, dear)
    assert shown.total == 40 - sum(line.amount for line in shown.lines if line.kind == "credit")
    return 40 - shown.total


@pytest.mark.parametrize("end", [cancel, move])
@pytest.mark.parametrize(
    ("wallet", "steps", "back"),
    [
        ("0", [], "50"),
        ("0", [write_off], "0"),
        ("0", [void], "0"),
        ("0", [pays("100")], "50"),
        ("0", [pays("70")], "50"),
        ("0", [pays("70"), write_off], "20"),
        ("0", [pays("40"), write_off], "0"),
        ("0", [pays("40"), void], "0"),
        ("70", [], "50"),
        ("70", [write_off], "20"),
        ("70", [void], "35"),
        ("100", [], "50"),
    ],
    ids=[
        *("still owed", "written off", "voided", "paid since", "partly paid since", "rest written off"),
        *("less paid than used", "paid and voided", "part owed", "part written off", "part voided", "paid at once"),
    ],
)
def test_half_a_month_gives_back_what_was_paid_for_it_or_is_owed(
    shop: Shop, clock: Clock, end: Callable[..., Decimal], wallet: str, steps: list[Step], back: str
) -> None:
    """Of 100, 50 are for time that is not used: what was never paid comes first, and none of it as money."""
    subscription = owing(shop, clock, wallet=wallet)
    acme = subscription.customer
    clock.forward(hours=1)
    if wallet != "100":
        invoice(shop, acme)
    for step in steps:
        step(shop, acme)
    before = available(shop, acme) - (40 if end is move else 0)
    clock.stop(moment("2026-06-16"))

    assert end(shop, subscription) == D(back)

    assert available(shop, acme) - before == D(back)
    balance = shop.balance(acme)
    (then,) = [one for one in history.balances([acme.pk], at=clock.now()) if one.asset == "usd"]
    assert (then.lifetime_granted, then.lifetime_spent) == (balance.lifetime_granted, balance.lifetime_spent)


def test_what_had_paid_the_debt_gets_its_units_back_at_what_was_paid_for_them(shop: Shop, clock: Clock) -> None:
    subscription = owing(shop, clock)
    acme = subscription.customer
    gift = shop.fund(acme, "30", kind="promotional", expires_at=moment("2026-07-20"))
    bought = shop.fund(acme, "70", paid_amount=D(56))
    clock.stop(moment("2026-06-16"))

    cancel(shop, subscription)

    gift.refresh_from_db()
    bought.refresh_from_db()
    assert (gift.remaining, bought.remaining, Grant.objects.count()) == (0, 50, 2)


@pytest.mark.parametrize("allowance", ["40", "50", "60"], ids=["all of it", "just so", "a part of it"])
def test_what_the_plan_included_goes_though_it_had_paid_the_debt(shop: Shop, clock: Clock, allowance: str) -> None:
    """50 were paid for half a month that costs 50."""
    clock.stop(moment("2026-06-01"))
    acme = shop.customer(plan=None, usd="50")
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=D(200))
    subscription = start(acme, make_plan(shop, fee="100", allowances=[("usd", allowance, "0")]))
    clock.stop(moment("2026-06-16"))

    cancel(shop, subscription)

    assert (shop.balance(acme).owed, available(shop, acme)) == (0, 0)


def test_what_cheaper_usage_had_lowered_of_the_debt_was_paid_as_well(shop: Shop, clock: Clock) -> None:
    subscription = owing_beside_seats(shop, clock)
    acme = subscription.customer
    shop.record(acme, seats=0)
    assert shop.balance(acme).owed == 70
    clock.stop(moment("2026-06-04"))

    assert cancel(shop, subscription) == 90

    # 30 were paid, and 10 are for what was used.
    assert (shop.balance(acme).owed, available(shop, acme)) == (0, 20)


def test_what_came_into_the_wallet_of_a_debt_is_not_given_back_once_more_with_its_invoice(
    shop: Shop, clock: Clock
) -> None:
    subscription = owing_beside_seats(shop, clock)
    acme = subscription.customer
    clock.forward(hours=1)
    invoice(shop, acme)
    shop.record(acme, seats=0)
    shop.fund(acme, "70")
    clock.stop(moment("2026-06-04"))
    assert cancel(shop, subscription) == 90
    start(acme, make_plan(shop, "other", fee="120"), starts_at=clock.now())
    assert available(shop, acme) == -30

    void(shop, acme)

    assert available(shop, acme) == -20


@pytest.mark.parametrize(("step", "note", "tax"), [(None, "-50", "-5"), (write_off, "-50", "0"), (void, None, None)])
def test_a_credit_note_takes_back_what_the_invoice_had_asked_for(
    shop: Shop, clock: Clock, step: Step | None, note: str | None, tax: str | None
) -> None:
    shop.tax("DE", "0.10")
    subscription = owing(shop, clock, country="DE")
    acme = subscription.customer
    clock.forward(hours=1)
    assert invoice(shop, acme).payable == 110
    if step is not None:
        step(shop, acme)
    clock.stop(moment("2026-06-16"))
    cancel(shop, subscription)

    found = invoices.issue(shop.balance(acme), end=moment("2026-06-17"))

    assert (found and found.due, found and found.tax) == (note and D(note), tax and D(tax))
    lines = [(line.kind, line.amount) for line in found.lines.all()] if found else []
    assert lines == ([("fee", D(-50))] if note else [])


@pytest.mark.parametrize("paid", [False, True])
def test_an_invoice_that_is_voided_afterwards_takes_back_the_rest_alone(shop: Shop, clock: Clock, paid: bool) -> None:
    subscription = owing(shop, clock)
    acme = subscription.customer
    clock.forward(hours=1)
    invoice(shop, acme)
    if paid:
        shop.fund(acme, "100")
    clock.stop(moment("2026-06-16"))
    cancel(shop, subscription)
    other = start(acme, make_plan(shop, "other", fee="30"), starts_at=clock.now())
    assert other.past_due_since is None
    assert available(shop, acme) == (20 if paid else -80)

    void(shop, acme)

    # Of the fee nothing is left to pay, and what was paid of it is back; the other one stands.
    assert available(shop, acme) == (70 if paid else -30)


@pytest.mark.parametrize(("step", "earned"), [(write_off, 0), (void, 0), (pays("100"), 50)])
def test_revenue_is_what_was_paid_for_the_time_that_was_used(
    shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch, step: Step, earned: int
) -> None:
    monkeypatch.setattr(closing, "_all_ended", as_if_ended)
    subscription = owing(shop, clock)
    acme = subscription.customer
    clock.forward(hours=1)
    invoice(shop, acme)
    step(shop, acme)
    clock.stop(moment("2026-06-16"))
    cancel(shop, subscription)
    clock.stop(moment("2026-07-02"))
    revenue.close_due()

    sides = {"usage", "fees", "adjustment"}
    moved = Recognition.objects.filter(customer=acme).values_list("credit", "debit", "amount")
    assert sum(amount * ((credit in sides) - (debit in sides)) for credit, debit, amount in moved) == earned
