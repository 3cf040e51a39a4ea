"""Closing a day and making its files and the warehouse's hold some rows at a time, whatever their number."""

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.bench import history, reads, shop
from billing.gateways import parquet
from billing.models import ExportFile, Recognition, RevenueDay
from billing.selectors.ledger import seals
from billing.selectors.reports import warehouse
from billing.selectors.revenue import revenue_days, revenue_files
from billing.services import revenue
from billing.services.exports import JOURNAL_FORMATS, making
from billing.services.revenue import journal

FORMATS = {*JOURNAL_FORMATS} - (set() if parquet.installed() else {"parquet"})
"""Those that can be written here."""
FEW, MANY = 100, 1_000
AT_A_TIME = 25


@pytest.fixture
def some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows come and go in small numbers, so that a few hundred are many."""
    for module, name in (
        *((module, "CHUNK") for module in (revenue_days, revenue_files, warehouse)),
        (journal, "ROWS_A_WRITE"),
    ):
        monkeypatch.setattr(module, name, AT_A_TIME)
    monkeypatch.setattr(parquet, "ROWS_A_GROUP", 4 * AT_A_TIME)  # Each group leaves some bytes for the file's end.
    monkeypatch.setattr(making, "IN_MEMORY", 1_000)
    monkeypatch.setattr(making, "PIECE", 1_000)
    monkeypatch.setattr(history, "EVENTS_A_SMALL_WALLET", 1)


def peak(work: Callable[..., object], **fields: Any) -> int:
    """The most memory that Python held for it at once, in bytes."""
    tracemalloc.start()
    try:
        work(**fields)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def export(**fields: Any) -> None:
    making.make(ExportFile(**fields)).body.close()


def closed(ago: int, events: int, template: history.Template, since: int) -> tuple[int, int, dict[str, int]]:
    """Close a day of so many events and write all of its files: the lines it has, up to where the warehouse is, and the
    most memory of each step."""
    on = timezone.now().date() - timedelta(days=ago)
    began = datetime.combine(on, time(2), tzinfo=UTC)
    history.make(history.Group(ago, events, began, timedelta(hours=20)), template, done=lambda count: None)
    found = {"close": peak(revenue.close_due, grace=timedelta(days=ago - 1))}
    day, until = RevenueDay.objects.get(date=on, state="closed"), seals.ended_before()
    for format in sorted(set(JOURNAL_FORMATS) & FORMATS):
        found[format] = peak(export, kind="journal", day=day, format=format)
    for kind in warehouse.TABLES:
        for format in sorted({"jsonl", "parquet"} & FORMATS):
            found[f"{kind} as {format}"] = peak(export, kind=kind, format=format, since=since, until=until)
    return Recognition.objects.filter(day=day).count(), until, found


def test_memory_does_not_grow_with_the_number_of_rows(committed_db: None, some_at_a_time: None) -> None:
    template = reads.prepare(shop.make(1, made=lambda count: None)[0])
    # The first one warms up: what is imported and kept then is no row.
    _, until, _ = closed(4, FEW, template, 0)
    few_lines, until, few = closed(3, FEW, template, until)
    many_lines, until, many = closed(2, MANY, template, until)

    assert many_lines > 9 * few_lines > 9 * AT_A_TIME
    assert {name: (few[name], size) for name, size in many.items() if size > 1.5 * few[name]} == {}
