"""Moving a whole plan, and terms that give much away: above the limit they take a second person."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEvent, User
from accounts.services import audit, staff
from billing.errors import ApprovalRequired, InvalidRequest, InvalidState
from billing.models import Approval, Customer, ManualMovement, Plan, Subscription
from billing.services import approvals, plan_moves, subscriptions
from billing.services.catalog import plans
from tests.billing.services.conftest import Clock
from tests.builders import Shop


@pytest.fixture(autouse=True)
def _limits(settings: Any) -> None:
    settings.APPROVAL_ABOVE, settings.APPROVAL_DAILY_ABOVE = {"*": Decimal(100)}, {"*": Decimal(150)}


@pytest.fixture
def maker(db: None) -> User:
    staff.make_groups()
    user = User.objects.create_user("maker@ante.test")
    staff.join(user, staff.FINANCE)
    return user


@pytest.fixture
def checker(maker: User) -> User:
    user = User.objects.create_user("checker@ante.test")
    staff.join(user, staff.FINANCE)
    return user


def by(user: User) -> audit.Actor:
    return audit.Actor.of_user(user, ip_address=None, request_id="")


def on_plan(shop: Shop, fee: str, *, usage: int = 0) -> Subscription:
    """A customer on a plan with this monthly fee, who used so many tokens at $2.50 a million."""
    price = shop.price(shop.meter("llm_input", "input_tokens"), "2.50", per="1000000")
    shop.plan("team", [price], base_fee=Decimal(fee))
    customer = shop.customer(usd="5000", plan=None)
    subscriptions.start(actor=audit.SYSTEM, customer=customer, plan=shop.plan("team").plan)
    if usage:
        assert shop.record(customer, input_tokens=usage).status == "charged"
    return Subscription.objects.get(customer=customer)


def ask(user: User, subscription: Subscription, **terms: Any) -> Approval | None:
    said = {"discount": None, "minimum_commitment": None, "version": None, "when": "period_end", "at": None} | terms
    return approvals.perform(
        actor=by(user),
        kind=Approval.Kind.AGREED_TERMS,
        customer=Customer.objects.get(pk=subscription.customer_id),
        terms={"subscription": str(subscription.pk), "plan": str(subscription.plan_id), "named": "Team", **said},
        reason="Asked for",
    )


@pytest.mark.parametrize(
    ("fee", "usage", "discount", "waits"),
    [
        ("1000", 0, "0.1", False),
        ("1000", 0, "0.11", True),
        ("0", 400_000_000, "0.1", False),
        ("0", 400_000_000, "0.11", True),
        ("0", 0, "1", False),
    ],
    ids=["of a fee at the limit", "of a fee above", "of usage at the limit", "of usage above", "of nothing"],
)
def test_a_discount_counts_by_what_it_gives_away(
    shop: Shop, maker: User, fee: str, usage: int, discount: str, waits: bool
) -> None:
    subscription = on_plan(shop, fee, usage=usage)

    asked = ask(maker, subscription, discount=discount)

    subscription.refresh_from_db()
    assert (asked is not None) == waits
    assert subscription.discount == (0 if waits else Decimal(discount))


def test_what_was_approved_is_done_once_and_exactly(shop: Shop, maker: User, checker: User) -> None:
    subscription = on_plan(shop, "1000", usage=1_000_000)
    asked = ask(maker, subscription, discount="0.5")
    assert asked is not None
    shop.record(subscription.customer, input_tokens=1_000_000)

    approvals.approve(actor=by(checker), approval=asked)

    subscription.refresh_from_db()
    assert subscription.discount == Decimal("0.5")
    assert ManualMovement.objects.get().approval_id == asked.pk


def begin(
    user: User, shop: Shop, *, customer: Customer | None = None, plan: Plan | None = None, **terms: Any
) -> Approval | None:
    """Start the plan, "team" at $1,000 a month, for the customer, a new one."""
    if plan is None:
        price = shop.price(shop.meter("llm_input", "input_tokens"), "1")
        plan = shop.plan("team", [price], base_fee=Decimal(1000)).plan
    none = dict.fromkeys(("discount", "minimum_commitment", "spend_cap", "version", "starts_at", "trial_days"))
    return approvals.perform(
        actor=by(user),
        kind=Approval.Kind.AGREED_TERMS,
        customer=customer or shop.customer(usd="5000", plan=None),
        terms={"plan": str(plan.pk), "named": plan.name, **none, **terms},
        reason="Asked for",
    )


def test_to_start_with_much_off_takes_a_second_person_and_happens_exactly_so(
    shop: Shop, maker: User, checker: User
) -> None:
    asked = begin(maker, shop, discount="0.5", spend_cap="7", trial_days=3)
    assert asked is not None
    assert not Subscription.objects.exists()

    approvals.approve(actor=by(checker), approval=asked)

    started = Subscription.objects.get()
    assert (started.discount, started.spend_cap, started.plan_version.discount) == (Decimal("0.5"), 7, Decimal("0.5"))
    assert started.trial_ends_at is not None
    assert ManualMovement.objects.get().approval_id == asked.pk


def test_to_start_with_little_off_does_not(shop: Shop, maker: User) -> None:
    assert begin(maker, shop, discount="0.1") is None

    assert shop.balance(Customer.objects.get()).available == 4100


@pytest.mark.parametrize(("days", "waits"), [(5, False), (8, False), (9, True)])
def test_a_trial_beyond_the_plans_own_counts_by_what_it_would_cost(
    shop: Shop, maker: User, days: int, waits: bool
) -> None:
    """The plan has five days; each one more is a thirtieth of $1,000: $33.33."""
    shop.plan("team", [shop.price(shop.meter("llm_input", "input_tokens"), "1")], base_fee=Decimal(1000), trial_days=5)

    asked = begin(maker, shop, trial_days=days)

    assert (asked and asked.amounts) == ({"usd": "133.333333"} if waits else None)


@pytest.mark.parametrize(("days", "before", "waits"), [(35, 0, False), (36, 0, True), (20, 15, False), (20, 16, True)])
def test_many_free_days_are_not_for_one_person_whatever_was_used(
    shop: Shop, maker: User, checker: User, days: int, before: int, waits: bool
) -> None:
    """A plan without a fee, with five days of trial, for a customer of whom there is no usage to go by."""
    free = shop.plan("free", base_fee=Decimal(0), trial_days=5).plan
    customer = shop.customer(plan=None)
    if before:
        past = timezone.now() - timedelta(days=40)
        had = subscriptions.start(
            actor=audit.SYSTEM, customer=customer, plan=shop.plan().plan, starts_at=past, trial_days=before
        )
        subscriptions.cancel(actor=audit.SYSTEM, subscription=had, when="now")

    asked = begin(maker, shop, customer=customer, plan=free, trial_days=days)

    assert (asked and asked.amounts) == ({} if waits else None)
    started = Subscription.objects.filter(plan=free)
    assert started.exists() != waits
    if asked is not None:
        approvals.approve(actor=by(checker), approval=asked)
        assert started.get().trial_ends_at is not None


def test_what_a_plan_includes_counts_whenever_staff_start_it(shop: Shop, maker: User) -> None:
    free = shop.plan("free", base_fee=Decimal(0), allowances=[plans.AllowanceTerms(shop.usd, Decimal(101))]).plan
    customer = shop.customer(plan=None)

    asked = begin(maker, shop, customer=customer, plan=free)

    assert asked is not None
    assert asked.amounts == {"usd": "101"}
    subscriptions.choose(actor=by(maker), customer=customer, plan=free)


def test_a_trial_that_goes_on_on_a_dearer_plan_counts_too(shop: Shop, maker: User) -> None:
    """Ten days of $1,000 a month rather than of $100 are $300 more; the dearer plan has a day of trial itself."""
    cheap = shop.plan("cheap", base_fee=Decimal(100)).plan
    dear = shop.plan("dear", base_fee=Decimal(1000), trial_days=1).plan
    subscription = subscriptions.start(
        actor=audit.SYSTEM, customer=shop.customer(plan=None, usd="5000"), plan=cheap, trial_days=11
    )

    assert ask(maker, subscription, plan=str(dear.pk)) is None, "it begins when the trial is over"
    asked = ask(maker, subscription, plan=str(dear.pk), when="now")

    assert asked is not None
    assert asked.amounts == {"usd": "300"}


def price_of(shop: Shop, millions: str) -> Any:
    return shop.price(shop.meter("llm_input", "input_tokens"), millions, per="1000000")


@pytest.mark.parametrize(
    ("price", "fee", "gives"),
    [
        ("0", "0", "250"),
        ("1.5", "0", None),
        ("1.4", "0", "110"),
        ("0", "150", None),
        ("0", "149", "101"),
        ("9", "0", None),
    ],
)
def test_other_prices_count_by_what_the_same_usage_would_cost_less(
    shop: Shop, maker: User, price: str, fee: str, gives: str | None
) -> None:
    """A hundred million tokens at $2.50 came to $250; a fee that is more comes off."""
    subscription = on_plan(shop, "0", usage=100_000_000)
    friends = shop.plan("friends", [price_of(shop, price)], base_fee=Decimal(fee)).plan

    asked = ask(maker, subscription, plan=str(friends.pk))

    assert (asked and asked.amounts) == (gives and {"usd": gives})
    subscriptions.change(
        actor=by(maker),
        subscription=subscription,
        wanted=subscriptions.Wanted(friends, own_choice=True),
        when="period_end",
    )


def test_they_count_where_a_plan_is_left_and_another_started(shop: Shop, maker: User) -> None:
    subscription = on_plan(shop, "0", usage=100_000_000)
    subscriptions.cancel(actor=by(maker), subscription=subscription, when="now")
    friends = shop.plan("friends", [price_of(shop, "0")]).plan

    asked = begin(maker, shop, customer=subscription.customer, plan=friends)

    assert asked is not None
    assert asked.amounts == {"usd": "250"}
    assert begin(maker, shop, customer=subscription.customer, plan=subscription.plan) is None


def test_they_count_where_a_whole_plan_moves(shop: Shop, maker: User) -> None:
    subscription = on_plan(shop, "0", usage=100_000_000)
    plan = subscription.plan
    plans.publish_version(actor=audit.SYSTEM, plan=plan, interval="month", prices=[price_of(shop, "0")])

    with pytest.raises(ApprovalRequired) as refused:
        subscriptions.agree_to_move(actor=by(maker), plan=plan)

    assert refused.value.figures["amounts"] == {"usd": 250}


def test_a_commitment_that_ends_counts_too(shop: Shop, maker: User) -> None:
    subscription = on_plan(shop, "0")
    assert ask(maker, subscription, minimum_commitment="500") is None

    assert ask(maker, subscription, minimum_commitment="450") is None
    assert ask(maker, subscription, minimum_commitment="300") is not None


def test_what_comes_back_into_the_wallet_counts_too(shop: Shop, maker: User) -> None:
    subscription = on_plan(shop, "1000")
    free = shop.plan("free", [shop.price(shop.meter("llm_input"), "1")]).plan

    asked = ask(maker, subscription, plan=str(free.pk), when="now")

    assert asked is not None
    assert Decimal(asked.amounts["usd"]) > 900


def discounted(shop: Shop, fee: str, discount: str, **more: Any) -> Subscription:
    """On the plan "team" at this monthly fee, with a discount that was agreed."""
    subscription = on_plan(shop, fee, **more)
    wanted = subscriptions.Wanted(subscription.plan, discount=Decimal(discount))
    return subscriptions.change(actor=audit.SYSTEM, subscription=subscription, wanted=wanted)


@pytest.mark.parametrize(
    ("fee", "usage", "more"),
    [("300", 0, None), ("300", 100_000_000, None), ("301", 0, "100.5"), ("50", 0, None), ("301", 100_000_000, "100.5")],
    ids=["at the limit", "with usage", "above", "cheaper", "above with usage"],
)
def test_a_discount_that_goes_along_counts_by_what_it_is_worth_there(
    shop: Shop, maker: User, checker: User, fee: str, usage: int, more: str | None
) -> None:
    """Half off $100 is worth $50 a month, off $300 $150: $100 more. Usage is the same on both."""
    subscription = discounted(shop, "100", "0.5", usage=usage)
    large = shop.plan("large", base_fee=Decimal(fee)).plan

    asked = ask(maker, subscription, plan=str(large.pk))

    subscription.refresh_from_db()
    assert (asked and asked.amounts) == (more and {"usd": more})
    assert (subscription.next_version is None) == bool(more)
    if asked is not None:
        approvals.approve(actor=by(checker), approval=asked)
        subscription.refresh_from_db()
    assert subscription.next_version is not None
    assert (subscription.next_version.plan, subscription.next_version.discount) == (large, Decimal("0.5"))


def test_a_discount_that_goes_along_counts_beyond_what_that_plan_has_for_everybody(shop: Shop, maker: User) -> None:
    """Of $1,000 everybody has 10 % off there: 40 % are $400, and off $100 half was worth $50."""
    subscription = discounted(shop, "100", "0.5")

    asked = ask(maker, subscription, plan=str(own_step(shop).pk))

    assert asked is not None
    assert asked.amounts == {"usd": "350"}


def test_a_discount_agreed_where_it_is_worth_nothing_does_not_come_back_with_the_plan(shop: Shop, maker: User) -> None:
    subscription = on_plan(shop, "1000")
    free = shop.plan("free", [shop.price(shop.meter("llm_input"), "1")]).plan
    assert ask(maker, subscription, plan=str(free.pk), discount="0.9") is None
    subscription.refresh_from_db()
    assert subscription.discount == Decimal("0.9")

    asked = ask(maker, subscription)

    assert asked is not None
    assert asked.amounts == {"usd": "900"}


def test_who_has_something_agreed_changes_plans_with_the_operator_alone(shop: Shop) -> None:
    """Also where it is as much off as everybody has, so that the version is everybody's, and where it is to come."""
    large = shop.plan("large", base_fee=Decimal(3000)).plan
    same, later = own_step(shop), on_plan(shop, "1000")
    globex = shop.customer("globex", plan=None, usd="9000")
    plain = subscriptions.start(actor=audit.SYSTEM, customer=globex, plan=same, discount=Decimal("0.1"))
    assert plain.plan_version.agreed_with is None
    price = shop.price(shop.meter("llm_input", "input_tokens"), "1", per="1000000")
    wanted = subscriptions.Wanted(later.plan, price_overrides=[price])
    subscriptions.change(actor=audit.SYSTEM, subscription=later, wanted=wanted, when="period_end")

    for subscription in (plain, later):
        for when in ("now", "period_end"):
            own = subscriptions.Wanted(large, own_choice=True)
            with pytest.raises(InvalidState, match="agreed"):
                subscriptions.change(actor=audit.SYSTEM, subscription=subscription, wanted=own, when=when)


