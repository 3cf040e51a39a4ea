"""``POST /events`` in the server's event loop, for the many small calls that a busy gateway makes.

Callers that wait at the same time **share a transaction**: whoever arrives while one is being written joins the next.
There is no timer: a caller that comes alone does not wait. So the rate is bound by HTTP and not by one commit for each
call, and a wallet that everybody wants is locked by one connection of each process instead of by all.

A shared transaction waits for nobody. Events of a customer whom somebody else has locked go to a lane of that customer,
where they wait for the lock together, and the others commit at once: one locked wallet does not hold up the rest.

Customers whose own keys ask for much (``pace``) wait in a line of their own, which pauses longer than it works:
together they take a quarter of what one process writes at most, in larger groups. They are answered one by one during
the pause, so that they do not all come back at once, and whoever calls now and then hardly feels them.

No thread is held while a call waits. Long bodies, batches and calls with an ``Idempotency-Key`` go to a pool of threads
as they are, one transaction each.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.db import close_old_connections
from django.http.request import split_domain_port, validate_host

from accounts import bodies, logs
from accounts.bodies import BodyRefused
from accounts.middleware import request_id_for
from billing.api import ingest, pace, problems
from billing.api.ingest import Call, Reply
from billing.errors import BillingError, InvalidRequest, PayloadTooLarge, RequestTimeout
from billing.services import usage

GROUP_MAX = 100
SMALL_BYTES_MAX = 16 * 1024
LANES = 2
"""How many locked customers are waited for at once; each holds a thread and a connection while it is."""
THREADS = 3
PAUSE = 3.0
"""How much longer than a group took the line of those who ask for much pauses before the next."""
PAUSE_SECONDS_MAX = 1.0
SPARING_SECONDS = 0.2
"""The least it pauses while others call."""
TRIES = 3
"""How often an event of theirs comes upon a locked customer before it waits for the lock."""

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class Waiting:
    """An event whose caller waits for what becomes of it."""

    event: usage.IncomingEvent
    future: "asyncio.Future[usage.Outcome]"
    tries: int = 0

    def settle(self, result: usage.Outcome | Exception) -> None:
        """Tell the caller, if it still waits."""
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class Line:
    """Events that wait to be written together, and the task that writes them group by group."""

    def __init__(self, write: Callable[[list[Waiting]], Any], on_empty: Callable[[], Any] = lambda: None) -> None:
        self._write = write
        self._on_empty = on_empty
        self._waiting: list[Waiting] = []
        self._task: asyncio.Task[None] | None = None

    def join(self, waiting: Waiting) -> None:
        self._waiting.append(waiting)
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        logs.request_id.set("")  # What is logged here is not of whoever came first alone.
        while self._waiting:
            group, self._waiting = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
            try:
                await self._write(group)
            except Exception as error:
                logger.exception("A group of %d events failed", len(group))
                for waiting in group:
                    waiting.settle(error)
        self._task = None
        self._on_empty()


class Shared:
    """One line for everybody, one for those who ask for much, and one for each customer who is locked elsewhere."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="usage")
        self._eager_pool = ThreadPoolExecutor(1, thread_name_prefix="usage-eager")
        self._everybody = Line(self._write_everybody)
        self._eager = Line(self._write_eager)
        self._lanes: dict[str, Line] = {}
        self._lane_pool = ThreadPoolExecutor(LANES, thread_name_prefix="usage-lane")

    async def record(self, event: usage.IncomingEvent) -> usage.Outcome:
        """Record one event, together with what else waits."""
        waiting = Waiting(event, asyncio.get_running_loop().create_future())
        line = self._eager if pace.buckets.is_eager(event.organization_id) else self._everybody
        # Who comes after those that wait for a lock waits with them, in order.
        self._lanes.get(event.subject, line).join(waiting)
        return await waiting.future

    async def _write_everybody(self, group: list[Waiting]) -> None:
        for waiting, outcome in await self._unlocked(self._pool, group):
            if outcome is None:
                self._lane_of(waiting.event.subject).join(waiting)
            else:
                waiting.settle(outcome)

    async def _write_eager(self, group: list[Waiting]) -> None:
        """They are told one after the other, so that the pause is over when all of them were."""
        started = time.monotonic()
        found = await self._unlocked(self._eager_pool, group)
        least = SPARING_SECONDS if pace.buckets.are_others_around() else 0.0
        pause = min(PAUSE_SECONDS_MAX, max(least, PAUSE * (time.monotonic() - started)))
        for waiting, outcome in found:
            if outcome is not None:
                waiting.settle(outcome)
            elif waiting.tries < TRIES:
                waiting.tries += 1
                self._eager.join(waiting)
            else:
                self._lane_of(waiting.event.subject).join(waiting)
            await asyncio.sleep(pause / len(group))

    async def _unlocked(
        self, pool: ThreadPoolExecutor, group: list[Waiting]
    ) -> list[tuple[Waiting, usage.Outcome | None]]:
        """What became of each, None where it has to wait for a lock."""
        try:
            outcomes = await _run(pool, usage.record_unlocked, [waiting.event for waiting in group])
        except Exception as error:
            # Nobody pays for a neighbour's trouble: what went wrong together is tried in the lanes.
            logger.warning("A shared transaction of %d events failed: %s", len(group), error)
            for waiting in group:
                waiting.tries = TRIES
            outcomes = [None] * len(group)
        return list(zip(group, outcomes, strict=True))

    def _lane_of(self, subject: str) -> Line:
        lane = self._lanes.get(subject)
        if lane is None:
            lane = self._lanes[subject] = Line(self._write_waiting, on_empty=partial(self._lanes.pop, subject))
        return lane

    async def _write_waiting(self, group: list[Waiting]) -> None:
        """The events of one customer, as long as it takes to get the lock; if that is too long, for all of them."""
        try:
            outcomes = await _run(self._lane_pool, usage.record, [waiting.event for waiting in group])
        except BillingError as error:
            for waiting in group:
                waiting.settle(error)
            return
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.settle(outcome)


