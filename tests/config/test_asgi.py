"""One port, several ways to serve it: who gets which request."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from billing.config import asgi


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the halves that were asked, in order."""
    asked: list[str] = []

    def half(name: str) -> Any:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            asked.append(name)

        return application

    for name in ("live", "usage", "alive", "_blocking"):
        monkeypatch.setattr(asgi, name, half(name))
    return asked


def run(work: Coroutine[Any, Any, None]) -> None:
    """In a thread of its own: after a browser test Playwright's loop runs in the main one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def _request(path: str, method: str = "GET", kind: str = "http") -> dict[str, Any]:
    return {"type": kind, "path": path, "method": method}


@pytest.mark.parametrize(
    ("path", "method", "half"),
    [
        ("/live/balances", "GET", "live"),
        ("/live", "GET", "_blocking"),
        ("/lively/", "GET", "_blocking"),
        ("/api/v1/events", "POST", "usage"),
        ("/api/v1/events", "GET", "_blocking"),
        ("/api/v1/events/", "POST", "_blocking"),
        ("/healthz", "GET", "alive"),
        ("/healthz", "HEAD", "alive"),
        ("/healthz", "POST", "_blocking"),
        ("/", "GET", "_blocking"),
    ],
)
def test_a_request_goes_to_the_half_it_belongs_to(served: list[str], path: str, method: str, half: str) -> None:
    run(asgi.application(_request(path, method), None, None))

    assert served == [half]


def test_that_the_process_lives_is_said_without_a_thread() -> None:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    run(asgi.application(_request("/healthz"), None, send))

    assert (said[0]["status"], said[1]["body"]) == (200, b'{"status": "ok"}')


def test_start_and_end_of_the_server_are_acknowledged(served: list[str]) -> None:
    words = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    said: list[str] = []

    async def receive() -> Any:
        return words.pop(0)

    async def send(message: Any) -> None:
        said.append(message["type"])

    run(asgi.application({"type": "lifespan"}, receive, send))

    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert served == []
