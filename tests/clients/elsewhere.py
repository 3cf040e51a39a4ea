"""Processes that use the client, and are killed over it."""

import os
import signal
import subprocess
import sys
import textwrap

from tests.clients.gateways import SOURCES

_HEAD = "import sys, os, time\nfrom ante_client import *\nfrom ante_client import calls, forward\n"


def elsewhere(code: str, *arguments: object) -> "subprocess.Popen[bytes]":
    """A process that runs ``code`` with these arguments and prints a line when it is where it is to be killed."""
    return subprocess.Popen(
        [sys.executable, "-c", _HEAD + textwrap.dedent(code), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(SOURCES)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def is_ready(process: "subprocess.Popen[bytes]") -> bool:
    """Waits until it says so."""
    assert process.stdout is not None
    return process.stdout.readline() == b"ready\n"


def kill(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL, once it has said that it is ready."""
    assert is_ready(process)
    end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


FORWARDING = """
    ante = Ante(sys.argv[1], sys.argv[2])
    forwarder = forward.Forwarder(ante, Spool(sys.argv[3]), on_refused=lambda event, code: None)
    while not forwarder.totals.forwarded:
        try:
            forwarder.step()
        except AnteError:
            pass
    print("ready", flush=True)
    time.sleep(600)
"""
"""Begins to forward what is in a spool. Its arguments: the address, the key and the spool's directory."""
