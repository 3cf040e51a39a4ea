"""Fair use: how much a plan lets a billing period have, decided under the same lock as the debit.

Only plans that limit something ask the database for anything.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from accounts.ids import uuid7
from billing import pipeline
from billing.engine.metering import BadQuantity
from billing.engine.money import EXACT, ZERO, amount_string, exact_sum
from billing.errors import BudgetExceeded
from billing.models import Charge, FairUseCounter
from billing.selectors.catalog.catalog import CompiledFairUse
from billing.selectors.usage import counting
from billing.services import budgets
from billing.services.budgets import Held, Use
from billing.services.ledger import bulk
from billing.services.usage.rating import Line

Key = tuple[UUID, UUID | str, datetime]
"""A subscription, the meter's id or the asset that is counted, and the period's start."""


@dataclass(slots=True)
class _Counter:
    customer_id: UUID
    period_end: datetime
    used: Decimal = ZERO
    id: UUID = field(default_factory=uuid7)
    stored: bool = False
    changed: bool = False


class FairUse:
    """What periods have used of what their plans limit: read once, decided in memory, written with the charges."""

    def __init__(self) -> None:
        self._counters: dict[Key, _Counter] = {}
        self._held: dict[UUID, list[Held]] = {}
        self._asked: set[UUID] = set()
        self._released: UUID | None = None
        self.enforced = True
        """False for work that counts as done: it counts, and nothing is refused."""

    def read(self, lines: Iterable[tuple[UUID, Line]]) -> None:
        """Read what the plans of these customers' lines limit. Under their locks."""
        guarded = [(owner, line) for owner, line in lines if line.plan.fair_use and owner not in self._asked]
        if not guarded:
            return
        owners = {owner for owner, _ in guarded}
        self._asked |= owners
        periods = {(owner, line.subscription_id, line.period_start) for owner, line in guarded}
        counted = pipeline.Query(_COUNTED, [list(column) for column in zip(*periods, strict=True)])
        held = budgets.reading_held(owners)
        pipeline.run([counted, held])
        for id_, customer_id, subscription_id, meter_id, asset, start, end, used in counted.rows:
            key = (subscription_id, meter_id or asset, start)
            self._counters[key] = _Counter(customer_id, end, used, id_, stored=True)
        self._held |= budgets.held_by(held.rows)
        for customer_id, theirs in self._held.items():
            self._held[customer_id] = [each for each in theirs if each.id != self._released]

    def hold(self, customer_id: UUID, held: Held) -> None:
        """Usage is kept unpaid: so much counts until it is collected."""
        self._held.setdefault(customer_id, []).append(held)

    def release(self, authorization_id: UUID) -> None:
        """What this authorization announced does not count any more: what comes next is what it was for."""
        self._released = authorization_id

    def refusal(
        self, customer_id: UUID, lines: Sequence[Line], amounts: Mapping[str, Decimal]
    ) -> BudgetExceeded | None:
        """Why an event of these ``lines``, which come to ``amounts`` by asset, is beyond fair use; None where it is
        not."""
        first = lines[0]
        if not self.enforced:
            return None
        for limit in first.plan.fair_use:
            more = _wanted(limit, lines, amounts)
            left = self._left(customer_id, first, limit)
            if more > max(left, ZERO):
                return _refusal(first, limit, left=max(left, ZERO), required=more)
        return None

    def left(self, customer_id: UUID, line: Line) -> Decimal | None:
        """How much more of the line's meter its plan lets the period have; None for any quantity."""
        for limit in line.plan.fair_use:
            if limit.counts == line.meter_id:
                return max(ZERO, self._left(customer_id, line, limit))
        return None

    def count(self, customer_id: UUID, lines: Sequence[Line], amounts: Mapping[str, Decimal]) -> None:
        """The event was charged."""
        first = lines[0]
        for limit in first.plan.fair_use:
            more = _wanted(limit, lines, amounts)
            if more:
                counter = self._counters.setdefault(_key(first, limit), _Counter(customer_id, first.period_end))
                counter.used = EXACT.add(counter.used, more)
                counter.changed = True

    def writes(self) -> list[bulk.Write | None]:
        """The writes that store what was counted."""
        inserts, updates = [], []
        for (subscription_id, counts, start), counter in self._counters.items():
            if not counter.changed:
                continue
            row = {"id": counter.id, "customer_id": counter.customer_id, "used": counter.used}
            if counter.stored:
                updates.append(row)
                continue
            which = {"meter_id": counts, "asset_id": None} if isinstance(counts, UUID) else _of_asset(counts)
            period = {"subscription_id": subscription_id, "period_start": start, "period_end": counter.period_end}
            inserts.append(row | period | which)
        return [
            bulk.insertion("billing_fairusecounter", inserts),
            bulk.change("billing_fairusecounter", updates),
        ]

    def _left(self, customer_id: UUID, line: Line, limit: CompiledFairUse) -> Decimal:
        counter = self._counters.get(_key(line, limit))
        held = (
            _announced(limit, each)
            for each in self._held.get(customer_id, ())
            if each.occurred_at is None or line.period_start <= each.occurred_at < line.period_end
        )
        taken = exact_sum(held, ZERO if counter is None else counter.used)
        return EXACT.subtract(limit.limit, taken)


