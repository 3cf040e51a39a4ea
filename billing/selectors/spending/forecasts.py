"""What comes: how long the balance lasts, what the month will come to, and what may be spent to last it.

From the last four weeks, day by day: where there are two weeks at least, each day of the week has its own mean, for
work has a rhythm. The band holds four days in five of ten if days stray as they did. No booking rests on any of this.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from statistics import pstdev
from zoneinfo import ZoneInfo

from django.utils import timezone

from billing.engine import budgets as engine
from billing.engine.money import ZERO, exact_sum
from billing.models import Budget, Customer
from billing.selectors.ledger import balances
from billing.selectors.spending import budgets
from billing.selectors.usage import usage

HISTORY_DAYS = 28
RHYTHM_DAYS = 14
"""From so many days of history on, days of the week are told apart."""
RUNWAY_MAX = 730
BAND = Decimal("1.28")
"""How many standard deviations hold four in five, 0.1 below and 0.1 above."""
_PLACES = Decimal("0.000001")
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Month:
    """The calendar month of the customer's zone: what was spent of it, and what it will come to."""

    start: datetime
    end: datetime
    spent: Decimal
    expected: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of one asset. ``runway_days`` is None where nothing is spent or it lasts for more than ``RUNWAY_MAX`` days."""

    asset: str
    available: Decimal
    per_day: Decimal
    history_days: int
    runway_days: Decimal | None
    month: Month


@dataclass(frozen=True, slots=True)
class BudgetPace:
    """What a budget of all usage, or without one the wallet, leaves for each hour until ``end``."""

    budget: Budget | None
    left: Decimal
    end: datetime
    per_hour: Decimal


@dataclass(frozen=True, slots=True)
class Pace:
    """What may be spent each hour to last until ``until``, beside what was spent in the last one.

    ``advice``: ``keep`` going; above four fifths of what may be spent, a ``cheaper_model``; above all of it,
    ``slow_down``; ``stop`` where nothing is left.
    """

    asset: str
    available: Decimal
    until: datetime
    per_hour: Decimal
    spent_last_hour: Decimal
    share: Decimal | None
    advice: str
    budgets: list[BudgetPace] = field(default_factory=list)


ADVISED_FROM = Decimal("0.8")


def forecast(customer: Customer, asset: str, *, now: datetime | None = None) -> Forecast:
    """How the customer's spending in ``asset`` will go on."""
    now = now or timezone.now()
    zone = ZoneInfo(customer.timezone)
    today = now.astimezone(zone).date()
    month_start = engine.window(now, "month", zone=zone)
    start = min(_midnight(today - HISTORY_DAYS * _DAY, zone), month_start[0])
    by_day = _by_day(customer, asset, start, now, zone)
    history = _history(by_day, today)
    rhythm = _rhythm(history, today)
    available = _available(customer, asset)
    return Forecast(
        asset,
        available,
        _mean(history),
        len(history),
        _runway(available, rhythm, now, zone),
        _month(by_day, history, rhythm, now, zone, (month_start[0], month_start[1] or now)),
    )


def pace(customer: Customer, asset: str, *, now: datetime | None = None) -> Pace:
    """What may be spent each hour so that wallet and budgets last: until the month is over, or a budget begins anew."""
    now = now or timezone.now()
    _, month_end = engine.window(now, "month", zone=ZoneInfo(customer.timezone))
    assert month_end is not None
    available = max(ZERO, _available(customer, asset))
    hour = usage.totals(customer_id=customer.pk, start=now - _HOUR, end=now)
    spent = exact_sum(row.amount for row in hour if row.asset == asset)
    limits = _budget_paces(customer, asset, now)
    own = BudgetPace(None, available, month_end, _per_hour(available, month_end, now))
    tightest = min([own, *limits], key=lambda one: one.per_hour)
    allowed = tightest.per_hour
    share = _rounded(spent / allowed) if allowed else None
    return Pace(asset, available, tightest.end, allowed, spent, share, _advice(share), limits)


def _advice(share: Decimal | None) -> str:
    if share is None:
        return "stop"
    if share > 1:
        return "slow_down"
    return "cheaper_model" if share > ADVISED_FROM else "keep"


