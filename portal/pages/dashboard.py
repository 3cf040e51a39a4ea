"""The first page: what is left, what it went on, and what happens next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from billing.engine.money import EXACT, ZERO, exact_sum
from billing.models import Meter, UsageEvent
from billing.selectors.ledger import balances, history, statements
from billing.selectors.ledger.balances import BalanceNow
from billing.selectors.spending import budgets
from billing.selectors.spending.budgets import BudgetNow
from billing.selectors.usage import rollups, usage
from portal import access, attention, charts, first_steps, payloads, plans, stacks
from portal.periods import Period

DAYS = 30
RUNWAY_DAYS = 7
LATEST = 8
MODELS = 5
BUDGETS = 4


@dataclass(frozen=True, slots=True)
class AssetCard:
    """One asset of the wallet as the page shows it."""

    balance: BalanceNow
    grants: list[stacks.GrantPart]
    runway_days: int | None
    spent_today: Decimal
    spent_period: Decimal

    @property
    def holding(self) -> attention.Holding:
        return attention.Holding(self.balance, [part.grant for part in self.grants], self.runway_days)

    @property
    def bar(self) -> list[tuple[float, int]]:
        return [(part.share, part.tone) for part in self.grants]

    @property
    def given(self) -> Decimal:
        """What the grants that are still open were when they were new."""
        return exact_sum(part.grant.amount for part in self.grants)

    @property
    def share_left(self) -> float:
        """How much of that is left, 0 to 1."""
        left = exact_sum(part.grant.remaining for part in self.grants)
        return float(left / self.given) if self.grants else 0.0

    @property
    def owes(self) -> bool:
        return self.balance.available < 0


@require_GET
@access.signed_in
def dashboard(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """What needs attention, balances, today, the last 30 days, the plan, the latest entries."""
    now = timezone.now()
    period = _period(now, visit)
    main = visit.customer.currency_id
    mark = rollups.mark()
    by_day = _by_day(visit, period, mark)
    cards = _cards(visit, now, by_day, mark)
    burned = _burned(visit, period, mark)
    has_events = bool(by_day) or UsageEvent.objects.filter(customer=visit.customer).exists()
    matters = attention.matters(visit, [card.holding for card in cards], now)
    return access.render_for(
        request,
        visit,
        "portal/dashboard.html",
        matters=matters,
        lines=matters,
        limits=_limits(visit),
        steps=first_steps.steps(visit, has_events=has_events),
        main_card=next((card for card in cards if card.balance.asset == main), None),
        other_cards=[(card, burned.get(card.balance.asset, [])) for card in cards if card.balance.asset != main],
        balance_chart=_balance_chart(visit, period, now),
        chart=charts.stacked(by_day, asset=main, period=period, name=lambda row: gettext("Spend")),
        period=period,
        mean_per_day=_mean_per_day(visit, by_day),
        events_today=sum(row.events for row in by_day if row.period_start == _today_start(now, visit)),
        models=burned.get(main, []),
        included=plans.included_now(visit.customer, now),
        subscriptions=[one for one in plans.running(visit.customer, now) if one.started],
        entries=statements.page(customer_id=visit.customer.pk, limit=LATEST).rows,
        has_events=has_events,
        example=None if has_events else first_steps.example(visit),
        base_url=settings.BASE_URL,
    )


@require_GET
@access.signed_in
def activity(request: HttpRequest, visit: access.Visit) -> HttpResponse:
    """The parts of the first page that move with each charge, to be put in their places.

    With ``whole`` the figures over 30 days instead of what needs attention: the page asks for those less often, for
    they read more. ``shown``: how many lines of what needs attention the page has room for.
    """
    now = timezone.now()
    whole = "whole" in request.GET
    period = (
        _period(now, visit) if whole else Period.latest(1, today=now.astimezone(visit.zone).date(), zone=visit.zone)
    )
    mark = rollups.mark()
    by_day = _by_day(visit, period, mark)
    cards = _cards(visit, now, by_day, mark)
    matters = [] if whole else attention.matters(visit, [card.holding for card in cards], now)
    return access.render_for(
        request,
        visit,
        "portal/parts/activity.html",
        whole=whole,
        matters=matters,
        lines=attention.in_place(matters, request.GET.get("shown", "")),
        limits=_limits(visit) if whole else [],
        included=plans.included_now(visit.customer, now) if whole else [],
        period=period,
        mean_per_day=_mean_per_day(visit, by_day),
        main_card=next((card for card in cards if card.balance.asset == visit.customer.currency_id), None),
        events_today=sum(row.events for row in by_day if row.period_start == _today_start(now, visit)),
        entries=statements.page(customer_id=visit.customer.pk, limit=LATEST).rows,
    )


@require_GET
def balance_json(request: HttpRequest) -> JsonResponse:
    """What ``/live/balance`` says, once: for browsers that cannot keep a stream open."""
    headers = {"Cache-Control": "no-store"}
    try:
        customer = access.customer_for(request)
    except Http404:
        return JsonResponse({"detail": "Sign in first."}, status=401, headers=headers)
    return JsonResponse(payloads.balances(balances.current([customer.pk])), headers=headers)


def _period(now: datetime, visit: access.Visit) -> Period:
    return Period.latest(DAYS, today=now.astimezone(visit.zone).date(), zone=visit.zone)


def _by_day(visit: access.Visit, period: Period, mark: rollups.Mark) -> list[usage.UsageRow]:
    return usage.rows(
        customer_id=visit.customer.pk,
        start=period.start,
        end=period.end,
        granularity="day",
        timezone=visit.zone,
        mark=mark,
    )


def _balance_chart(visit: access.Visit, period: Period, now: datetime) -> charts.Chart:
    """What was left of the wallet's own currency when each day ended; today, what is left now."""
    asset = visit.customer.currency_id
    ends = [*period.marks()[1:], now]
    left = history.available(visit.customer.pk, asset, at=ends) or [ZERO] * len(ends)
    return charts.curve(left, asset=asset, period=period, name=gettext("Left"))


