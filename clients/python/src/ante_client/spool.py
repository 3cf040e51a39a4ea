"""What was recorded and not yet forwarded, in files of this machine: reporting usage costs an append and no network.

A directory of **segments**, which any number of processes share. Each process appends to a segment of its own, which it
holds locked as long as it lives, so writers never wait for each other, and what a dead process left is known by its
lock being free. A line is a CRC-32, a space and a JSON object. Beside a segment stands a mark: how far it was
forwarded.

What this survives: the death of the process at any instant (the line is with the kernel when ``append`` returns), and
with ``fsync=True`` that of the machine. A line that was cut short was never acknowledged and is passed over. What is
damaged otherwise, and what the server refused for good, is kept in ``refused.jsonl``, for somebody to look at.
"""

import errno
import fcntl
import json
import os
import secrets
import threading
import time
import weakref
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ante_client.errors import SpoolFull, SpoolUnwritable
from ante_client.exchange import encode

BOUND_BYTES = 1 << 30
SEGMENT_BYTES = 16 << 20
LINE_BYTES_MAX = 1 << 20
REFUSED = "refused.jsonl"
MARK_DIGITS = 20
_LOOK_SECONDS = 1.0
"""How old the knowledge of what other processes have written may be."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line: what it says, and where it ends. ``content`` is None where the line is damaged; then ``raw`` is it."""

    content: Mapping[str, Any] | None
    end: int
    raw: bytes = b""


