"""Running quantities, for the prices whose next charge depends on them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, Q, Sum

from accounts.ids import uuid7
from billing import pipeline
from billing.engine import levels
from billing.engine import rating as engine
from billing.engine.money import EXACT, LIMIT, ZERO
from billing.errors import InvalidRequest
from billing.models import Charge
from billing.services.ledger import bulk
from billing.services.usage.rating import Line

Key = tuple[UUID, UUID, datetime]
_Value = tuple[Key, bytes]


class Running(NamedTuple):
    """Where a price's period stands. ``level`` has been counted up to ``level_at``, where it is a level over time;
    ``level_rest`` is what rounding left of its quantity (``engine.levels``)."""

    quantity: Decimal
    level: Decimal | None = None
    level_at: datetime | None = None
    level_rest: int = 0


@dataclass(slots=True)
class Rated:
    """What a line comes to."""

    quantity: Decimal
    """What it adds to the period, in the meter's unit."""
    amount: Decimal
    list_amount: Decimal | None = None
    """Before the discount, where there is one."""
    before: Decimal | None = None
    """Where the period stood, if the amount depends on it."""


class Counters:
    """The counters of the locked customers, loaded once and written once.

    A linear price whose charges come out even needs no counter. The first event of a period that does not come out even
    starts one, from what was charged in that period so far.
    """

    def __init__(self) -> None:
        self._running: dict[Key, Running] = {}
        self._stored: dict[Key, UUID] = {}
        self._uncounted: dict[Key, Decimal] = {}
        self._moved: dict[Key, tuple[UUID, datetime]] = {}
        self._seen: set[_Value] = set()
        self._new: dict[_Value, UUID] = {}
        self._before: list[tuple[dict[Any, Any], Any, Any]] = []
        """What was where before each change, in order: a table of the above, its key, what stood there."""

    def take(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take in what ``reading`` found."""
        for id_, subscription_id, price_id, period_start, *running in rows:
            key = (subscription_id, price_id, period_start)
            self._running[key] = Running(*running)
            self._stored[key] = id_

    def take_values(self, rows: Sequence[tuple[UUID, UUID, datetime, bytes]]) -> None:
        """Take in what ``reading_values`` found."""
        for subscription_id, price_id, period_start, digest in rows:
            self._seen.add(((subscription_id, price_id, period_start), bytes(digest)))

    def charge(self, customer_id: UUID, line: Line) -> Rated:
        """What the line costs where the period stands now; the period then stands further on. What is waived moves
        nothing.

        Raises ``InvalidRequest`` where the period's quantity, or what it costs, would become more than the books hold.
        """
        if line.waived is not None:
            return Rated(ZERO, ZERO)
        price, key = line.price, line.counter
        before = stood = self._running.get(key)
        if before is None:
            if line.additive and price.may_go_uncounted:
                # Late usage always counts: what its own time charged so far would not find it in this period.
                if not line.late and price.net.adds_up(line.basis, precision=price.precision):
                    so_far = self._uncounted.get(key)
                    self._before.append((self._uncounted, key, so_far))
                    self._uncounted[key] = line.basis if so_far is None else EXACT.add(so_far, line.basis)
                    return self._rated(line, line.quantity, ZERO, line.basis, counted=False)
                so_far = EXACT.add(self.charged_before(customer_id, line), self._uncounted.get(key, ZERO))
                before = Running(so_far)
            else:
                before = Running(ZERO)
        after = self._after(customer_id, line, before)
        if after.quantity >= LIMIT:
            raise InvalidRequest.field("data", f"takes the period's {line.meter} beyond 18 digits before the point")
        moved = EXACT.subtract(after.quantity, before.quantity)
        rated = self._rated(line, line.quantity if line.additive else moved, before.quantity, moved)
        self._moved[key] = (customer_id, line.period_end)
        self._before.append((self._running, key, stood))
        self._running[key] = after
        return rated

    def charged_before(self, customer_id: UUID, line: Line) -> Decimal:
        """What was charged at the line's price in its period before this transaction."""
        return _charged_so_far(customer_id, line)

    def _rated(self, line: Line, quantity: Decimal, before: Decimal, moved: Decimal, *, counted: bool = True) -> Rated:
        price = line.price
        amount = engine.charge(price.net, before=before, quantity=moved, precision=price.precision)
        listed = None
        if price.net is not price.function:
            listed = engine.charge(price.function, before=before, quantity=moved, precision=price.precision)
        if not -LIMIT < (listed or ZERO) < LIMIT or not -LIMIT < amount < LIMIT:
            raise InvalidRequest.field("data", f"takes what {line.meter} costs beyond 18 digits before the point")
        return Rated(quantity, amount, listed, before if counted else None)

    def _after(self, customer_id: UUID, line: Line, before: Running) -> Running:
        """Where the period stands after the line: the parts in the order in which they arrive."""
        match line.aggregation:
            case "max":
                return Running(max(before.quantity, line.basis))
            case "latest":
                return Running(line.basis)
            case "unique":
                return Running(EXACT.add(before.quantity, self._count_value(customer_id, line)))
            case "time_weighted":
                # One that comes after its own period was settled holds from this one's start.
                reported = max(line.occurred_at, line.period_start)
                since = before.level_at or reported
                until = min(reported, line.level_end(since) or reported)
                lasted = max(until - since, timedelta())
                quantity, rest = levels.advance(before.quantity, before.level_rest, before.level or ZERO, lasted)
                return Running(quantity, line.basis, max(since, reported), rest)
        return before._replace(quantity=EXACT.add(before.quantity, line.basis))

    def level_hours(self, key: Key, moment: datetime) -> Decimal:
        """The unit-hours from where the level is counted up to ``moment``; zero where there is none."""
        running = self._running.get(key)
        if running is None or not running.level or running.level_at is None:
            return ZERO
        return levels.further(running.quantity, running.level_rest, running.level, moment - running.level_at)

    def end_level(self, key: Key, customer_id: UUID, *, at: datetime, period_end: datetime) -> None:
        """The level that was counted up to ``at`` is over."""
        self._running[key] = self._running[key]._replace(level=ZERO, level_at=at, level_rest=0)
        self._moved[key] = (customer_id, period_end)

    def _count_value(self, customer_id: UUID, line: Line) -> Decimal:
        value = (line.counter, line.digest)
        if value in self._seen:
            return ZERO
        self._seen.add(value)
        self._before.append((self._new, value, None))
        self._new[value] = customer_id
        return Decimal(1)

    def mark(self) -> int:
        """This moment, to be given to ``back_to``."""
        return len(self._before)

    def back_to(self, mark: int) -> None:
        """Where the periods stood at ``mark``: what was charged since was not charged."""
        while len(self._before) > mark:
            table, key, stood = self._before.pop()
            if stood is not None:
                table[key] = stood
                continue
            table.pop(key, None)
            if table is self._new:
                self._seen.discard(key)

    def rows_sent(self) -> None:
        """The charges so far are on their way: who asks the database for a period from now on is told of them."""
        self._uncounted.clear()

    def writes(self) -> list[bulk.Write | None]:
        """The writes that store the counters that moved, and the values that are new."""
        inserts, updates = [], []
        for key, (customer_id, period_end) in self._moved.items():
            running = self._running.get(key)
            if running is None:
                continue
            row = {"id": self._stored.get(key) or uuid7(), "customer_id": customer_id, **running._asdict()}
            if key in self._stored:
                updates.append(row)
            else:
                inserts.append(row | _columns(key) | {"period_end": period_end})
        values = [
            {"id": uuid7(), "customer_id": customer_id, **_columns(key), "digest": f"\\x{digest.hex()}"}
            for (key, digest), customer_id in self._new.items()
        ]
        return [
            bulk.insertion("billing_usagecounter", inserts),
            bulk.change("billing_usagecounter", updates),
            bulk.insertion("billing_countedvalue", values),
        ]


def _columns(key: Key) -> dict[str, Any]:
    subscription_id, price_id, period_start = key
    return {"subscription_id": subscription_id, "price_id": price_id, "period_start": period_start}


_READING = """
SELECT id, subscription_id, price_id, period_start, quantity, level, level_at, level_rest
  FROM billing_usagecounter
 WHERE customer_id = ANY(%s) AND period_start <= %s AND period_end > %s
"""


def reading(customer_ids: Collection[UUID], *, earliest: datetime, latest: datetime) -> pipeline.Query:
    """The counters of the periods that [``earliest``, ``latest``] touches, for ``Counters.take``."""
    return pipeline.Query(_READING, [list(customer_ids), latest, earliest])


_VALUES = """
SELECT v.subscription_id, v.price_id, v.period_start, v.digest
  FROM unnest(%s::uuid[], %s::timestamptz[], %s::uuid[], %s::uuid[], %s::bytea[])
       AS k(customer_id, period_start, subscription_id, price_id, digest)
  JOIN billing_countedvalue v USING (customer_id, period_start, subscription_id, price_id, digest)
"""


def reading_values(lines: Iterable[tuple[UUID, Line]]) -> pipeline.Query | None:
    """Which of these customers' values have been seen in their periods, for ``Counters.take_values``."""
    keys = {
        (customer_id, line.period_start, line.subscription_id, line.price.id, line.digest)
        for customer_id, line in lines
        if line.digest
    }
    return pipeline.Query(_VALUES, [list(column) for column in zip(*keys, strict=True)]) if keys else None


def _charged_so_far(customer_id: UUID, line: Line) -> Decimal:
    """What was charged at this price in this period before this transaction: the quantity, or, of events, how many."""
    charged = Charge.objects.filter(
        customer_id=customer_id,
        subscription_id=line.subscription_id,
        price_id=line.price.id,
        late=False,
        asset_id=line.price.asset,
        waived__isnull=True,
        occurred_at__gte=line.period_start,
        occurred_at__lt=line.period_end,
    ).aggregate(
        quantity=Sum("quantity"),
        events=Count("id", filter=Q(correction=None)) - Count("id", filter=Q(reverses__isnull=False)),
    )
    if line.price.measure is not None:
        return Decimal(charged["events"])
    return charged["quantity"] or ZERO
