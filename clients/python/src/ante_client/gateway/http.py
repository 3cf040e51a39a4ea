"""As much of ASGI as the gateway needs."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

BODY_BYTES_MAX = 32 << 20


class TooLong(Exception):
    """The body has more than ``BODY_BYTES_MAX`` bytes."""


class Gone(Exception):
    """The caller has left."""


def headers_of(scope: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def body_of(receive: Receive) -> bytes:
    """Raises ``TooLong`` and ``Gone``."""
    found = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        found += message.get("body", b"")
        if len(found) > BODY_BYTES_MAX:
            raise TooLong
        if not message.get("more_body", False):
            return bytes(found)


async def gone(receive: Receive) -> None:
    """Returns when the caller has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})


async def whole(send: Send, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """An answer in one piece, JSON if nothing else is said."""
    told = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    await start(send, status, told)
    await send({"type": "http.response.body", "body": body})


async def piece(send: Send, chunk: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": more})


def error(code: str, detail: str) -> bytes:
    """In the form that both providers' clients can show."""
    return json.dumps(
        {"type": "error", "error": {"type": code, "message": detail, "param": None, "code": code}}
    ).encode()
