"""Medians over the rounds, ratios to what ran beside them, bars, and the same as a table or as JSON."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing.bench.load import Sample
from billing.bench.measures import MEASURES, Bar, Measure


@dataclass(frozen=True, slots=True)
class Line:
    """A measure with its medians, and by name its median ratio to each ceiling."""

    measure: Measure
    rate: float
    p50_ms: float | None
    p99_ms: float | None
    ratios: Mapping[str, float]
    wrong: int

    def reaches(self, bar: Bar) -> bool:
        found = self._figure(bar)
        if found is None:
            return False
        return (bar.at_least is None or found >= bar.at_least) and (bar.at_most is None or found <= bar.at_most)

    def _figure(self, bar: Bar) -> float | None:
        if bar.to is None:
            return self.rate
        if bar.to == "p50":
            return self.p99_ms / self.p50_ms if self.p99_ms is not None and self.p50_ms else None
        return self.ratios.get(bar.to)


def lines(samples: Mapping[str, Sequence[Sample]]) -> list[Line]:
    """A line for each measure that ran. Ratios are taken round by round, where both ran beside each other."""
    found = []
    for name, rounds in samples.items():
        measure = MEASURES[name]
        ratios = {
            other: statistics.median(
                mine.rate / theirs.rate for mine, theirs in zip(rounds, samples[other], strict=False) if theirs.rate > 0
            )
            for other in measure.beside
            if any(sample.rate > 0 for sample in samples.get(other, ()))
        }
        found.append(
            Line(
                measure=measure,
                rate=statistics.median(sample.rate for sample in rounds),
                p50_ms=_median([sample.p50_ms for sample in rounds]),
                p99_ms=_median([sample.p99_ms for sample in rounds]),
                ratios=ratios,
                wrong=sum(sample.wrong_count for sample in rounds),
            )
        )
    return found


def table(found: Sequence[Line]) -> str:
    """For people: ours first, each with its ratios; then the ceilings."""
    rows = [["", "", "median", "p50 ms", "p99 ms", "beside its ceilings"]]
    for line in sorted(found, key=lambda line: line.measure.is_ceiling):
        ratios = ", ".join(f"{ratio:.2f} × {other}" for other, ratio in line.ratios.items())
        figures = [f"{line.rate:,.0f} {line.measure.unit}", _ms(line.p50_ms), _ms(line.p99_ms)]
        rows.append([line.measure.name, line.measure.title, *figures, ratios or "a ceiling"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    bars = [
        f"bar: {line.measure.name} {bar.words}: {'reached' if line.reaches(bar) else 'NOT REACHED'}"
        for line in found
        for bar in line.measure.bars
    ]
    return "\n".join([*shown, "", *bars])


def as_list(found: Sequence[Line]) -> list[dict[str, Any]]:
    """For programs."""
    return [
        {
            "name": line.measure.name,
            "title": line.measure.title,
            "unit": line.measure.unit,
            "rate": line.rate,
            "p50_ms": line.p50_ms,
            "p99_ms": line.p99_ms,
            "ratios": dict(line.ratios),
            "wrong": line.wrong,
            "bars": [{"bar": bar.words, "reached": line.reaches(bar)} for bar in line.measure.bars],
        }
        for line in found
    ]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
