"""
The application for an ASGI server, on one port: who answers which request.

* Django's views talk to the database and block. Under Django's own ASGI handler each request would get a new thread and
  a new connection; here a fixed pool of threads serves them, and each thread keeps its connection.
* Recording usage is the call that applications make all day: it is answered from the event loop too, where waiting
  callers share a transaction.
* What begins with ``/live/`` is a stream of server-sent events that stays open for hours. Those wait in the event loop,
  where a thousand of them cost no thread and no connection to the database.
* Static files, and whether the process lives, are answered there as well: neither waits for a thread.

WEB_THREADS (default 8) sizes the pool, and so the connections of one web process.
"""

import gc
import os
from importlib import import_module
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.utils.module_loading import import_string

from billing.config.statics import Statics
from billing.config.views import Views

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing.config.settings")

LIVE_PREFIX = "/live/"
USAGE_PATH = "/api/v1/events"
ALIVE_PATH = "/healthz"
READ = {"GET", "HEAD"}
THREADS = int(os.environ.get("WEB_THREADS", "8"))

django: Any = get_wsgi_application()
# By its name, as settings and urls name their parts: the wiring imports none of the apps, and no import runs upwards.
views = Views(django, threads=THREADS, downloads=import_string("accounts.downloads.AT_ONCE_MAX"))
statics = Statics()
live = import_string("portal.live.application")
alive = import_string("billing.api.health.application")
usage = import_string("billing.api.native.application")
refuse_body = import_string("billing.api.native.refuse_body")
bodies: Any = import_module("accounts.bodies")

# What was loaded up to here stays for ever, and a batch makes tens of thousands of objects that die with it: the
# collector of cycles need not look at either again and again. Measured: a seventh less processor time for 1,000 events.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 50)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Hand a request to the part it belongs to."""
    if scope["type"] == "lifespan":
        await _live_and_die(receive, send)
    elif scope["type"] == "http":
        await _part(scope["method"], scope["path"])(scope, receive, send)


def _part(method: str, path: str) -> Any:
    if path.startswith(LIVE_PREFIX):
        return live
    if path == USAGE_PATH and method == "POST":
        return usage
    if path == ALIVE_PATH and method in READ:
        return alive
    return statics if path in statics else _blocking


async def _blocking(scope: Any, receive: Any, send: Any) -> None:
    """A request for Django, with its whole body: a thread is held for the work, never for a slow sender."""
    try:
        body = await bodies.read(receive)
    except bodies.BodyRefused as refused:
        await refuse_body(scope, send, refused)
        return
    if body is not None:
        await views(scope, body, receive, send)


async def _live_and_die(receive: Any, send: Any) -> None:
    """The server's question whether we are ready, and its word that it ends."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
