"""What was acknowledged is there, once, whatever is killed and whenever.

A real server with two workers on the tests' database, sixteen callers that send again what was not answered, and
SIGKILL at random. The callers keep a file of the positive answers; at the end the books are held against it.
"""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import Count, Sum

from accounts.ids import uuid7
from billing.models import Authorization, Balance, Charge, LedgerEntry, UsageEvent
from billing.selectors import books
from tests.builders import LLM, Shop

CALLERS, WALLETS = 16, 20
KILLS = ["worker", "server", "worker", "server", "worker"]
BETWEEN = 50
"""At least so many positive answers lie between two kills, and some chance."""
DUPLICATES, BATCHES, AUTHORIZED = 0.05, 0.10, 0.10
EVENT = Decimal("0.001")
"""What one event costs: 400 input tokens."""
START_SECONDS = 30.0


class Server:
    """Granian with two workers. The processes that it is, are killed by their ids."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
        self._log = home / "server.log"
        self._environment = os.environ | {
            "DATABASE_URL": database.geturl(),
            "SECRET_KEY": settings.SECRET_KEY,
            "STATIC_ROOT": str(home / "static"),
            "DATA_DIR": str(home / "data"),
            "DJANGO_SETTINGS_MODULE": "billing.config.settings",
        }
        self.start()

    def start(self) -> None:
        serve = [sys.executable, "-m", "granian", "billing.config.asgi:application", "--interface", "asgi"]
        serve += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "2", "--no-ws"]
        serve += ["--respawn-failed-workers", "--respawn-interval", "0.2", "--log-level", "warning"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(serve, cwd=settings.BASE_DIR, env=self._environment, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"The server does not answer:\n{self._log.read_text()[-4000:]}")

    def workers(self) -> list[int]:
        """The processes that the server started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()] if children.exists() else []

    def kill_worker(self) -> int:
        """One of the workers, while it works."""
        workers = self.workers()
        if workers:
            _kill(random.choice(workers))
        return len(workers[:1])

    def kill(self) -> None:
        """All of it, at once."""
        workers = self.workers()
        self.process.kill()
        for pid in workers:
            _kill(pid)
        self.process.wait()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    server = Server(home)
    try:
        yield server
    finally:
        server.kill()


