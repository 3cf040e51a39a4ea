"""A gateway as customers get it, in a process of its own."""

import os
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
        yield address
    finally:
        process.terminate()
        process.wait(30)


def billed_by(address: str, key: str) -> dict[str, str]:
    return {"ANTE_URL": address, "ANTE_API_KEY": key}


def answered_by(models: Models) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": models.address,
        "OPENAI_API_KEY": "sk-openai",
        "ANTHROPIC_BASE_URL": models.address,
        "ANTHROPIC_API_KEY": "sk-anthropic",
    }