def _mean_per_day(visit: access.Visit, by_day: Sequence[usage.UsageRow]) -> Decimal:
    return _sum(by_day, visit.customer.currency_id) / DAYS


def _today_start(now: datetime, visit: access.Visit) -> datetime:
    return now.astimezone(visit.zone).replace(hour=0, minute=0, second=0, microsecond=0)


def _cards(visit: access.Visit, now: datetime, by_day: Sequence[usage.UsageRow], mark: rollups.Mark) -> list[AssetCard]:
    today = _today_start(now, visit)
    week = now - timedelta(days=RUNWAY_DAYS)
    recent = {
        row.asset: row.amount for row in usage.totals(customer_id=visit.customer.pk, start=week, end=now, mark=mark)
    }
    grants = {
        asset: list(found)
        for asset, found in groupby(
            sorted(balances.open_grants(customer_id=visit.customer.pk, at=now), key=lambda grant: grant.asset),
            key=lambda grant: grant.asset,
        )
    }
    cards = []
    for balance in balances.current([visit.customer.pk], at=now):
        runway = balances.runway_days(
            available=balance.available, spent=recent.get(balance.asset, ZERO), days=RUNWAY_DAYS
        )
        cards.append(
            AssetCard(
                balance=balance,
                grants=stacks.parts(grants.get(balance.asset, []), now),
                runway_days=None if runway is None else int(runway),
                spent_today=_sum(by_day, balance.asset, today),
                spent_period=_sum(by_day, balance.asset),
            )
        )
    return cards


def _limits(visit: access.Visit) -> list[BudgetNow]:
    """The budgets with one limit of which most is used; who never had any is not asked for."""
    if not visit.customer.has_budgets:
        return []
    rows = budgets.now(visit.customer, list(budgets.kept(visit.customer)))
    used = [(row.only.share, row) for row in rows if row.only is not None]
    return [row for _, row in sorted(used, key=lambda one: -one[0])[:BUDGETS]]


def _sum(by_day: Sequence[usage.UsageRow], asset: str, day: datetime | None = None) -> Decimal:
    return exact_sum(r.amount for r in by_day if r.asset == asset and day in (None, r.period_start))


def _burned(visit: access.Visit, period: Period, mark: rollups.Mark) -> dict[str, list[tuple[str, Decimal, float]]]:
    """What most of each asset went on, by model or else by meter: name, amount, share of the largest."""
    rows = usage.totals(
        customer_id=visit.customer.pk, start=period.start, end=period.end, group_by=("model", "meter"), mark=mark
    )
    meters = dict(Meter.objects.values_list("code", "name"))
    spent: dict[str, dict[str, Decimal]] = {}
    for row in rows:
        model, meter = row.group
        name = model or meters.get(meter or "", gettext("Other"))
        of_asset = spent.setdefault(row.asset, {})
        of_asset[name] = EXACT.add(of_asset.get(name, ZERO), row.amount)
    return {asset: _largest(of_asset) for asset, of_asset in spent.items()}


def _largest(spent: dict[str, Decimal]) -> list[tuple[str, Decimal, float]]:
    ranked = sorted(((name, amount) for name, amount in spent.items() if amount > 0), key=lambda one: -one[1])[:MODELS]
    return [(name, amount, float(amount / ranked[0][1])) for name, amount in ranked]
