"""The first page: what waits for somebody, what happened today, what wallets hold, thirty days, what was refused.

Every figure is found along the ids, which grow with time, or in sums by the hour, so that it costs what the period
costs and not what the table holds. Days begin where they begin in the operator's time zone; usage counts on the day on
which it occurred.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Min, Sum
from django.http import HttpRequest
from django.utils import timezone

from accounts.ids import first_id
from billing.admin import attention, day_figures, display, summaries
from billing.engine.money import EXACT, ZERO, amount_string, exact_sum
from billing.models import Account, Balance, Customer, Grant, LedgerEntry, Meter, OutboxEvent, UsageEvent
from billing.selectors.usage import events, rollups
from billing.selectors.usage import usage as used

DAYS = 30
SERIES_MAX = 6
EXPIRING_WITHIN = timedelta(days=14)
EXPIRING_SHOWN = 6
_MONEY_IN = {Account.CASH_CLEARING: "Bought", Account.PROMOTIONAL_EXPENSE: "Given"}


@dataclass(frozen=True, slots=True)
class DayUsage:
    """What one day's usage of one thing came to, or what was paid in on it in one way."""

    day: date
    asset: str
    what: str
    amount: Decimal


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the template of the first page shows. Nothing of it for staff who may not see the books."""
    if not request.user.has_perm("billing.view_ledgerentry"):
        return context
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = today - timedelta(days=DAYS - 1), today + timedelta(days=1)
    mark = rollups.mark()
    usage = _daily(start, end, mark)
    main = _main_asset(usage)
    return {
        **context,
        "is_overview": True,
        "today": today,
        "attention": attention.matters(request),
        "usage_today": _by_asset([row for row in usage if row.day == today.date()], main),
        "usage_yesterday": _by_asset([row for row in usage if row.day == today.date() - timedelta(days=1)], main),
        "granted_today": _granted(today),
        "payments": day_figures.payments(today),
        "recurring": day_figures.recurring(main, today),
        "approvals": day_figures.approvals(request),
        "unusual": day_figures.unusual(),
        "events_today": _events(today, end, mark),
        "balances": _balances(),
        "customers": Customer.objects.count(),
        "expiring": _expiring(),
        "outbox": _outbox(),
        "chart": _chart([row for row in usage if row.asset == main], start.date(), main),
        "paid_in": _chart(
            [DayUsage(day, main, how, paid) for day, how, paid in day_figures.paid_in(start, main)],
            start.date(),
            main,
        ),
        "refused": summaries.latest_refused(),
    }


def approvals_waiting(request: HttpRequest) -> str:
    """How many requests this person could decide, for the sidebar; nothing where there are none."""
    return str(attention.approvals_for(request)[: attention.COUNTED_MAX].count() or "")


def _daily(start: datetime, end: datetime, mark: rollups.Mark) -> list[DayUsage]:
    """By day, asset and model, or meter where there is no model."""
    meters = dict(Meter.objects.values_list("code", "name"))
    return [
        DayUsage(timezone.localdate(row.period_start), row.asset, model or meters[meter or ""], row.amount)
        for row in used.rows(
            customer_id=None,
            start=start,
            end=end,
            group_by=("model", used.METER),
            timezone=timezone.get_current_timezone(),
            mark=mark,
        )
        for model, meter in [row.group]
    ]


def _main_asset(usage: list[DayUsage]) -> str:
    """The currency in which most was used; the dollar where nothing was."""
    totals: dict[str, Decimal] = {}
    for row in usage:
        if display.is_currency(row.asset):
            totals[row.asset] = EXACT.add(totals.get(row.asset, ZERO), row.amount)
    return max(totals, key=lambda asset: totals[asset], default="usd")


def _by_asset(usage: list[DayUsage], main: str) -> list[dict[str, Any]]:
    totals: dict[str, Decimal] = {main: ZERO}
    for row in usage:
        totals[row.asset] = EXACT.add(totals.get(row.asset, ZERO), row.amount)
    return [_figure(asset, total) for asset, total in totals.items()]


def _figure(asset: str, total: Decimal) -> dict[str, Any]:
    return {"asset": asset, "money": display.is_currency(asset), "figure": display.figure(total, asset)}


def _granted(today: datetime) -> list[dict[str, Any]]:
    rows = (
        LedgerEntry.objects.filter(
            id__gte=first_id(today - timedelta(hours=1)),
            posted_at__gte=today,
            debit__in=list(_MONEY_IN),
            credit=Account.WALLET_AVAILABLE,
        )
        .order_by()
        .values_list("debit", "asset_id")
        .annotate(total=Sum("amount"), times=Count("id"))
        .order_by("asset__kind", "debit", "-total")
    )
    return [
        {"title": _MONEY_IN[Account(debit)], "times": times, **_figure(asset, total)}
        for debit, asset, total, times in rows
    ]


def _events(today: datetime, end: datetime, mark: rollups.Mark) -> dict[str, Any]:
    """What came of the day's events: charged ones by the sums of usage, in which one that is charged in two assets
    counts in each, and the few others one by one. One that was reversed is as if it had not happened."""
    zone = timezone.get_current_timezone()
    charged = used.rows(customer_id=None, start=today, end=end, timezone=zone, mark=mark)
    others = (
        events.not_reversed(UsageEvent.objects.exclude(status=UsageEvent.Status.CHARGED))
        .filter(
            id__gte=first_id(today - events.BOOKED_BEFORE_MAX),
            occurred_at__gte=today,
            occurred_at__lt=end,
            unpaid__collected_at=None,
        )
        .order_by()
        .values_list("status")
        .annotate(times=Count("id"))
    )
    counts = dict(others)
    refused = counts.get(UsageEvent.Status.REJECTED, 0)
    total = sum(row.events for row in charged) + sum(counts.values())
    return {
        "total": total,
        "refused": refused,
        "unpaid": counts.get(UsageEvent.Status.UNPAID, 0),
        "refused_percent": f"{100 * refused / total:.1f}" if total else "0",
    }


def _balances() -> list[dict[str, Any]]:
    rows = (
        Balance.objects.order_by()
        .values_list("asset_id", "asset__name")
        .annotate(sum_available=Sum("available"), sum_held=Sum("held"), sum_owed=Sum("owed"), wallets=Count("id"))
        .order_by("asset__kind", "-sum_available")
    )
    return [
        {
            "asset": asset,
            "name": name,
            "available": display.figure(available, asset, cut=True),
            "held": display.figure(held, asset),
            "owed": display.figure(owed, asset),
            "wallets": wallets,
        }
        for asset, name, available, held, owed, wallets in rows
    ]


def _expiring() -> list[dict[str, Any]]:
    """Grants with something left that end soon, the first to end first."""
    now = timezone.now()
    rows = Grant.objects.filter(open=True, remaining__gt=0, expires_at__gt=now, expires_at__lt=now + EXPIRING_WITHIN)
    return [
        {
            "customer": display.link(grant.customer),
            "grant": display.link(grant),
            "remaining": display.figure(grant.remaining, grant.asset_id, cut=True),
            "asset": "" if display.is_currency(grant.asset_id) else grant.asset_id,
            "expires": summaries.expiry(grant.expires_at, now),
        }
        for grant in rows.select_related("customer").order_by("expires_at")[:EXPIRING_SHOWN]
    ]


def _outbox() -> dict[str, Any]:
    waiting = OutboxEvent.objects.filter(state=OutboxEvent.State.NEW).aggregate(times=Count("id"), oldest=Min("due_at"))
    oldest: datetime | None = waiting["oldest"]
    seconds = max(0, int((timezone.now() - oldest).total_seconds())) if oldest else 0
    return {"waiting": waiting["times"], "oldest": display.age(seconds) if oldest else "", "late": seconds > 300}


def _chart(usage: list[DayUsage], first: date, asset: str) -> dict[str, Any]:
    """Bars for each day, stacked by what was used: heights in percent of the highest day."""
    totals: dict[str, Decimal] = {}
    days: dict[date, dict[str, Decimal]] = {first + timedelta(days=n): {} for n in range(DAYS)}
    for row in usage:
        totals[row.what] = EXACT.add(totals.get(row.what, ZERO), row.amount)
    named = sorted(totals, key=lambda what: -totals[what])
    names = named if len(named) <= SERIES_MAX else named[: SERIES_MAX - 1]
    for row in usage:
        name = row.what if row.what in names else "Other"
        held = days[row.day]
        held[name] = EXACT.add(held.get(name, ZERO), row.amount)
    series = [*names, *(["Other"] if len(named) > len(names) else [])]
    highest = max((exact_sum(held.values()) for held in days.values()), default=ZERO)
    top = _round_up(highest)
    return {
        "series": [{"name": name, "tone": tone} for tone, name in enumerate(series, 1)],
        "total": display.figure(exact_sum(totals.values()), asset),
        "lines": [{"at": share, "label": _axis(top, share, asset)} for share in (100, 75, 50, 25)] if top else [],
        "days": [
            {
                "label": f"{day:%-d %b}",
                "tick": n % 5 == 4,
                "total": display.figure(exact_sum(held.values()), asset),
                "weekend": day.weekday() >= 5,
                "parts": _parts(held, series, top, asset),
            }
            for n, (day, held) in enumerate(days.items())
        ],
    }


def _parts(held: dict[str, Decimal], series: list[str], top: Decimal, asset: str) -> list[dict[str, Any]]:
    """One day's stack from the ground up; the drawing counts from the top."""
    parts, reached = [], ZERO
    for tone, name in enumerate(series, 1):
        amount = held.get(name, ZERO)
        if amount > 0:
            reached = EXACT.add(reached, amount)
            parts.append(
                {
                    "name": name,
                    "tone": tone,
                    "top": summaries.percent(EXACT.subtract(top, reached), top),
                    "height": summaries.percent(amount, top),
                    "amount": display.figure(amount, asset),
                }
            )
    return parts


def _round_up(amount: Decimal) -> Decimal:
    """The next number whose quarters are round: the top of the axis."""
    if amount <= 0:
        return ZERO
    size = Decimal(1).scaleb(amount.adjusted())
    return next(
        step * size
        for step in map(Decimal, ("1", "1.2", "1.6", "2", "2.4", "3.2", "4", "6", "8", "10"))
        if step * size >= amount
    )


def _axis(top: Decimal, share: int, asset: str) -> str:
    value = amount_string(top * share / 100)
    return f"{display.symbol(asset)}{value}"