def test_customers_programs_and_small_changes_are_not_asked(shop: Shop, maker: User) -> None:
    subscription = on_plan(shop, "1000")
    wanted = subscriptions.Wanted(subscription.plan, discount=Decimal("0.9"))
    key = audit.Actor("api_key", maker.pk, "billing system")

    subscriptions.change(actor=key, subscription=subscription, wanted=wanted, when="period_end")

    assert ask(maker, subscription, discount="0.5") is None


def test_a_whole_plan_moves_with_a_second_person(shop: Shop, maker: User, checker: User) -> None:
    subscription = on_plan(shop, "1000")
    plan = subscription.plan
    price = shop.price(shop.meter("llm_input"), "2", per="1000000")
    plans.publish_version(actor=audit.SYSTEM, plan=plan, interval="month", prices=[price], base_fee=Decimal(0))
    with pytest.raises(ApprovalRequired):
        subscriptions.agree_to_move(actor=by(maker), plan=plan)

    asked = approvals.perform(
        actor=by(maker),
        kind=Approval.Kind.PLAN_MOVE,
        terms={"plan": str(plan.pk), "named": plan.name, "version": 2},
        reason="Cheaper",
    )
    assert asked is not None
    assert asked.amounts == {"usd": "1000"}
    subscription.refresh_from_db()
    assert subscription.next_version is None
    approvals.approve(actor=by(checker), approval=asked)

    subscription.refresh_from_db()
    assert subscription.next_version is not None
    assert subscription.next_version.number == 2


