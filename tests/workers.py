"""Loaded before the settings: each process of ``-n`` has a Valkey database to itself, as it has one of PostgreSQL."""

import os

_worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if _worker.startswith("gw") and "REDIS_URL" in os.environ:
    _server = os.environ["REDIS_URL"].rpartition("/")[0]
    os.environ["REDIS_URL"] = f"{_server}/{int(_worker.removeprefix('gw')) + 1}"
