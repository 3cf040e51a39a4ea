"""Whoever reads an answer that is sent in blocks: they are waited for, but not for ever."""

import asyncio
import logging
from types import TracebackType
from typing import Any

SECONDS_MAX = 30.0
"""For one block, and in all for what is taken more slowly than ``BYTES_A_SECOND_MIN``."""
BYTES_A_SECOND_MIN = 16 * 1024
BLOCK_BYTES = 64 * 1024

logger = logging.getLogger(__name__)


class Gone(Exception):
    """The reader left, or takes too little."""


class Reader:
    """The reader of one answer. As a context it ends quietly once they are ``Gone``: then the answer stays unfinished,
    and the server closes the connection."""

    def __init__(self, receive: Any, send: Any) -> None:
        self._receive = receive
        self._send = send
        self._sent = 0
        self._waited = 0.0

    async def __aenter__(self) -> "Reader":
        self._left = asyncio.create_task(self._leaves())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._left.cancel()
        return isinstance(error, Gone)

    async def send(self, message: Any) -> None:
        """Give the server one message. Raises ``Gone``."""
        if self._left.done():
            raise Gone
        loop = asyncio.get_running_loop()
        started = loop.time()
        patience = SECONDS_MAX + min(self._sent / BYTES_A_SECOND_MIN - self._waited, 0)
        if patience <= 0:
            raise self._slow()
        try:
            async with asyncio.timeout(patience):
                await self._send(message)
        except TimeoutError:
            raise self._slow() from None
        except OSError as error:
            raise Gone from error
        self._waited += loop.time() - started
        self._sent += len(message.get("body", b""))

    def _slow(self) -> Gone:
        logger.info("An answer ended after %d bytes: its reader takes too little", self._sent)
        return Gone()

    async def _leaves(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
