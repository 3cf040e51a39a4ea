"""Telling a worker that there is something to do. Best effort: a sweep finds what a lost word left."""

import logging
from functools import cache
from typing import Any

from celery import Celery
from django.conf import settings
from kombu import Connection, Queue
from kombu.exceptions import ChannelError, OperationalError

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0


def wake(task: str) -> None:
    """Ask for a task to run now. Where the broker cannot be reached it runs when its time comes."""
    try:
        _sender(settings.CELERY_BROKER_URL).send_task(task, retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        logger.warning("No worker could be told of %s: %s", task, error)


def queued() -> int | None:
    """How many tasks were handed out and taken up by nobody yet; None where the broker cannot be reached."""
    try:
        with _sender(settings.CELERY_BROKER_URL).connection_for_read(connect_timeout=PATIENCE_SECONDS) as connection:
            return sum(_length(queue, connection) for queue in settings.CELERY_TASK_QUEUES)
    except (OperationalError, OSError) as error:
        logger.warning("The broker could not be asked: %s", error)
        return None


def _length(queue: Queue, connection: Connection) -> int:
    try:
        declared: Any = queue.bind(connection.default_channel).queue_declare(passive=True)
    except ChannelError:
        return 0  # There is no queue before its first task.
    return int(declared.message_count)


@cache
def _sender(broker: str) -> Celery:
    """An application that only sends: the web server has no other."""
    sender = Celery("wakeups", broker=broker, set_as_current=False)
    waiting = {"socket_connect_timeout": PATIENCE_SECONDS, "socket_timeout": PATIENCE_SECONDS}
    sender.conf.update(broker_transport_options=waiting, broker_connection_retry=False)
    return sender
