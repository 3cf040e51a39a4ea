"""Static files from the event loop: they are read block by block, and nothing is held for whoever reads slowly.

Which there are, in which encodings and how long they may be kept is WhiteNoise's to say, as where WSGI serves them.
"""

import asyncio
from typing import Any

from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

from billing.config.readers import BLOCK_BYTES, Reader


class Statics:
    """The files that were gathered when the process began."""

    def __init__(self) -> None:
        self._files: dict[str, StaticFile] = WhiteNoiseMiddleware(None).files

    def __contains__(self, path: str) -> bool:
        return path in self._files

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request for one of them."""
        asked = {
            f"HTTP_{name.decode().upper().replace('-', '_')}": line.decode("latin-1") for name, line in scope["headers"]
        }
        found = await asyncio.to_thread(self._files[scope["path"]].get_response, scope["method"], asked)
        try:
            headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in found.headers]
            headers.append((b"x-content-type-options", b"nosniff"))
            async with Reader(receive, send) as reader:
                await reader.send({"type": "http.response.start", "status": int(found.status), "headers": headers})
                while found.file and (block := await asyncio.to_thread(found.file.read, BLOCK_BYTES)):
                    await reader.send({"type": "http.response.body", "body": block, "more_body": True})
                await reader.send({"type": "http.response.body", "body": b""})
        finally:
            if found.file:
                found.file.close()
