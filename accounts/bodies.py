"""Reading a request's body in the event loop, before a thread is given to the request.

A body that comes a byte at a time would otherwise hold a thread for as long as its sender likes.
"""

import asyncio
from typing import Any

BYTES_MAX = 5 * 1024 * 1024
SECONDS_MAX = 30.0


class BodyRefused(Exception):
    """The body is too long, or did not arrive in time. ``status`` is what HTTP calls that."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


async def read(receive: Any) -> bytes | None:
    """The whole body; None where the client left before it was whole. Raises ``BodyRefused``."""
    try:
        return await asyncio.wait_for(_read(receive), SECONDS_MAX)
    except TimeoutError:
        raise BodyRefused(408, f"The body did not arrive in {SECONDS_MAX:.0f} seconds.") from None


async def _read(receive: Any) -> bytes | None:
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        length += len(part)
        if length > BYTES_MAX:
            raise BodyRefused(413, f"At most {BYTES_MAX} bytes are taken.")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
