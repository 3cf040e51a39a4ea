"""
``manage.py bench [arguments]``: the benchmark, on a PostgreSQL, a Valkey and a web server made for this run.

They are those of ``up``, with its settings: what was answered is on disk, and the web server has as many processes.
Worker and beat do not run. The environment's DATABASE_URL is not used: what the benchmark records stays for ever.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from billing.config.local import accounts, options, programs
from billing.config.local.bootstrap import ROOT
from billing.config.local.children import Child, Reaper
from billing.config.local.problems import Problem
from billing.config.local.servers import Servers, environment_of
from billing.config.local.testing import NOT_FOR_TESTS

START_SECONDS = 60.0


def run(arguments: list[str]) -> int:
    """Run the Django command ``bench`` against fresh servers and return its exit code."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    home = Path(tempfile.mkdtemp(prefix="ante-bench-"))
    home.chmod(0o711)
    reaper = Reaper()
    reaper.remove(home)
    passwords: dict[str, str] = {}
    servers = Servers(
        home=home,
        account=accounts.for_servers(),
        reaper=reaper,
        secret=lambda name: passwords.setdefault(name, secrets.token_urlsafe(32)),
        environment={},
    )
    started: list[Child] = []
    try:
        asked = options.parse(["--host", "127.0.0.1", "--port", str(_free_port()), *_workers(arguments)])
        environment = {name: value for name, value in os.environ.items() if name not in NOT_FOR_TESTS}
        environment |= servers.start(lambda name: _say(f"Starting {name} …"))
        environment |= {
            "BASE_URL": asked.address,
            "DATA_DIR": str(home / "data"),
            "SECRET_KEY": secrets.token_urlsafe(48),
            "DJANGO_SETTINGS_MODULE": "billing.config.settings",
            "LOG_LEVEL": "WARNING",
        }
        (home / "data" / "static").mkdir(parents=True)
        _say("Making the tables …")
        _migrate(environment, reaper, started, home)
        _say("Starting the web server …")
        program = programs.web(asked)
        log = home / "web.log"
        web = Child(name="web", argv=program.argv, reaper=reaper, env=environment, directory=ROOT, output=log)
        started.append(web)
        web.start()
        _wait_for(asked.address, web, log)
        # By Django itself: `manage.py bench` is what brought us here.
        argv = [sys.executable, "-m", "django", "bench", *arguments]
        command = Child(name="bench", argv=argv, reaper=reaper, env=environment, directory=ROOT, own_group=False)
        started.append(command)
        command.start()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's to answer.
        code = command.wait()
        assert code is not None
        return code if code >= 0 else 128 - code
    finally:
        for child in reversed(started):
            child.stop()
        servers.stop()
        shutil.rmtree(home, ignore_errors=True)
        reaper.done()


def _workers(arguments: list[str]) -> list[str]:
    """How many web processes are asked for, as ``up`` is asked."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--workers")
    asked = parser.parse_known_args(arguments)[0].workers
    return [] if asked is None else ["--workers", asked]


def _migrate(environment: Mapping[str, str], reaper: Reaper, started: list[Child], home: Path) -> None:
    log = home / "migrate.log"
    migrate = Child(
        name="migrate",
        argv=[sys.executable, "-m", "django", "migrate", "--no-input", "--verbosity", "0"],
        reaper=reaper,
        env=environment_of("migrate", environment),
        directory=ROOT,
        output=log,
    )
    started.append(migrate)
    migrate.start()
    if migrate.wait() != 0:
        raise Problem(f"The tables could not be made:\n{log.read_text()[-2000:]}")


def _wait_for(address: str, web: Child, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while web.is_running() and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=2):  # noqa: S310 - http, our own
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise Problem(f"The web server did not start:\n{log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
