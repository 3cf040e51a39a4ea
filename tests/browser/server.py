"""The web server that customers get, on the tests' own database: granian with the ASGI application."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

START_SECONDS = 180.0
NOT_OF_THE_PORTAL = ("admin", "drf_spectacular_sidecar", "rest_framework", "unfold")
"""Static files that these tests do not need: compressing them would take most of the time."""


@dataclass(frozen=True)
class Server:
    address: str
    process: "subprocess.Popen[bytes]"


@contextmanager
def serving(home: Path, *, static_files: bool = True, without: Sequence[str] = NOT_OF_THE_PORTAL) -> Iterator[Server]:
    """A server that keeps its files in ``home``. Ends with the block. ``without`` are apps whose pages do not open."""
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    environment = os.environ | {
        "DATABASE_URL": database.geturl(),
        "BASE_URL": address,
        "SECRET_KEY": settings.SECRET_KEY,
        "EMBED_ANCESTORS": "http://localhost:*",
        "STATIC_ROOT": str(home / "static"),
        "DATA_DIR": str(home / "data"),
        "DJANGO_SETTINGS_MODULE": "billing.config.settings",
    }
    if static_files:
        collect = [sys.executable, "-m", "django", "collectstatic", "--no-input", "--verbosity", "0"]
        collect += [option for part in without for option in ("--ignore", part)]
        subprocess.run(collect, cwd=settings.BASE_DIR, env=environment, check=True, timeout=120)
    serve = [sys.executable, "-m", "granian", "billing.config.asgi:application", "--interface", "asgi"]
    serve += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-ws", "--log-level", "warning"]
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(serve, cwd=settings.BASE_DIR, env=environment, stdout=output, stderr=output)
    try:
        _wait_for(f"{address}/live/balance", process, log)
        yield Server(address, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until it answers, whatever it answers."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"The server does not answer:\n{log.read_text()[-4000:]}")