def test_a_whole_plan_is_weighed_without_discounts_and_those_go_along(shop: Shop, maker: User, checker: User) -> None:
    """At 90 % off $1,000 a month come to $100, which one person may move; but $900 are given away."""
    subscription = discounted(shop, "100", "0.9")
    plan = subscription.plan
    price = shop.price(shop.meter("llm_input"), "2", per="1000000")
    plans.publish_version(actor=audit.SYSTEM, plan=plan, interval="month", prices=[price], base_fee=Decimal(1000))
    assert subscriptions.preview_move(plan=plan).monthly_after == 100
    terms = {"plan": str(plan.pk), "named": plan.name, "version": 2}

    asked = approvals.perform(actor=by(maker), kind=Approval.Kind.PLAN_MOVE, terms=terms, reason="Dearer")
    assert asked is not None
    assert asked.amounts == {"usd": "1000"}
    approvals.approve(actor=by(checker), approval=asked)

    subscription.refresh_from_db()
    assert subscription.next_version is not None
    assert (subscription.next_version.number, subscription.next_version.discount) == (2, Decimal("0.9"))


def test_a_small_plan_moves_at_once(shop: Shop, maker: User) -> None:
    subscription = on_plan(shop, "100")
    price = shop.price(shop.meter("llm_input"), "2", per="1000000")
    plans.publish_version(
        actor=audit.SYSTEM, plan=subscription.plan, interval="month", prices=[price], base_fee=Decimal(90)
    )
    terms = {"plan": str(subscription.plan_id), "named": "Team", "version": 2}

    assert approvals.perform(actor=by(maker), kind=Approval.Kind.PLAN_MOVE, terms=terms, reason="Cheaper") is None

    subscription.refresh_from_db()
    assert subscription.next_version is not None


