"""At the cap the customer moves to another plan: once, before what would pass it is charged, or not at all."""

import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing.errors import BudgetExceeded, InvalidRequest, PermissionDenied
from billing.models import Budget, Customer, Notice, OutboxEvent, Subscription
from billing.services import authorizations, budgets, subscriptions, usage
from billing.services.budgets import moving
from tests.billing.services.budgets.test_deciding import DOLLAR, spend, spender, spent
from tests.billing.services.ledger.test_races import together, workers
from tests.builders import LLM, Shop


@pytest.fixture
def acme(shop: Shop) -> Customer:
    """On ``pro``; ``scale`` costs 10 a month and charges half."""
    shop.plan("pro")
    cheap = [shop.price(shop.meter("llm_input", "input_tokens"), "1.25", per="1000000")]
    shop.plan("scale", cheap, base_fee=Decimal(10))
    return shop.customer(usd="100")


def capped(shop: Shop, customer: Customer, limit: str = "2", **terms: Any) -> Budget:
    return shop.budget(customer, limit, at_cap="change_plan", plan=shop.plan("scale").plan, **terms)


def plan_of(customer: Customer) -> str:
    return Subscription.objects.get(customer=customer).plan.code


def moves() -> int:
    return AuditEvent.objects.filter(action="subscription.changed").count()


def test_what_would_pass_the_limit_is_charged_on_the_other_plan(shop: Shop, acme: Customer) -> None:
    budget = capped(shop, acme)
    spend(shop, acme, 2)
    before = shop.balance(acme).available

    outcome = spend(shop, acme, 4)

    assert (outcome.status, outcome.cost, outcome.charges[0].plan) == ("charged", {"usd": Decimal(2)}, "scale")
    assert plan_of(acme) == "scale"
    fee = before - shop.balance(acme).available - 2
    assert 0 < fee <= 10
    assert spend(shop, acme, 2).status == "charged"
    assert (spent(budget), moves()) == (5, 1)
    told = OutboxEvent.objects.get(type="budget.plan_changed").payload
    assert (told["plan"], told["previous"]) == ("scale", "Pro")
    assert Notice.objects.filter(kind="budget.plan_changed").count() == 1
    assert AuditEvent.objects.get(action="subscription.changed").after["reason"] == "The budget Budget is used up."


def test_an_authorization_moves_it_too(shop: Shop, acme: Customer) -> None:
    capped(shop, acme, period="total")
    event = usage.IncomingEvent(
        id="", source="", type=LLM, subject="acme", time=None, data={"input_tokens": 3 * DOLLAR}
    )

    opened = authorizations.open_for_usage(event=event)

    assert (opened.holds, plan_of(acme)) == ({"usd": Decimal("1.5")}, "scale")


def test_where_another_budget_refuses_it_anyway_nothing_moves(shop: Shop, acme: Customer) -> None:
    capped(shop, acme)
    shop.budget(acme, "1", name="Hard")

    assert isinstance(spend(shop, acme, 3).error, BudgetExceeded)
    assert plan_of(acme) == "pro"


def test_a_plan_that_cannot_be_paid_is_told_once_and_tried_again_later(shop: Shop, acme: Customer) -> None:
    budget = capped(shop, acme, "90")
    Subscription.objects.filter(customer=acme).update(past_due_since=timezone.now())
    spend(shop, acme, 90)

    assert [spend(shop, acme).status, spend(shop, acme).status] == ["rejected", "rejected"]

    budget.refresh_from_db()
    assert "past due" in budget.plan_failure
    assert Notice.objects.filter(kind="budget.plan_not_changed").count() == 1
    Subscription.objects.filter(customer=acme).update(past_due_since=None)
    assert spend(shop, acme).status == "rejected"
    Budget.objects.filter(pk=budget.pk).update(plan_failed_at=timezone.now() - timedelta(minutes=2))
    shop.fund(acme, "20")
    assert spend(shop, acme).status == "charged"
    budget.refresh_from_db()
    assert (plan_of(acme), budget.plan_failure) == ("scale", "")


