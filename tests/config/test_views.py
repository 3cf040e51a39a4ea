"""Answers for those who read slowly, or not at all: nobody else waits for them."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from billing.config import readers
from billing.config.statics import Statics
from billing.config.views import Views

BLOCKS = 40


class Response:
    """What Django gives a server: whole, or made while it is sent."""

    def __init__(self, *, streaming: bool) -> None:
        self.streaming = streaming
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        yield from [b"x" * readers.BLOCK_BYTES] * (BLOCKS if self.streaming else 1)

    def close(self) -> None:
        self.closed.set()


class Client:
    """Asks for a path and takes as many messages as it likes to, then does ``then``."""

    def __init__(self, path: str, *, takes: int = 1000, then: Callable[[], Coroutine[Any, Any, None]] | None = None):
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [(b"x_forwarded_for", b"1.2.3.4")],
        }
        self.status = self.read = 0
        self.has_all = False
        self.left = asyncio.Event()
        self._takes = takes
        self._then = then

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if self._takes <= 0 and self._then:
            await self._then()
        self._takes -= 1
        self.status = message.get("status", self.status)
        self.read += len(message.get("body", b""))
        self.has_all = message["type"] == "http.response.body" and not message.get("more_body", False)


def run(work: Coroutine[Any, Any, None]) -> None:
    """In a thread of its own: after a browser test Playwright's loop runs in the main one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


async def _never() -> None:
    await asyncio.Event().wait()


async def _fails() -> None:
    raise ConnectionResetError("gone")


@pytest.fixture
def made() -> list[Response]:
    """All responses that the application gave, in order."""
    return []


@pytest.fixture
def views(made: list[Response]) -> Views:
    def application(environ: dict[str, Any], start: Any) -> Response:
        assert "HTTP_X_FORWARDED_FOR" not in environ
        made.append(Response(streaming=environ["PATH_INFO"] == "/file"))
        start("200 OK", [("Content-Type", "text/plain")])
        return made[-1]

    return Views(application, threads=1, downloads=1)


def test_who_does_not_read_a_file_holds_up_nobody_else(views: Views, made: list[Response]) -> None:
    async def work() -> None:
        stuck, other = Client("/file", takes=3, then=_never), Client("/page")
        waiting = asyncio.create_task(views(stuck.scope, b"", stuck.receive, stuck.send))
        while stuck.read < 2 * readers.BLOCK_BYTES:
            await asyncio.sleep(0)

        await views(other.scope, b"", other.receive, other.send)

        assert (other.status, other.read, other.has_all) == (200, readers.BLOCK_BYTES, True)
        assert not made[0].closed.is_set()
        stuck.left.set()
        waiting.cancel()

    run(work())


@pytest.mark.parametrize("then", [_never, _fails, None], ids=["stalls", "raises", "leaves"])
def test_the_thread_of_a_file_that_nobody_reads_is_given_back(
    views: Views, made: list[Response], monkeypatch: pytest.MonkeyPatch, then: Any
) -> None:
    async def work() -> None:
        monkeypatch.setattr(readers, "SECONDS_MAX", 0.05)
        gone = Client("/file", takes=3, then=then or (lambda: _leave(gone)))
        await views(gone.scope, b"", gone.receive, gone.send)
        assert made[0].closed.is_set()
        assert not gone.has_all

        monkeypatch.undo()
        reader = Client("/file")
        await views(reader.scope, b"", reader.receive, reader.send)
        assert (reader.read, reader.has_all) == (BLOCKS * readers.BLOCK_BYTES, True)

    async def _leave(client: Client) -> None:
        client.left.set()
        await asyncio.sleep(0)

    run(work())


@pytest.mark.parametrize(("seconds", "has_all"), [(3, True), (5, False)])
def test_who_takes_each_block_in_time_but_too_little_in_all_is_not_waited_for(
    views: Views, made: list[Response], seconds: int, has_all: bool
) -> None:
    async def work() -> None:
        loop, passed = asyncio.get_running_loop(), 0
        clock = loop.time

        async def later() -> None:
            nonlocal passed
            passed += seconds

        loop.time = lambda: clock() + passed  # type: ignore[method-assign]
        slow = Client("/file", takes=0, then=later)
        await views(slow.scope, b"", slow.receive, slow.send)
        assert slow.has_all is has_all
        assert made[0].closed.is_set()

    run(work())


def test_static_files_are_sent_without_threads_and_whole(tmp_path: Path, settings: Any) -> None:
    settings.STATIC_ROOT = tmp_path
    (tmp_path / "large.js").write_bytes(b"x" * 100_000)
    statics = Statics()
    assert "/static/large.js" in statics
    assert "/static/none.js" not in statics

    async def work() -> None:
        readers_ = [Client("/static/large.js"), Client("/static/large.js", takes=1, then=_fails)]
        for reader in readers_:
            await statics(reader.scope, reader.receive, reader.send)
        assert [(reader.read, reader.has_all) for reader in readers_] == [(100_000, True), (0, False)]

    run(work())
