"""``manage.py gateway``: the metering gateway of ``clients/python``, for the installation that runs here.

It is a program of its own that knows nothing but the REST API. This command gives it an address, a key and a spool, and
becomes it.
"""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from billing.management import keyfiles

KEY_FILE = "gateway-api-key"
SCOPES = ("authorizations:write", "events:write")
SPOOL = "gateway-spool"
SOURCES = settings.BASE_DIR / "clients" / "python" / "src"
_OURS = ("DATABASE_", "REDIS_", "SECRET_KEY", "STRIPE_", "DJANGO_")


class Command(BaseCommand):
    help = "Run the metering gateway: customers' API keys in, your providers' keys out, each call paid by its wallet."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8100, help="default: %(default)s")
        parser.add_argument("--url", default=settings.BASE_URL, help="where Ante runs (default: BASE_URL)")
        parser.add_argument("--stand-in", action="store_true", help="answer with a stand-in instead of real models")

    def handle(self, *args: Any, **options: Any) -> None:
        key = keyfiles.keep(settings.DATA_DIR / KEY_FILE, name="Gateway", scopes=SCOPES)
        # What the gateway has no use for, it does not know.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        environment |= {"ANTE_URL": options["url"], "ANTE_API_KEY": key, "PYTHONPATH": _path()}
        environment.setdefault("ANTE_GATEWAY_SPOOL", str(settings.DATA_DIR / SPOOL))
        argv = [sys.executable, "-m", "ante_client.gateway"]
        argv += ["--host", options["host"], "--port", str(options["port"])]
        if options["stand_in"]:
            argv.append("--stand-in")
        connections.close_all()
        sys.stdout.flush()
        os.execve(sys.executable, argv, environment)  # noqa: S606 - no shell, and no words of anybody else's.


def _path() -> str:
    """The package as it is in this repository comes first, wherever else it may be installed."""
    return os.pathsep.join([str(SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])])
