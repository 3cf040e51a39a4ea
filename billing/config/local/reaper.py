"""
A process that outlives its parent by a moment, to end what the parent had started.

A command that ends in an orderly way stops its children itself. One that is killed with SIGKILL cannot. So it keeps a
pipe open to this process; when the kernel closes the pipe, what is still on the list is ended: first asked, with the
signal each entry names, then, after the seconds it names, killed with its whole process group. The list arrives as one
JSON object a line:

* ``{"watch": PID, "ask": SIGNAL, "born": TICKS, "patience": SECONDS}``: the leader of a group, and when it started;
* ``{"forget": PID}``: it has ended and was waited for;
* ``{"home": PATH}``: kill whatever still works in this directory (PostgreSQL's backends leave their parent's group);
* ``{"remove": PATH}``: delete this directory tree at the very end.

It lives in a session of its own, so neither Ctrl-C nor the end of a terminal reaches it. Standard library alone, and
nothing of ours is imported: it runs as ``python -I -S reaper.py``.
"""

import json
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from typing import Any


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watched: dict[int, dict[str, Any]] = {}
    homes: list[str] = []
    remove: list[str] = []
    for line in sys.stdin:
        entry = json.loads(line)
        if "watch" in entry:
            watched[entry["watch"]] = entry
        elif "forget" in entry:
            watched.pop(entry["forget"], None)
        elif "home" in entry:
            homes.append(entry["home"])
        elif "remove" in entry:
            remove.append(entry["remove"])
        elif "done" in entry:
            return
    end_all(list(watched.values()), homes)
    for path in remove:
        shutil.rmtree(path, ignore_errors=True)


def end_all(entries: list[dict[str, Any]], homes: list[str]) -> None:
    """Ask every process group to end, and kill each when its patience is over."""
    left = [entry for entry in entries if not _is_stranger(entry)]
    for entry in left:
        _send(-entry["watch"], entry["ask"])
    asked = time.monotonic()
    while left := [entry for entry in left if _lives(entry["watch"])]:
        for entry in left:
            if time.monotonic() - asked > entry["patience"]:
                _send(-entry["watch"], signal.SIGKILL)
        if time.monotonic() - asked > max(entry["patience"] for entry in left) + 1:
            break  # Killed and still counted: nobody has waited for them, so they are dead all the same.
        time.sleep(0.05)
    for home in homes:
        for pid in working_in(home):
            _send(pid, signal.SIGKILL)


def born(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did: with the number it names one process for good."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in brackets may hold spaces and brackets itself.
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def working_in(directory: str) -> list[int]:
    """The processes whose working directory is this one, as far as we may look."""
    found = []
    wanted = os.path.realpath(directory)
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        try:
            if name.isdigit() and os.readlink(f"/proc/{name}/cwd") == wanted:
                found.append(int(name))
        except OSError:
            continue
    return found


def _is_stranger(entry: dict[str, Any]) -> bool:
    """Whether another process has got the number meanwhile. A group whose leader has ended keeps it reserved."""
    now = born(entry["watch"])
    return now is not None and entry["born"] is not None and now != entry["born"]


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


if __name__ == "__main__":
    main()
