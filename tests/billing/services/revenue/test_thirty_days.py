"""Thirty days with every kind of movement close without a difference; what happens later changes no closed day."""

from datetime import UTC, datetime
from decimal import Decimal
from random import Random

import pytest
from django.db import transaction

from billing.engine.money import ZERO
from billing.models import LedgerEntry, Recognition, RevenueDay
from billing.selectors import books, revenue_books, revenue_days, revenue_files
from billing.selectors import revenue as figures
from billing.services import revenue
from tests.billing.services.conftest import Clock
from tests.billing.services.revenue.story import Story
from tests.builders import Shop

SEED = 20261101


@pytest.fixture
def story(committed_db: None, clock: Clock, shop: Shop) -> Story:
    clock.stop(datetime(2026, 11, 1, 0, 30, tzinfo=UTC))
    return Story(shop, clock, SEED)


def live(story: Story, days: int) -> None:
    for _ in range(days):
        begun = story.clock.now().date()
        while story.clock.now().date() == begun:
            story.step()
            story.clock.forward(minutes=story.random.randint(60, 150))
        story.day(steps=0)
        revenue.close_due()


def check_roll_forward(days: list[RevenueDay]) -> None:
    closing: dict[str, Decimal] = {}
    for day in days:
        for row in figures.roll_forward(day):
            assert row.difference == 0, day
            assert row.opening == closing.get(row.currency, ZERO), day
            closing[row.currency] = row.closing
        balance = figures.trial_balance(day)
        for currency in closing:
            assert sum(row.closing for row in balance if row.currency == currency) == 0


def test_thirty_days_roll_forward_without_a_difference_and_stay(story: Story, shop: Shop) -> None:
    live(story, 30)

    closed = list(revenue_days.final().order_by("date"))
    assert len(closed) == 30
    check_roll_forward(closed)
    assert list(books.differences()) == []
    kinds = set(Recognition.objects.values_list("movement", flat=True))
    assert kinds >= {
        *("billed", "fee_billed", "recognised", "recognised_owed", "fee_deferred", "fee_recognised", "breakage"),
        *("settled", "conceded", "exchanged", "refunded", "adjusted", "promotional", "included"),
    }

    # A second look gives the same bytes, and so it does after many more things have happened to those thirty days.
    then = {day.date: day.sha256 for day in closed}
    rest = Random(SEED)
    for number in range(60):
        story.clock.forward(minutes=10)
        try_late(story, rest, number)
    story.clock.forward(days=1)
    (late,) = revenue.close_due()[-1:]

    with transaction.atomic():
        assert list(revenue_books.changed_files()) == []
    assert {day.date: day.sha256 for day in revenue_days.final() if day.date in then} == then
    assert late.late > 0
    check_roll_forward(list(revenue_days.final().order_by("date")))
    posted = LedgerEntry.objects.exclude(kind__in=["hold", "release"])
    assert sum(day.entries for day in revenue_days.final()) == posted.filter(posted_at__lt=late.end).count()


def try_late(story: Story, rest: Random, number: int) -> None:
    customer = rest.choice(story.customers)
    if number % 3:
        story.use(customer, late=True)
    else:
        story.step()


def test_a_closed_file_is_the_same_whenever_it_is_made(story: Story) -> None:
    live(story, 3)
    day = revenue_days.final().order_by("date").first()
    assert day is not None

    with transaction.atomic():
        assert revenue_files.measured(day) == day.files