# --- A discount that follows from the commitment ----------------------------------------------------------------------

STEPS = [
    plans.CommitmentDiscount(Decimal(1000), Decimal("0.1")),
    plans.CommitmentDiscount(Decimal(5000), Decimal("0.2")),
]


def committed_plan(shop: Shop) -> Any:
    price = shop.price(shop.meter("llm_input", "input_tokens"), "10", per="1000000")
    return shop.plan("committed", [price], base_fee=Decimal(100), commitment_discounts=STEPS).plan


@pytest.mark.parametrize(
    ("commitment", "charged"), [(None, "10"), ("999", "10"), ("1000", "9"), ("4999", "9"), ("5000", "8")]
)
def test_the_rate_card_follows_the_commitment(shop: Shop, commitment: str | None, charged: str) -> None:
    acme = shop.customer(plan=None, usd="10000")
    committed = None if commitment is None else Decimal(commitment)

    started = subscriptions.start(
        actor=audit.SYSTEM, customer=acme, plan=committed_plan(shop), minimum_commitment=committed
    )

    assert shop.record(acme, input_tokens=1_000_000).cost == {"usd": Decimal(charged)}
    assert shop.balance(acme).lifetime_spent == 11 * Decimal(charged)
    assert (started.discount, started.plan_version.discount) == (0, 1 - Decimal(charged) / 10)


