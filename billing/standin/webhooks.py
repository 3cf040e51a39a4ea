"""Events on their way to the product: signed as Stripe signs them, repeated until they are taken."""

import hashlib
import hmac
import json
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from billing.standin.rules import public
from billing.standin.store import Store, Thing

API_VERSION = "2026-10-28.endive"
RETRY_SECONDS = (1, 2, 5, 15, 60, 300, 1800)
TIMEOUT_SECONDS = 5.0
PAUSE_SECONDS = 0.2


class Webhooks:
    """Writes events down with the change that they tell of, and delivers them from a thread of its own.

    Tests play with it: each goes out in so many ``copies``, what waits goes the wrong way round with ``reverse``, and
    nothing while it is ``paused``.
    """

    def __init__(self, store: Store, *, url: str, secret: str) -> None:
        self.store = store
        self.url = url
        self.secret = secret
        self.copies = 1
        self.reverse = False
        self.paused = False
        self._stopped = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._woken.set()
        self._thread.join(TIMEOUT_SECONDS + 1)

    def tell(self, kind: str, thing: Thing) -> None:
        """An event: what happened, with the object as it was then."""
        event = self.store.add(
            "evt",
            "event",
            type=kind,
            api_version=API_VERSION,
            pending_webhooks=1,
            data={"object": json.loads(json.dumps(public(thing)))},
        )
        for _ in range(self.copies):
            self.store.deliver(event["id"], due=time.time())
        self._woken.set()

    def resend(self, event_id: str) -> None:
        self.store.deliver(event_id, due=time.time())
        self._woken.set()

    def sign(self, body: bytes, *, at: int | None = None) -> str:
        moment = int(time.time()) if at is None else at
        mac = hmac.new(self.secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
        return f"t={moment},v1={mac}"

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._woken.wait(PAUSE_SECONDS)
            self._woken.clear()
            if self.paused:
                continue
            due = self.store.due_deliveries()
            for seq, event_id, attempts in reversed(due) if self.reverse else due:
                if self._stopped.is_set():
                    return
                self._deliver(seq, event_id, attempts)

    def _deliver(self, seq: int, event_id: str, attempts: int) -> None:
        event: Any = self.store.get(event_id)
        body = json.dumps(public(event)).encode()
        headers = {"Content-Type": "application/json", "Stripe-Signature": self.sign(body)}
        request = urllib.request.Request(self.url, body, headers)  # noqa: S310 - http, to our own
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310
                self.store.delivered(seq)
        except (urllib.error.URLError, OSError):
            self.store.try_later(seq, due=time.time() + RETRY_SECONDS[min(attempts, len(RETRY_SECONDS) - 1)])
