"""Writing a day's journal: its lines grant by grant, where each obligation stands then, and what the lines come to."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from accounts.ids import uuid7
from billing.engine import recognition
from billing.engine.money import EXACT, ZERO
from billing.engine.recognition import Line, Obligation
from billing.models import RevenueDay
from billing.selectors.revenue import revenue_days
from billing.services.ledger import bulk

ROWS_A_WRITE = 5_000


def write(day: RevenueDay, *, done: Callable[[int], None]) -> None:
    """Write the lines, obligations and sums of the day, and note in ``day`` how many entries it holds."""
    _write_lines(day, done)
    _write_totals(day)


class _Rows:
    """Rows on their way into a table, some thousands at a time."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) >= ROWS_A_WRITE:
            self.flush()

    def flush(self) -> None:
        write = bulk.insertion(self._table, self._rows)
        if write is not None:
            with connection.cursor() as cursor:
                cursor.execute(write.statement, write.parameters)
        self._rows = []


class _Journal:
    """The lines and obligations of a day, numbered as they come."""

    def __init__(self, day: RevenueDay) -> None:
        self._day = day
        self._number = 0
        self._lines = _Rows("billing_recognition")
        self._obligations = _Rows("billing_obligation")

    def add(self, lines: Iterable[Line], *, customer: UUID, asset: str, grant: UUID | None = None) -> None:
        for line in lines:
            self._number += 1
            self._lines.add(
                {
                    "id": uuid7(),
                    "day_id": self._day.pk,
                    "number": self._number,
                    "customer_id": customer,
                    "movement": line.movement,
                    "debit": line.debit,
                    "credit": line.credit,
                    "currency_id": line.currency,
                    "amount": line.amount,
                    "asset_id": asset,
                    "units": line.units,
                    "product": line.product,
                    "grant_id": grant,
                    "fee_id": line.fee,
                    "occurred_on": line.occurred_on,
                    "entries": line.entries,
                    **dict(zip(("entry_kind", "entry_debit", "entry_credit"), line.posted, strict=True)),
                }
            )

    def stands(
        self, found: Obligation, *, customer: UUID, currency: str, grant: UUID | None = None, fee: UUID | None = None
    ) -> None:
        self._obligations.add(
            {
                "id": uuid7(),
                "day_id": self._day.pk,
                "date": self._day.date,
                "customer_id": customer,
                "grant_id": grant,
                "fee_id": fee,
                "currency_id": currency,
                "value": found.value,
                "total": found.total,
                "done": found.done,
                "booked": found.booked,
                "used": found.used,
                "ahead": found.ahead,
            }
        )

    def flush(self) -> None:
        self._lines.flush()
        self._obligations.flush()


def _write_lines(day: RevenueDay, done: Callable[[int], None]) -> None:
    journal = _Journal(day)
    for moved in revenue_days.moved(day):
        _add_moved(journal, moved)
        count = sum(group.entries for group in moved.groups)
        day.entries += count
        day.late += sum(group.entries for group in moved.groups if group.occurred_on < day.date)
        done(count)
    journal.flush()
    for fee in revenue_days.running_fees(day):
        _add_fee(journal, fee, day)
    journal.flush()


def _add_moved(journal: _Journal, moved: revenue_days.Moved) -> None:
    asset = moved.groups[0].asset
    if moved.grant is None:
        for group in moved.groups:
            lines = recognition.lines_without_grant([group])
            journal.add((line for line in lines if line.amount), customer=moved.customer, asset=group.asset)
    elif moved.paid is None:
        lines = recognition.lines_of_unpaid(moved.kind, moved.groups)
        journal.add((line for line in lines if line.amount), customer=moved.customer, asset=asset, grant=moved.grant)
    else:
        found = recognition.lines_of_paid(moved.paid, moved.groups, expected=settings.BREAKAGE_EXPECTED)
        journal.add(found, customer=moved.customer, asset=asset, grant=moved.grant)
        journal.stands(moved.paid.obligation, customer=moved.customer, currency=moved.paid.currency, grant=moved.grant)


def _add_fee(journal: _Journal, fee: revenue_days.RunningFee, day: RevenueDay) -> None:
    """Recognise the part of the fee whose time has gone by, to the microsecond."""
    obligation = fee.obligation
    obligation.value = EXACT.add(obligation.value, fee.added)
    obligation.total = _seconds(fee.end - fee.start)
    gone = min(max(_seconds(day.end - fee.start), ZERO), obligation.total)
    amount = obligation.render(EXACT.subtract(gone, obligation.done))
    if amount:
        line = Line(
            "fee_recognised", recognition.DEFERRED_FEES, "fees", fee.currency, amount, fee.plan, day.date, fee=fee.fee
        )
        journal.add([line], customer=fee.customer, asset=fee.asset)
    journal.stands(obligation, customer=fee.customer, currency=fee.currency, fee=fee.fee)


def _seconds(duration: timedelta) -> Decimal:
    return Decimal(duration // timedelta(microseconds=1)).scaleb(-6)


def _write_totals(day: RevenueDay) -> None:
    """A row for every kind of line that there ever was, on the running sum: the lists are as short as the chart."""
    closing = revenue_days.closing_sums(revenue_days.before(day))
    found = revenue_days.sums_of_lines(day)
    moved = {key for key, *_ in found}
    still = [(key, day.date, ZERO, 0) for key in closing if key not in moved]
    rows = _Rows("billing_revenuetotal")
    for number, (key, occurred_on, amount, lines) in enumerate(sorted([*found, *still]), start=1):
        closing[key] = EXACT.add(closing.get(key, ZERO), amount)
        movement, debit, credit, currency, product = key
        rows.add(
            {
                "id": uuid7(),
                "day_id": day.pk,
                "number": number,
                "movement": movement,
                "debit": debit,
                "credit": credit,
                "currency_id": currency,
                "product": product,
                "occurred_on": occurred_on,
                "amount": amount,
                "closing": closing[key],
                "lines": lines,
            }
        )
    rows.flush()