def test_another_commitment_brings_another_discount_and_what_is_agreed_takes_its_place(shop: Shop) -> None:
    acme, plan = shop.customer(plan=None, usd="10000"), committed_plan(shop)
    subscription = subscriptions.start(actor=audit.SYSTEM, customer=acme, plan=plan)
    found = []

    for terms in (
        {"minimum_commitment": 5000},
        {"minimum_commitment": 1000},
        {"discount": Decimal("0.5")},
        {"minimum_commitment": 5000},
        {"discount": 0},
    ):
        wanted = subscriptions.Wanted(plan, **{name: Decimal(number) for name, number in terms.items()})
        subscription = subscriptions.change(actor=audit.SYSTEM, subscription=subscription, wanted=wanted)
        found.append(shop.record(acme, input_tokens=1_000_000).cost["usd"])

    assert found == [8, 9, 5, 5, 8]


def test_the_published_discount_is_nobodys_gift(shop: Shop, maker: User) -> None:
    large = shop.plan("large", base_fee=Decimal(2000), commitment_discounts=STEPS).plan
    terms = {"customer": shop.customer(plan=None), "plan": large, "minimum_commitment": Decimal(5000)}

    with pytest.raises(ApprovalRequired):
        subscriptions.start(actor=by(maker), discount=Decimal("0.3"), **terms)
    subscriptions.start(actor=by(maker), **terms)

    assert not ManualMovement.objects.exists()


