"""The page of the workers: how each task ran last, what waits, and making due again what could not be passed on."""

import re
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest
from celery import shared_task
from celery.beat import PersistentScheduler
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent
from billing.admin import workers
from billing.config.celery import app
from billing.gateways import wakeups
from billing.models import OutboxEvent
from billing.services import heartbeat
from billing.services.heartbeat import Run
from tests.builders import Shop

URL = "/admin/workers/"


@pytest.fixture(autouse=True)
def _nothing_is_known() -> None:
    cache.clear()


@pytest.mark.parametrize(
    ("started", "ended", "error", "word"),
    [
        (10, 9, "", "right"),
        (10, 9, "KeyError", "failed"),
        (10, None, "", "running"),
        (200, None, "", "did not end"),
        (200, 199, "", "late"),
        (5, 20, "", "running"),
    ],
)
def test_a_task_is_well_or_it_is_said_why_not(started: int, ended: int | None, error: str, word: str) -> None:
    now = timezone.now()
    run = Run(now - timedelta(seconds=started), None if ended is None else now - timedelta(seconds=ended), 1, error)

    assert workers._state(15, run, None, now)[1] == word


@pytest.mark.parametrize(
    ("every", "up_for", "state"),
    [
        (15, None, ("quiet", "first round to come")),
        (15, 8, ("quiet", "first round to come")),
        (15, 300, ("bad", "never ran")),
        (3600, 300, ("quiet", "first round to come")),
    ],
)
def test_a_task_without_a_round_is_not_well_once_it_should_have_had_some(
    every: int, up_for: int | None, state: tuple[str, str]
) -> None:
    now = timezone.now()
    since = None if up_for is None else now - timedelta(seconds=up_for)

    assert workers._state(every, None, since, now) == state


def test_what_the_schedule_starts_is_noted(db: None, office: Client, tmp_path: Path) -> None:
    """With Celery's own scheduler, as beat runs it; its tasks run here, where a worker's would."""
    import_module("billing.tasks")
    heartbeat.ready()
    assert row_of("Beat alive", office) == "first round to come"
    app.conf.task_always_eager = True
    beat = PersistentScheduler(app, schedule_filename=str(tmp_path / "schedule"))
    try:
        beat.schedule["beat-alive"].last_run_at -= timedelta(seconds=15)
        beat.tick()
    finally:
        app.conf.task_always_eager = False
        beat.close()

    assert row_of("Beat alive", office) == "right"


def row_of(task: str, office: Client) -> str:
    """The state of a task, as the page has it."""
    found = re.search(rf"<td>{task}</td>\s*<td><span[^>]*>([^<]*)</span>", office.get(URL).content.decode())
    assert found is not None
    return found[1]


def test_how_a_task_ran_is_told_by_the_task() -> None:
    heartbeat.started("t")
    heartbeat.ended("t", "KeyError")
    heartbeat.started("t")
    heartbeat.ended("t", "KeyError")
    assert heartbeat.runs(["t", "unknown"])["t"].failures == 2
    heartbeat.started("t")
    assert heartbeat.runs(["t"])["t"].error == "KeyError"
    heartbeat.ended("t")

    run = heartbeat.runs(["t"])["t"]
    assert (run.error, run.failures, run.ended_at is not None) == ("", 0, True)


def test_the_workers_signals_tell_it(db: None) -> None:
    import_module("billing.tasks")

    @shared_task(name="tests.fails")
    def fails() -> None:
        raise KeyError("a secret")

    try:
        fails.apply()
    finally:
        fails.app.tasks.unregister("tests.fails")

    run = heartbeat.runs(["tests.fails"])["tests.fails"]
    assert (run.error, run.failures) == ("KeyError", 1)


def test_what_is_wrong_is_seen_and_what_is_parked_goes_out_again(shop: Shop, office: Client) -> None:
    acme = shop.customer(usd="5")
    OutboxEvent.objects.filter(customer=acme, type="grant.created").update(state="parked")
    OutboxEvent.objects.exclude(state="parked").update(due_at=timezone.now() - timedelta(hours=2))
    heartbeat.beat()
    heartbeat.started("billing.relay_outbox")
    heartbeat.ended("billing.relay_outbox", "ConnectionError")

    page = office.get(URL).content.decode()

    assert "ConnectionError" in page
    assert "2 hours" in page
    assert "1 message could not be passed on" in page
    assert office.post(URL).status_code == 302
    assert not OutboxEvent.objects.filter(state="parked").exists()
    assert AuditEvent.objects.get(action="outbox.retried").after == {"messages": 1}


def test_without_a_broker_it_says_so(office: Client, settings: object) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]

    assert wakeups.queued() is None
    assert "the broker cannot be reached" in office.get(URL).content.decode()
