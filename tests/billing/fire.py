"""The whole product under fire: ``manage.py up`` with data of its own, callers that send again what was not answered,
and whatever can be killed in it."""

import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import redis

from tests.builders import LLM
from tests.config import processes

DUPLICATES, BATCHES, AUTHORIZED, ABANDONED = 0.05, 0.10, 0.10, 0.02
EVENT = Decimal("0.001")
"""What one event costs: 400 input tokens."""
START_SECONDS = PATIENCE_SECONDS = 600.0


class Product:
    """``manage.py up``. Its processes are known by their command lines and killed by ids; it starts them again."""

    def __init__(self, home: Path) -> None:
        self.port, self.data = processes.free_port(), home / "data"
        self.log = home / "up.log"
        self.process = processes.start(
            *("up", "--port", str(self.port), "--workers", "2", "--data-dir", str(self.data)), output=self.log
        )
        ready = processes.eventually(lambda: self.process.poll() is not None or self.answers(), seconds=START_SECONDS)
        if not ready or self.process.poll() is not None:
            self.stop()
            raise AssertionError(f"It does not start:\n{self.log.read_text()[-4000:]}")
        self._environment: dict[str, str] = json.loads((self.data / "servers.json").read_text())["environment"]
        made = processes.run("create_api_key", "--scopes", "*", DATA_DIR=str(self.data))
        assert made.returncode == 0, made.stderr
        self.key = made.stdout.strip()

    def answers(self) -> bool:
        return processes.answers(f"http://127.0.0.1:{self.port}/healthz")

    def is_ready(self) -> bool:
        """Whether all of it works, the workers as well."""
        return processes.answers(f"http://127.0.0.1:{self.port}/readyz")

    def stop(self) -> None:
        self.process.terminate()
        with suppress(Exception):
            self.process.wait(timeout=60)
        for pid, _ in processes.family(self.process.pid):
            _signal(pid, signal.SIGKILL)
        self.process.wait()

    def database(self) -> psycopg.Connection[Any]:
        """As the application's role: it reads what it is asked."""
        return psycopg.connect(self._environment["DATABASE_URL"], autocommit=True, connect_timeout=5)

    def redis(self) -> "redis.Redis[Any]":
        return redis.Redis.from_url(self._environment["REDIS_URL"], socket_timeout=5)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.database() as connection:
            return connection.execute(statement, parameters).fetchall()

    # --- What can happen to it ---

    def suffer(self, what: str) -> int:
        """One of the things that can go wrong. Returns the number of processes that were hit."""
        end = time.monotonic() + START_SECONDS
        if what in {"flush", "confuse"}:
            return self._upset_redis(what)
        if what == "freeze valkey":
            pids = self.pids("valkey")
            for pid in pids:
                _signal(pid, signal.SIGSTOP)
            time.sleep(2)
            for pid in pids:
                _signal(pid, signal.SIGCONT)
            return len(pids)
        pids: list[int] = []
        while not pids and time.monotonic() < end:
            # It may be just about to start again.
            pids = self.pids(what)
            time.sleep(0.05)
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        return len(pids)

    def _upset_redis(self, what: str) -> int:
        """Everything forgotten; or every key of another type than whoever uses it expects."""
        with suppress(redis.RedisError), self.redis() as client:
            names = [*client.scan_iter(), b"celery", b"ante:events"]
            client.flushall()
            if what == "confuse":
                for name in names:
                    client.hset(name, "what", "is this?")
        return 1

    def pids(self, what: str) -> list[int]:
        """The processes of that name; of the several children of one, any single one."""
        parents = self._parents()
        mains = {
            name: [pid for pid, (_, command) in parents.items() if words <= set(command)]
            for name, words in {
                "web": {"granian"},
                "celery": {"celery", "worker"},
                "beat": {"celery", "beat"},
            }.items()
        }
        for name in ("postgres", "valkey"):
            mains[name] = [pid for pid, (_, command) in parents.items() if command and name in Path(command[0]).name]
        if what in {"web worker", "celery child"}:
            main = set(mains["web" if what == "web worker" else "celery"])
            children = [pid for pid, (parent, _) in parents.items() if parent in main]
            return [random.choice(children)] if children else []
        found = mains[what]
        # Whose parent is one of them is a child: it follows by itself, or is adopted and ends.
        return [pid for pid in found if parents[pid][0] not in found]

    def _parents(self) -> dict[int, tuple[int, list[str]]]:
        """Each process of ours with its parent and its command line."""
        found: dict[int, tuple[int, list[str]]] = {}
        for pid, _ in processes.family(self.process.pid):
            try:
                stat = Path(f"/proc/{pid}/stat").read_text()
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            found[pid] = (int(stat.rpartition(")")[2].split()[1]), command)
        return found


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@contextmanager
def running(home: Path) -> Iterator[Product]:
    """The product, started and answering; afterwards ended with all of its processes."""
    product = Product(home)
    try:
        yield product
    finally:
        product.stop()


