"""What ``manage.py up`` is asked for on its command line."""

import argparse
import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The command's arguments. ``workers`` counts the web server's processes."""

    host: str
    port: int
    workers: int
    demo: bool

    @property
    def address(self) -> str:
        """Where a browser on this machine finds it, also when it listens everywhere."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"


def parse(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="manage.py up",
        description="Run Ante in the foreground: PostgreSQL and Valkey (unless DATABASE_URL and REDIS_URL are set), "
        "web server, worker and beat. Ctrl-C stops all of it; the data stays.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=os.environ.get("PORT", "8000"), help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=_sensible_workers(), help="web processes (default: %(default)s)")
    parser.add_argument("--demo", action="store_true", help="demonstration data, and a gentle stream of usage")
    parser.add_argument("--data-dir", metavar="DIR", help="where everything is kept (default: DATA_DIR, or ./var)")
    found = parser.parse_args(arguments)
    if not 0 < found.port < 65536:
        parser.error("--port is a number from 1 to 65535")
    if found.workers < 1:
        parser.error("--workers is at least 1")
    return Options(host=found.host, port=found.port, workers=found.workers, demo=found.demo)


def _sensible_workers() -> int:
    """One web process for each core, so that batches need not take turns at one interpreter. Never more than four
    unasked."""
    return min(4, os.cpu_count() or 1)
