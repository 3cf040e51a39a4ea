"""Budgets and their counters while their customers are locked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from accounts.ids import uuid7
from billing.engine import budgets as engine
from billing.engine.budgets import Scope, Use
from billing.engine.money import EXACT, ZERO, amount_string
from billing.models import Budget


@dataclass(slots=True)
class CounterState:
    """What counts against a budget in the window [``start``, ``end``)."""

    id: UUID
    value: str
    start: datetime
    end: datetime | None
    spent: Decimal = ZERO
    level: int = 0
    exceeded: bool = False
    stored: bool = False
    changed: bool = False


@dataclass(slots=True)
class BudgetState:
    """A budget, with those of its counters that matter now, by value."""

    id: UUID
    customer_id: UUID
    name: str
    scope: Scope
    asset: str | None
    counts: str
    limit: Decimal
    period: str
    hard: bool
    at_cap: str
    alert_at: tuple[Decimal, ...]
    zone: ZoneInfo
    moved: bool
    """Whether the customer is on the plan that it moves to at its limit, or on that of a higher rung; then it refuses
    nothing."""
    may_move: bool
    """Whether the customer could be moved there now."""
    counters: dict[str, CounterState] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        return self.asset or "events"

    @property
    def rung(self) -> tuple[Decimal, UUID]:
        """Its place among budgets that change the plan: a higher limit is a higher rung, and nothing moves down."""
        return self.limit, self.id

    def of(self, amounts: Mapping[str, Decimal], events: int) -> Decimal:
        """How much of these amounts, by asset, and events counts."""
        return Decimal(events) if self.counts == Budget.Counts.EVENTS else amounts.get(self.asset or "", ZERO)

    def counter(self, use: Use, *, now: datetime) -> CounterState | None:
        """Where the usage counts, in the window that holds ``now``; None where the budget does not cover it."""
        value = self.scope.counter(use)
        if value is None:
            return None
        counter = self.counters.get(value)
        if counter is None or (counter.end is not None and counter.end <= now):
            start, end = engine.window(now, self.period, zone=self.zone)
            stored = counter is not None
            counter = CounterState(counter.id if counter else uuid7(), value, start, end, stored=stored)
            self.counters[value] = counter
        return counter

    def level(self, spent: Decimal) -> int:
        return engine.level(spent, limit=self.limit, alert_at=self.alert_at)


@dataclass(slots=True)
class Held:
    """What an open authorization sets aside, or usage takes that is kept unpaid, by asset. It counts as if it were
    spent."""

    id: UUID
    """The authorization's, or the event's."""
    use: Use
    amounts: dict[str, Decimal]
    events: int
    """One that was opened for usage is an event to come."""
    used: Mapping[str, str]
    """What was captured of it so far, by the meters' ids."""
    occurred_at: datetime | None = None
    """When it was used, if it was: it counts in the billing period of that time."""
    kept_at: datetime | None = None
    """When it could not be paid: it counts in the windows of that time until it is."""


def facts(budget: BudgetState | Budget, *, value: str, spent: Decimal, end: datetime | None) -> dict[str, Any]:
    """What a message about a budget tells."""
    return {
        "budget": str(budget.id),
        "name": budget.name,
        "value": value or None,
        "unit": (budget.asset_id if isinstance(budget, Budget) else budget.asset) or "events",
        "limit": amount_string(budget.limit),
        "spent": amount_string(spent),
        "period": budget.period,
        "hard": budget.hard,
        "resets_at": utc(end),
    }


def add(amounts: dict[str, Decimal], asset: str, more: Decimal) -> None:
    """Add to an amount of several, by asset."""
    amounts[asset] = EXACT.add(amounts.get(asset, ZERO), more)


def utc(moment: datetime | None) -> str | None:
    """As answers and messages write it; None for what has no end."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