def own_step(shop: Shop, code: str = "own_step", fee: int = 1000) -> Any:
    """A plan whose own commitment reaches 10 % off."""
    price = shop.price(shop.meter("llm_input", "input_tokens"), "10", per="1000000")
    terms = {"base_fee": Decimal(fee), "minimum_commitment": Decimal(1000), "commitment_discounts": STEPS}
    return shop.plan(code, [price], **terms).plan


@pytest.mark.parametrize("when", ["now", "period_end"])
def test_what_a_plan_itself_has_for_a_commitment_stays_with_it(shop: Shop, maker: User, when: str) -> None:
    globex, plain = shop.customer("globex", plan=None, usd="5000"), on_plan(shop, "1000").plan
    subscription = subscriptions.start(actor=audit.SYSTEM, customer=globex, plan=own_step(shop))
    assert (subscription.discount, subscription.plan_version.discount) == (0, Decimal("0.1"))

    wanted = subscriptions.Wanted(plain)
    changed = subscriptions.change(actor=by(maker), subscription=subscription, wanted=wanted, when=when)

    assert (changed.next_version or changed.plan_version) == plain.latest()
    assert changed.discount == 0


def test_what_was_agreed_goes_along_to_a_plan_with_its_own_and_back(shop: Shop) -> None:
    subscription, target = on_plan(shop, "1000"), own_step(shop)
    wanted = subscriptions.Wanted(subscription.plan, discount=Decimal("0.3"))
    agreed = subscriptions.change(actor=audit.SYSTEM, subscription=subscription, wanted=wanted).plan_version

    def at_the_end(plan: Any) -> Subscription:
        wanted = subscriptions.Wanted(plan)
        return subscriptions.change(actor=audit.SYSTEM, subscription=subscription, wanted=wanted, when="period_end")

    there = at_the_end(target)
    assert there.next_version is not None
    assert (there.discount, there.next_version.discount) == (Decimal("0.3"), Decimal("0.3"))
    back = at_the_end(subscription.plan)
    assert (back.next_version, back.plan_version, back.discount) == (None, agreed, Decimal("0.3"))


def test_terms_agreed_with_a_change_that_is_taken_back_stay_agreed(shop: Shop) -> None:
    subscription, plan = on_plan(shop, "0"), own_step(shop)
    for wanted in (subscriptions.Wanted(plan, spend_cap=Decimal(70)), subscriptions.Wanted(subscription.plan)):
        changed = subscriptions.change(actor=audit.SYSTEM, subscription=subscription, wanted=wanted, when="period_end")

    assert changed.next_version is not None
    assert (changed.next_version.plan, changed.spend_cap) == (subscription.plan, 70)


@pytest.mark.parametrize(("agreed", "after"), [("0.3", 700), (None, 900)])
def test_a_move_to_a_version_with_steps_says_and_does_the_same(shop: Shop, agreed: str | None, after: int) -> None:
    subscription = on_plan(shop, "1000")
    plan = subscription.plan
    wanted = subscriptions.Wanted(plan, discount=Decimal(agreed or 0))
    subscriptions.change(actor=audit.SYSTEM, subscription=subscription, wanted=wanted)
    price = shop.price(shop.meter("llm_input"), "2", per="1000000")
    terms = {"base_fee": Decimal(1000), "minimum_commitment": Decimal(1000), "commitment_discounts": STEPS}
    plans.publish_version(actor=audit.SYSTEM, plan=plan, interval="month", prices=[price], **terms)

    assert subscriptions.preview_move(plan=plan).monthly_after == after
    assert [each.refusal for each in subscriptions.move(actor=audit.SYSTEM, plan=plan)] == [None]

    subscription.refresh_from_db()
    assert subscription.next_version is not None
    assert subscription.next_version.discount == 1 - Decimal(after) / 1000