def give_back(charges: Sequence[Charge], amounts: Sequence[Decimal], *, reversal: bool) -> None:
    """Of these charges of one event so much was taken back: it was not used. With ``reversal`` nor were the quantities.

    Under the customer's locks.
    """
    first = charges[0]
    moment = counting.counted_at(first)
    counters = FairUseCounter.objects.filter(
        customer_id=first.customer_id,
        subscription_id=first.subscription_id,
        period_start__lte=moment,
        period_end__gt=moment,
    )
    for counter in counters:
        if counter.asset_id is not None:
            pairs = zip(charges, amounts, strict=True)
            back = exact_sum(amount for each, amount in pairs if each.asset_id == counter.asset_id)
        else:
            metered = [each for each in charges if each.meter_id == counter.meter_id and reversal]
            once = [each.quantity for each in metered if each.price_id == metered[0].price_id]
            back = exact_sum(once)
        counter.used = max(ZERO, EXACT.subtract(counter.used, back))
        counter.save(update_fields=["used"])


_COUNTED = """
SELECT f.id, f.customer_id, f.subscription_id, f.meter_id, f.asset_id, f.period_start, f.period_end, f.used
  FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[]) AS k(customer_id, subscription_id, period_start)
  JOIN billing_fairusecounter f USING (customer_id, subscription_id, period_start)
"""


def _key(line: Line, limit: CompiledFairUse) -> Key:
    return line.subscription_id, limit.counts, line.period_start


def _of_asset(code: str) -> dict[str, Any]:
    return {"meter_id": None, "asset_id": code}


def _wanted(limit: CompiledFairUse, lines: Sequence[Line], amounts: Mapping[str, Decimal]) -> Decimal:
    """How much of what is limited the event takes. A meter with prices in several assets counts once."""
    if limit.rule is None:
        return amounts.get(limit.unit, ZERO)
    return next((line.quantity for line in lines if line.meter_id == limit.counts), ZERO)


def _announced(limit: CompiledFairUse, held: Held) -> Decimal:
    """How much an open authorization for usage, or usage that is unpaid, still takes of it: what was announced and is
    not captured yet."""
    if not held.use.type:
        return ZERO
    if limit.rule is None:
        return held.amounts.get(limit.unit, ZERO)
    captured = Decimal(held.used.get(str(limit.counts), "0"))
    return max(ZERO, EXACT.subtract(_quantity(limit, held.use), captured))


def _quantity(limit: CompiledFairUse, use: Use) -> Decimal:
    if limit.rule is None or limit.rule.event_type != use.type:
        return ZERO
    try:
        return limit.rule.quantity(use.data) or ZERO
    except BadQuantity:
        return ZERO


def _refusal(line: Line, limit: CompiledFairUse, *, left: Decimal, required: Decimal) -> BudgetExceeded:
    resets_at = budgets.utc(line.period_end)
    plan, takes, has = line.plan.plan, amount_string(required), amount_string(left)
    if limit.rule is None:
        name = f"Spend cap of {plan}"
        detail = (
            f"This takes {takes} {limit.unit}, and the spend cap of the plan {plan} has {has} left until {resets_at}."
        )
    else:
        name = f"Fair use of {plan}"
        detail = f"This takes {takes} {limit.unit}, and fair use of the plan {plan} has {has} left until {resets_at}."
    return BudgetExceeded(
        detail,
        name=name,
        plan=plan,
        unit=limit.unit,
        limit=limit.limit,
        left=left,
        required=required,
        period=line.plan.interval,
        resets_at=resets_at,
    )
