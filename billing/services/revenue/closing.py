"""Closing the days of the books, in order: what was used, expired and paid back becomes lines of a journal, once.

Closing begins with a cut, committed before anything else: the time, and the number below which every database
transaction that may still belong to the day was begun. When all of those have ended, the day's entries are complete and
stay what they are; the lines, the sums, the hashes and the state ``closed`` commit together. Whoever is interrupted
begins again from the same cut, and finds the same.
"""

import logging
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction

from accounts.services import audit
from billing import locks, pipeline
from billing.models import LedgerTransaction, RevenueDay
from billing.selectors.ledger import seals
from billing.selectors.revenue import revenue_days, revenue_files
from billing.services import outbox
from billing.services.revenue import chart, journal

logger = logging.getLogger(__name__)

State = RevenueDay.State
Done = Callable[[int], None]


def close_due(*, grace: timedelta | None = None, done: Done = lambda count: None) -> list[RevenueDay]:
    """Close every day that is over since ``grace``, the oldest first. Returns those that were closed.

    Stops at a day for which something is still being written: that is for the next time.
    """
    wait = timedelta(seconds=settings.CLOSE_DAY_AFTER_SECONDS) if grace is None else grace
    closed = []
    while (day := _next(wait)) is not None and close(day, done=done):
        closed.append(day)
    return closed


def waiting() -> bool:
    """Whether a day is cut off and waits for what is still being written."""
    return RevenueDay.objects.filter(state=State.CLOSING).exists()


def close(day: RevenueDay, *, done: Done = lambda count: None) -> bool:
    """Close a day that is over; ``day`` is brought along. False while it has to wait, or somebody else closes.

    ``done`` is told how many ledger entries were worked in.
    """
    if not _cut_off(day) or not _all_ended(day):
        return False
    with transaction.atomic():
        if not locks.only_one("close day"):
            return False
        day.refresh_from_db()
        if day.state == State.CLOSED:
            return True
        _take_time()
        journal.write(day, done=done)
        _finish(day)
    return True


# --- Which day --------------------------------------------------------------------------------------------------------


def _next(grace: timedelta) -> RevenueDay | None:
    """The oldest day that is over and not closed; None where there is none. Opens the day after the newest."""
    with transaction.atomic():
        if not locks.only_one("open day"):
            return None
        again = RevenueDay.objects.exclude(state=State.CLOSED).filter(version__gt=1).exclude(approved_by="")
        newest = RevenueDay.objects.filter(version=1).order_by("-date").first()
        day = again.order_by("date").first() or newest
        if day is None or day.state == State.CLOSED:
            day = _opened_after(day)
        if day is None or _now() < day.end + grace:
            return None
    return day


def _opened_after(day: RevenueDay | None) -> RevenueDay | None:
    """The day after this one; the first is that of the first transaction, and there is none where there is not any."""
    zone = ZoneInfo(settings.TIME_ZONE)
    if day is None:
        first = LedgerTransaction.objects.order_by("posted_at").values_list("posted_at", flat=True).first()
        if first is None:
            return None
        on = first.astimezone(zone).date()
        start = _midnight(on, zone)
    else:
        on, start = day.date + timedelta(days=1), day.end
    return RevenueDay.objects.create(
        date=on, zone=settings.TIME_ZONE, start=start, end=_midnight(on + timedelta(days=1), zone)
    )


def _midnight(on: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(on, time.min, tzinfo=zone)


def _now() -> datetime:
    clock = locks.ledger_time()
    pipeline.run([clock])
    now: datetime = clock.rows[0][0]
    return now


# --- The cut ----------------------------------------------------------------------------------------------------------


def _cut_off(day: RevenueDay) -> bool:
    with transaction.atomic():
        if not locks.only_one("close day"):
            return False
        day.refresh_from_db()
        if day.state != State.OPEN:
            return True
        # The time first: what bears a time before it has its number by then, and this transaction gets a higher one.
        day.cut_at = _now()
        if day.cut_at < day.end:
            return False
        day.cluster = seals.cluster()
        previous = revenue_days.before(day)
        day.numbered = previous is None or previous.cluster == day.cluster
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()::text::bigint")
            day.written_before = cursor.fetchone()[0]
        day.state = State.CLOSING
        day.save()
    return True


def _all_ended(day: RevenueDay) -> bool:
    """Whether every database transaction that could still add to the day has ended."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= %s", [day.written_before])
        ended = bool(cursor.fetchone()[0])
    if not ended:
        logger.info("%s is not closed yet: something that began before is still being written.", day)
    return ended


# --- The work ---------------------------------------------------------------------------------------------------------


def _take_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SET LOCAL work_mem = '128MB'")
        # Cursors here are read to their end: a plan that is quick to give its first rows is not wanted.
        cursor.execute("SET LOCAL cursor_tuple_fraction = 1")


def _finish(day: RevenueDay) -> None:
    day.chart = chart.snapshot()
    day.files = revenue_files.measured(day)
    day.sha256 = day.files["jsonl"]["sha256"]
    day.state = State.CLOSED
    day.closed_at = _now()
    day.save()
    facts = {"date": day.date.isoformat(), "version": day.version, "sha256": day.sha256}
    outbox.publish([outbox.Message("revenue_export.completed", None, facts)], now=day.closed_at)
    audit.record(
        actor=audit.SYSTEM,
        action="revenue_day.closed",
        object_type="revenue_day",
        object_id=day.date.isoformat(),
        after={**facts, "entries": day.entries},
    )