def test_what_its_own_commitment_reaches_is_one_version_for_all(shop: Shop) -> None:
    plan = own_step(shop)
    first, second = (
        subscriptions.start(actor=audit.SYSTEM, customer=shop.customer(name, plan=None), plan=plan, trial_days=trial)
        for name, trial in (("one", 0), ("two", 3))
    )

    assert first.plan_version == second.plan_version
    assert (first.plan_version.agreed_with, first.plan_version.prices.count()) == (None, 1)
    assert second.phases.earliest("starts_at").plan_version.discount == 1
    wanted = subscriptions.Wanted(plan)
    stays = subscriptions.change(actor=audit.SYSTEM, subscription=first, wanted=wanted, when="period_end")
    assert stays.next_version is None


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([("0", "0.1")], "from"),
        ([("1000", "0.1"), ("1000", "0.2")], "from"),
        ([("1000", "0")], "discount"),
        ([("1000", "1.1")], "discount"),
        ([("1000", "0.2"), ("2000", "0.1")], "discount"),
    ],
    ids=["zero", "twice", "none", "more_than_all", "falling"],
)
def test_discounts_grow_with_the_commitment(shop: Shop, steps: list[tuple[str, str]], field: str) -> None:
    wanted = [plans.CommitmentDiscount(Decimal(start), Decimal(discount)) for start, discount in steps]

    with pytest.raises(InvalidRequest) as refused:
        shop.plan("bad", commitment_discounts=wanted)

    assert [error.field for error in refused.value.errors] == [f"commitment_discounts.{len(steps) - 1}.{field}"]


# --- What was approved is what happens --------------------------------------------------------------------------------


@pytest.mark.parametrize("between", ["a renewal", "a change"])
def test_what_was_asked_for_before_another_fee_was_paid_has_to_be_asked_for_anew(
    shop: Shop, maker: User, checker: User, clock: Clock, between: str
) -> None:
    clock.stop(datetime(2026, 6, 1, tzinfo=UTC))
    subscription = on_plan(shop, "2000")
    shop.plan("dear", base_fee=Decimal(4000))
    shop.plan("free")
    clock.forward(days=28)
    asked = ask(maker, subscription, plan=str(shop.plan("free").plan_id), when="now")
    assert asked is not None
    assert Decimal(asked.amounts["usd"]) < 134  # For two days of thirty.
    if between == "a renewal":
        clock.forward(days=2, hours=1)
    else:
        clock.forward(hours=1)
        wanted = subscriptions.Wanted(shop.plan("dear").plan)
        subscriptions.change(actor=audit.SYSTEM, subscription=subscription, wanted=wanted)

    with pytest.raises(InvalidState, match="asked for anew"):
        approvals.approve(actor=by(checker), approval=asked)

    asked.refresh_from_db()
    assert asked.state == Approval.State.WAITING


def test_a_move_that_was_cut_off_is_finished_by_a_worker(
    shop: Shop, maker: User, checker: User, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = on_plan(shop, "1000")
    other = shop.customer("globex", usd="5000", plan=None)
    second = subscriptions.start(actor=audit.SYSTEM, customer=other, plan=first.plan)
    price = shop.price(shop.meter("llm_input"), "2", per="1000000")
    plans.publish_version(actor=audit.SYSTEM, plan=first.plan, interval="month", prices=[price], base_fee=Decimal(900))
    terms = {"plan": str(first.plan_id), "named": "Team", "version": 2}
    asked = approvals.perform(actor=by(maker), kind=Approval.Kind.PLAN_MOVE, terms=terms, reason="Cheaper")
    assert asked is not None

    def killed(**options: Any) -> Iterator[object]:
        yield next(move(**options))
        raise SystemExit

    move = subscriptions.move
    monkeypatch.setattr(subscriptions, "move", killed)
    with pytest.raises(SystemExit):
        approvals.approve(actor=by(checker), approval=asked)
    monkeypatch.setattr(subscriptions, "move", move)

    def moved() -> list[bool]:
        rows = Subscription.objects.filter(pk__in=[first.pk, second.pk]).order_by("pk")
        return [row.next_version_id is not None for row in rows]

    assert (moved(), plan_moves.finish_due()) == ([True, False], 0)  # The request may still be at it.
    clock.forward(minutes=16)
    assert (plan_moves.finish_due(), moved(), plan_moves.finish_due()) == (1, [True, True], 0)
    said = AuditEvent.objects.get(action="approval.carried_out")
    assert (said.object_id, said.actor_id, said.after) == (
        str(asked.pk),
        checker.pk,
        {"kind": "plan_move", "moved": 1, "refused": []},
    )
