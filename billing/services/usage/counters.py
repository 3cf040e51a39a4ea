"""Running quantities, for the prices whose next charge depends on them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from accounts.ids import uuid7
from billing.engine import rating as engine
from billing.engine.money import EXACT, ZERO
from billing.models import Charge, UsageCounter
from billing.services import bulk
from billing.services.usage.rating import Line

Key = tuple[UUID, UUID, datetime]


class Counters:
    """The counters of the locked customers, loaded once and written once.

    A linear price whose charges come out even needs no counter. The first event of a period that does not come out even
    starts one, from what was charged in that period so far.
    """

    def __init__(self) -> None:
        self._quantities: dict[Key, Decimal] = {}
        self._stored: dict[Key, UUID] = {}
        self._uncounted: dict[Key, Decimal] = {}
        self._owner: dict[Key, UUID] = {}

    def load(self, customer_ids: Collection[UUID], lines: Sequence[Line]) -> None:
        """Read the counters that these lines may need."""
        starts = {line.period_start for line in lines}
        for row in UsageCounter.objects.filter(customer_id__in=customer_ids, period_start__in=starts):
            key = (row.subscription_id, row.price_id, row.period_start)
            self._quantities[key] = row.quantity
            self._stored[key] = row.id

    def charge(self, customer_id: UUID, line: Line) -> Decimal:
        """What the line costs where the period stands now; the period then stands further on."""
        price, key = line.price, line.counter
        if key not in self._quantities:
            if price.function.adds_up(line.quantity, precision=price.precision):
                self._uncounted[key] = EXACT.add(self._uncounted.get(key, ZERO), line.quantity)
                return engine.charge(price.function, before=ZERO, quantity=line.quantity, precision=price.precision)
            self._quantities[key] = EXACT.add(_charged_so_far(customer_id, line), self._uncounted.get(key, ZERO))
        self._owner[key] = customer_id
        before = self._quantities[key]
        self._quantities[key] = EXACT.add(before, line.quantity)
        return engine.charge(price.function, before=before, quantity=line.quantity, precision=price.precision)

    def snapshot(self, lines: Sequence[Line]) -> Mapping[Key, tuple[Decimal | None, Decimal | None]]:
        """Where these lines' periods stand, to be given to ``restore``."""
        return {line.counter: (self._quantities.get(line.counter), self._uncounted.get(line.counter)) for line in lines}

    def restore(self, snapshot: Mapping[Key, tuple[Decimal | None, Decimal | None]]) -> None:
        """Go back to ``snapshot``: the event was not charged."""
        for key, (counted, uncounted) in snapshot.items():
            for store, value in ((self._quantities, counted), (self._uncounted, uncounted)):
                if value is None:
                    store.pop(key, None)
                else:
                    store[key] = value

    def write(self) -> None:
        """Store the counters that moved."""
        inserts, updates = [], []
        for key, customer_id in self._owner.items():
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
                    row | {"subscription_id": subscription_id, "price_id": price_id, "period_start": period_start}
                )
        bulk.insert("billing_usagecounter", inserts)
        bulk.update("billing_usagecounter", updates)


def _charged_so_far(customer_id: UUID, line: Line) -> Decimal:
    """The quantity charged at this price in this period before this transaction."""
    total: Decimal | None = Charge.objects.filter(
        customer_id=customer_id,
        subscription_id=line.subscription_id,
        price_id=line.price.id,
        occurred_at__gte=line.period_start,
        occurred_at__lt=line.period_end,
    ).aggregate(total=Sum("quantity"))["total"]
    return total or ZERO
