"""Telling a worker that there is something to do. Best effort: a sweep finds what a lost word left."""

import logging
from functools import cache

from celery import Celery
from django.conf import settings
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0


def wake(task: str) -> None:
    """Ask for a task to run now. Where the broker cannot be reached it runs when its time comes."""
    try:
        _sender(settings.CELERY_BROKER_URL).send_task(task, retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        logger.warning("No worker could be told of %s: %s", task, error)


@cache
def _sender(broker: str) -> Celery:
    """An application that only sends: the web server has no other."""
    sender = Celery("wakeups", broker=broker, set_as_current=False)
    waiting = {"socket_connect_timeout": PATIENCE_SECONDS, "socket_timeout": PATIENCE_SECONDS}
    sender.conf.update(broker_transport_options=waiting, broker_connection_retry=False)
    return sender
