"""``POST /events`` in the server's event loop, for the many small calls that a busy gateway makes.

Callers that wait at the same time **share a transaction**: whoever arrives while one is being written joins the next.
There is no timer: a caller that comes alone does not wait. So the rate is bound by HTTP and not by one commit for each
call, and a wallet that everybody wants is locked by one connection of each process instead of by all.

No thread is held while a call waits. Long bodies and calls with an ``Idempotency-Key`` go to a pool of threads as they
are, one transaction each.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import close_old_connections

from accounts.middleware import request_id_for
from billing.api import ingest, json
from billing.api.ingest import Call, Reply
from billing.errors import BillingError, PayloadTooLarge
from billing.services import usage

GROUP_MAX = 100
SMALL_BYTES_MAX = 16 * 1024
WRITERS = 1
"""How many groups are written at once. More would share the interpreter, and queue for the same rows."""
THREADS = 2

logger = logging.getLogger(__name__)


class Shared:
    """Groups the calls that wait."""

    def __init__(self) -> None:
        self._waiting: list[tuple[usage.IncomingEvent, asyncio.Future[usage.Outcome]]] = []
        self._writers = 0
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="usage")

    async def record(self, event: usage.IncomingEvent) -> usage.Outcome:
        """Record one event, together with what else waits."""
        future: asyncio.Future[usage.Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, future))
        if self._writers < WRITERS:
            self._writers += 1
            # Kept by the loop until it is done; it ends when nobody waits.
            _background.add(task := asyncio.create_task(self._write()))
            task.add_done_callback(_background.discard)
        return await future

    async def _write(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
                await self._write_group(group)
        finally:
            self._writers -= 1

    async def _write_group(self, group: Sequence[tuple[usage.IncomingEvent, asyncio.Future[usage.Outcome]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            outcomes = await loop.run_in_executor(self._pool, _record, [event for event, _ in group])
        except Exception as error:
            if len(group) == 1:
                _settle(group[0][1], error)
                return
            # Nobody pays for a neighbour's trouble: what went wrong together is tried one by one.
            logger.warning("A shared transaction of %d events failed: %s", len(group), error)
            for one in group:
                await self._write_group([one])
            return
        for (_, future), outcome in zip(group, outcomes, strict=True):
            _settle(future, outcome)


_background: set[asyncio.Task[None]] = set()
_shared = Shared()
_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="events")


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application of this one endpoint and method."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    request_id = request_id_for(headers.get("x-request-id"))
    try:
        call = Call(headers, await _body(receive), request_id)
        reply = await _answer(call)
    except PayloadTooLarge as error:
        reply = ingest.refusal(error, Call(headers, b"", request_id))
    except Exception:
        logger.exception("POST /events failed, request %s", request_id)
        reply = ingest.failure(request_id)
    reply.headers["X-Request-Id"] = request_id
    reply.headers["Content-Length"] = str(len(reply.body))
    reply.headers["X-Content-Type-Options"] = "nosniff"
    lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": lines})
    await send({"type": "http.response.body", "body": reply.body})


async def _answer(call: Call) -> Reply:
    if len(call.body) > SMALL_BYTES_MAX or "idempotency-key" in call.headers:
        return await _in_thread(call)
    try:
        reporter = ingest.known_reporter(call)
        if reporter is None:
            return await _in_thread(call)
        submission = ingest.read(call, reporter)
        if submission.is_batch:
            return await _in_thread(call)
        return ingest.reply(submission, [await _shared.record(submission.events[0])], call)
    except BillingError as error:
        return ingest.refusal(error, call)


async def _in_thread(call: Call) -> Reply:
    return await asyncio.get_running_loop().run_in_executor(_pool, _whole, call)


async def _body(receive: Any) -> bytes:
    """The request's body; refused as soon as it is longer than is taken."""
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts)
        part = message.get("body", b"")
        length += len(part)
        if length > json.BYTES_MAX:
            raise PayloadTooLarge(f"At most {json.BYTES_MAX} bytes are taken.")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _record(events: Sequence[usage.IncomingEvent]) -> list[usage.Outcome]:
    close_old_connections()
    return usage.record(events)


def _whole(call: Call) -> Reply:
    close_old_connections()
    return ingest.answer(call)


def _settle(future: "asyncio.Future[usage.Outcome]", result: usage.Outcome | Exception) -> None:
    """Tell the caller, if it still waits."""
    if future.cancelled():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
