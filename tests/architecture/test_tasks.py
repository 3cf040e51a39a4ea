"""The workers: what is scheduled exists, and what exists is scheduled."""

from django.conf import settings

from billing.config.celery import app
from billing.config.local import programs


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


def test_what_waits_for_strangers_has_workers_of_its_own() -> None:
    app.loader.import_default_modules()
    ours = {name for name in app.tasks if not name.startswith("celery.")}
    queues = {name: app.amqp.router.route({}, name)["queue"].name for name in ours}
    taken = [program.argv[program.argv.index("--queues") + 1] for program in (programs.worker(), programs.sender())]

    assert [name for name, queue in queues.items() if queue != "celery"] == ["billing.send_webhooks"]
    assert taken == ["celery", queues["billing.send_webhooks"]] == list(app.amqp.queues)


def test_wake_ups_that_nobody_took_in_time_are_dropped() -> None:
    entries = settings.CELERY_BEAT_SCHEDULE.values()

    assert all(entry["options"]["expires"] == max(entry["schedule"], 60) for entry in entries)