def test_no_large_fee_comes_back_by_it_for_one_person_sets_it(shop: Shop, acme: Customer, settings: Any) -> None:
    settings.APPROVAL_ABOVE = {"usd": Decimal(5)}
    shop.plan("large", base_fee=Decimal(50))
    globex = shop.customer("globex", plan="large", usd="100")
    before = shop.balance(globex).available
    budget = capped(shop, globex)

    assert isinstance(spend(shop, globex, 3).error, BudgetExceeded)

    assert (plan_of(globex), shop.balance(globex).available) == ("large", before)
    budget.refresh_from_db()
    assert "second person" in budget.plan_failure


def test_a_discount_goes_along_only_as_far_as_one_person_may_give_it(shop: Shop, acme: Customer, settings: Any) -> None:
    """Half off $10 a month is $5, off $11 more."""
    settings.APPROVAL_ABOVE = {"usd": Decimal(5)}
    shop.plan("dearer", base_fee=Decimal(11))
    subscription = Subscription.objects.get(customer=acme)
    wanted = subscriptions.Wanted(subscription.plan, discount=Decimal("0.5"))
    subscriptions.change(actor=SYSTEM, subscription=subscription, wanted=wanted)
    dearer = shop.budget(acme, "2", at_cap="change_plan", plan=shop.plan("dearer").plan)
    assert isinstance(spend(shop, acme, 6).error, BudgetExceeded)
    dearer.refresh_from_db()
    assert "second person" in dearer.plan_failure
    budgets.remove(actor=SYSTEM, budget=dearer)

    capped(shop, acme)

    assert spend(shop, acme, 6).status == "charged"
    assert plan_of(acme) == "scale"


def ladder(shop: Shop, customer: Customer) -> None:
    """From ``pro`` at $2 to ``scale``, at $4 to ``large``, at $7 to ``huge``: each charges half of the one before."""
    meter = shop.meter("llm_input", "input_tokens")
    for name, price, limit in (("huge", "0.3125", "7"), ("large", "0.625", "4"), ("scale", "1.25", "2")):
        plan = shop.plan(name, [shop.price(meter, price, per="1000000")]).plan
        shop.budget(customer, limit, name=name, at_cap="change_plan", plan=plan)


def test_a_ladder_is_climbed_as_far_as_usage_must_and_never_down(shop: Shop, acme: Customer) -> None:
    ladder(shop, acme)
    seen = []
    for dollars in (1, 2, 4, 3, 8, 16, 8):
        outcome = spend(shop, acme, dollars)
        seen.append((outcome.status, outcome.charges[0].plan, outcome.cost["usd"]))

    assert seen == [
        ("charged", "pro", 1),
        ("charged", "scale", 1),
        ("charged", "scale", 2),
        ("charged", "large", Decimal("0.75")),
        ("charged", "large", 2),
        ("charged", "huge", 2),
        ("charged", "huge", 1),
    ]
    assert moves() == 3
    assert not OutboxEvent.objects.filter(type="budget.exceeded").exists()


def test_one_event_climbs_several_rungs_and_is_charged_on_the_last(shop: Shop, acme: Customer) -> None:
    ladder(shop, acme)

    outcome = spend(shop, acme, 40)

    assert (outcome.status, outcome.charges[0].plan, outcome.cost) == ("charged", "huge", {"usd": Decimal(5)})
    assert (plan_of(acme), moves()) == ("huge", 3)
    assert not Budget.objects.exclude(plan_failure="").exists()


def test_who_chose_the_highest_rung_is_not_moved_down(shop: Shop, acme: Customer) -> None:
    ladder(shop, acme)
    subscriptions.change(
        actor=SYSTEM,
        subscription=Subscription.objects.get(customer=acme),
        wanted=subscriptions.Wanted(shop.plan("huge").plan),
    )

    assert [spend(shop, acme, 24).charges[0].plan for _ in range(2)] == ["huge", "huge"]
    assert moves() == 1