_shared = Shared()
_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="events")
_key_pool = ThreadPoolExecutor(1, thread_name_prefix="keys")
_stranger_pool = ThreadPoolExecutor(1, thread_name_prefix="strangers")
"""Where keys are looked up that were never seen: whoever sends made-up ones waits among themselves."""


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application of this one endpoint and method."""
    headers = _headers(scope)
    request_id = request_id_for(headers.get("x-request-id"))
    logs.request_id.set(request_id)  # The server runs each call in a context of its own.
    call = Call(headers, b"", request_id, (scope.get("client") or ("",))[0])
    try:
        body = await bodies.read(receive)
        if body is None:
            return
        reply = await _answer(replace(call, body=body))
    except BodyRefused as refused:
        reply = ingest.refusal(_too_long_or_late(refused), call)
    except BillingError as error:
        reply = ingest.refusal(error, call)
    except problems.DATABASE_TROUBLE as error:
        reply = ingest.refusal(problems.unavailable(error), call)
    except Exception:
        logger.exception("POST /events failed")
        reply = ingest.failure(request_id)
    await _send(send, reply, request_id)


def _headers(scope: Any) -> dict[str, str]:
    """By name. One that comes twice counts as the last says, but the lines of who forwarded it belong together."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    if forwarded:
        headers["x-forwarded-for"] = ",".join(forwarded)
    return headers


async def refuse_body(scope: Any, send: Any, refused: BodyRefused) -> None:
    """The answer to any request whose body is not taken."""
    request_id = request_id_for(None)
    await _send(send, ingest.refusal(_too_long_or_late(refused), Call({}, b"", request_id)), request_id)


def _too_long_or_late(refused: BodyRefused) -> BillingError:
    return PayloadTooLarge(refused.detail) if refused.status == 413 else RequestTimeout(refused.detail)


async def _send(send: Any, reply: Reply, request_id: str) -> None:
    reply.headers["X-Request-Id"] = request_id
    reply.headers["Content-Length"] = str(len(reply.body))
    reply.headers["X-Content-Type-Options"] = "nosniff"
    lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": lines})
    await send({"type": "http.response.body", "body": reply.body})


async def _answer(call: Call) -> Reply:
    if not validate_host(split_domain_port(call.headers.get("host", ""))[0], settings.ALLOWED_HOSTS):
        return ingest.refusal(InvalidRequest("This host is not served here."), call)
    reporter = ingest.known_reporter(call)
    if reporter is None:
        pool = _key_pool if ingest.is_known(call) else _stranger_pool
        reporter = await _run(pool, ingest.authenticate, call)
    if len(call.body) > SMALL_BYTES_MAX or "idempotency-key" in call.headers:
        return await _run(_pool, ingest.answer, call)
    submission = ingest.read(call, reporter)
    if submission.is_batch:
        return await _run(_pool, ingest.answer, call)
    return ingest.reply(submission, [await _shared.record(submission.events[0])], call)


async def _run(pool: ThreadPoolExecutor, function: Callable[[Any], _T], argument: Any) -> _T:
    """``function(argument)`` in a thread, whose database connection is looked after as Django does for a request."""

    def work() -> _T:
        close_old_connections()
        try:
            return function(argument)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(pool, copy_context().run, work)
