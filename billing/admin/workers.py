"""What the workers do: whether any is there, how each task ran last, and what waits for them."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts.services.audit import actor_of
from billing.admin import display
from billing.gateways import wakeups
from billing.selectors import waiting
from billing.services import heartbeat, outbox
from billing.services.heartbeat import Run

VIEW, CHANGE = "billing.view_outboxevent", "billing.change_outboxevent"
LATE_ROUNDS = 3
LATE_SECONDS = 60
"""A task is late once it has missed so many of its rounds, and has not ended for so long beside."""
SLOW = timedelta(minutes=5)
"""What waits longer than this is not on its way."""


def view(request: HttpRequest) -> HttpResponse:
    """The workers' health; sent, it makes due again what could not be passed on."""
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    if request.method == "POST":
        if not request.user.has_perm(CHANGE):
            raise PermissionDenied
        messages.success(request, f"{outbox.retry(actor=actor_of(request)):,} messages are due again.")
        return HttpResponseRedirect(reverse("admin:billing_workers"))
    now, silent = timezone.now(), heartbeat.silent_seconds()
    queues = waiting.queues()
    tasks = _tasks(now)
    context = {
        **admin.site.each_context(request),
        "title": "Workers",
        "seen": None if silent is None else display.age(int(silent)),
        "silent": silent is None or silent > LATE_SECONDS,
        "queued": wakeups.queued(),
        "unwell": sum(task["tone"] == "bad" for task in tasks),
        "tasks": tasks,
        "queues": [_row(queue, now) for queue in queues],
        "parked": next(queue.given_up for queue in queues if queue.model == "billing.outboxevent"),
        "may_change": request.user.has_perm(CHANGE),
    }
    return TemplateResponse(request, "admin/ante/workers.html", context)


def _tasks(now: datetime) -> list[dict[str, Any]]:
    """A row for each scheduled task, those that are not well first."""
    schedule: dict[str, Any] = settings.CELERY_BEAT_SCHEDULE
    runs = heartbeat.runs(entry["task"] for entry in schedule.values())
    since = heartbeat.working_since()
    rows = [_task(name, entry["schedule"], runs.get(entry["task"]), since, now) for name, entry in schedule.items()]
    return sorted(rows, key=lambda row: (row["tone"] != "bad", row["title"]))


def _task(name: str, every: float, run: Run | None, since: datetime | None, now: datetime) -> dict[str, Any]:
    tone, word = _state(every, run, since, now)
    return {
        "title": name.replace("-", " ").capitalize(),
        "every": display.age(int(every)),
        "tone": tone,
        "state": display.badge(word, tone),
        "ended": display.NOTHING if run is None or run.ended_at is None else display.moment(run.ended_at),
        "took": "" if run is None or run.ended_at is None else f"{run.seconds:,.2f} s",
        "error": "" if run is None else run.error,
        "failures": 0 if run is None else run.failures,
    }


def _state(every: float, run: Run | None, since: datetime | None, now: datetime) -> tuple[str, str]:
    """``since``: when a worker started. Its first round comes ``every`` seconds after that."""
    patience = timedelta(seconds=LATE_ROUNDS * every + LATE_SECONDS)
    if run is None:
        missed = since is not None and now - since > patience
        return ("bad", "never ran") if missed else ("quiet", "first round to come")
    if run.error:
        return "bad", "failed"
    running = run.ended_at is None or run.started_at > run.ended_at
    if now - run.started_at > patience:
        return "bad", "did not end" if running else "late"
    return ("info", "running") if running else ("good", "right")


def _row(queue: waiting.Queue, now: datetime) -> dict[str, Any]:
    waited = timedelta() if queue.oldest is None else now - queue.oldest
    return {
        "title": queue.title,
        "url": _list(queue.model),
        "waiting": f"{queue.waiting:,}",
        "oldest": _waited(waited) if queue.oldest else display.NOTHING,
        "given_up": queue.given_up,
    }


def _waited(waited: timedelta) -> SafeString | str:
    words = display.age(max(0, int(waited.total_seconds())))
    return display.badge(words, "bad") if waited > SLOW else words


def _list(model: str) -> str:
    """The list of these rows, where there is one."""
    try:
        return reverse(f"admin:{model.replace('.', '_')}_changelist")
    except NoReverseMatch:
        return ""
