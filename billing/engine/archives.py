"""A ZIP file that is made while it is sent, so that a long one starts at once and is kept nowhere."""

import io
import zipfile
from collections.abc import Iterable, Iterator


class _Pipe(io.RawIOBase):
    """What was written since it was last emptied."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(data))
        return len(data)

    def empty(self) -> bytes:
        found, self._parts = b"".join(self._parts), []
        return found


def stream(files: Iterable[tuple[str, Iterable[str]]]) -> Iterator[bytes]:
    """The bytes of an archive of these files, each a name and its text in parts."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, parts in files:
            with archive.open(name, "w", force_zip64=True) as file:
                for part in parts:
                    file.write(part.encode())
                    if data := pipe.empty():
                        yield data
    yield pipe.empty()
