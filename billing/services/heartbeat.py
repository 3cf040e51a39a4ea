"""Signs of life from the workers: that one works at all, and how each task ran last. Kept in the cache: to be lost."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from django.core.cache import cache
from django.utils import timezone

_KEY = "worker-seen"
_SINCE = "worker-since"
_KEPT_SECONDS = 3600
_RUNS_KEPT_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Run:
    """How a task ran last, on whichever worker. ``error`` is what went wrong when it ended last, by its name
    alone: what errors say may hold what nobody should read. ``failures``: how often in a row.
    """

    started_at: datetime
    ended_at: datetime | None = None
    seconds: float = 0
    error: str = ""
    failures: int = 0


def ready() -> None:
    """Say that a worker has started, which is the first sign of life: the schedule's own comes later."""
    cache.set(_SINCE, timezone.now(), timeout=_RUNS_KEPT_SECONDS)
    beat()


def working_since() -> datetime | None:
    """When the worker that started last did so; None where it is not known any more."""
    since: datetime | None = cache.get(_SINCE)
    return since


def beat() -> None:
    """Say that a worker is running its tasks."""
    cache.set(_KEY, time.time(), timeout=_KEPT_SECONDS)


def silent_seconds() -> float | None:
    """How long ago a worker last said so; None where none ever did."""
    seen: float | None = cache.get(_KEY)
    return None if seen is None else time.time() - seen


def started(task: str) -> None:
    """Say that a task begins."""
    now, before = timezone.now(), _run(task)
    _note(task, Run(now) if before is None else replace(before, started_at=now))


def ended(task: str, error: str = "") -> None:
    """Say that it ended: well, or with this error."""
    now, before = timezone.now(), _run(task)
    began = now if before is None else before.started_at
    failures = 0 if not error else 1 if before is None else before.failures + 1
    _note(task, Run(began, now, (now - began).total_seconds(), error[:200], failures))


def runs(tasks: Iterable[str]) -> dict[str, Run]:
    """How these tasks ran last, by their names, without those that no worker has told of."""
    names = {_named(task): task for task in tasks}
    return {names[key]: run for key, run in cache.get_many(names).items()}


def _run(task: str) -> Run | None:
    found: Run | None = cache.get(_named(task))
    return found


def _note(task: str, run: Run) -> None:
    cache.set(_named(task), run, timeout=_RUNS_KEPT_SECONDS)


def _named(task: str) -> str:
    return f"task-run:{task}"
