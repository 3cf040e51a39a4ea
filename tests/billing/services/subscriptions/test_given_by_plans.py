"""What one of the staff gives with a plan counts as if they had given it by hand: by a year, and in a day's sum."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.services import audit, staff
from billing.errors import ApprovalRequired
from billing.models import Approval, Customer, Plan, Subscription
from billing.services import approvals, subscriptions
from billing.services.catalog import plans
from tests.builders import Shop

Begin = Callable[..., Approval | None]


@pytest.fixture
def maker(db: None) -> User:
    user = User.objects.create_user("maker@ante.test")
    staff.join(user, staff.FINANCE)
    return user


@pytest.fixture
def begin(maker: User) -> Begin:
    def start(customer: Customer, plan: Plan, **terms: Any) -> Approval | None:
        return approvals.perform(
            actor=audit.Actor.of_user(maker, ip_address=None, request_id=""),
            kind=Approval.Kind.AGREED_TERMS,
            customer=customer,
            terms={"plan": str(plan.pk), "version": None, "starts_at": None, "trial_days": None, **terms},
            reason="Asked for",
        )

    return start


def included(shop: Shop, amount: str, **more: str) -> dict[str, Any]:
    return {
        "allowances": [plans.AllowanceTerms(shop.usd, Decimal(amount), Decimal(more.pop("rollover_limit", "0")))],
        **{name: Decimal(number) for name, number in more.items()},
    }


@pytest.mark.parametrize(
    ("interval", "terms", "waits"),
    [
        ("day", {"amount": "2.73"}, False),
        ("day", {"amount": "2.74"}, True),
        ("month", {"amount": "84", "rollover_limit": "84"}, True),
        ("quarter", {"amount": "100", "overage_limit": "150"}, False),
        ("quarter", {"amount": "100", "overage_limit": "151"}, True),
        ("year", {"amount": "1000"}, False),
    ],
)
def test_a_version_is_weighed_by_a_year(
    shop: Shop, maker: User, interval: str, terms: dict[str, str], waits: bool
) -> None:
    """What it includes, and lets be owed; above 1,000 it waits."""

    def publish() -> object:
        return plans.create(
            actor=audit.Actor.of_user(maker, ip_address=None, request_id=""),
            code="given",
            name="Given",
            currency=shop.usd,
            interval=interval,
            prices=[shop.price(shop.meter("seconds", "seconds"), "1")],
            **included(shop, **terms),
        )

    if waits:
        with pytest.raises(ApprovalRequired):
            publish()
    else:
        publish()


def test_what_the_periods_of_a_start_in_the_past_include_counts(shop: Shop, begin: Begin) -> None:
    plan = shop.plan("days", interval="day", **included(shop, "100", rollover_limit="1000000")).plan
    friend = shop.customer("friend", plan=None)
    past = (timezone.now() - timedelta(days=60)).isoformat()

    asked = begin(friend, plan, starts_at=past)

    assert asked is not None
    assert asked.amounts == {"usd": "6100"}
    assert not Subscription.objects.filter(customer=friend).exists()
    other = shop.customer("other", plan=None)
    subscriptions.choose(actor=audit.SYSTEM, customer=other, plan=plan)
    assert shop.balance(other).available == 100


def test_many_plans_on_one_day_add_up(shop: Shop, begin: Begin, settings: Any) -> None:
    """Three that include 30 and three on which 30 may be owed: the limit of a day holds for all of them together."""
    settings.APPROVAL_DAILY_ABOVE = {"*": Decimal(150)}
    terms = [included(shop, "30")] * 3 + [{"overage_limit": Decimal(30)}] * 3
    found = [shop.plan(f"plan{number}", **each).plan for number, each in enumerate(terms)]
    friend = shop.customer("friend", plan=None)

    asked = [begin(friend, plan) for plan in found]

    assert [each is not None for each in asked] == [False] * 5 + [True]
    paying = shop.plan("paid", base_fee=Decimal(30), **included(shop, "30")).plan
    assert begin(shop.customer("payer", plan=None, usd="30"), paying) is None, "its fee pays for what it includes"


def test_to_change_to_a_plan_counts_too(shop: Shop, maker: User, settings: Any) -> None:
    settings.APPROVAL_ABOVE = {"*": Decimal(50)}
    friend = shop.customer("friend", plan=None)
    none = shop.plan("none").plan
    current = subscriptions.start(actor=audit.SYSTEM, customer=friend, plan=none)
    for terms in (included(shop, "60"), {"overage_limit": Decimal(60)}):
        plan = shop.plan(f"plan{len(terms)}{'allowances' in terms}", **terms).plan
        wanted = subscriptions.Wanted(plan)
        with pytest.raises(ApprovalRequired):
            subscriptions.change(
                actor=audit.Actor.of_user(maker, ip_address=None, request_id=""), subscription=current, wanted=wanted
            )


@pytest.mark.parametrize(("days", "waits"), [(30, False), (31, True)])
def test_a_plans_own_long_trial_waits_when_it_is_published_and_when_staff_start_it(
    shop: Shop, maker: User, begin: Begin, days: int, waits: bool
) -> None:
    price = shop.price(shop.meter("llm_input", "input_tokens"), "1")
    terms: dict[str, Any] = {"interval": "month", "prices": [price], "trial_days": days}
    published = shop.plan("long", [price], trial_days=days).plan
    actor = audit.Actor.of_user(maker, ip_address=None, request_id="")

    assert (begin(shop.customer("friend", plan=None), published) is not None) == waits
    if waits:
        with pytest.raises(ApprovalRequired):
            plans.publish_version(actor=actor, plan=published, **terms)
    else:
        plans.publish_version(actor=actor, plan=published, **terms)
    subscriptions.choose(actor=audit.SYSTEM, customer=shop.customer("other", plan=None), plan=published)
