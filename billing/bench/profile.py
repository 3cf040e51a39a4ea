"""Where the time of one event goes, stage by stage, in this process and without the web server around it.

The stages are those of ``POST /api/v1/events``, called in its order; ``usage.record`` is taken apart into its three
parts and the commit. The columns are groups that share a transaction: the same stages, divided by the group's size.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest import mock

from django.db import transaction

from accounts.services import api_keys
from billing import pipeline
from billing.bench.load import Request
from billing.services.usage.recording import Recording

# By its name: a front door is taken apart here, and none of them may rest on another.
ingest: Any = import_module("billing.api.ingest")

GROUPS = (1, 8, 32, 1000)
WARM_UPS = 3
STAGES = {
    "look up": "authenticate: the key looked up in the database (once a second and process)",
    "authenticate": "authenticate: the key remembered",
    "parse": "parse: JSON with exact numbers, CloudEvent checked",
    "lock": "lock and read: balances, grants, customer, known events, counters",
    "rate": "rate and decide: price, burn-down, entries",
    "write": "write: event, charges, entries, balance, grant, outbox",
    "commit": "commit",
    "answer": "answer: JSON and headers",
    "total": "all, with the key remembered",
    "database": "of which waiting for PostgreSQL",
}
_NOT_IN_TOTAL = {"look up", "total", "database"}

Timings = dict[str, float]


def stages(requests: Callable[[], Request], *, repeats: int) -> Mapping[int, Timings]:
    """For each group size the median microseconds of each stage, for each event."""
    found = {}
    for size in GROUPS:
        counted = max(5, repeats // size)
        rounds = [_one([_call(requests()) for _ in range(size)]) for _ in range(counted + WARM_UPS)][WARM_UPS:]
        found[size] = {stage: statistics.median(timings[stage] for timings in rounds) / size for stage in STAGES}
    return found


def table(found: Mapping[int, Timings]) -> str:
    """Microseconds for one event."""
    width = max(map(len, STAGES.values()))
    heads = ["alone" if size == 1 else f"of {size}" for size in found]
    rows = ["µs an event, in a group".ljust(width) + "".join(head.rjust(9) for head in heads)]
    for stage, words in STAGES.items():
        rows.append(words.ljust(width) + "".join(f"{timings[stage]:9,.0f}" for timings in found.values()))
    return "\n".join(rows)


def _one(calls: Sequence[Any]) -> Timings:
    timings: Timings = defaultdict(float)
    with _watched_database(timings):
        api_keys.forget()
        with _timed(timings, "look up"):
            ingest.authenticate(calls[0])
        timings["database"] = 0.0  # That one is left out of the sum.
        with _timed(timings, "authenticate"):
            reporters = [ingest.authenticate(call) for call in calls]
        with _timed(timings, "parse"):
            read = [ingest.read(call, reporter) for call, reporter in zip(calls, reporters, strict=True)]
        block = transaction.atomic()
        block.__enter__()
        with _timed(timings, "lock"):
            recording = Recording.open([submission.events[0] for submission in read])
        with _timed(timings, "rate"):
            outcomes = recording.decide()
        with _timed(timings, "write"):
            recording.write()
        with _timed(timings, "commit"):
            block.__exit__(None, None, None)
        timings["database"] += timings["commit"]
        with _timed(timings, "answer"):
            for submission, outcome, call in zip(read, outcomes, calls, strict=True):
                ingest.reply(submission, [outcome], call)
    timings["total"] = sum(microseconds for stage, microseconds in timings.items() if stage not in _NOT_IN_TOTAL)
    return timings


def _call(request: Request) -> Any:
    """What the web server makes of the bytes."""
    head, _, body = request.content.partition(b"\r\n\r\n")
    lines = (line.partition(": ") for line in head.decode().split("\r\n")[1:])
    # Answered here, so that the account of what was sent is complete.
    request.is_right(201, b'"status":"charged"')
    return ingest.Call({name.lower(): value for name, _, value in lines}, body, "profile")


@contextmanager
def _timed(timings: Timings, stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    timings[stage] += (time.perf_counter() - started) * 1_000_000


@contextmanager
def _watched_database(timings: Timings) -> Iterator[None]:
    """Add up the round trips."""
    run = pipeline.run

    def watched(*arguments: Any) -> None:
        with _timed(timings, "database"):
            run(*arguments)

    with mock.patch.object(pipeline, "run", watched):
        yield
