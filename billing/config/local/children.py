"""
Child processes: each is the leader of its own process group, so that Ctrl-C reaches us alone and a stop reaches all it
has started; each is on the reaper's list, and the kernel signals it when we end.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from billing.config.local import reaper
from billing.config.local.accounts import Account

HERE = Path(__file__).resolve().parent


class Reaper:
    """Our end of the pipe whose closing makes ``reaper.py`` end what is on its list."""

    def __init__(self, *, keep_open: Sequence[int] = ()) -> None:
        """``keep_open``: descriptors to be held until everything has ended, such as the lock on a data directory."""
        self._keep_open = tuple(keep_open)
        self._entries: dict[str, dict[str, Any]] = {}
        self._start()

    def watch(self, pid: int, *, ask: int, patience_seconds: float) -> None:
        entry = {"watch": pid, "ask": int(ask), "born": reaper.born(pid), "patience": patience_seconds}
        self._say(str(pid), entry)

    def forget(self, pid: int) -> None:
        self._entries.pop(str(pid), None)
        self._write({"forget": pid})

    def home(self, directory: Path) -> None:
        self._say(f"home {directory}", {"home": str(directory)})

    def remove(self, directory: Path) -> None:
        self._say(f"remove {directory}", {"remove": str(directory)})

    def keep_alive(self) -> None:
        """Start it again if somebody has killed it. Called from the main thread."""
        if self._process.poll() is not None:
            self._start()

    def done(self) -> None:
        """Nothing is left to end: let it go without touching anything."""
        self._write({"done": True})
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(HERE / "reaper.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
            start_new_session=True,
            pass_fds=self._keep_open,
            cwd="/",
        )
        for entry in self._entries.values():
            self._write(entry)

    def _say(self, key: str, entry: dict[str, Any]) -> None:
        self._entries[key] = entry
        self._write(entry)

    def _write(self, entry: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # It was killed; keep_alive() gives the next one the whole list.
            self._process.stdin.write(json.dumps(entry) + "\n")
            self._process.stdin.flush()


@dataclass
class Child:
    """
    One program with what it takes to start it, and to stop it.

    ``ask`` is the signal that ends it in good order; after ``patience_seconds`` its whole group is killed. Its output
    goes to ``output`` (a file), or line by line to ``say``; what it writes to standard error goes to ``say_errors``
    where that is given.
    """

    name: str
    argv: Sequence[str]
    reaper: Reaper
    env: Mapping[str, str] | None = None
    ask: int = signal.SIGTERM
    patience_seconds: float = 10.0
    account: Account | None = None
    directory: Path | None = None
    input: bytes = b""
    output: Path | None = None
    say: Callable[[str], None] | None = None
    say_errors: Callable[[str], None] | None = None
    own_group: bool = True
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started_at: float = field(default=0.0, init=False)
    _pumps: list[threading.Thread] = field(default_factory=list, init=False)

    def start(self) -> None:
        """Call this from the main thread: the kernel's signal comes when the thread that started the child ends."""
        uid, gid = (self.account.uid, self.account.gid) if self.account else (-1, -1)
        prepared = [os.getpid(), int(self.ask), uid, gid, self.directory or ""]
        argv = [sys.executable, "-I", "-S", str(HERE / "launch.py"), *map(str, prepared), *self.argv]
        stdout: int | IO[bytes] | None = subprocess.PIPE if self.say else None
        if self.output is not None:
            stdout = self.output.open("ab")
        stderr = subprocess.STDOUT if stdout is not None else None
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if self.input else (subprocess.DEVNULL if self.own_group else None),
            stdout=stdout,
            stderr=subprocess.PIPE if self.say_errors else stderr,
            env=self.env,
            process_group=0 if self.own_group else None,
        )
        if self.own_group:
            # Whoever was killed asked for haste: a third of the time is enough.
            self.reaper.watch(self.process.pid, ask=self.ask, patience_seconds=self.patience_seconds / 3)
        self.started_at = time.monotonic()
        if self.input:
            assert self.process.stdin is not None
            with suppress(BrokenPipeError):
                self.process.stdin.write(self.input)
                self.process.stdin.close()
        if self.output is not None and not isinstance(stdout, int | None):
            stdout.close()
        self._pumps = [
            threading.Thread(target=_forward, args=(stream, say), daemon=True)
            for stream, say in ((self.process.stdout, self.say), (self.process.stderr, self.say_errors))
            if stream is not None and say is not None
        ]
        for pump in self._pumps:
            pump.start()

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code, or ``None`` when it still runs after ``seconds``."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def send(self, number: int) -> None:
        if self.is_running():
            assert self.process is not None
            self.process.send_signal(number)

    def stop(self) -> int | None:
        """Ask, wait, kill what is left of its group. Its exit code, or ``None`` if it never ran."""
        if self.process is None:
            return None
        self.send(self.ask)
        self.wait(self.patience_seconds)
        return self.clear()

    def clear(self) -> int | None:
        """Kill what is left of the group and wait for its leader."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        if self.own_group:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        elif process.poll() is None:
            process.kill()
        code = process.wait()
        for pump in self._pumps:
            pump.join(2)
        if self.own_group:
            self.reaper.forget(process.pid)
        return code


def _forward(stream: IO[bytes], say: Callable[[str], None]) -> None:
    with stream:
        for line in stream:
            say(line.decode(errors="replace").rstrip("\n"))
