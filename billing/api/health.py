"""``/healthz`` says that the process lives, ``/readyz`` that it can do its work."""

import json
import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from kombu import Connection

from billing.services import heartbeat

WORKER_SILENT_SECONDS_MAX = 90
_ALIVE = {"status": "ok"}

logger = logging.getLogger(__name__)


@require_safe
def alive(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers at all. Asks nobody."""
    return JsonResponse(_ALIVE)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """``alive`` for the server's event loop: it answers although all threads are at work."""
    body = json.dumps(_ALIVE).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 where everything the service needs is there, else 503; either way what was found."""
    checks: dict[str, Callable[[], None]] = {
        "database": _database,
        "migrations": _migrations,
        "cache": _cache,
        "broker": _broker,
        "workers": _workers,
    }
    found = {}
    for name, check in checks.items():
        try:
            check()
            found[name] = "ok"
        except Exception as error:
            logger.warning("Not ready, %s: %s", name, error)
            found[name] = str(error) if isinstance(error, NotReady) else "unreachable"
    healthy = set(found.values()) == {"ok"}
    return JsonResponse({"status": "ok" if healthy else "unavailable", "checks": found}, status=200 if healthy else 503)


class NotReady(Exception):
    """A part is there but cannot do its work yet; the message says why."""


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _migrations() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise NotReady("migrations are missing")


def _cache() -> None:
    cache.set("ready", "1", timeout=10)


def _broker() -> None:
    with Connection(settings.CELERY_BROKER_URL, connect_timeout=2) as broker:
        broker.ensure_connection(max_retries=1, timeout=2)


def _workers() -> None:
    silent = heartbeat.silent_seconds()
    if silent is None or silent > WORKER_SILENT_SECONDS_MAX:
        raise NotReady("no worker has reported")
