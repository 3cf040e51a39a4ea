"""What is measured: each figure of ours beside the ceilings that it is compared with, in rounds that take turns."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from billing.bench import load
from billing.bench.ceilings import Ceilings
from billing.bench.load import Request, Sample
from billing.bench.traffic import Traffic

CONNECTIONS = 32
BATCH_CONNECTIONS = 6
READ_CONNECTIONS = 8
WARM_UP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure should reach: ``at_least`` or ``at_most`` a number, of itself or of its ratio ``to`` another."""

    words: str
    at_least: float | None = None
    at_most: float | None = None
    to: str | None = None
    """The name of the other measure; ``"p50"`` is the ratio of its own p99 to its own p50; None the figure itself."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure. ``beside`` are the names of the measures that it is compared with."""

    name: str
    title: str
    unit: str
    beside: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()

    @property
    def is_ceiling(self) -> bool:
        return not self.beside


# The order in which they run: each figure near its ceilings.
MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("empty", "empty view (OPTIONS /healthz), 32 connections", "requests/s"),
        Measure("refused", "an event refused for want of a key, 32 connections", "requests/s"),
        Measure("debit", "one UPDATE + one INSERT in PostgreSQL, 8 connections", "debits/s"),
        Measure(
            "single",
            "single events, 32 connections, many wallets",
            "events/s",
            ("empty", "refused", "debit"),
            (Bar("≥ 0.3 of the empty view", at_least=0.3, to="empty"),),
        ),
        Measure(
            "hot",
            "single events, 32 connections, one wallet",
            "events/s",
            ("empty", "debit", "single"),
            (
                Bar("≥ 0.8 of many wallets", at_least=0.8, to="single"),
                Bar("p99 ≤ 5 × p50", at_most=5, to="p50"),
            ),
        ),
        Measure("balance", "balance read, 8 connections", "reads/s", ("empty",)),
        Measure("copy", "COPY into a table like that of the events", "rows/s"),
        Measure("batch-100", "batches of 100 events, 6 connections", "events/s", ("copy",)),
        Measure(
            "batch-1000",
            "batches of 1,000 events with two charges each, 6 connections",
            "events/s",
            ("copy",),
            (Bar("≥ 6,000 events/s", at_least=6000),),
        ),
        Measure(
            "batch-1000-one-charge",
            "batches of 1,000 events with one charge each, 6 connections",
            "events/s",
            ("copy", "batch-1000"),
            (Bar("≥ 6,000 events/s", at_least=6000),),
        ),
    )
}
FIGURES = tuple(name for name, measure in MEASURES.items() if not measure.is_ceiling)


def chosen(only: Iterable[str]) -> list[Measure]:
    """The measures called ``only``, or all, with what they are compared with, in order."""
    wanted = set(only) or set(MEASURES)
    for name in list(wanted):
        wanted |= set(MEASURES[name].beside)
    return [measure for name, measure in MEASURES.items() if name in wanted]


class Runner:
    """Runs measures against one web server and its database."""

    def __init__(self, *, host: str, port: int, seconds: float, traffic: Traffic, ceilings: Ceilings) -> None:
        self.host = host
        self.port = port
        self.seconds = seconds
        self.traffic = traffic
        self.ceilings = ceilings
        self._requests: dict[str, tuple[int, Callable[[], Callable[[], Request]]]] = {
            "empty": (CONNECTIONS, traffic.empty),
            "refused": (CONNECTIONS, traffic.refused),
            "single": (CONNECTIONS, traffic.single),
            "hot": (CONNECTIONS, lambda: traffic.single(hot=True)),
            "balance": (READ_CONNECTIONS, traffic.balance),
            "batch-100": (BATCH_CONNECTIONS, lambda: traffic.batch(100)),
            "batch-1000": (BATCH_CONNECTIONS, lambda: traffic.batch(1000)),
            "batch-1000-one-charge": (BATCH_CONNECTIONS, lambda: traffic.batch(1000, one_meter=True)),
        }

    def run(self, measure: Measure, *, seconds: float | None = None) -> Sample:
        seconds = self.seconds if seconds is None else seconds
        if measure.name == "copy":
            return self.ceilings.copy()
        if measure.name == "debit":
            return self.ceilings.debit(seconds)
        connections, requests = self._requests[measure.name]
        return load.drive(self.host, self.port, connections=connections, seconds=seconds, requests=requests())

    def rounds(self, measures: Iterable[Measure], count: int, *, say: Callable[[str], None]) -> dict[str, list[Sample]]:
        """``count`` rounds of all ``measures`` in turn, after a short one that is not counted."""
        measures = list(measures)
        found: dict[str, list[Sample]] = {measure.name: [] for measure in measures}
        for measure in measures:
            if measure.name in self._requests:
                warm = self.run(measure, seconds=min(WARM_UP_SECONDS, self.seconds))
                if warm.wrong:
                    # Its figure does not count, its wrong answers do.
                    found[measure.name].append(warm)
        for number in range(1, count + 1):
            for measure in measures:
                sample = self.run(measure)
                found[measure.name].append(sample)
                wrong = f", {sample.wrong_count} WRONG: {sample.wrong[0]}" if sample.wrong else ""
                say(f"round {number} of {count}  {measure.name}: {sample.rate:,.0f} {measure.unit}{wrong}")
        return found


def as_dict(sample: Sample) -> dict[str, Any]:
    """A sample for the JSON output."""
    return {
        "rate": sample.rate,
        "count": sample.count,
        "seconds": sample.seconds,
        "p50_ms": sample.p50_ms,
        "p99_ms": sample.p99_ms,
        "wrong": sample.wrong_count,
    }
