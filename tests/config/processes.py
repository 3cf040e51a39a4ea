"""What the tests of the local set-up share: commands of manage.py as processes of their own, and who is still alive."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

from billing.config.local import reaper
from billing.config.local.bootstrap import ROOT
from billing.config.local.testing import NOT_FOR_TESTS

MANAGE = str(ROOT / "manage.py")
Process = tuple[int, int | None]
"""A number and when it was given out: the two name a process for good."""


def environment(**more: str) -> dict[str, str]:
    """That of somebody who types the command: nothing of the servers that these very tests run on."""
    ours = NOT_FOR_TESTS | {"SECRET_KEY", "DATA_DIR", "PYTEST_CURRENT_TEST"}
    return {name: value for name, value in os.environ.items() if name not in ours} | more


def start(*arguments: str, output: Path, **more: str) -> subprocess.Popen[bytes]:
    """``manage.py`` with these arguments, in its own process group, as from another terminal."""
    return subprocess.Popen(
        [sys.executable, MANAGE, *arguments],
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=output.open("wb"),
        stderr=subprocess.STDOUT,
        process_group=0,
    )


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, MANAGE, *arguments],
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def family(pid: int) -> set[Process]:
    """A process and all that descend from it."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text()
            except OSError:
                continue
            parents[int(name)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {(one, reaper.born(one)) for one in found}


def alive(processes: Iterable[Process]) -> set[Process]:
    """Those that still run. Who is dead but not waited for does not."""
    return {(pid, born) for pid, born in processes if born is not None and reaper.born(pid) == born and _runs(pid)}


def eventually(condition: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False
