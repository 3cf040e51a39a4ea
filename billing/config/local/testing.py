"""
``manage.py test [pytest's arguments]``: the tests, on a PostgreSQL and a Valkey made for this run and removed after it.

With ``-n`` each process has servers of its own: in one PostgreSQL the transactions of one test would be those that
another, which asks what has ended, waits for. The environment's DATABASE_URL and REDIS_URL are not used: tests must not
meet data that somebody needs.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from billing.config.local import accounts
from billing.config.local.bootstrap import ROOT
from billing.config.local.children import Child, Reaper
from billing.config.local.servers import Servers

NOT_FOR_TESTS = {
    *("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_APP_ROLE", "DATABASE_LIMITS", "REDIS_URL", "CELERY_BROKER_URL"),
    *("BASE_URL", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "DEBUG", "ANTE_DEMO", "ANTE_TEST", "STATIC_ROOT"),
    *("PAYMENT_PROVIDER", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE"),
}

LIMITS = "-c lock_timeout=2s -c statement_timeout=30s -c idle_in_transaction_session_timeout=5min"
"""As in the settings, but for the pauses of making the tables on a machine that does much else."""


def run(arguments: list[str]) -> int:
    """Run pytest with ``arguments`` and return its exit code.

    Without any, all tests run, in one process more than there are processors: some tests wait for others' processes.
    """
    arguments = arguments or ["-n", str((os.cpu_count() or 1) + 1), "--dist", "load"]
    environment = {name: value for name, value in os.environ.items() if name not in NOT_FOR_TESTS}
    home = Path(tempfile.mkdtemp(prefix="ante-test-"))
    homes = [home / str(number) for number in range(_processes(arguments))]
    for directory in homes:
        directory.mkdir()
    for directory in (home, *homes):
        directory.chmod(0o711)
    reaper = Reaper()
    reaper.remove(home)
    passwords: dict[str, str] = {}
    tests: Child | None = None
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    servers = [
        Servers(
            home=directory,
            account=accounts.for_servers(),
            reaper=reaper,
            secret=lambda name: passwords.setdefault(name, secrets.token_urlsafe(32)),
            environment={},
            throwaway=True,
        )
        for directory in homes
    ]
    try:
        found = [each.start() for each in servers]
        environment |= found[0] | {"ANTE_TEST_SERVERS": json.dumps(found)}
        (home / "data" / "static").mkdir(parents=True)
        environment |= {
            "DATA_DIR": str(home / "data"),
            "SECRET_KEY": "a-key-for-tests-that-signs-nothing-of-value",
            "DJANGO_SETTINGS_MODULE": "billing.config.settings",
            "DATABASE_LIMITS": LIMITS,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        tests = Child(
            name="pytest",
            argv=[sys.executable, "-m", "pytest", *arguments],
            reaper=reaper,
            env=environment,
            directory=ROOT,
            own_group=False,  # In the terminal's foreground, so that a debugger can read and Ctrl-C arrives there.
        )
        tests.start()
        code = _wait(tests)
    finally:
        if tests is not None:
            tests.stop()
        for each in servers:
            each.stop()
        shutil.rmtree(home, ignore_errors=True)
        reaper.done()
    return code


def _processes(arguments: list[str]) -> int:
    """How many processes pytest is told to run the tests in."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-n", "--numprocesses", default="1")
    asked = str(parser.parse_known_args(arguments)[0].numprocesses)
    return max(1, int(asked)) if asked.isdigit() else os.cpu_count() or 1


def _wait(tests: Child) -> int:
    """Ctrl-C is pytest's to answer: it reports what it has, and ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = tests.wait()
    assert code is not None
    return code if code >= 0 else 128 - code
