"""Where budgets stand now: what counts against them, what is left, and when they begin anew."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import ApiKey, User
from billing.engine import budgets as engine
from billing.engine.budgets import EACH, Scope, Use
from billing.engine.money import EXACT, ZERO
from billing.models import Authorization, Budget, BudgetCounter, Customer, UnpaidUsage

VALUES_MAX = 200


@dataclass(frozen=True, slots=True)
class Standing:
    """One counter of a budget: of a value, or, where ``value`` is empty, of all that it covers."""

    value: str
    spent: Decimal
    held: Decimal
    left: Decimal
    share: Decimal
    """Of the limit, what is spent; 1 where the limit is zero."""


@dataclass(frozen=True, slots=True)
class BudgetNow:
    """A budget in its present window. One for each value has a standing for each that was seen, the highest first."""

    budget: Budget
    start: datetime
    end: datetime | None
    standings: list[Standing] = field(default_factory=list)

    @property
    def each(self) -> bool:
        return EACH in self.budget.scope.values()

    @property
    def only(self) -> Standing | None:
        """Where it stands, if it is not for each value."""
        return None if self.each else self.standings[0]


def kept(customer: Customer) -> QuerySet[Budget]:
    """The customer's budgets, without those that were removed."""
    found = Budget.objects.filter(customer=customer, removed_at=None)
    return found.select_related("customer", "asset", "api_key", "member", "plan")


def now(customer: Customer, budgets: Sequence[Budget]) -> list[BudgetNow]:
    """Where these budgets of the customer stand."""
    moment, zone = timezone.now(), ZoneInfo(customer.timezone)
    counters: dict[UUID, list[BudgetCounter]] = {}
    for counter in BudgetCounter.objects.filter(customer=customer, budget__in=budgets).order_by("-spent"):
        counters.setdefault(counter.budget_id, []).append(counter)
    held = _held(customer) if budgets else []
    return [_now(budget, counters.get(budget.pk, []), held, moment, zone) for budget in budgets]


def people(budget: Budget) -> list[User]:
    """Those whose usage it limits, by address; none where it is not about people."""
    if budget.member is not None:
        return [budget.member]
    return list(User.objects.filter(pk__in=budget.people).order_by("email")) if budget.people else []


def by_member(rows: Sequence[BudgetNow]) -> dict[UUID, list[BudgetNow]]:
    """Those that limit one person alone, by the person."""
    found: dict[UUID, list[BudgetNow]] = {}
    for row in rows:
        if row.budget.member_id is not None and row.only is not None:
            found.setdefault(row.budget.member_id, []).append(row)
    return found


def by_key(rows: Sequence[BudgetNow]) -> dict[UUID, list[BudgetNow]]:
    """Those that limit one API key, by the key and by every key that renews it."""
    found: dict[UUID, list[BudgetNow]] = {}
    for row in rows:
        if row.budget.api_key_id is not None and row.only is not None:
            for key_id in _renewals(row.budget.api_key_id):
                found.setdefault(key_id, []).append(row)
    return found


@dataclass(frozen=True, slots=True)
class _Held:
    use: Use
    asset: str | None
    amount: Decimal
    first: bool
    """Of its authorization: for usage, that is an event to come."""
    kept_at: datetime | None = None
    """Of usage that is kept unpaid: it counts in the windows of that time."""


def _now(
    budget: Budget, counters: Sequence[BudgetCounter], held: Sequence[_Held], moment: datetime, zone: ZoneInfo
) -> BudgetNow:
    start, end = engine.window(moment, budget.period, zone=zone)
    open_ = [counter for counter in counters if counter.window_end is None or counter.window_end > moment]
    if open_:
        start, end = open_[0].window_start, open_[0].window_end
    elif budget.period == Budget.Period.TOTAL:
        start = budget.created_at
    spent = {counter.value: counter.spent for counter in open_}
    waiting = _waiting(budget, [each for each in held if each.kept_at is None or each.kept_at >= start])
    values = [""] if EACH not in budget.scope.values() else [*spent, *(v for v in waiting if v not in spent)]
    standings = []
    for value in values[:VALUES_MAX]:
        used, aside = spent.get(value, ZERO), waiting.get(value, ZERO)
        left = max(ZERO, EXACT.subtract(budget.limit, EXACT.add(used, aside)))
        share = used / budget.limit if budget.limit else Decimal(1)
        standings.append(Standing(value, used, aside, left, share))
    return BudgetNow(budget, start, end, standings)


def _waiting(budget: Budget, held: Sequence[_Held]) -> dict[str, Decimal]:
    """What open authorizations set aside and unpaid usage takes, by value."""
    scope = _scope(budget) if held else Scope({})
    found: dict[str, Decimal] = {}
    for each in held:
        value = scope.counter(each.use)
        if value is None:
            continue
        if budget.counts == Budget.Counts.EVENTS:
            amount = Decimal(each.first and bool(each.use.type))
        else:
            amount = each.amount if each.asset == budget.asset_id else ZERO
        found[value] = EXACT.add(found.get(value, ZERO), amount)
    return found


def _scope(budget: Budget) -> Scope:
    keys, member_keys = None, frozenset[UUID]()
    if budget.api_key_id is not None:
        keys = _renewals(budget.api_key_id)
    members = people(budget)
    if members:
        made = ApiKey.objects.filter(created_by__in=members, organization_id=budget.customer.organization_id)
        member_keys = frozenset(made.values_list("id", flat=True))
    return Scope(budget.scope, keys, {member.email.lower() for member in members}, member_keys)


def _renewals(key_id: UUID) -> set[UUID]:
    """The key, and all that it was renewed by."""
    keys = {key_id}
    while renewed := set(ApiKey.objects.filter(renews__in=keys).values_list("id", flat=True)) - keys:
        keys |= renewed
    return keys


def _held(customer: Customer) -> list[_Held]:
    rows: dict[UUID, Any] = {
        row.pk: row for row in Authorization.objects.filter(customer=customer, status=Authorization.Status.OPEN)
    }
    found = [
        _Held(Use(event.type, event.data, event.api_key_id), unpaid.asset_id, unpaid.required, True, event.received_at)
        for unpaid in UnpaidUsage.objects.filter(customer=customer, open=True).select_related("event")
        for event in [unpaid.event]
    ]
    if not rows:
        return found
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT authorization_id, asset_id, SUM(outstanding) FROM billing_hold"
            " WHERE authorization_id = ANY(%s) GROUP BY 1, 2",
            [list(rows)],
        )
        sums = cursor.fetchall()
    seen: set[UUID] = set()
    for id_, asset, amount in sums:
        row = rows[id_]
        found.append(_Held(Use(row.type, row.data, row.api_key_id), asset, amount, id_ not in seen))
        seen.add(id_)
    for id_ in rows.keys() - seen:
        found.append(_Held(Use(rows[id_].type, rows[id_].data, rows[id_].api_key_id), None, ZERO, True))
    return found
