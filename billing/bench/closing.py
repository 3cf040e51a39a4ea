"""How long it takes to close a day of the books, and what memory, by how many entries the day has."""

import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from typing import Any

from django.conf import settings
from django.db import transaction

from billing.bench import history, reads
from billing.bench.history import Group, Template
from billing.models import Recognition
from billing.selectors.ledger.books import INVARIANTS, differences
from billing.selectors.revenue import revenue, revenue_books
from billing.services import revenue as service

BAR_SECONDS = 30
BAR_ROWS = 1_000_000
DAY = timedelta(hours=20)


def measure(
    template: Template,
    rows: int,
    *,
    made: Callable[[int], None],
    tidy: Callable[[], None],
    done: Callable[[int], None],
) -> dict[str, Any]:
    """Close a day with a tenth of ``rows`` entries, then one with all: seconds, megabytes, and what was wrong."""
    settings.TIME_ZONE = "UTC"
    found = []
    today = datetime.now(UTC).date()
    for number, (ago, count) in enumerate([(3, rows // 10), (2, rows)], start=1):
        began = datetime.combine(today - timedelta(days=ago), clock(2), tzinfo=UTC)
        history.make(Group(number, count // reads.ENTRIES_AN_EVENT, began, DAY), template, done=made)
        tidy()
        started = time.perf_counter()
        closed = service.close_due(grace=timedelta(days=ago - 1), done=done)
        found.append(
            {
                "entries": sum(day.entries for day in closed),
                "lines": Recognition.objects.filter(day__in=closed).count(),
                "seconds": time.perf_counter() - started,
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    return {"closing": found, "wrong": _wrong()}


def table(found: dict[str, Any]) -> str:
    """For people, with the bar."""
    lines = [f"{'entries in the day':>20}{'lines':>10}{'seconds':>10}{'a second':>12}{'memory at most':>18}"]
    lines += [
        f"{row['entries']:>20,}{row['lines']:>10,}{row['seconds']:>10.1f}{row['entries'] / row['seconds']:>12,.0f}"
        f"{row['peak_memory_mb']:>15,.0f} MB"
        for row in found["closing"]
    ]
    last = found["closing"][-1]
    within = last["seconds"] * BAR_ROWS / last["entries"] <= BAR_SECONDS
    lines.append(f"\nbar: ≤ {BAR_SECONDS} s for {BAR_ROWS:,} entries: {'reached' if within else 'NOT REACHED'}")
    return "\n".join(lines)


def _wrong() -> list[str]:
    wrong = [str(found) for name in INVARIANTS if name.startswith("revenue") for found in differences(name)]
    for day in revenue.days().filter(state="closed"):
        wrong += [f"{day}: {row.difference} {row.currency}" for row in revenue.roll_forward(day) if row.difference]
    with transaction.atomic():
        return [*wrong, *map(str, revenue_books.changed_files())]
