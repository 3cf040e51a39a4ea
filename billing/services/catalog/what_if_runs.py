"""Replays for the back office: small ones at once, large ones by a worker, customer by customer, and resumable."""

import time
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.utils import timezone

from billing.errors import BillingError
from billing.models import Customer, PlanVersion, WhatIfRun
from billing.services.catalog import what_if
from billing.services.catalog.what_if import Result, Scenario

AT_ONCE_MAX = 2000
"""So many events are replayed while the browser waits; more are a worker's."""
WORK_SECONDS = 240.0
ALIVE_SECONDS = 300
"""A run of which nothing was heard for so long is taken up by another worker."""
_SAVE_SECONDS = 2.0
State = WhatIfRun.State


def ask(
    *,
    asked_by: str,
    start: datetime,
    end: datetime,
    plan_version: PlanVersion | None = None,
    instead: Mapping[str, str] | None = None,
    only: Customer | None = None,
) -> WhatIfRun:
    """A new run: done already where it is small, otherwise waiting for a worker. Raises ``InvalidRequest``."""
    scenario = Scenario(start=start, end=end, version=plan_version, models=instead or {})
    what_if.check(scenario)
    found = what_if.customers(scenario, only=None if only is None else only.pk)
    run = WhatIfRun.objects.create(
        plan_version=plan_version,
        only=only,
        instead=dict(instead or {}),
        start=start,
        end=end,
        total=sum(events for _, events in found),
        asked_by=asked_by[:200],
    )
    if run.total <= AT_ONCE_MAX:
        _work_on(run, until=time.monotonic() + WORK_SECONDS)
        run.refresh_from_db()
    return run


def work() -> None:
    """Go on with what waits, the oldest first, for some minutes at most; the next call goes on where this one ended."""
    until = time.monotonic() + WORK_SECONDS
    for run in WhatIfRun.objects.filter(state__in=[State.QUEUED, State.RUNNING]).order_by("id"):
        if time.monotonic() > until:
            return
        _work_on(run, until=until)


def progress(run: WhatIfRun) -> int:
    """How many of its events are replayed, by now."""
    return max(run.done, cache.get(_key(run), 0)) if run.state == State.RUNNING else run.done


def results(run: WhatIfRun) -> list[Result]:
    """What is known of it, a row for each customer."""
    return [_read(row) for row in run.rows]


def _work_on(run: WhatIfRun, *, until: float) -> None:
    """Customer by customer, until all are done or it is time. Does nothing where somebody else is at it."""
    if not cache.add(f"{_key(run)}:held", 1, ALIVE_SECONDS):
        return
    try:
        WhatIfRun.objects.filter(pk=run.pk, state=State.QUEUED).update(state=State.RUNNING)
        run.refresh_from_db()
        _go_on(run, until)
    except BillingError as refusal:
        _finish(run, State.FAILED, refusal.detail)
    except Exception:  # A bug would otherwise be tried again every few seconds.
        _finish(run, State.FAILED, "Something is wrong on our side; it is in the log.")
        raise
    finally:
        cache.delete(f"{_key(run)}:held")


def _go_on(run: WhatIfRun, until: float) -> None:
    scenario = Scenario(start=run.start, end=run.end, version=run.plan_version, models=run.instead)
    customers = what_if.customers(scenario, only=run.only_id)
    rows, done, position = list(run.rows), run.done, run.position
    saved = time.monotonic()

    def advance(count: int) -> None:
        nonlocal done
        done += count
        cache.set(_key(run), done, ALIVE_SECONDS)
        cache.touch(f"{_key(run)}:held", ALIVE_SECONDS)

    for customer_id, _ in customers:
        if position is not None and customer_id <= position:
            continue
        rows.append(what_if.replay(scenario, customer_id, advance=advance).as_strings())
        position = customer_id
        now = time.monotonic()
        if now - saved > _SAVE_SECONDS or now > until:
            _save(run, rows, done, position)
            saved = now
        if now > until:
            return
    _save(run, rows, done, position)
    _finish(run, State.DONE)


def _save(run: WhatIfRun, rows: list[dict[str, Any]], done: int, position: UUID | None) -> None:
    WhatIfRun.objects.filter(pk=run.pk).update(rows=rows, done=done, position=position)


def _finish(run: WhatIfRun, state: str, detail: str = "") -> None:
    WhatIfRun.objects.filter(pk=run.pk).update(state=state, detail=detail[:500], finished_at=timezone.now())


def _key(run: WhatIfRun) -> str:
    return f"what_if:{run.pk}"


def _read(row: Mapping[str, Any]) -> Result:
    return Result(
        customer=row["customer"],
        events=row["events"],
        now={asset: Decimal(amount) for asset, amount in row["now"].items()},
        then={asset: Decimal(amount) for asset, amount in row["then"].items()},
        cost_now=Decimal(row["cost_now"]),
        cost_then=Decimal(row["cost_then"]),
        unpriced=row["unpriced"],
        without_cost=row["without_cost"],
    )
