"""Looking at the books by themselves: hourly at what is quick, nightly at every row. What differs is said at once."""

import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing import locks
from billing.gateways import anchors
from billing.models import BookCheck
from billing.selectors.ledger import books, seals
from billing.selectors.ledger.book_checks import CHECKS, Check, Look
from billing.services import outbox

logger = logging.getLogger(__name__)

State = BookCheck.State
QUICK_EVERY = timedelta(minutes=59)
FULL_EVERY = timedelta(hours=18)
NIGHT = range(1, 6)
"""The operator's hours in which everything is looked at; it waits for them for another eighteen at most."""
WORDS_MAX = 10
KEPT = timedelta(days=90)


def run_due() -> BookCheck | None:
    """The look that is due, at everything once a night. None where there is none, or somebody else is at it."""
    now = timezone.now()
    with transaction.atomic():
        if not locks.only_one("book checks"):
            return None
        # Whoever held no lock and is still running has died.
        BookCheck.objects.filter(state=State.RUNNING, started_at__lt=now - timedelta(hours=12)).update(
            state=State.FAILED, finished_at=now
        )
        if BookCheck.objects.filter(state=State.RUNNING).exists():
            return None
        ended = BookCheck.objects.exclude(state=State.FAILED)
        full = not ended.filter(full=True, started_at__gt=now - FULL_EVERY).exists() and (
            timezone.localtime(now).hour in NIGHT
            or not ended.filter(full=True, started_at__gt=now - 2 * FULL_EVERY).exists()
        )
        if not full and ended.filter(started_at__gt=now - QUICK_EVERY).exists():
            return None
        check = BookCheck.objects.create(full=full, started_at=now)
        BookCheck.objects.filter(started_at__lt=now - KEPT).delete()
    return _run(check)


def run(*, full: bool) -> BookCheck:
    """Look now, whatever is due."""
    return _run(BookCheck.objects.create(full=full, started_at=timezone.now()))


def _run(check: BookCheck) -> BookCheck:
    try:
        with transaction.atomic():
            # One snapshot for all: usage goes on being recorded meanwhile.
            books.freeze()
            head = seals.newest()
            results = list(_results(check.full))
    except Exception:
        BookCheck.objects.filter(pk=check.pk).update(state=State.FAILED, finished_at=timezone.now())
        raise
    _note(check, results)
    if check.full and check.state == State.RIGHT and head is not None:
        anchors.note_verified(head)
    return check


def _results(full: bool) -> Iterator[dict[str, Any]]:
    notes = tuple(anchors.read(anchors.path())) if anchors.path().exists() else ()
    look = Look(full, timezone.now(), notes, anchors.verified())
    for code, check in CHECKS.items():
        yield {"check": code, **_result(check, look)}


def _result(check: Check, look: Look) -> dict[str, Any]:
    if not check.looks_at_something(look):
        return {"state": "skipped", "found": [], "ms": 0}
    begun = time.monotonic()
    found = list(islice(check.differences(look), WORDS_MAX))
    return {"state": "wrong" if found else "ok", "found": found, "ms": round((time.monotonic() - begun) * 1000)}


def _note(check: BookCheck, results: list[dict[str, Any]]) -> None:
    now = timezone.now()
    wrong = [result["check"] for result in results if result["state"] == "wrong"]
    with transaction.atomic():
        before = BookCheck.objects.filter(state__in=[State.RIGHT, State.WRONG], pk__lt=check.pk).order_by("-id").first()
        check.state, check.wrong, check.results = State.WRONG if wrong else State.RIGHT, len(wrong), results
        check.finished_at = now
        check.save()
        # One alarm for what is new, not one for each hour in which it stays.
        known = {result["check"] for result in (before.results if before else []) if result["state"] == "wrong"}
        if fresh := [code for code in wrong if code not in known]:
            words = next(result["found"][0] for result in results if result["check"] == fresh[0])
            facts = {"check": str(check.pk), "wrong": fresh, "first": words}
            outbox.publish([outbox.Message("books.wrong", None, facts)], now=now)
            logger.error("The books are wrong (%s): %s", ", ".join(fresh), words)