def test_limits_of_different_things_are_no_ladder(shop: Shop, acme: Customer) -> None:
    """Else a customer whom a thousand events took to one plan would be past any limit in dollars."""
    capped(shop, acme, "1000", counts="events")
    other = shop.budget(acme, "2")
    large = shop.plan("large").plan

    with pytest.raises(InvalidRequest, match="limit the same"):
        shop.budget(acme, "2", at_cap="change_plan", plan=large)
    with pytest.raises(InvalidRequest, match="limit the same"):
        budgets.change(actor=SYSTEM, budget=other, changes={"at_cap": "change_plan", "plan": large})
    budgets.change(actor=SYSTEM, budget=Budget.objects.get(counts="events"), changes={"limit": Decimal(900)})


def test_what_was_moved_back_meanwhile_is_moved_once_more_at_most(
    shop: Shop, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget, move, pro = capped(shop, acme), moving._move, shop.plan("pro").plan

    def move_and_back(budget_id: Any) -> None:
        move(budget_id)
        back = Subscription.objects.get(customer=acme)
        subscriptions.change(actor=SYSTEM, subscription=back, wanted=subscriptions.Wanted(pro))

    monkeypatch.setattr(moving, "_move", move_and_back)

    assert isinstance(spend(shop, acme, 8).error, BudgetExceeded)
    budget.refresh_from_db()
    assert "meanwhile" in budget.plan_failure


def test_only_the_operator_sets_it_and_only_with_a_plan_in_the_same_currency(shop: Shop, acme: Customer) -> None:
    with pytest.raises(PermissionDenied):
        capped(shop, acme, set_by="customer")
    with pytest.raises(InvalidRequest):
        shop.budget(acme, "2", at_cap="change_plan")
    with pytest.raises(InvalidRequest):
        shop.budget(acme, "2", plan=shop.plan("scale").plan)
    budget = capped(shop, acme)
    changed = budgets.change(actor=SYSTEM, budget=budget, changes={"at_cap": "refuse"})
    assert changed.plan is None


def test_of_many_at_once_one_moves_it_and_all_pass(committed_db: None, shop: Shop, acme: Customer) -> None:
    capped(shop, acme)

    outcomes = workers([spender(shop, acme, n) for n in range(20)])

    assert {outcome.status for outcome in outcomes} == {"charged"}
    assert (plan_of(acme), moves()) == ("scale", 1)
    assert Notice.objects.filter(kind="budget.plan_changed").count() == 1


def all_at_once(monkeypatch: pytest.MonkeyPatch, callers: int) -> None:
    """Every mover has seen the old plan before any of them changes it."""
    barrier, change = threading.Barrier(callers), subscriptions.change

    def meet(**how: Any) -> Any:
        barrier.wait(timeout=60)
        return change(**how)

    monkeypatch.setattr(moving.subscriptions, "change", meet)


def test_movers_that_meet_move_it_once(
    committed_db: None, shop: Shop, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = capped(shop, acme)
    all_at_once(monkeypatch, 3)

    assert together(*[lambda: budgets.move(budget.pk)] * 3) == [None] * 3

    budget.refresh_from_db()
    assert (plan_of(acme), moves(), budget.plan_failure) == ("scale", 1, "")


def test_that_race_is_real_where_it_does_not_matter_what_it_leaves(
    committed_db: None, shop: Shop, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = capped(shop, acme)
    all_at_once(monkeypatch, 3)
    monkeypatch.setattr(moving.subscriptions, "Wanted", lambda plan, leaving: subscriptions.wanted.Wanted(plan))

    together(*[lambda: budgets.move(budget.pk)] * 3)

    assert moves() == 3
