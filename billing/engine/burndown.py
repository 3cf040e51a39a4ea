"""Which grants pay, in which order, and how much each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing.engine.money import EXACT, ZERO, exact_sum

FREE_KINDS = frozenset({"promotional", "allowance"})
_NEVER = 1
_SOMETIME = 0


@dataclass(slots=True)
class Source:
    """A grant as the burn-down sees it. ``remaining`` goes down as it is drawn."""

    id: UUID
    kind: str
    priority: int
    effective_at: datetime
    expires_at: datetime | None
    meters: frozenset[str] | None
    """The meters it may pay for; None for all."""
    unit_cost: Decimal
    """What was paid for one unit of it."""
    created_at: datetime
    remaining: Decimal

    def may_pay(self, *, meter: str | None, moment: datetime) -> bool:
        """Whether it may pay for this meter (None: a plain amount) at ``moment``, which must lie in its interval."""
        if self.remaining <= 0 or self.effective_at > moment:
            return False
        if self.expires_at is not None and self.expires_at <= moment:
            return False
        return self.meters is None or meter in self.meters


def source(
    *,
    id: UUID,
    kind: str,
    priority: int,
    effective_at: datetime,
    expires_at: datetime | None,
    applies_to: Mapping[str, Any],
    paid_amount: Decimal,
    amount: Decimal,
    created_at: datetime,
    remaining: Decimal,
) -> Source:
    """The source that a stored grant is. ``applies_to``: ``{}``, or ``{"meters": [...]}``."""
    meters = applies_to.get("meters")
    return Source(
        id=id,
        kind=kind,
        priority=priority,
        effective_at=effective_at,
        expires_at=expires_at,
        meters=frozenset(meters) if meters else None,
        unit_cost=paid_amount / amount,
        created_at=created_at,
        remaining=remaining,
    )


@dataclass(slots=True)
class Reserved:
    """``amount`` of a source that was set aside for what is being charged, and is back in its ``remaining``."""

    source: Source
    amount: Decimal


@dataclass(slots=True)
class Draw:
    """``amount`` taken from one source, or, where ``source`` is None, from the overdraft."""

    source: Source | None
    amount: Decimal
    reserved: Reserved | None = None
    """What it was taken out of, if it was set aside before."""


def burn_order(sources: Iterable[Source]) -> list[Source]:
    """One total order without ties.

    Lower priority number first, then sooner expiry (never last), then restricted before general, then free before
    paid, then the lower cost of a unit, then older, then id.
    """
    return sorted(
        sources,
        key=lambda s: (
            s.priority,
            (_NEVER, 0.0) if s.expires_at is None else (_SOMETIME, s.expires_at.timestamp()),
            s.meters is None,
            s.kind not in FREE_KINDS,
            s.unit_cost,
            s.created_at,
            s.id,
        ),
    )


def draw(
    sources: Sequence[Source], amount: Decimal, *, meter: str | None, moment: datetime, overdraft: Decimal = ZERO
) -> list[Draw] | None:
    """Take ``amount`` from ``sources``, which are in burn order, and what they lack from ``overdraft``.

    All or nothing: None, and nothing taken, where that does not suffice.
    """
    assert amount >= 0
    assert overdraft >= 0
    draws: list[Draw] = []
    missing = amount
    for source in sources:
        if missing == 0:
            break
        if not source.may_pay(meter=meter, moment=moment):
            continue
        taken = min(source.remaining, missing)
        draws.append(Draw(source, taken))
        missing = EXACT.subtract(missing, taken)
    if missing > overdraft:
        return None
    if missing > 0:
        draws.append(Draw(None, missing))
    for part in draws:
        if part.source is not None:
            part.source.remaining = EXACT.subtract(part.source.remaining, part.amount)
    return draws


def payable(sources: Iterable[Source], *, meter: str | None, moment: datetime) -> Decimal:
    """What ``sources`` have for this meter (None: a plain amount) at ``moment``."""
    may_pay = (source.remaining for source in sources if source.may_pay(meter=meter, moment=moment))
    return exact_sum(may_pay)


def draw_reserved(reserved: Sequence[Reserved], amount: Decimal, *, meter: str | None) -> list[Draw]:
    """Take up to ``amount`` from what was set aside, in its order, whether or not the grants still live."""
    draws: list[Draw] = []
    missing = amount
    for part in reserved:
        if missing == 0:
            break
        if part.amount == 0 or (part.source.meters is not None and meter not in part.source.meters):
            continue
        taken = min(part.amount, missing)
        part.amount = EXACT.subtract(part.amount, taken)
        part.source.remaining = EXACT.subtract(part.source.remaining, taken)
        draws.append(Draw(part.source, taken, part))
        missing = EXACT.subtract(missing, taken)
    return draws


def draw_less(draws: Sequence[Draw], less: Decimal) -> list[Draw]:
    """What stays of these draws where ``less`` of their sum is undone: what was taken last goes back first."""
    kept = []
    for part in reversed(draws):
        back = min(part.amount, less)
        less = EXACT.subtract(less, back)
        put_back([Draw(part.source, back, part.reserved)])
        if rest := EXACT.subtract(part.amount, back):
            kept.append(Draw(part.source, rest, part.reserved))
    return kept[::-1]


def put_back(draws: Iterable[Draw]) -> None:
    """Undo ``draw`` and ``draw_reserved``: the sources hold again what they held before, and as much is set aside."""
    for part in draws:
        if part.reserved is not None:
            part.reserved.amount = EXACT.add(part.reserved.amount, part.amount)
        if part.source is not None:
            part.source.remaining = EXACT.add(part.source.remaining, part.amount)
