"""Django's views under WSGI's rules: in threads, for callers in the event loop.

A thread is held for the work alone, never for a slow sender or reader. An answer that is whole is sent by the event
loop. One that is made while it is sent, a file to take along, goes on in a pool of its own, and its reader is waited
for as ``readers`` says; so those who do not read stop downloads for a while, and nothing else.
"""

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, NamedTuple

from a2wsgi.wsgi import build_environ

from billing.config.readers import BLOCK_BYTES, SECONDS_MAX, Reader

_OURS = {b"content-length", b"transfer-encoding"}


class Answer(NamedTuple):
    """``start`` is the message that begins it. ``body`` is whole, or None for a ``response`` that is not made yet."""

    start: dict[str, Any]
    body: bytes | None
    response: Any


class Views:
    """A WSGI application in ``threads``; what it streams, in as many more as there are ``downloads`` at once."""

    def __init__(self, application: Any, *, threads: int, downloads: int) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="views")
        self._downloads = ThreadPoolExecutor(downloads, thread_name_prefix="downloads")

    async def __call__(self, scope: Any, body: bytes, receive: Any, send: Any) -> None:
        """Answer a request whose body is there."""
        environ = build_environ(_with_length(scope, len(body)), BytesIO(body))  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        answer = await loop.run_in_executor(self._threads, context.run, self._answer, environ)
        if answer.body is not None:
            await send(answer.start)
            await send({"type": "http.response.body", "body": answer.body})
            return
        async with Reader(receive, send) as reader:

            def hand_over(message: dict[str, Any]) -> None:
                sent = asyncio.run_coroutine_threadsafe(reader.send(message), loop)
                sent.result(SECONDS_MAX + 5)  # Longer than a reader is waited for: only a loop that is no more.

            await loop.run_in_executor(self._downloads, context.run, _stream, answer, hand_over)

    def _answer(self, environ: Any) -> Answer:
        begun: list[dict[str, Any]] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            begun.append({"type": "http.response.start", "status": int(status[:3]), "headers": lines})

        response = self._application(environ, start)
        if getattr(response, "streaming", False):
            return Answer(begun[-1], None, response)
        try:
            return Answer(begun[-1], b"".join(response), response)
        finally:
            response.close()


def _with_length(scope: Any, length: int) -> Any:
    # Under WSGI's rules a dash and an underscore are the same: X_Forwarded_For would pass for the proxy's header.
    headers = [line for line in scope["headers"] if line[0] not in _OURS and b"_" not in line[0]]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


def _stream(answer: Answer, hand_over: Callable[[dict[str, Any]], None]) -> None:
    """Make the answer, block by block, and wait until each is taken. Raises ``Gone``."""
    try:
        hand_over(answer.start)
        for block in _blocks(answer.response):
            hand_over({"type": "http.response.body", "body": block, "more_body": True})
        hand_over({"type": "http.response.body", "body": b""})
    finally:
        answer.response.close()


def _blocks(parts: Iterable[bytes]) -> Iterator[bytes]:
    waiting, length = [], 0
    for part in parts:
        waiting.append(part)
        length += len(part)
        if length >= BLOCK_BYTES:
            yield b"".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield b"".join(waiting)
