"""``manage.py demo_traffic``: a gentle stream of usage over the HTTP API, so that a visitor sees balances move."""

import http.client
import json
import signal
import threading
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from billing.demo import traffic
from billing.demo.customers import CUSTOMERS, SampleCustomer
from billing.management import sample_payments
from billing.management.commands.seed_demo import KEY_FILE

PAUSE_SECONDS = (0.8, 4.0)
"""The shortest and the longest time between two events."""
SIZE = 0.05
"""How much of the work of a call each of these is: so many calls cost about what the seeded month lets one expect."""

PATIENCE_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""How long to wait for a server that does not answer, each time longer and then always the last."""

TIMEOUT_SECONDS = 10
LOW = {"usd": Decimal(5), "image_credits": Decimal(100)}
TOP_UP = {"usd": ("40", "40"), "image_credits": ("500", "25")}
"""What is bought when less than ``LOW`` is left: the amount, and what is paid for it in dollars."""


class Unreachable(Exception):
    """No answer, or one that asks to come again later."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any


class Client:
    """One connection to the API, opened again when it breaks."""

    def __init__(self, url: str, secret: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        assert parts.hostname is not None
        self._connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
        self._base = f"{parts.path.rstrip('/')}/api/v1"
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}

    def post(self, path: str, body: Mapping[str, Any], *, idempotency_key: str = "") -> Answer:
        """Raises ``Unreachable`` where trying the same again later is right."""
        headers = self._headers | ({"Idempotency-Key": idempotency_key} if idempotency_key else {})
        try:
            self._connection.request("POST", self._base + path, json.dumps(body), headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unreachable(str(error) or type(error).__name__) from error
        if response.status >= 500 or response.status == 429:
            raise Unreachable(f"status {response.status}")
        try:
            return Answer(response.status, json.loads(content))
        except ValueError:
            return Answer(response.status, {})


class Command(BaseCommand):
    help = "Make the demonstration's payments once, and send a gentle stream of usage to its API until stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default=settings.BASE_URL, help="where Ante runs (default: BASE_URL)")
        parser.add_argument("--force", action="store_true", help="also where ANTE_DEMO is not set")

    def handle(self, *args: Any, **options: Any) -> None:
        if not (settings.DEMO or options["force"]):
            raise CommandError("This is not a demonstration: set ANTE_DEMO=1, or say --force.")
        secret = read_key(settings.DATA_DIR / KEY_FILE)
        for number in (signal.SIGTERM, signal.SIGINT):
            # An exception ends even a request that is waiting for its answer. Nothing is lost: it is sample data.
            signal.signal(number, _leave)
        if settings.DEMO:
            sample_payments.once(self.stdout.write)
        Stream(Client(options["url"], secret), threading.Event(), say=self.stdout.write).run()


def _leave(number: int, frame: object) -> None:
    raise SystemExit(0)


def read_key(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise CommandError(f"No key in {file}: run seed_demo first.") from error


class Stream:
    """Events of the customers that take part in the live stream, and a top-up where one runs low."""

    def __init__(self, client: Client, stop: threading.Event, *, say: Any) -> None:
        self.client = client
        self.stop = stop
        self.say = say
        self.random = Random()  # noqa: S311 - sample data; nothing secret.
        self.customers = [customer for customer in CUSTOMERS if customer.live]
        self.failures = 0

    def run(self) -> None:
        while not self.stop.is_set():
            customer = self.random.choices(self.customers, [sample.live for sample in self.customers])[0]
            self.send(customer)
            self.stop.wait(self.random.uniform(*PAUSE_SECONDS))

    def send(self, customer: SampleCustomer) -> None:
        """One event, exactly once: sent again with the same id until there is an answer."""
        call = traffic.smaller(traffic.call(customer, self.random), SIZE)
        event = {
            "specversion": "1.0",
            "id": traffic.event_id(self.random),
            "source": traffic.SOURCE,
            "type": call.type,
            "subject": customer.external_id,
            "data": call.data,
        }
        answer = self._patiently("/events", event)
        if answer is None:
            return
        if answer.status == 402:
            self._top_up(customer, str(answer.body.get("asset", "usd")))
        elif answer.status in (401, 403, 404):
            self.say(f"The API answered {answer.status}: {answer.body.get('detail', '')}")
            self.stop.wait(PATIENCE_SECONDS[-1])
        elif answer.status in (200, 201):
            for asset, left in low(answer.body.get("balance", {})):
                self.say(f"{customer.name} has {left} {asset} left")
                self._top_up(customer, asset)

    def _top_up(self, customer: SampleCustomer, asset: str) -> None:
        amount, paid = TOP_UP.get(asset, ("100", "10"))
        grant = {
            "asset": asset,
            "amount": amount,
            "kind": "purchase",
            "paid": {"amount": paid, "currency": "usd"},
            "name": "Automatic top-up",
        }
        key = f"demo-{uuid4()}"
        answer = self._patiently(f"/customers/{customer.external_id}/grants", grant, idempotency_key=key)
        if answer is not None:
            done = "topped up with" if answer.status == 201 else f"not topped up (status {answer.status}) with"
            self.say(f"{customer.name} {done} {amount} {asset}")

    def _patiently(self, path: str, body: Mapping[str, Any], *, idempotency_key: str = "") -> Answer | None:
        """The answer, however long the server takes to come up. None where we are asked to stop."""
        while not self.stop.is_set():
            try:
                answer = self.client.post(path, body, idempotency_key=idempotency_key)
            except Unreachable as reason:
                if self.failures == 2:
                    self.say(f"The API does not answer ({reason}); trying on.")
                self.stop.wait(PATIENCE_SECONDS[min(self.failures, len(PATIENCE_SECONDS) - 1)])
                self.failures += 1
            else:
                self.failures = 0
                return answer
        return None


def low(balance: Mapping[str, str]) -> list[tuple[str, str]]:
    """The assets of which less is left than a live demonstration needs."""
    found = []
    for asset, left in balance.items():
        try:
            if Decimal(left) < LOW.get(asset, Decimal(0)):
                found.append((asset, left))
        except InvalidOperation:
            continue
    return found
