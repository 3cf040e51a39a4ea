"""``/live/…``: streams of server-sent events that say, from now on, what the wallet holds or which events come in.

An ASGI application beside Django's views. A stream stays open for minutes and must cost neither a thread nor a
connection to the database; it knows its user by Django's session, asked when it opens and again at every heartbeat: who
signed out, was removed or was deactivated hears no more after that. It ends after a quarter of an hour, and the browser
opens the next.
"""

import asyncio
import json
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from types import FrameType
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.http import Http404, HttpRequest, parse_cookie

from accounts import second_factor
from accounts.middleware import printable_cookies
from accounts.reading import Reading, of_request, reading_as
from accounts.services import consents
from billing.selectors.ledger import balances
from billing.selectors.ledger.balances import BalanceNow
from billing.selectors.usage import tail
from billing.selectors.usage.tail import TailEvent
from portal import access, payloads
from portal.hub import Hub, Listener, TooManyListeners

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

T = TypeVar("T")


class Visitor(NamedTuple):
    """What a request says of who sent it: cookies, the socket's address, two of its headers."""

    cookies: str
    peer: str = ""
    forwarded: str = ""
    languages: str = ""


class Reader(NamedTuple):
    """Whose wallet a visitor may listen to, who they are, and how they read."""

    customer_id: UUID
    person_id: UUID
    reading: Reading


HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 2000
STREAM_SECONDS = 15 * 60.0

# One thread, so one connection: for the poller and for who is signing on.
_executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="live")


