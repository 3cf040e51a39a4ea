"""What the chart's script draws, and the table that says the same to those who do not see it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.engine.money import EXACT, ZERO, exact_sum
from billing.selectors.usage.usage import UsageRow
from portal import amounts
from portal.periods import Period
from portal.templatetags.portal_parts import PALETTE

REST = _("Other")


@dataclass(slots=True)
class Series:
    """One group over time. ``tone`` is its colour's number; 0 is for all that has none of its own."""

    name: str
    tone: int
    values: list[Decimal] = field(default_factory=list)

    @property
    def total(self) -> Decimal:
        return exact_sum(self.values)


@dataclass(slots=True)
class Chart:
    """Amounts of one asset by period, stacked. ``series`` is in the order of the legend, largest first.

    ``links`` are where the bars lead to, one for each label, or none. With ``lines`` a curve is drawn instead of bars.
    """

    asset: str
    labels: list[str]
    series: list[Series]
    links: list[str] = field(default_factory=list)
    lines: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw. A curve needs more than what is there now."""
        return not any(value for series in self.series for value in series.values[: -1 if self.lines else None])

    def table(self) -> list[tuple[str, str, list[Decimal]]]:
        """A row for each period: its label, where it leads to, and a value for each series."""
        links = self.links or [""] * len(self.labels)
        return [
            (label, link, [s.values[n] for s in self.series])
            for n, (label, link) in enumerate(zip(self.labels, links, strict=True))
        ]

    def data(self) -> dict[str, Any]:
        """For the script: floats to draw by, texts to show."""
        look = amounts.look(self.asset)
        return {
            "labels": self.labels,
            "symbol": look.symbol,
            "places": look.places,
            "total": gettext("Total"),
            "unit": "" if look.currency else look.name,
            "links": self.links,
            "lines": self.lines,
            "series": [
                {
                    "name": s.name,
                    "tone": s.tone,
                    "values": [float(v) for v in s.values],
                    "texts": [amounts.text(v, self.asset) for v in s.values],
                }
                for s in self.series
            ],
            "totals": [
                amounts.text(exact_sum(s.values[n] for s in self.series), self.asset) for n in range(len(self.labels))
            ],
        }


def stacked(
    rows: Sequence[UsageRow],
    *,
    asset: str,
    period: Period,
    name: Callable[[UsageRow], str],
    largest: int = PALETTE - 1,
    whole: Sequence[UsageRow] | None = None,
) -> Chart:
    """A chart of ``rows`` that were grouped by one thing: the ``largest`` groups, and the rest as one.

    ``whole``, not grouped, is what all of it comes to where ``rows`` are some groups only.
    """
    marks = period.marks()
    position = {mark.astimezone(UTC): n for n, mark in enumerate(marks)}
    by_name: dict[str, list[Decimal]] = {}
    for row in rows:
        if row.asset == asset:
            values = by_name.setdefault(name(row), [ZERO] * len(marks))
            place = _place(position, row.period_start)
            values[place] = EXACT.add(values[place], row.amount)
    ranked = sorted(by_name.items(), key=lambda item: (exact_sum(item[1]).copy_negate(), item[0]))
    series = [Series(group, tone, values) for tone, (group, values) in enumerate(ranked[:largest], start=1)]
    rest = [values for _, values in ranked[largest:]]
    if whole is not None:
        rest = [_beside(series, _by_mark(whole, asset, position))]
    others = [exact_sum(column) for column in zip(*rest, strict=True)]
    if any(others):
        series.append(Series(str(REST), 0, others))
    return Chart(asset, [period.label(mark) for mark in marks], series)


def curve(values: Sequence[Decimal], *, asset: str, period: Period, name: str) -> Chart:
    """One figure over the period: a value for each of its marks."""
    return Chart(asset, [period.label(mark) for mark in period.marks()], [Series(name, 1, list(values))], lines=True)


def _by_mark(rows: Sequence[UsageRow], asset: str, position: dict[datetime, int]) -> list[Decimal]:
    values = [ZERO] * len(position)
    for row in rows:
        if row.asset == asset:
            place = _place(position, row.period_start)
            values[place] = EXACT.add(values[place], row.amount)
    return values


def _beside(series: Sequence[Series], whole: Sequence[Decimal]) -> list[Decimal]:
    """What of the whole is in none of the series."""
    return [EXACT.subtract(total, exact_sum(s.values[n] for s in series)) for n, total in enumerate(whole)]


def _place(position: dict[datetime, int], moment: datetime) -> int:
    """Which mark the row belongs to: the first where a month began before the period.

    Compared in UTC: two zones' names for an hour that the clocks repeat never count as equal.
    """
    return position.get(moment.astimezone(UTC), 0)
