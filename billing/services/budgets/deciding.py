"""Whether the budgets of locked customers let usage pass, and what it leaves of them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from accounts.services import api_keys
from billing.engine.budgets import Use
from billing.engine.money import EXACT, ZERO, amount_string, exact_sum
from billing.errors import BillingError, BudgetExceeded, RateLimited
from billing.models import Budget
from billing.services import outbox
from billing.services.budgets.moving import PlanMoves
from billing.services.budgets.states import BudgetState, CounterState, Held, facts, utc
from billing.services.ledger import bulk
from billing.services.ledger.posting import Journal
from billing.services.notices import Told, publication

_SECOND = timedelta(seconds=1)


class Budgets:
    """Budgets that were read under their customers' locks: decided in memory, written with the charges.

    What counts is the time of the debit, not when the usage happened: else a date in the past would be a way around.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._budgets: dict[UUID, list[BudgetState]] = {}
        self._held: dict[UUID, list[Held]] = {}
        self._held_sums: dict[tuple[UUID, str], Decimal] = {}
        self._admitted: dict[str, Decimal] = {}
        self._admitted_events = 0
        self._pausing: set[UUID] = set()
        self._told: list[Told] = []
        self.enforced = True
        """False for work that counts as done: it counts, and nothing is refused."""

    def take(self, budgets: Sequence[BudgetState], held: Mapping[UUID, list[Held]]) -> None:
        """Take in what was read."""
        for budget in budgets:
            self._budgets.setdefault(budget.customer_id, []).append(budget)
        self._held.update(held)

    def release(
        self, customer_id: UUID, authorization_id: UUID, left: Mapping[str, Decimal], *, late: bool = False
    ) -> None:
        """An authorization gave back what it set aside, but for what is ``left``, by asset, to be used now.

        So much, and the event, was let pass when it was opened, whatever has become of the budgets since; unless it
        comes ``late``.
        """
        for held in self._held.get(customer_id, ()):
            if held.id == authorization_id:
                if not late:
                    self._admitted = {
                        asset: EXACT.subtract(amount, left.get(asset, ZERO)) for asset, amount in held.amounts.items()
                    }
                    self._admitted_events = 1
                held.amounts, held.events = dict(left), 0
                self._held_sums.clear()
                return

    def hold(self, customer_id: UUID, held: Held) -> None:
        """Usage is kept unpaid: so much counts until it is collected."""
        self._held.setdefault(customer_id, []).append(held)
        self._held_sums.clear()

    def carry(self, customer_id: UUID, use: Use, amounts: Mapping[str, Decimal], *, events: int = 1) -> bool:
        """Whether usage of these amounts, by asset, would pass. Nothing is noted."""
        return not self._blocking(customer_id, use, amounts, events)

    def room(self, customer_id: UUID, use: Use, amounts: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """Where a budget would not let these amounts pass: how much of the asset it would."""
        found: dict[str, Decimal] = {}
        for budget, _, left in self._blocking(customer_id, use, amounts, events=0):
            passes = max(left, budget.of(self._admitted, 0))
            asset = budget.asset or ""
            found[asset] = min(found.get(asset, passes), passes)
        return found

    def full(self, customer_id: UUID, use: Use) -> bool:
        """Whether there is no room for one more event like that which was let pass: an authorization that stayed open
        would hold it."""
        self._admitted, self._admitted_events = {}, 0
        return bool(self._blocking(customer_id, use, {}, events=1))

    def refusal(
        self, customer_id: UUID, use: Use, amounts: Mapping[str, Decimal], *, events: int = 1, own_key: bool = False
    ) -> BillingError | None:
        """Why usage of these amounts, by asset, cannot pass: ``BudgetExceeded``, or ``RateLimited`` where it may come
        again later. None, and nothing counted, where it can.

        ``own_key``: it is the customer's own key that reports it, which a budget may pause. Raises ``PlanMoves`` where
        another plan is wanted first; of several, that of the lowest limit: the others are asked again on that plan.
        """
        blocking = self._blocking(customer_id, use, amounts, events)
        if not blocking:
            return None
        if all(budget.may_move for budget, _, _ in blocking):
            raise PlanMoves(min((budget for budget, _, _ in blocking), key=lambda one: one.rung).id)
        for budget, counter, _ in blocking:
            self._tell_exceeded(budget, counter)
            if budget.at_cap == Budget.AtCap.PAUSE_KEY and own_key and use.api_key_id is not None:
                self._pausing.add(use.api_key_id)
        # What says no for good before what only says later; of several, the one with the least left.
        tightest = min(blocking, key=lambda one: (one[0].at_cap == Budget.AtCap.THROTTLE, one[2], one[0].id))
        return self._refusal(*tightest, required=tightest[0].of(amounts, events))

    def admit(
        self, customer_id: UUID, use: Use, amounts: Mapping[str, Decimal], *, events: int = 1, own_key: bool = False
    ) -> BillingError | None:
        """The same, and what can pass is counted."""
        refusal = self.refusal(customer_id, use, amounts, events=events, own_key=own_key)
        if refusal is None:
            self._count(customer_id, use, amounts, events)
        return refusal

    def give_back(
        self, customer_id: UUID, use: Use, given: Sequence[tuple[str, Decimal, Any]], *, events: int = 0
    ) -> None:
        """Usage was taken back: (asset, amount, when it was debited) each. Only windows that it counted in go down."""
        for budget in self._budgets.get(customer_id, ()):
            counter = budget.counter(use, now=self._journal.now)
            if counter is None:
                continue
            here = [(asset, amount) for asset, amount, debited_at in given if debited_at >= counter.start]
            if not here:
                continue
            amounts = [amount for asset, amount in here if asset == budget.asset]
            back = Decimal(events) if budget.counts == Budget.Counts.EVENTS else exact_sum(amounts)
            if back:
                counter.spent = EXACT.subtract(counter.spent, back)
                counter.level = min(counter.level, budget.level(counter.spent))
                counter.exceeded = counter.exceeded and counter.spent >= budget.limit
                counter.changed = True

    def writes(self) -> list[bulk.Write | None]:
        """The writes that store what was counted; keys to be paused are paused on the way."""
        if self._pausing:
            api_keys.pause(sorted(self._pausing), reason="A budget is used up.")
        inserts, updates = [], []
        for budget in (budget for theirs in self._budgets.values() for budget in theirs):
            for counter in budget.counters.values():
                if not counter.changed:
                    continue
                row = {
                    "id": counter.id,
                    "customer_id": budget.customer_id,
                    "window_start": counter.start,
                    "window_end": counter.end,
                    "spent": counter.spent,
                    "level": counter.level,
                    "exceeded": counter.exceeded,
                }
                if counter.stored:
                    updates.append(row)
                else:
                    inserts.append(row | {"budget_id": budget.id, "value": counter.value})
        return [
            bulk.insertion("billing_budgetcounter", inserts),
            bulk.change("billing_budgetcounter", updates),
            publication(self._told, now=self._journal.now) if self._told else None,
        ]

    def _blocking(
        self, customer_id: UUID, use: Use, amounts: Mapping[str, Decimal], events: int
    ) -> list[tuple[BudgetState, CounterState, Decimal]]:
        """The budgets that it would pass, each with its counter and what is left of it."""
        found = []
        for budget in self._budgets.get(customer_id, ()):
            more = budget.of(amounts, events)
            if not budget.hard or budget.moved or more <= 0 or not self.enforced:
                continue
            counter = budget.counter(use, now=self._journal.now)
            if counter is None:
                continue
            left = EXACT.subtract(budget.limit, EXACT.add(counter.spent, self._held_of(budget, counter)))
            if more > left and more > budget.of(self._admitted, self._admitted_events):
                found.append((budget, counter, max(ZERO, left)))
        return found

    def _held_of(self, budget: BudgetState, counter: CounterState) -> Decimal:
        key = (budget.id, counter.value)
        if key not in self._held_sums:
            covered = [
                budget.of(held.amounts, held.events)
                for held in self._held.get(budget.customer_id, ())
                if budget.scope.counter(held.use) == counter.value
                and (held.kept_at is None or held.kept_at >= counter.start)
            ]
            self._held_sums[key] = exact_sum(covered)
        return self._held_sums[key]

    def _count(self, customer_id: UUID, use: Use, amounts: Mapping[str, Decimal], events: int) -> None:
        for budget in self._budgets.get(customer_id, ()):
            more = budget.of(amounts, events)
            counter = budget.counter(use, now=self._journal.now) if more else None
            if counter is None:
                continue
            counter.spent = EXACT.add(counter.spent, more)
            counter.changed = True
            level = budget.level(counter.spent)
            if level > counter.level:
                share = amount_string(budget.alert_at[level - 1])
                self._tell(budget, counter, "budget.threshold_reached", threshold=share)
            counter.level = level
            # Where its plan is what usage is on, that was told.
            if counter.spent > budget.limit and not budget.moved:
                self._tell_exceeded(budget, counter)

    def _tell_exceeded(self, budget: BudgetState, counter: CounterState) -> None:
        """Once in a window."""
        if not counter.exceeded:
            counter.exceeded = counter.changed = True
            self._tell(budget, counter, "budget.exceeded")

    def _tell(self, budget: BudgetState, counter: CounterState, type_: str, **more: str) -> None:
        payload = facts(budget, value=counter.value, spent=counter.spent, end=counter.end) | more
        self._journal.messages.append(outbox.Message(type_, budget.customer_id, payload))
        self._told.append(Told(budget.customer_id, type_, payload))

    def _refusal(self, budget: BudgetState, counter: CounterState, left: Decimal, *, required: Decimal) -> BillingError:
        resets_at = utc(counter.end)
        until = f" until {resets_at}" if resets_at else ""
        detail = (
            f"This takes {amount_string(required)} {budget.unit}, and a budget has {amount_string(left)} left{until}."
        )
        # The refusal is kept with the event for ever: which budget it was is said by its id, not by names of people.
        figures: dict[str, Any] = {
            "budget": str(budget.id),
            "scope": dict(budget.scope.values),
            "value": counter.value or None,
            "unit": budget.unit,
            "limit": budget.limit,
            "left": left,
            "required": required,
            "period": budget.period,
            "resets_at": resets_at,
        }
        if budget.at_cap == Budget.AtCap.THROTTLE:
            assert counter.end is not None
            wait = -(-(counter.end - self._journal.now) // _SECOND)
            return RateLimited(detail, retry_after=wait, **figures)
        return BudgetExceeded(detail, **figures)