class Caller(threading.Thread):
    """Sends, and sends again until there is an answer. Notes what was answered well, in the file, before it goes on."""

    def __init__(self, number: int, port: int, key: str, answers: "Answers", stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._random = random.Random(number)
        self._port, self._key, self._answers, self._stop_sign = port, key, answers, stop
        self._connection: http.client.HTTPConnection | None = None
        self._number, self._sent = number, 0
        self.statuses: Counter[int] = Counter()
        self.lost_answers = 0
        self.trouble: Exception | None = None

    def run(self) -> None:
        try:
            while not self._stop_sign.is_set():
                chance = self._random.random()
                if chance < BATCHES:
                    self._batch()
                elif chance < BATCHES + AUTHORIZED:
                    self._authorized()
                else:
                    self._single()
        except Exception as trouble:
            self.trouble = trouble

    def _single(self) -> None:
        event = self._event()
        for _ in range(2 if self._random.random() < DUPLICATES else 1):
            status, body = self._send("/events", event)
            if status in {200, 201}:
                self._answers.note(event["subject"], event["id"], body["status"])

    def _batch(self) -> None:
        events = [self._event() for _ in range(5)]
        events.append(events[0])
        status, body = self._send("/events", events)
        if status == 200:
            for event, result in zip(events, body["results"], strict=True):
                if result["status"] == "charged":
                    self._answers.note(event["subject"], event["id"], result["status"])

    def _authorized(self) -> None:
        event = self._event()
        key = {"Idempotency-Key": event["id"]}
        wanted = {"customer": event["subject"], "asset": "usd", "amount": str(3 * EVENT)}
        status, body = self._send("/authorizations", wanted, key)
        if status != 201:
            return
        status, body = self._send(f"/authorizations/{body['id']}/capture", {"event": event})
        if status == 200:
            self._answers.note(event["subject"], event["id"], body["event"]["status"], body["id"])

    def _event(self) -> dict[str, Any]:
        self._sent += 1
        return {
            "specversion": "1.0",
            "id": f"{self._number}-{self._sent}",
            "source": "caller",
            "type": LLM,
            "subject": f"wallet-{self._random.randrange(WALLETS)}",
            "data": {"input_tokens": 400},
        }

    def _send(self, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """The first answer that is one: a dead connection, a 409 of the copy before, and a 503 are none."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
                self._connection.request(
                    "POST",
                    f"/api/v1{path}",
                    json.dumps(body),
                    {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json", **(headers or {})},
                )
                response = self._connection.getresponse()
                content = json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError):
                self.lost_answers += 1
                self._connection = None
                time.sleep(0.05)
                continue
            self.statuses[response.status] += 1
            if response.status == 503 or (response.status == 409 and content["code"] == "request_in_progress"):
                time.sleep(0.05)
                continue
            assert response.status in {200, 201, 402}, (path, response.status, content)
            return response.status, content
        raise AssertionError(f"No answer from {path} for a minute.")


class Answers:
    """The file of positive answers: outside of the database, so that it cannot forget together with it."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._file = path.open("a")
        self.count = 0

    def note(self, wallet: str, event: str, status: str, authorization: str = "") -> None:
        with self._lock:
            self._file.write(f"{wallet} {event} {status} {authorization}\n")
            self._file.flush()
            self.count += 1

    def read(self) -> set[tuple[str, str, str]]:
        return {tuple(line.split()[:3]) for line in self._path.read_text().splitlines()}  # type: ignore[misc]

    def authorizations(self) -> set[str]:
        return {words[3] for line in self._path.read_text().splitlines() if len(words := line.split()) > 3}


def lost(answers: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """What was answered and is not in the books."""
    return answers - set(UsageEvent.objects.values_list("customer__external_id", "event_id", "status"))


def _wait_for_the_dead() -> None:
    """A killed worker's last statement may still be running in the database."""
    with connection.cursor() as cursor:
        for _ in range(200):
            cursor.execute(
                "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            if cursor.fetchone() == (0,):
                return
            time.sleep(0.05)
    raise AssertionError("Somebody is still connected.")


@pytest.mark.slow
def test_what_was_acknowledged_survives_every_kill(committed_db: None, shop: Shop, tmp_path: Path) -> None:
    funds = {f"wallet-{n}": Decimal("0.005") if n % 4 == 0 else Decimal(50) for n in range(WALLETS)}
    for name, amount in funds.items():
        shop.customer(name, usd=str(amount))
    answers, stop = Answers(tmp_path / "answers"), threading.Event()
    lowest = Decimal(0)
    killed: Counter[str] = Counter()
    with serving(tmp_path) as server:
        key = shop.key()
        callers = [Caller(number, server.port, key, answers, stop) for number in range(CALLERS)]
        for caller in callers:
            caller.start()
        for victim in KILLS:
            answered, end = answers.count + BETWEEN * (1 + random.random()), time.monotonic() + START_SECONDS
            while answers.count < answered and time.monotonic() < end:
                lowest = min(lowest, *Balance.objects.values_list("available", flat=True))
                time.sleep(0.02)
            if victim == "worker":
                killed[victim] += server.kill_worker()
            else:
                server.kill()
                killed[victim] += 1
                server.start()
        stop.set()
        for caller in callers:
            caller.join(timeout=60)
        assert not any(caller.is_alive() for caller in callers), "a caller hangs"
    _wait_for_the_dead()

    assert [caller.trouble for caller in callers if caller.trouble] == []
    assert killed["server"] == 2
    assert killed["worker"] == 3
    assert sum(caller.lost_answers for caller in callers) > 0, "nobody was interrupted, so this proves nothing"
    statuses = sum((caller.statuses for caller in callers), Counter())
    assert {200, 201, 402} <= statuses.keys()

    acknowledged = answers.read()
    assert len(acknowledged) > 200
    assert lost(acknowledged) == set()
    assert lost({*acknowledged, ("wallet-1", str(uuid7()), "charged")}) != set(), "a loss would not be seen"
    doubled = UsageEvent.objects.values("customer", "source", "event_id").annotate(n=Count("id")).filter(n__gt=1)
    assert not doubled.exists()

    assert lowest == 0, "a wallet without overdraft was below zero"
    charged = UsageEvent.objects.filter(status="charged")
    assert Charge.objects.filter(amount=EVENT).count() == Charge.objects.count() == charged.count()
    for balance in Balance.objects.select_related("customer"):
        name = balance.customer.external_id
        spent = EVENT * charged.filter(customer=balance.customer).count()
        assert balance.available + balance.held == funds[name] - spent, name
        seqs = list(LedgerEntry.objects.filter(balance=balance).order_by("seq").values_list("seq", flat=True))
        assert seqs == list(range(1, balance.seq + 1)), name
        assert balance.available >= 0
    captured = Authorization.objects.filter(pk__in=answers.authorizations())
    assert set(captured.values_list("status", flat=True)) == {"captured"}
    assert captured.aggregate(total=Sum("captured"))["total"] == EVENT * captured.count()
    assert list(books.differences()) == []
