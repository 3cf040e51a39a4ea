"""What is ended after the death of the process that started it, and what is not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from billing.config.local import reaper
from billing.config.local.children import Child, Reaper
from tests.config.processes import alive, eventually, family

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""
PARENT = """
import sys, time
from billing.config.local.children import Child, Reaper
child = Child(name="one", argv=["/bin/sh", "-c", "sleep 60 & sleep 60"], reaper=Reaper())
child.start()
print("started", flush=True)
time.sleep(60)
"""


def _entry(process: "subprocess.Popen[bytes]", *, patience: float = 5.0) -> dict[str, object]:
    return {
        "watch": process.pid,
        "ask": int(signal.SIGTERM),
        "born": reaper.born(process.pid),
        "patience": patience,
    }


def test_a_group_is_asked_first() -> None:
    process = subprocess.Popen(["/bin/sleep", "60"], process_group=0)

    reaper.end_all([_entry(process, patience=0.3)], homes=[])

    assert process.wait(30) == -signal.SIGTERM


def test_who_does_not_listen_is_killed_when_its_patience_is_over() -> None:
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, process_group=0)
    assert process.stdout is not None
    process.stdout.readline()
    started = time.monotonic()

    reaper.end_all([_entry(process, patience=0.5)], homes=[])

    assert process.wait(30) == -signal.SIGKILL
    assert time.monotonic() - started >= 0.5
    process.stdout.close()


def test_a_stranger_that_got_the_number_is_left_alone() -> None:
    process = subprocess.Popen(["/bin/sleep", "60"], process_group=0)
    try:
        reaper.end_all([_entry(process) | {"born": 1}], homes=[])
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_what_works_in_a_home_is_killed_although_it_left_its_group(tmp_path: Path) -> None:
    process = subprocess.Popen(["/bin/sleep", "60"], cwd=tmp_path, start_new_session=True)

    reaper.end_all([], homes=[str(tmp_path)])

    assert process.wait(30) == -signal.SIGKILL


def test_the_death_of_a_parent_ends_its_children_and_theirs() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=dict(os.environ))
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"started\n"
    assert eventually(lambda: len(family(parent.pid)) >= 4, seconds=30)  # It, its reaper, the shell and two sleeps.
    everything = family(parent.pid)

    parent.kill()
    parent.wait()

    assert eventually(lambda: not alive(everything), seconds=30), alive(everything)
    parent.stdout.close()


def test_a_stop_leaves_nothing_of_the_group() -> None:
    keeper = Reaper()
    child = Child(name="one", argv=["/bin/sh", "-c", "sleep 60 & sleep 60"], reaper=keeper)
    child.start()
    assert child.process is not None
    assert eventually(lambda: child.process is not None and len(family(child.process.pid)) >= 3, seconds=30)
    everything = family(child.process.pid)

    child.stop()

    # The signal has been sent to all of them; the kernel ends those that nobody waits for in its own time.
    assert eventually(lambda: not alive(everything), seconds=30), alive(everything)
    keeper.done()


def test_output_comes_line_by_line_and_errors_apart() -> None:
    said: list[str] = []
    errors: list[str] = []
    keeper = Reaper()
    child = Child(
        name="one",
        argv=["/bin/sh", "-c", "echo one; echo two; echo wrong >&2"],
        reaper=keeper,
        say=said.append,
        say_errors=errors.append,
    )
    child.start()

    assert child.wait(30) == 0
    child.clear()
    assert (said, errors) == (["one", "two"], ["wrong"])
    keeper.done()
