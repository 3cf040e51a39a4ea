"""Loaded before the settings: each process of ``-n`` uses the servers that were started for it."""

import gc
import json
import os

_worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if _worker.startswith("gw") and "ANTE_TEST_SERVERS" in os.environ:
    os.environ |= json.loads(os.environ["ANTE_TEST_SERVERS"])[int(_worker.removeprefix("gw"))]


def pytest_collection_finish() -> None:
    """What is loaded by now stays to the end: nobody need look through it for rubbish again and again."""
    gc.collect()
    gc.freeze()
