"""What a cheaper tier or a level that goes down gives back: to what had paid, at what was paid for it."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.services.audit import SYSTEM
from billing.engine.money import exact_sum
from billing.engine.prices import TierTerms
from billing.errors import InvalidState
from billing.models import Asset, Charge, Customer, Grant, Obligation, Recognition, RevenueDay
from billing.models import UsageEvent as Event
from billing.selectors.ledger import paid_for
from billing.selectors.usage import receipts
from billing.services import authorizations, revenue, usage
from billing.services.catalog.prices import PriceTerms
from billing.services.invoicing import invoice_payments, invoices, voiding
from billing.services.revenue import closing
from billing.services.wallet import corrections, wallets
from tests.billing.selectors.revenue.test_revenue_books import as_if_ended
from tests.billing.services.conftest import Clock
from tests.billing.services.subscriptions.test_subscriptions import moment
from tests.builders import Shop

STEPS = (TierTerms(up_to=Decimal(10), unit_amount=Decimal(3)), TierTerms(unit_amount=Decimal(1)))


@pytest.fixture
def acme(shop: Shop) -> Customer:
    """A customer who pays $3 for up to 10 units and $1 for each where there are more; credits for each seat."""
    units, seats = shop.meter("units", "units"), shop.meter("seats", "seats", aggregation="latest")
    points = shop.asset("points", precision=2)
    volume = PriceTerms(meter=units, asset=shop.usd, model="volume", tiers=STEPS)
    shop.plan("own", [volume, shop.price(seats, "1", asset=points)])
    return shop.customer(plan="own", since=moment("2026-03-01"))


def remaining(customer: Customer) -> list[tuple[str, Decimal]]:
    rows = Grant.objects.filter(customer=customer).order_by("created_at", "id")
    return [(grant.kind, grant.remaining) for grant in rows]


def report(shop: Shop, customer: Customer, levels: Sequence[int]) -> None:
    assert {outcome.status for outcome in usage.record([shop.event(customer, seats=n) for n in levels])} == {"charged"}


def test_it_goes_back_to_the_grants_that_paid_the_last_first(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "10", kind="promotional")
    shop.fund(acme, "100")
    shop.record(acme, units=10)
    assert remaining(acme) == [("promotional", 0), ("purchase", 80)]

    shop.record(acme, units=2)

    assert remaining(acme) == [("promotional", 0), ("purchase", 98)]
    shop.record(acme, units=1)
    assert shop.balance(acme).available == 97
    assert not Grant.objects.filter(kind="adjustment").exists()


@pytest.mark.parametrize("together", [True, False])
def test_a_level_that_goes_up_and_down_leaves_each_grant_what_it_had(
    shop: Shop, acme: Customer, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    monkeypatch.setattr(paid_for, "_CHUNK", 2)
    shop.fund(acme, "5", asset="points", kind="promotional")
    shop.fund(acme, "95", asset="points", paid_amount=Decimal(10), paid_currency=shop.usd)

    for levels in [[4, 9, 2, 7, 1, 8, 3, 0]] if together else [[4], [9], [2], [7], [1], [8], [3], [0]]:
        report(shop, acme, levels)

    assert remaining(acme) == [("promotional", 5), ("purchase", 95)]
    assert shop.balance(acme, "points").lifetime_spent == 0


def test_what_is_owed_is_lowered_first(shop: Shop, acme: Customer) -> None:
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(100))
    shop.fund(acme, "10")
    shop.record(acme, units=10)
    assert shop.balance(acme).owed == 20

    shop.record(acme, units=1)

    assert shop.balance(acme).owed == 1
    shop.record(acme, units=1)
    assert (shop.balance(acme).owed, remaining(acme)) == (2, [("purchase", 0)])


def test_a_debt_that_was_paid_since_comes_back_as_credits_of_the_period(shop: Shop, acme: Customer) -> None:
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(100))
    shop.record(acme, units=10)
    shop.fund(acme, "30")

    shop.record(acme, units=2)

    assert remaining(acme) == [("purchase", 0), ("adjustment", 18)]


def test_what_lapsed_comes_back_as_what_stands_in_for_it(shop: Shop, acme: Customer, clock: Clock) -> None:
    clock.stop(moment("2026-03-02"))
    shop.fund(acme, "30", expires_at=moment("2026-03-03"))
    shop.record(acme, units=10)
    clock.stop(moment("2026-03-04"))

    shop.record(acme, units=2)

    first, stand_in = Grant.objects.filter(customer=acme).order_by("id")
    assert (stand_in.replaces, stand_in.remaining, stand_in.paid_amount) == (first, 18, 18)


def test_what_came_back_of_a_charge_is_not_given_back_again(shop: Shop, acme: Customer) -> None:
    shop.fund(acme, "100")
    shop.record(acme, id="dear", units=10)
    shop.record(acme, units=1)
    assert shop.balance(acme).available == 89

    corrections.reverse(actor=SYSTEM, event=Event.objects.get(event_id="dear"), reason="by mistake")

    assert remaining(acme) == [("purchase", 100)]


@pytest.mark.parametrize("left_out", [False, True])
def test_no_more_comes_back_than_stands_paid(shop: Shop, acme: Customer, left_out: bool) -> None:
    """What was given back as goodwill does not stand any more; what a budget left out never did."""
    shop.fund(acme, "100")
    budget = shop.budget(acme, "5", asset=shop.usd) if left_out else None
    opened = authorizations.open_for_usage(event=shop.event(acme, id="", units=1))
    dear = authorizations.capture_usage(authorization=opened.authorization, event=shop.event(acme, id="dear", units=10))
    assert dear.outcome is not None
    if budget is None:
        event = Event.objects.get(event_id="dear")
        corrections.refund(actor=SYSTEM, event=event, asset=shop.usd, amount=Decimal(25), reason="goodwill")
    assert shop.balance(acme).available == 95

    given = shop.record(acme, id="given", units=1)

    assert (given.cost, remaining(acme)) == ({"usd": -5}, [("purchase", 100)])
    (charge,) = receipts.of(Event.objects.get(event_id="given")).charges
    assert exact_sum(line.amount for line in charge.lines) == -5
    assert charge.lines[-1].kind == "not_paid"


@pytest.mark.parametrize("first", ["19", "5"], ids=["as much as was captured", "more than was captured"])
def test_what_a_capture_gives_back_leaves_the_run_to_capture_more(shop: Shop, acme: Customer, first: str) -> None:
    """The run makes cheaper what was used before it: 30 for ten units are 11 for eleven."""
    shop.fund(acme, "100")
    shop.record(acme, units=10)
    opened = authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(40)).authorization
    authorizations.capture_amount(authorization=opened, amount=Decimal(first), final=False)

    given = authorizations.capture_usage(authorization=opened, event=shop.event(acme, units=1), final=False)
    last = authorizations.capture_amount(authorization=opened, amount=Decimal(4))

    assert given.outcome is not None
    assert (given.outcome.cost, given.authorization.captured, last.authorization.captured) == ({"usd": -19}, 0, 4)
    assert shop.balance(acme).available == 100 - 11 - Decimal(first) - 4


@pytest.mark.parametrize("how", [invoice_payments.write_off, voiding.void])
def test_who_was_let_off_gets_nothing_back(shop: Shop, acme: Customer, clock: Clock, how: Callable[..., Any]) -> None:
    wallets.set_overdraft_limit(actor=SYSTEM, customer=acme, asset=shop.usd, limit=Decimal(100))
    shop.record(acme, units=10)
    clock.forward(seconds=10)
    how(actor=SYSTEM, invoice=invoices.issue(shop.balance(acme), end=timezone.now()), reason="let off")
    assert shop.balance(acme).owed == 0

    shop.record(acme, units=1)

    assert (shop.balance(acme).owed, shop.balance(acme).available) == (0, 0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nobody_ever_has_more_than_came_in(
    shop: Shop, acme: Customer, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(paid_for, "_CHUNK", 2)
    for amount in (50, 150):
        shop.fund(acme, str(amount), asset="points", paid_amount=Decimal(amount), paid_currency=shop.usd)
    points, chance = Asset.objects.get(pk="points"), random.Random(seed)

    for _ in range(14):
        what, number = chance.choice(["use", "use", "refund", "reverse"]), chance.randint(0, 6)
        event = Event.objects.order_by("id")[number : number + 1].first()
        with suppress(InvalidState):
            if what == "use" or event is None:
                report(shop, acme, [number])
            elif what == "reverse":
                corrections.reverse(actor=SYSTEM, event=event, reason="a mistake")
            else:
                corrections.refund(actor=SYSTEM, event=event, asset=points, amount=Decimal(1), reason="goodwill")
        charged = Charge.objects.aggregate(total=Sum("amount"))["total"]
        assert 0 <= charged == 200 - shop.balance(acme, "points").available
        assert exact_sum(Grant.objects.values_list("paid_amount", flat=True)) == 200


MOVES = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=12)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
def test_of_no_grant_more_is_ever_recognised_than_was_paid_for_it(
    shop: Shop, acme: Customer, clock: Clock, monkeypatch: pytest.MonkeyPatch, moves: list[tuple[bool, int]]
) -> None:
    """Days are closed in between. Used up to the last unit, all that was paid is revenue."""
    monkeypatch.setattr(closing, "_all_ended", as_if_ended)
    if not RevenueDay.objects.exists():
        clock.stop(moment("2026-03-02T09:00"))
    customer = shop.customer(f"c-{Customer.objects.count()}", plan="own")
    shop.fund(customer, "7", asset="points", paid_amount=Decimal(1), paid_currency=shop.usd)
    shop.fund(customer, "93", asset="points", paid_amount=Decimal(22), paid_currency=shop.usd)

    for next_day, level in moves:
        report(shop, customer, [level])
        if next_day:
            clock.forward(days=1)
            revenue.close_due()
    report(shop, customer, [100])
    clock.forward(days=1)
    revenue.close_due()

    stands = Obligation.objects.filter(customer=customer)
    assert all(0 <= row.booked <= row.value for row in stands)
    charged = Charge.objects.filter(customer=customer).aggregate(total=Sum("amount"))["total"]
    recognised = Recognition.objects.filter(customer=customer, credit="usage").aggregate(total=Sum("amount"))["total"]
    assert (charged, recognised) == (100, 23)
