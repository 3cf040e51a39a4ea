"""Running quantities, for the prices whose next charge depends on them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from accounts.ids import uuid7
from billing import pipeline
from billing.engine import rating as engine
from billing.engine.money import EXACT, LIMIT, ZERO
from billing.errors import InvalidRequest
from billing.models import Charge
from billing.services import bulk
from billing.services.usage.rating import Line

Key = tuple[UUID, UUID, datetime]
CounterSnapshot = Mapping[Key, tuple[Decimal | None, Decimal | None]]


class Counters:
    """The counters of the locked customers, loaded once and written once.

    A linear price whose charges come out even needs no counter. The first event of a period that does not come out even
    starts one, from what was charged in that period so far.
    """

    def __init__(self) -> None:
        self._quantities: dict[Key, Decimal] = {}
        self._stored: dict[Key, UUID] = {}
        self._uncounted: dict[Key, Decimal] = {}
        self._moved: dict[Key, tuple[UUID, datetime]] = {}

    def take(self, rows: Sequence[tuple[UUID, UUID, UUID, datetime, Decimal]]) -> None:
        """Take in what ``reading`` found."""
        for id_, subscription_id, price_id, period_start, quantity in rows:
            key = (subscription_id, price_id, period_start)
            self._quantities[key] = quantity
            self._stored[key] = id_

    def charge(self, customer_id: UUID, line: Line) -> Decimal:
        """What the line costs where the period stands now; the period then stands further on. What is waived moves
        nothing.

        Raises ``InvalidRequest`` where the period's quantity would become more than the books can hold.
        """
        if line.waived is not None:
            return ZERO
        price, key = line.price, line.counter
        if key not in self._quantities:
            # Late usage always counts: what its own time charged so far would not find it in this period.
            if not line.late and price.function.adds_up(line.quantity, precision=price.precision):
                self._uncounted[key] = EXACT.add(self._uncounted.get(key, ZERO), line.quantity)
                return engine.charge(price.function, before=ZERO, quantity=line.quantity, precision=price.precision)
            self._quantities[key] = EXACT.add(_charged_so_far(customer_id, line), self._uncounted.get(key, ZERO))
        before = self._quantities[key]
        after = EXACT.add(before, line.quantity)
        if after >= LIMIT:
            raise InvalidRequest.field("data", f"takes the period's {line.meter} beyond 18 digits before the point")
        self._moved[key] = (customer_id, line.period_end)
        self._quantities[key] = after
        return engine.charge(price.function, before=before, quantity=line.quantity, precision=price.precision)

    def before(self, line: Line) -> Decimal:
        """The running quantity that the line's charge starts from; zero where it makes no difference."""
        return self._quantities.get(line.counter, ZERO)

    def snapshot(self, lines: Sequence[Line]) -> CounterSnapshot:
        """Where these lines' periods stand, to be given to ``restore``."""
        return {line.counter: (self._quantities.get(line.counter), self._uncounted.get(line.counter)) for line in lines}

    def restore(self, snapshot: CounterSnapshot) -> None:
        """Go back to ``snapshot``: the event was not charged."""
        for key, (counted, uncounted) in snapshot.items():
            for store, value in ((self._quantities, counted), (self._uncounted, uncounted)):
                if value is None:
                    store.pop(key, None)
                else:
                    store[key] = value

    def rows_sent(self) -> None:
        """The charges so far are on their way: who asks the database for a period from now on is told of them."""
        self._uncounted.clear()

    def writes(self) -> list[bulk.Write | None]:
        """The writes that store the counters that moved."""
        inserts, updates = [], []
        for key, (customer_id, period_end) in self._moved.items():
            if key not in self._quantities:
                continue
            row = {
                "id": self._stored.get(key) or uuid7(),
                "customer_id": customer_id,
                "quantity": self._quantities[key],
            }
            if key in self._stored:
                updates.append(row)
            else:
                subscription_id, price_id, period_start = key
                inserts.append(
                    row
                    | {
                        "subscription_id": subscription_id,
                        "price_id": price_id,
                        "period_start": period_start,
                        "period_end": period_end,
                    }
                )
        return [
            bulk.insertion("billing_usagecounter", inserts),
            bulk.change("billing_usagecounter", updates),
        ]


_READING = """
SELECT id, subscription_id, price_id, period_start, quantity
  FROM billing_usagecounter
 WHERE customer_id = ANY(%s) AND period_start <= %s AND period_end > %s
"""


def reading(customer_ids: Collection[UUID], *, earliest: datetime, latest: datetime) -> pipeline.Query:
    """The counters of the periods that [``earliest``, ``latest``] touches, for ``Counters.take``."""
    return pipeline.Query(_READING, [list(customer_ids), latest, earliest])


def _charged_so_far(customer_id: UUID, line: Line) -> Decimal:
    """The quantity charged at this price in this period before this transaction."""
    total: Decimal | None = Charge.objects.filter(
        customer_id=customer_id,
        subscription_id=line.subscription_id,
        price_id=line.price.id,
        late=False,
        occurred_at__gte=line.period_start,
        occurred_at__lt=line.period_end,
    ).aggregate(total=Sum("quantity"))["total"]
    return total or ZERO