class Sampler(threading.Thread):
    """Looks every 20 ms whether a balance is below its limit, as long as the database answers."""

    def __init__(self, product: Product, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._product, self._stop_sign = product, stop
        self.samples, self.below = 0, 0

    def run(self) -> None:
        while not self._stop_sign.is_set():
            with suppress(psycopg.Error), self._product.database() as connection:
                while not self._stop_sign.is_set():
                    found = connection.execute(
                        "SELECT COUNT(*) FROM billing_balance WHERE available < -overdraft_limit OR held < 0"
                    ).fetchone()
                    assert found is not None
                    self.below += found[0]
                    self.samples += 1
                    time.sleep(0.02)
            time.sleep(0.1)


class Caller(threading.Thread):
    """Sends, and sends again until there is an answer. Notes what was answered well, in the file, before it goes on."""

    def __init__(
        self, number: int, *, port: int, key: str, wallets: int, answers: "Answers", stop: threading.Event
    ) -> None:
        super().__init__(daemon=True)
        self._wallets = wallets
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
                elif chance < BATCHES + AUTHORIZED + ABANDONED:
                    self._abandoned()
                else:
                    self._single()
        except Exception as trouble:
            self.trouble = trouble

    def _single(self) -> None:
        event = self._event()
        for _ in range(2 if self._random.random() < DUPLICATES else 1):
            status, body = self.send("/events", event)
            if status in {200, 201}:
                self._answers.note(event["subject"], event["id"], body["status"])

    def _batch(self) -> None:
        events = [self._event() for _ in range(5)]
        events.append(events[0])
        status, body = self.send("/events", events)
        if status == 200:
            for event, result in zip(events, body["results"], strict=True):
                if result["status"] == "charged":
                    self._answers.note(event["subject"], event["id"], result["status"])

    def _authorized(self) -> None:
        event = self._event()
        key = {"Idempotency-Key": event["id"]}
        wanted = {"customer": event["subject"], "asset": "usd", "amount": str(3 * EVENT)}
        status, body = self.send("/authorizations", wanted, key)
        if status != 201:
            return
        status, body = self.send(f"/authorizations/{body['id']}/capture", {"event": event})
        if status == 200:
            self._answers.note(event["subject"], event["id"], body["event"]["status"], body["id"])

    def _abandoned(self) -> None:
        """Set aside for a run of which nobody ever hears again."""
        wanted = {"customer": self._event()["subject"], "asset": "usd", "amount": str(EVENT), "expires_in": 1}
        self.send("/authorizations", wanted)

    def _event(self) -> dict[str, Any]:
        self._sent += 1
        return {
            "specversion": "1.0",
            "id": f"{self._number}-{self._sent}",
            "source": "caller",
            "type": LLM,
            "subject": f"wallet-{self._random.randrange(self._wallets)}",
            "data": {"input_tokens": 400},
        }

    def send(self, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """The first answer that is one: a dead connection, a 409 of the copy before, and a 503 are none."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
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
        raise AssertionError(f"No answer from {path} in {PATIENCE_SECONDS:.0f} seconds.")


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
        """Wallet, event and status of each."""
        return {tuple(line.split()[:3]) for line in self._path.read_text().splitlines()}  # type: ignore[misc]

    def authorizations(self) -> set[str]:
        """Those whose capture was answered."""
        return {words[3] for line in self._path.read_text().splitlines() if len(words := line.split()) > 3}
