"""
Any Django command, with the servers it needs.

Where DATABASE_URL and REDIS_URL are set, those are used. Otherwise the servers of a running ``manage.py up`` on the
same data directory, if there is one; if not, servers are started for the command and stopped after it. Commands that
need no data start nothing.
"""

import os
import secrets
import signal
import sys
import time
import warnings

from billing.config.local.children import Reaper
from billing.config.local.places import DataDir
from billing.config.local.problems import Problem
from billing.config.local.servers import Servers, are_lacking, environment_of

NEEDS_NO_SERVER = {
    *("help", "version", "--version", "check", "makemigrations", "diffsettings", "optimizemigration"),
    *("collectstatic", "findstatic", "compilemessages", "makemessages", "startapp", "startproject", "spectacular"),
}
NEEDS_UP = {"gateway"}
"""What runs beside the product, and is nothing without it."""
STARTING_SECONDS = 60.0


def run(argv: list[str]) -> int:
    """Run ``manage.py COMMAND …`` in this process and return its exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing.config.settings")
    command = argv[1] if len(argv) > 1 else "help"
    if _needs_nothing(command, argv):
        # Asking the database which migrations it has is a courtesy of makemigrations; without one it warns and goes on.
        if command != "check":  # Which has an opinion on a missing key.
            os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
        warnings.filterwarnings("ignore", "Got an error checking a consistent migration history", RuntimeWarning)
        return _execute(argv)

    lacking = are_lacking()
    if not lacking and os.environ.get("SECRET_KEY"):
        return _execute(argv)
    data = DataDir.from_environment()
    os.environ.setdefault("SECRET_KEY", data.secret("secret_key"))
    if not lacking:
        return _execute(argv)
    running = _running_servers(data)
    if running is not None:
        os.environ.update({name: value for name, value in running.items() if not os.environ.get(name)})
        return _execute(argv)
    if command in NEEDS_UP:
        raise Problem(f"Nothing runs on {data.path}: start `manage.py up` first, or set DATABASE_URL and REDIS_URL.")
    return _execute_with_servers(argv, data)


def _needs_nothing(command: str, argv: list[str]) -> bool:
    return command in NEEDS_NO_SERVER or bool({"-h", "--help"} & set(argv[1:]))


def _running_servers(data: DataDir) -> dict[str, str] | None:
    """Those of ``up``, waited for while it is starting."""
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline:
        if (found := data.announced_servers()) is not None:
            return found
        holder = data.holder() if data.is_held() else None
        if holder is None or holder["command"] != "up":
            return None
        time.sleep(0.1)
    raise Problem(f"`manage.py up` on {data.path} has not started its servers in {STARTING_SECONDS:.0f} seconds.")


def _execute_with_servers(argv: list[str], data: DataDir) -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    # Two such commands at once take turns.
    with data.held(argv[1], patience_seconds=STARTING_SECONDS) as descriptor:
        home, account = data.home()
        reaper = Reaper(keep_open=[descriptor])
        servers = Servers(home=home, account=account, reaper=reaper, secret=data.secret)
        try:
            os.environ.update(servers.start())
            return _execute(argv)
        finally:
            servers.stop()
            reaper.done()


def _execute(argv: list[str]) -> int:
    from django.core.management import execute_from_command_line

    os.environ.update(environment_of(argv[1] if len(argv) > 1 else "help", os.environ))
    execute_from_command_line(argv)
    return 0
