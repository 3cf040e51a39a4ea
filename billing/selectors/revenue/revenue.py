"""The roll-forward of the contract liability, day by day and currency by currency, from what the closed days sum up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from django.db.models import QuerySet

from billing.engine.money import EXACT, ZERO
from billing.engine.recognition import COLUMNS, LIABILITY, MEMO, MOVEMENTS
from billing.models import RevenueDay, RevenueTotal
from billing.selectors.revenue import revenue_days

REVENUE = frozenset({"usage", "fees", "breakage"})
"""The accounts of revenue."""


@dataclass(slots=True)
class RollForward:
    """One currency on one day: ``opening + billed - all other columns = closing``; see ``COLUMNS``.

    ``revenue`` is what came to the accounts of revenue, with what was used on debt; ``receivable`` what customers owe
    at the end of the day. ``promotional`` and ``included`` were used without being paid for, and are in no sum.
    """

    currency: str
    opening: Decimal = ZERO
    columns: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(COLUMNS, ZERO))
    closing: Decimal = ZERO
    revenue: Decimal = ZERO
    receivable: Decimal = ZERO
    promotional: Decimal = ZERO
    included: Decimal = ZERO

    @property
    def difference(self) -> Decimal:
        """What the columns do not explain of the change; zero, always."""
        out = ZERO
        for name in COLUMNS[1:]:
            out = EXACT.add(out, self.columns[name])
        expected = EXACT.subtract(EXACT.add(self.opening, self.columns["billed"]), out)
        return EXACT.subtract(self.closing, expected)


@dataclass(frozen=True, slots=True)
class AccountTotal:
    """An account of the journal on one day: what was debited and credited, and its balance (debits less credits)."""

    account: str
    currency: str
    opening: Decimal
    debited: Decimal
    credited: Decimal
    closing: Decimal


def roll_forward(day: RevenueDay) -> list[RollForward]:
    """The day's, by currency."""
    found: dict[str, RollForward] = {}
    opened: dict[str, Decimal] = {}
    for (_, debit, credit, currency, _), rows in _kinds(day).items():
        row = found.setdefault(currency, RollForward(currency))
        last = rows[-1]
        total = ZERO
        for each in rows:
            total = EXACT.add(total, each.amount)
        before = EXACT.subtract(last.closing, total)
        if last.movement in MEMO:
            setattr(row, last.movement, EXACT.add(getattr(row, last.movement), total))
            continue
        held = Decimal((credit in LIABILITY) - (debit in LIABILITY))
        column = MOVEMENTS[last.movement][0]
        if held:
            row.closing = EXACT.add(row.closing, EXACT.multiply(last.closing, held))
            opened[currency] = EXACT.add(opened.get(currency, ZERO), EXACT.multiply(before, held))
            sign = held if column == "billed" else held.copy_negate()
            row.columns[column] = EXACT.add(row.columns[column], EXACT.multiply(total, sign))
        earned = Decimal((credit in REVENUE) - (debit in REVENUE))
        row.revenue = EXACT.add(row.revenue, EXACT.multiply(total, earned))
        owed = Decimal((debit == "receivable") - (credit == "receivable"))
        row.receivable = EXACT.add(row.receivable, EXACT.multiply(last.closing, owed))
    for currency, row in found.items():
        row.opening = opened.get(currency, ZERO)
    return [found[currency] for currency in sorted(found)]


def trial_balance(day: RevenueDay) -> list[AccountTotal]:
    """Every account of the journal at the end of the day, by currency and account."""
    sums: dict[tuple[str, str], list[Decimal]] = {}
    for (movement, debit, credit, currency, _), rows in _kinds(day).items():
        if movement in MEMO:
            continue
        total = ZERO
        for row in rows:
            total = EXACT.add(total, row.amount)
        for account, sign in ((debit, Decimal(1)), (credit, Decimal(-1))):
            held = sums.setdefault((currency, account), [ZERO, ZERO, ZERO])
            side = 0 if (total >= 0) == (sign > 0) else 1
            held[side] = EXACT.add(held[side], total.copy_abs())
            held[2] = EXACT.add(held[2], EXACT.multiply(rows[-1].closing, sign))
    return [
        AccountTotal(
            account, currency, EXACT.add(EXACT.subtract(closing, debited), credited), debited, credited, closing
        )
        for (currency, account), (debited, credited, closing) in sorted(sums.items())
    ]


def days(*, first: date | None = None, last: date | None = None) -> QuerySet[RevenueDay]:
    """The closed days, in their newest version, and those that are not closed, from ``first`` to ``last``."""
    rows = RevenueDay.objects.filter(pk__in=revenue_days.final().values("pk")) | RevenueDay.objects.exclude(
        state=RevenueDay.State.CLOSED
    )
    if first is not None:
        rows = rows.filter(date__gte=first)
    if last is not None:
        rows = rows.filter(date__lte=last)
    return rows


def _kinds(day: RevenueDay) -> dict[tuple[str, str, str, str, str], Sequence[RevenueTotal]]:
    """The day's sums, by what they are sums of."""
    found: dict[tuple[str, str, str, str, str], list[RevenueTotal]] = {}
    rows: Iterable[RevenueTotal] = day.totals.order_by("number")
    for row in rows:
        found.setdefault((row.movement, row.debit, row.credit, row.currency_id, row.product), []).append(row)
    return dict(found)