def _with_connection(work: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()


def _read(customer_ids: Iterable[UUID]) -> list[BalanceNow]:
    return _with_connection(lambda: balances.current(customer_ids))


def _read_events(customer_ids: Iterable[UUID]) -> list[TailEvent]:
    return _with_connection(lambda: tail.latest(customer_ids))


def _rest() -> None:
    connection.close()


@dataclass(frozen=True, slots=True)
class Channel:
    """What one address streams: who reads the rows, and what of them is new to a listener.

    ``says`` gets the rows and those that this listener was told last, none at first, and makes the message; None: there
    is nothing to say.
    """

    name: str
    hub: Hub[Any]
    says: Callable[[Sequence[Any], Sequence[Any]], dict[str, Any] | None]


def _says_balances(rows: Sequence[BalanceNow], told: Sequence[BalanceNow]) -> dict[str, Any]:
    return payloads.balances(rows, told={row.asset: row.available for row in told})


PATH = "/live/balance"
CHANNELS = {
    PATH: Channel("balance", Hub(_read, executor=_executor, rest=_rest), _says_balances),
    "/live/events": Channel("events", Hub(_read_events, executor=_executor, rest=_rest), payloads.new_events),
}


def close() -> None:
    """End all streams. For the server's shutdown."""
    for channel in CHANNELS.values():
        channel.hub.close()


def _end_with_the_server() -> None:
    """Close the streams as soon as the server is asked to stop. It waits for what is open, and these never end.

    The server's own handler is told by the event loop, through a pipe that the interpreter writes to, and goes on
    being told; the function that runs beside it is put before the one that was there. Where signals end the process
    at once there is nothing to do.
    """
    loop = asyncio.get_running_loop()
    if _watched.is_set() or threading.current_thread() is not threading.main_thread():
        return
    _watched.set()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        if not callable(before):
            continue

        def at_the_end(signum: int, frame: FrameType | None, then: Any = before) -> None:
            with suppress(RuntimeError):  # The loop may have ended first.
                loop.call_soon_threadsafe(close)
            then(signum, frame)

        signal.signal(number, at_the_end)


_watched = threading.Event()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request below ``/live/``."""
    assert scope["type"] == "http"
    channel = CHANNELS.get(scope["path"])
    if channel is None:
        return await _refuse(send, 404, b"Not found")
    if scope["method"] != "GET":
        return await _refuse(send, 405, b"GET only", (b"allow", b"GET"))
    visitor = _visitor(scope)
    try:
        reader = await _who(visitor)
    except (OperationalError, InterfaceError):
        return await _refuse(send, 503, b"Try again shortly", (b"retry-after", b"5"))
    if reader is None:
        return await _refuse(send, 401, b"Sign in first")
    _end_with_the_server()
    try:
        listener = channel.hub.join(reader.customer_id, reader.person_id)
    except TooManyListeners:
        return await _refuse(send, 503, b"Too many listeners", (b"retry-after", b"5"))
    gone = asyncio.create_task(_disconnect(receive))
    gone.add_done_callback(lambda _: listener.close())
    try:
        await _stream(channel, listener, visitor, reader.reading, send)
        if not gone.done():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except OSError:
        pass  # The browser went away between two messages.
    finally:
        gone.cancel()
        channel.hub.leave(listener)
    return None


async def _stream(channel: Channel, listener: Listener[Any], visitor: Visitor, reading: Reading, send: Send) -> None:
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await _write(send, f"retry: {RETRY_MILLISECONDS}\n\n")
    loop = asyncio.get_running_loop()
    end = loop.time() + STREAM_SECONDS
    check = loop.time() + HEARTBEAT_SECONDS
    told: Sequence[Any] = ()
    while not listener.closed and loop.time() < end:
        news = await listener.wait(max(0.0, check - loop.time()))
        if listener.closed:
            break
        if loop.time() >= check:
            if not await _is_still_theirs(listener, visitor):
                break
            check = loop.time() + HEARTBEAT_SECONDS
        if news is None:
            await _write(send, ": still here\n\n")
        else:
            data = await loop.run_in_executor(_executor, _message, channel, reading, news, told)
            told = news
            if data is not None:
                await _write(send, f"event: {channel.name}\ndata: {data}\n\n")


async def _who(visitor: Visitor) -> Reader | None:
    return await asyncio.get_running_loop().run_in_executor(_executor, _reader, visitor)


async def _is_still_theirs(listener: Listener[Any], visitor: Visitor) -> bool:
    """Whether the same browser would open the same stream now. Where that cannot be found out, they would not."""
    try:
        reader = await _who(visitor)
    except (OperationalError, InterfaceError):
        return False
    return reader is not None and reader.customer_id == listener.customer_id


def _message(channel: Channel, reading: Reading, rows: Sequence[Any], told: Sequence[Any]) -> str | None:
    with reading_as(reading):
        said = _with_connection(lambda: channel.says(rows, told))
    return None if said is None else json.dumps(said, separators=(",", ":"))


async def _write(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, status: int, reason: bytes, *headers: tuple[bytes, bytes]) -> None:
    plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": plain})
    await send({"type": "http.response.body", "body": reason + b"\n"})


def _visitor(scope: Scope) -> Visitor:
    def line(wanted: bytes, between: str) -> str:
        return between.join(value.decode("latin-1") for name, value in scope["headers"] if name == wanted)

    peer = (scope.get("client") or ("",))[0]
    return Visitor(line(b"cookie", "; "), peer, line(b"x-forwarded-for", ","), line(b"accept-language", ","))


def _reader(visitor: Visitor) -> Reader | None:
    """Whose stream it is, by the session in the cookies; None for strangers. Blocks."""
    session = printable_cookies(parse_cookie(visitor.cookies)).get(settings.SESSION_COOKIE_NAME)
    if session is None:
        return None

    def look_up() -> Reader | None:
        request = HttpRequest()
        request.method = "GET"
        request.META.update(
            REMOTE_ADDR=visitor.peer,
            HTTP_X_FORWARDED_FOR=visitor.forwarded,
            HTTP_ACCEPT_LANGUAGE=visitor.languages,
        )
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(session)
        user = get_user(request)
        second_factor.install(request, user)
        try:
            if user.pk is None or not second_factor.admits(request):
                return None
            visit = access.visit_for(request)
            if consents.owed(visit.user):
                return None
            return Reader(visit.customer.pk, visit.user.pk, of_request(request))
        except Http404:
            return None

    return _with_connection(look_up)
