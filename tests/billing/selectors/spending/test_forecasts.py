"""What comes, from what was: exact for what is regular, honest about what is not."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from accounts.services.audit import SYSTEM
from billing.models import Customer
from billing.selectors.spending import forecasts
from billing.services import budgets
from tests.builders import Shop

DOLLAR = 400_000
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
"""A Wednesday."""


def spend(shop: Shop, customer: Customer, dollars: int, *, ago: timedelta) -> None:
    assert shop.record(customer, input_tokens=dollars * DOLLAR, time=NOON - ago).status == "charged"


@pytest.fixture
def acme(shop: Shop) -> Customer:
    return shop.customer(usd="190")


def test_fifty_dollars_at_five_a_day_last_ten_days(shop: Shop, acme: Customer) -> None:
    for ago in range(1, 29):
        spend(shop, acme, 5, ago=timedelta(days=ago))

    found = forecasts.forecast(acme, "usd", now=NOON)

    assert (found.available, found.per_day, found.history_days) == (50, 5, 28)
    assert found.runway_days == 10
    assert found.month.spent == 85
    # Half of today, and twelve days.
    assert found.month.low == found.month.expected == found.month.high == Decimal("147.5")


def test_the_rhythm_of_the_week_counts(shop: Shop, acme: Customer) -> None:
    for ago in range(1, 29):
        if (NOON - timedelta(days=ago)).weekday() < 5:
            spend(shop, acme, 7, ago=timedelta(days=ago))

    found = forecasts.forecast(acme, "usd", now=NOON)

    # 50 left at 7 a working day: Wednesday to Friday, a weekend, a week, a weekend, and a seventh of Monday.
    assert found.available == 50
    assert found.runway_days == Decimal("9.142857")


def test_a_short_history_is_a_plain_mean_and_days_that_stray_widen_the_band(shop: Shop, acme: Customer) -> None:
    for ago, dollars in enumerate([2, 8, 2, 8], start=1):
        spend(shop, acme, dollars, ago=timedelta(days=ago))

    found = forecasts.forecast(acme, "usd", now=NOON)

    assert (found.per_day, found.history_days) == (5, 4)
    assert found.month.low < found.month.expected < found.month.high
    assert found.month.low >= found.month.spent


def test_nothing_spent_lasts(acme: Customer) -> None:
    found = forecasts.forecast(acme, "usd", now=NOON)

    assert (found.runway_days, found.per_day, found.month.expected) == (None, 0, 0)


@pytest.mark.parametrize(
    ("dollars", "advice"), [(0, "keep"), (8, "keep"), (9, "cheaper_model"), (10, "cheaper_model"), (11, "slow_down")]
)
def test_the_pace_that_lasts_and_what_to_do(shop: Shop, dollars: int, advice: str) -> None:
    # 12 days and a half are left of the month: 300 hours.
    acme = shop.customer(usd=str(3000 + dollars))
    if dollars:
        spend(shop, acme, dollars, ago=timedelta(minutes=20))

    found = forecasts.pace(acme, "usd", now=NOON)

    assert (found.available, found.per_hour, found.spent_last_hour) == (3000, 10, dollars)
    assert (found.advice, found.budgets) == (advice, [])


def test_the_tightest_budget_sets_the_pace(shop: Shop) -> None:
    acme = shop.customer(usd="10000")
    shop.budget(acme, "5", period="month", name="Month")
    shop.budget(acme, "1", period="month", scope={"user": "x"})
    shop.budget(acme, "1", period="month", hard=False)
    shop.budget(acme, "1", period="month", at_cap="change_plan", plan=shop.plan("scale").plan)
    spent = shop.budget(acme, "0", period="week")

    found = forecasts.pace(acme, "usd")
    assert (found.per_hour, found.share, found.advice) == (0, None, "stop")

    budgets.remove(actor=SYSTEM, budget=spent)
    found = forecasts.pace(acme, "usd")
    assert [each.budget.name for each in found.budgets if each.budget] == ["Month"]
    assert found.per_hour == found.budgets[0].per_hour <= 5
    assert found.until == found.budgets[0].end
