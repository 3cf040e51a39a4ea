"""The workers: what is scheduled exists, and what exists is scheduled."""

from django.conf import settings

from billing.config.celery import app


def test_every_scheduled_task_exists_and_every_task_is_scheduled() -> None:
    app.loader.import_default_modules()
    ours = {name for name in app.tasks if not name.startswith("celery.")}
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

    assert scheduled == ours


def test_a_task_that_a_killed_worker_had_is_run_again() -> None:
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.worker_prefetch_multiplier == 1


def test_tasks_carry_no_arguments() -> None:
    """Each finds its work in the database, so that a lost or doubled wake-up changes nothing."""
    assert not any(entry.get("args") or entry.get("kwargs") for entry in settings.CELERY_BEAT_SCHEDULE.values())
