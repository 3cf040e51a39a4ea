"""Thirty days with every kind of movement close without a difference; what happens later changes no closed day.

``ANTE_LONG=1``: a thousand disturbances instead of sixty. ``ANTE_SEED`` draws another story.
"""

import os
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from billing.engine.money import ZERO
from billing.models import LedgerEntry, Recognition, RevenueDay
from billing.selectors.ledger import books
from billing.selectors.revenue import revenue as figures
from billing.selectors.revenue import revenue_books, revenue_days, revenue_files
from billing.services import revenue
from tests.billing.services.conftest import Clock
from tests.billing.services.revenue.disturbances import Disturbances
from tests.billing.services.revenue.story import Story
from tests.builders import Shop
from tests.payments import Bank

SEED = int(os.environ.get("ANTE_SEED", "20261101"))
DISTURBANCES = 1000 if os.environ.get("ANTE_LONG") == "1" else 60


@pytest.fixture
def story(committed_db: None, clock: Clock, shop: Shop, settings: Any) -> Story:
    settings.BREAKAGE_EXPECTED = Decimal("0.1")
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


@pytest.mark.timeout(3600)
def test_thirty_days_roll_forward_without_a_difference_and_stay(story: Story, bank: Bank) -> None:
    live(story, 30)

    closed = list(revenue_days.final().order_by("date"))
    assert len(closed) == 30
    check_roll_forward(closed)
    assert list(books.differences()) == []
    kinds = set(Recognition.objects.values_list("movement", flat=True))
    assert kinds >= {
        *("billed", "fee_billed", "recognised", "recognised_owed", "fee_deferred", "fee_recognised", "breakage"),
        *("breakage_expected", "settled", "conceded", "exchanged", "refunded", "adjusted", "promotional", "included"),
    }

    # Whatever happens to them afterwards: not one byte of those thirty days is another.
    then = {day.date: day.sha256 for day in closed}
    disturbances = Disturbances(story, bank, SEED)
    for number in range(1, DISTURBANCES + 1):
        story.clock.forward(minutes=10)
        disturbances.one()
        if number % 100 == 0:
            story.day(steps=0)
            revenue.close_due()
            assert hashes(then) == then
    story.clock.forward(days=1)
    story.day(steps=0)
    later = [day for day in revenue.close_due() + list(revenue_days.final()) if day.date not in then]

    print(f"Disturbances: {dict(disturbances.done)}")
    with transaction.atomic():
        assert list(revenue_books.changed_files()) == []
    assert hashes(then) == then
    assert any(day.late for day in later)
    check_roll_forward(list(revenue_days.final().order_by("date")))
    check_every_entry_once(max(day.end for day in later))


def hashes(then: dict[date, str]) -> dict[date, str]:
    """The hashes of the same days now."""
    return {day.date: day.sha256 for day in revenue_days.final() if day.date in then}


def check_every_entry_once(end: datetime) -> None:
    """Each entry, however late, is in just one day, and the days' own counts agree."""
    seen: Counter[UUID] = Counter()
    for day in revenue_days.final():
        which, parameters = revenue_days.holds(day)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id FROM billing_ledgerentry e WHERE e.kind NOT IN ('hold', 'release') AND {which}", parameters
            )
            held = [row[0] for row in cursor]
        assert len(held) == day.entries, day
        seen.update(held)
    posted = LedgerEntry.objects.exclude(kind__in=["hold", "release"]).filter(posted_at__lt=end)
    assert seen == Counter(posted.values_list("id", flat=True))


def test_a_closed_file_is_the_same_whenever_it_is_made(story: Story) -> None:
    live(story, 3)
    day = revenue_days.final().order_by("date").first()
    assert day is not None

    with transaction.atomic():
        assert revenue_files.measured(day) == day.files
