"""Delivering files: claimed and committed before the network is touched, noted after it. At least once, whatever is
killed: the same file under the same name."""

import logging
import time
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.services import audit
from billing.errors import BillingError, InvalidState
from billing.gateways import stores
from billing.models import ExportFile
from billing.services import outbox
from billing.services.exports.making import Made, make

logger = logging.getLogger(__name__)

WORK_SECONDS = 300.0
LEASE = timedelta(minutes=30)
"""How long a worker that died keeps a file from others."""
DELAYS = [timedelta(minutes=minutes) for minutes in (1, 5, 15, 60)]
"""How long after each failure the next attempt comes; the last one again and again: nothing is given up."""
ERROR_LENGTH_MAX = 300


def deliver_due() -> int:
    """Deliver what is due, the oldest first, for some minutes at most. Returns how many files were delivered."""
    if not settings.EXPORT_TO:
        return 0
    until, delivered = time.monotonic() + WORK_SECONDS, 0
    while time.monotonic() < until and (file := _claim()) is not None:
        try:
            made = make(file)
            with made.body:
                stores.open_store(settings.EXPORT_TO).put(file.name, made.body)
        except (stores.Undelivered, BillingError) as error:
            _failed(file, error)
        except Exception as error:  # Of whatever kind: one file's trouble is not the others'.
            logger.exception("The file %s could not be made or sent", file.name)
            _failed(file, error)
        else:
            _delivered(file, made)
            delivered += 1
    return delivered


def retry(*, actor: audit.Actor, file: ExportFile, reason: str) -> ExportFile:
    """Let the worker try again at once what failed. Raises ``InvalidState`` where it did not, or is being sent."""
    now = timezone.now()
    with transaction.atomic():
        rows = ExportFile.objects.select_for_update(skip_locked=True).filter(pk=file.pk, state="waiting")
        locked = rows.exclude(last_error="").first()
        if locked is None:
            raise InvalidState("It waits for nothing: it did not fail, or is being sent just now.")
        locked.due_at = now
        locked.save(update_fields=["due_at"])
        audit.record(
            actor=actor,
            action="export.retried",
            object_type="export_file",
            object_id=str(locked.pk),
            after={"name": locked.name, "reason": reason},
        )
    return locked


def _claim() -> ExportFile | None:
    now = timezone.now()
    with transaction.atomic():
        due = ExportFile.objects.select_for_update(skip_locked=True).filter(state="waiting", due_at__lte=now)
        file = due.order_by("id").first()
        if file is not None:
            file.attempts = F("attempts") + 1
            file.due_at = now + LEASE
            file.save(update_fields=["attempts", "due_at"])
            file.refresh_from_db()
    return file


def _delivered(file: ExportFile, made: Made) -> None:
    now = timezone.now()
    changes = {"rows": made.rows, "bytes": made.bytes, "sha256": made.sha256, "last_error": ""}
    with transaction.atomic():
        waiting = ExportFile.objects.filter(pk=file.pk, state="waiting")
        if waiting.update(state=ExportFile.State.DELIVERED, delivered_at=now, **changes):
            facts = {"name": file.name, "kind": file.kind, "format": file.format}
            sizes = {"rows": made.rows, "bytes": made.bytes, "sha256": made.sha256}
            outbox.publish([outbox.Message("export.delivered", None, facts | sizes)], now=now)


def _failed(file: ExportFile, error: Exception) -> None:
    now = timezone.now()
    words = " ".join((str(error) or type(error).__name__).split())[:ERROR_LENGTH_MAX]
    logger.warning("The file %s was not delivered: %s", file.name, words)
    due_at = now + DELAYS[min(file.attempts, len(DELAYS)) - 1]
    with transaction.atomic():
        ExportFile.objects.filter(pk=file.pk, state="waiting").update(last_error=words, due_at=due_at)
        if file.attempts == 1:
            facts = {"name": file.name, "kind": file.kind, "format": file.format, "reason": words}
            outbox.publish([outbox.Message("export.failed", None, facts)], now=now)
