"""A gateway as customers get it, in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from ante_client.models import Models
from tests.clients.standin import eventually
from tests.config.processes import free_port

SOURCES = Path(__file__).resolve().parents[2] / "clients" / "python" / "src"


@contextmanager
def running(home: Path, *arguments: str, **settings: str) -> Iterator[str]:
    """Its address. It keeps its spool in ``home`` and ends with the block."""
    with started(home, *arguments, **settings) as (address, _):
        yield address


@contextmanager
def started(home: Path, *arguments: str, **settings: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The same, and its process."""
    port = free_port()
    environment = (
        os.environ | {"PYTHONPATH": str(SOURCES), "ANTE_GATEWAY_SPOOL": str(home / "gateway-spool")} | settings
    )
    log = home / "gateway.log"
    argv = [sys.executable, "-m", "ante_client.gateway", "--port", str(port), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(argv, env=environment, stdout=output, stderr=output)
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx2.get(f"{address}/healthz", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    try:
        assert eventually(answers), log.read_text()
        yield address, process
    finally:
        process.terminate()
        process.wait(30)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL, for it and for the one that serves on its behalf."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for each in (process.pid, *map(int, found)):
        os.kill(each, signal.SIGKILL)
    process.wait()


def billed_by(address: str, key: str) -> dict[str, str]:
    return {"ANTE_URL": address, "ANTE_API_KEY": key}


def answered_by(models: Models) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": models.address,
        "OPENAI_API_KEY": "sk-openai",
        "ANTHROPIC_BASE_URL": models.address,
        "ANTHROPIC_API_KEY": "sk-anthropic",
    }
