"""Which files there are to be: a row for each, before anything is sent."""

from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from billing import locks
from billing.engine.journals import ENDINGS
from billing.models import ExportFile, RevenueDay
from billing.selectors.ledger import seals
from billing.selectors.reports import warehouse

Kind = ExportFile.Kind
STEP = 1_000_000
"""How many database transactions one file is about at most, so that none is too large."""


def plan_journals() -> int:
    """Plan the files of every closed day, of any version, that has none yet. Returns how many."""
    if not settings.EXPORT_TO:
        return 0
    now, planned = timezone.now(), []
    with transaction.atomic():
        if not locks.only_one("plan exports"):
            return 0
        for format in settings.EXPORT_JOURNALS:
            there = ExportFile.objects.filter(day=OuterRef("pk"), format=format)
            closed = RevenueDay.objects.filter(~Exists(there), state=RevenueDay.State.CLOSED)
            planned += [
                ExportFile(
                    kind=Kind.JOURNAL,
                    format=format,
                    name=f"journal/{day.date:%Y/%m}/revenue-{day.date:%Y-%m-%d}-v{day.version}.{ENDINGS[format]}",
                    day=day,
                    due_at=now,
                    created_at=now,
                )
                for day in closed.order_by("date", "version")
            ]
        ExportFile.objects.bulk_create(planned)
    return len(planned)


def plan_warehouse() -> int:
    """Plan files of what was written since the last ones. Returns how many."""
    if not settings.EXPORT_TO or not settings.EXPORT_WAREHOUSE:
        return 0
    with transaction.atomic():
        if not locks.only_one("plan exports"):
            return 0
        ended, cluster, now = seals.ended_before(), seals.cluster(), timezone.now()
        planned = [file for kind in warehouse.TABLES for file in _files(kind, ended, cluster, now)]
        ExportFile.objects.bulk_create(planned)
    return len(planned)


def _files(kind: str, ended: int, cluster: str, now: datetime) -> Iterator[ExportFile]:
    """The next files of a table. Where numbers have begun anew, the first one has everything there is."""
    last = ExportFile.objects.filter(kind=kind).order_by("-id").first()
    if last is None:
        since = None if warehouse.numbered_elsewhere(kind) else 0
    else:
        since = last.until if last.cluster == cluster else None
    while since is None or since < ended:
        until = ended if since is None else min(ended, since + STEP)
        if warehouse.holds_any(kind, since=since, until=until):
            yield _file(kind, since, until, cluster, now)
        elif since is None:
            return
        since = until


def _file(kind: str, since: int | None, until: int, cluster: str, now: datetime) -> ExportFile:
    format = settings.EXPORT_WAREHOUSE
    ending = "parquet" if format == "parquet" else "jsonl.gz"
    numbers = f"{'all' if since is None else f'{since:015d}'}-{until:015d}"
    return ExportFile(
        kind=kind,
        format=format,
        name=f"warehouse/{kind}/{cluster}/{numbers}.{ending}",
        since=since,
        until=until,
        cluster=cluster,
        due_at=now,
        created_at=now,
    )
