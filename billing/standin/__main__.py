"""``python -m billing.standin --port 8001 --data-dir var --webhook http://127.0.0.1:8000/api/v1/webhooks/stripe``."""

import argparse
import os
import signal
import threading
from pathlib import Path

from billing.standin.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="billing.standin", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--webhook", required=True, help="where events are sent")
    options = parser.parse_args()
    running = serve(
        options.data_dir / "payments.sqlite3",
        host=options.host,
        port=options.port,
        webhook=options.webhook,
        key=os.environ["STRIPE_SECRET_KEY"],
        secret=os.environ["STRIPE_WEBHOOK_SECRET"].split(",")[0],
    )
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    running.close()


if __name__ == "__main__":
    main()
