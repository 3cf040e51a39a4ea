"""
The application for an ASGI server, on one port: live updates natively, everything else under WSGI's rules.

* Django's views talk to the database and block. Under Django's own ASGI handler each request would get a new thread and
  a new connection; here a fixed pool of threads serves them, and each thread keeps its connection.
* Recording usage is the call that applications make all day: it is answered from the event loop too, where waiting
  callers share a transaction.
* What begins with ``/live/`` is a stream of server-sent events that stays open for hours. Those wait in the event loop,
  where a thousand of them cost no thread and no connection to the database.

WEB_THREADS (default 8) sizes the pool, and so the connections of one web process.
"""

import gc
import os
from importlib import import_module
from typing import Any

from a2wsgi import WSGIMiddleware
from django.core.wsgi import get_wsgi_application
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing.config.settings")

LIVE_PREFIX = "/live/"
USAGE_PATH = "/api/v1/events"
THREADS = int(os.environ.get("WEB_THREADS", "8"))

django: Any = get_wsgi_application()
blocking = WSGIMiddleware(django, workers=THREADS)
# By its name, as settings and urls name their parts: the wiring imports none of the apps, and no import runs upwards.
live = import_string("portal.live.application")
usage = import_string("billing.api.native.application")
refuse_body = import_string("billing.api.native.refuse_body")
bodies: Any = import_module("accounts.bodies")

# What was loaded up to here stays for ever, and a batch makes tens of thousands of objects that die with it: the
# collector of cycles need not look at either again and again. Measured: a seventh less processor time for 1,000 events.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 50)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Hand a request to the half it belongs to."""
    if scope["type"] == "lifespan":
        await _live_and_die(receive, send)
    elif scope["type"] == "http" and scope["path"].startswith(LIVE_PREFIX):
        await live(scope, receive, send)
    elif scope["type"] == "http" and scope["path"] == USAGE_PATH and scope["method"] == "POST":
        await usage(scope, receive, send)
    else:
        await _blocking(scope, receive, send)


async def _blocking(scope: Any, receive: Any, send: Any) -> None:
    """A request for Django, with its whole body: a thread is held for the work, never for a slow sender."""
    try:
        body = await bodies.read(receive)
    except bodies.BodyRefused as refused:
        await refuse_body(scope, send, refused)
        return
    if body is None:
        return
    # Under WSGI's rules a dash and an underscore are the same: X_Forwarded_For would pass for the proxy's header.
    dropped = {b"content-length", b"transfer-encoding"}
    headers = [line for line in scope["headers"] if line[0] not in dropped and b"_" not in line[0]]
    headers.append((b"content-length", str(len(body)).encode()))
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def whole() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def answer(message: Any) -> None:
        # The server's own awaitable is no coroutine, and only a coroutine can be handed to the loop from a thread.
        await send(message)

    request: Any = {**scope, "headers": headers}
    await blocking(request, whole, answer)


async def _live_and_die(receive: Any, send: Any) -> None:
    """The server's question whether we are ready, and its word that it ends."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