def _budget_paces(customer: Customer, asset: str, now: datetime) -> list[BudgetPace]:
    kept = budgets.kept(customer).filter(
        asset_id=asset, scope={}, api_key=None, member=None, hard=True, counts=Budget.Counts.SPEND
    )
    # At the limit of one that changes the plan the work goes on, there.
    kept = kept.exclude(at_cap=Budget.AtCap.CHANGE_PLAN)
    found = []
    for each in budgets.now(customer, list(kept)):
        if each.end is not None and each.only is not None:
            found.append(BudgetPace(each.budget, each.only.left, each.end, _per_hour(each.only.left, each.end, now)))
    return found


def _per_hour(left: Decimal, end: datetime, now: datetime) -> Decimal:
    """``left`` over the hours until ``end``; what is left of the last hour counts as a whole one."""
    hours = max(Decimal(1), Decimal((end - now) // timedelta(seconds=1)) / 3600)
    return _rounded(left / hours)


def _available(customer: Customer, asset: str) -> Decimal:
    return next((row.available for row in balances.current([customer.pk]) if row.asset == asset), ZERO)


def _by_day(customer: Customer, asset: str, start: datetime, now: datetime, zone: ZoneInfo) -> dict[date, Decimal]:
    rows = usage.rows(customer_id=customer.pk, start=start, end=now, granularity="day", timezone=zone)
    return {row.period_start.astimezone(zone).date(): row.amount for row in rows if row.asset == asset}


def _history(by_day: dict[date, Decimal], today: date) -> list[Decimal]:
    """What was spent on each whole day since the first one, the last first, four weeks at most.

    Where there is none but today, today is all that is known.
    """
    before = [day for day in by_day if today - HISTORY_DAYS * _DAY <= day < today]
    if not before:
        return [by_day[today]] if today in by_day else []
    return [by_day.get(today - ago * _DAY, ZERO) for ago in range(1, (today - min(before)).days + 1)]


def _rhythm(history: Sequence[Decimal], today: date) -> list[Decimal]:
    """What is to be expected of each day of the week, from Monday."""
    mean = _mean(history)
    if len(history) < RHYTHM_DAYS:
        return [mean] * 7
    days: list[list[Decimal]] = [[] for _ in range(7)]
    for ago, spent in enumerate(history, start=1):
        days[(today - ago * _DAY).weekday()].append(spent)
    return [_mean(found) for found in days]


def _runway(available: Decimal, rhythm: Sequence[Decimal], now: datetime, zone: ZoneInfo) -> Decimal | None:
    week = sum(rhythm)
    if week <= 0:
        return None
    left, days = max(available, ZERO), ZERO
    weekday = now.astimezone(zone).weekday()
    while days < RUNWAY_MAX:
        spent = max(rhythm[(weekday + int(days)) % 7], ZERO)
        if left <= spent:
            return _rounded(days + (left / spent if spent else ZERO))
        left -= spent
        days += 1
    return None


def _month(
    by_day: dict[date, Decimal],
    history: Sequence[Decimal],
    rhythm: Sequence[Decimal],
    now: datetime,
    zone: ZoneInfo,
    month: tuple[datetime, datetime],
) -> Month:
    start, end = month
    local = now.astimezone(zone)
    first = start.astimezone(zone).date()
    spent = exact_sum(amount for day, amount in by_day.items() if day >= first)
    # What is left of today goes by the clock, later days by their day of the week.
    tomorrow = _midnight(local.date() + _DAY, zone)
    expected = rhythm[local.weekday()] * Decimal((tomorrow - now) / _DAY)
    day, left = local.date() + _DAY, Decimal((tomorrow - now) / _DAY)
    while _midnight(day, zone) < end:
        expected += rhythm[day.weekday()]
        left += 1
        day += _DAY
    strays = [amount - rhythm[(local.date() - ago * _DAY).weekday()] for ago, amount in enumerate(history, start=1)]
    stray = pstdev(strays) if len(strays) > 1 else ZERO
    band = BAND * stray * left.sqrt()
    total = spent + max(expected, ZERO)
    return Month(start, end, spent, _rounded(total), max(spent, _rounded(total - band)), _rounded(total + band))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone)


def _mean(amounts: Sequence[Decimal]) -> Decimal:
    return _rounded(exact_sum(amounts) / len(amounts)) if amounts else ZERO


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(_PLACES)
