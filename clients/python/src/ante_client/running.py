"""What streams under way have used so far, kept beside the spool for the case that this process dies over them.

Each process writes a file of its own there, which it holds locked as long as it lives. Whoever forwards a spool puts
the runs that a dead process left open into it: what they had used when it was last noted is charged, as failed runs.
"""

import errno
import fcntl
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ante_client.inference import Inference
from ante_client.spool import Spool, entry_of, line_of, locked_file

logger = logging.getLogger("ante_client")

SUFFIX = ".running"
NOTED_SECONDS = 0.5
"""How old may be what is known of a stream when its process dies."""
BYTES_MAX = 1 << 20
"""A file beyond this is written anew with the runs that are still open."""

Used = Callable[[], Mapping[str, Any]]
"""Says what a run has used so far, in the fields of its event. It is asked from another thread."""


class Running:
    """The runs under way of this process. Whatever becomes of the file, no run fails for it, or waits."""

    def __init__(self, spool: Spool) -> None:
        self._directory = spool.directory
        self._descriptor: int | None = None
        self._path = spool.directory
        self._size = 0
        self._lock = threading.Lock()
        self._followed: dict[str, tuple[Inference, Used]] = {}
        self._said: dict[str, Mapping[str, Any]] = {}
        self._lines: dict[str, bytes] = {}
        self._is_watched = False
        _all.add(self)

    def follow(self, run: Inference, used: Used) -> None:
        """From here until ``end``, what it has used is known to whoever comes after this process."""
        with self._lock:
            self._followed[run.id] = (run, used)
            self._note(run.id)
            if not self._is_watched:
                self._is_watched = True
                threading.Thread(target=self._watch, name="ante-running", daemon=True).start()

    def end(self, run: Inference) -> None:
        """It is in the spool, or charged."""
        with self._lock:
            if self._followed.pop(run.id, None) is not None:
                self._said.pop(run.id, None)
                self._lines.pop(run.id, None)
                self._write(line_of({"run": run.id}))

    def after_fork(self) -> None:
        """The parent's runs are the parent's, and so is its file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._is_watched = None, False
        self._lock = threading.Lock()
        for known in (self._followed, self._said, self._lines):
            known.clear()

    def _watch(self) -> None:
        """As long as anything is under way."""
        while True:
            time.sleep(NOTED_SECONDS)
            for id in list(self._followed):
                with self._lock:
                    if id in self._followed:
                        self._note(id)
            with self._lock:
                if not self._followed:
                    self._is_watched = False
                    self._drop()
                    return

    def _note(self, id: str) -> None:
        run, used = self._followed[id]
        try:
            data = used()
        except RuntimeError:
            return  # It was just being counted, in another thread: the next time then.
        if data != self._said.get(id):
            self._said[id] = data
            self._lines[id] = line_of({"run": id, "content": run.so_far(data)})
            self._write(self._lines[id])

    def _write(self, line: bytes) -> None:
        try:
            if self._descriptor is None or self._size > BYTES_MAX:
                self._begin()
            else:
                _append(self._descriptor, line)
                self._size += len(line)
        except OSError as error:
            logger.warning("What runs use is not noted in %s: %s", self._directory, error)
            self._drop()

    def _begin(self) -> None:
        """A file with all that is open. The one before goes when this one is there."""
        path, descriptor = locked_file(self._directory, SUFFIX)
        lines = b"".join(self._lines.values())
        try:
            _append(descriptor, lines)
        except OSError:
            path.unlink()
            os.close(descriptor)
            raise
        self._drop()
        self._path, self._descriptor, self._size = path, descriptor, len(lines)

    def _drop(self) -> None:
        """Gone before it is unlocked, so that nobody takes it over while this process lives."""
        if self._descriptor is not None:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._descriptor)
        self._descriptor = None


def _append(descriptor: int, lines: bytes) -> None:
    if os.write(descriptor, lines) < len(lines):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def take_over(spool: Spool) -> None:
    """Put into the spool what dead processes left open. Raises ``SpoolError``."""
    for path in sorted(spool.directory.glob(f"*{SUFFIX}")):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for content in _left_open(path.read_bytes()):
                spool.append(content)
            path.unlink()
        except (BlockingIOError, FileNotFoundError):
            continue  # Its process lives, or somebody else has just done it.
        finally:
            os.close(descriptor)


def _left_open(lines: bytes) -> list[Mapping[str, Any]]:
    """The last that was noted of each run that did not end."""
    found: dict[str, Mapping[str, Any]] = {}
    for line in lines.split(b"\n"):
        if (content := entry_of(line, 0).content) is not None:
            found.pop(content["run"], None)
            if "content" in content:
                found[content["run"]] = content["content"]
    return list(found.values())


_all: "weakref.WeakSet[Running]" = weakref.WeakSet()


def _after_fork() -> None:
    for running in list(_all):
        running.after_fork()


os.register_at_fork(after_in_child=_after_fork)