class Spool:
    """The writing end, for the threads of one process, also after a fork. Nothing is made before the first line."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        bound: int = BOUND_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        fsync: bool = False,
    ) -> None:
        self.directory = Path(directory)
        self.bound = bound
        self._segment_bytes = min(segment_bytes, bound // 4)
        self._fsync = fsync
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._name = ""
        self._size = 0
        self._others = 0
        self._looked = float("-inf")
        _spools.add(self)

    def append(self, content: Mapping[str, Any]) -> None:
        """Keep it. Raises ``SpoolFull`` and ``SpoolUnwritable``; then nothing of it is kept."""
        line = line_of(content)
        if len(line) > LINE_BYTES_MAX:
            raise SpoolFull(f"One event has {len(line)} bytes; at most {LINE_BYTES_MAX} are taken.")
        with self._lock:
            try:
                descriptor = self._open(len(line))
                self._write(descriptor, line)
            except OSError as error:
                raise SpoolUnwritable(f"{self.directory}: {error.strerror or error}") from error

    def waiting(self) -> int:
        """How many bytes of lines the directory holds, of all processes, whether forwarded or not."""
        return sum(size for _, size in self._segments())

    def rotate(self) -> None:
        """End the segment that is being written; the next line starts another."""
        with self._lock:
            self._close()

    def segments(self) -> list["Segment"]:
        """Those that this process may forward: its own, and those whose writers are gone. Oldest first.

        The caller closes them, which frees what was locked for it.
        """
        with self._lock:
            own = self._name
        found = []
        for name, _ in sorted(self._segments()):
            segment = Segment.open(self.directory / name, own=name == own)
            if segment is not None:
                found.append(segment)
        return found

    def refuse(self, content: Mapping[str, Any], reason: str) -> None:
        """Keep what will never be taken, beside the reason. Raises ``SpoolUnwritable``."""
        line = encode({"reason": reason, "content": dict(content)}) + b"\n"
        try:
            with (self.directory / REFUSED).open("ab", buffering=0) as out:
                out.write(line)
        except OSError as error:
            raise SpoolUnwritable(f"{self.directory / REFUSED}: {error.strerror or error}") from error

    def after_fork(self) -> None:
        """The parent's segment is the parent's: the child neither writes to it nor keeps it locked."""
        self._lock = threading.Lock()
        self._close()

    def _open(self, more: int) -> int:
        now = time.monotonic()
        if now - self._looked > _LOOK_SECONDS:
            self._others = sum(size for name, size in self._segments() if name != self._name)
            self._looked = now
        if self._others + self._size + more > self.bound:
            raise SpoolFull(f"{self.directory} holds {self._others + self._size} bytes of at most {self.bound}.")
        if self._descriptor is not None and self._size + more > self._segment_bytes:
            self._others += self._size
            self._close()
        if self._descriptor is None:
            path, self._descriptor = locked_file(self.directory, ".spool")
            self._name = path.name
        return self._descriptor

    def _write(self, descriptor: int, line: bytes) -> None:
        try:
            written = os.write(descriptor, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._fsync:
                os.fdatasync(descriptor)
        except OSError:
            # What got there is taken back, so that the next line starts where a line starts.
            try:
                os.ftruncate(descriptor, self._size)
            except OSError:
                self._close()
            raise
        self._size += written

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._name, self._size = None, "", 0

    def _segments(self) -> Iterator[tuple[str, int]]:
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    if entry.name.endswith(".spool"):
                        try:
                            yield entry.name, entry.stat().st_size
                        except FileNotFoundError:
                            continue  # Forwarded meanwhile.
        except (FileNotFoundError, NotADirectoryError):
            return


class Segment:
    """The reading end of one segment."""

    def __init__(self, path: Path, descriptor: int, *, own: bool) -> None:
        self.path = path
        self.own = own
        """Whether this process is still writing it: then its end is not the end."""
        self._descriptor = descriptor
        self._mark = path.with_suffix(".mark")
        self.position = self._read_mark()

    @classmethod
    def open(cls, path: Path, *, own: bool) -> "Segment | None":
        """None where another process has it, or it is gone."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        if not own:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            if not path.exists():  # Forwarded and removed between the two calls.
                os.close(descriptor)
                return None
        return cls(path, descriptor, own=own)

    def entries(self, *, most: int, most_bytes: int) -> list[Entry]:
        """The next lines that were not forwarded, without what is cut short at the end."""
        found: list[Entry] = []
        position, rest = self.position, b""
        while len(found) < most and position - self.position < most_bytes:
            block = os.pread(self._descriptor, 1 << 16, position + len(rest))
            rest += block
            *lines, rest = rest.split(b"\n")
            for line in lines:
                position += len(line) + 1
                if len(found) < most:
                    found.append(entry_of(line, position))
            if not block:
                break
        return found

    def advance(self, position: int) -> None:
        """Everything before ``position`` is done. Not more than once a batch: it is a write."""
        descriptor = os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, b"%0*d" % (MARK_DIGITS, position), 0)
        finally:
            os.close(descriptor)
        self.position = position

    def remove(self) -> None:
        """All of it is done. The mark goes last: a segment without one would be sent again, which is harmless."""
        self.path.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._descriptor)

    def _read_mark(self) -> int:
        try:
            text = self._mark.read_bytes()
        except FileNotFoundError:
            return 0
        return int(text) if len(text) == MARK_DIGITS and text.isdigit() else 0


def locked_file(directory: Path, suffix: str) -> tuple[Path, int]:
    """A new file there to append to, locked by this process, and its descriptor. Raises ``OSError``."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Names sort by age, and no two processes choose the same.
    path = directory / f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}{suffix}"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    unseen = path.with_suffix(".new")
    descriptor = os.open(unseen, flags, 0o600)
    try:
        # Locked before anybody can see it: one that is seen and not locked counts as left behind.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        unseen.rename(path)
    except OSError:
        os.close(descriptor)
        raise
    return path, descriptor


def line_of(content: Mapping[str, Any]) -> bytes:
    text = encode(content)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def entry_of(line: bytes, end: int) -> Entry:
    """What a line says, without its end."""
    checksum, _, text = line.partition(b" ")
    try:
        if int(checksum, 16) == zlib.crc32(text):
            return Entry(json.loads(text), end)
    except ValueError:
        pass
    return Entry(None, end, line)


_spools: "weakref.WeakSet[Spool]" = weakref.WeakSet()


def _after_fork() -> None:
    for spool in list(_spools):
        spool.after_fork()


os.register_at_fork(after_in_child=_after_fork)
