"""What the stand-in remembers, in one SQLite file: objects, answered requests, and events still to be delivered."""

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS object (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, kind TEXT, body TEXT);
CREATE TABLE IF NOT EXISTS request (key TEXT PRIMARY KEY, asked TEXT, status INTEGER, body TEXT);
CREATE TABLE IF NOT EXISTS delivery (seq INTEGER PRIMARY KEY, event TEXT, due REAL, attempts INTEGER, done INTEGER);
"""

Thing = dict[str, Any]


class Store:
    """One file, one lock: whoever holds ``changing`` sees and writes a consistent whole."""

    def __init__(self, file: Path | str) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._connection.executescript(_TABLES)
        self._connection.execute("PRAGMA journal_mode=WAL")

    @contextmanager
    def changing(self) -> Iterator[None]:
        """All of it or nothing. May be nested."""
        with self._lock:
            if self._depth == 0:
                self._connection.execute("BEGIN")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._connection.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # --- Objects -------------------------------------------------------------------------------------------------

    def add(self, prefix: str, kind: str, **fields: Any) -> Thing:
        """A new object with an id of its own, and what every object has."""
        thing = {
            "id": f"{prefix}_{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "livemode": False,
            "metadata": {},
            **fields,
        }
        self._run("INSERT INTO object (id, kind, body) VALUES (?, ?, ?)", thing["id"], kind, json.dumps(thing))
        return thing

    def save(self, thing: Thing) -> None:
        self._run("UPDATE object SET body = ? WHERE id = ?", json.dumps(thing), thing["id"])

    def get(self, id: str) -> Thing | None:
        rows = self._run("SELECT body FROM object WHERE id = ?", id)
        return json.loads(rows[0][0]) if rows else None

    def all(self, kind: str) -> list[Thing]:
        """Newest first."""
        return [
            json.loads(row[0]) for row in self._run("SELECT body FROM object WHERE kind = ? ORDER BY seq DESC", kind)
        ]

    # --- Requests ------------------------------------------------------------------------------------------------

    def answered(self, key: str) -> tuple[str, int, Thing] | None:
        rows = self._run("SELECT asked, status, body FROM request WHERE key = ?", key)
        return (rows[0][0], rows[0][1], json.loads(rows[0][2])) if rows else None

    def keep_answer(self, key: str, asked: str, status: int, body: Thing) -> None:
        self._run("INSERT INTO request VALUES (?, ?, ?, ?)", key, asked, status, json.dumps(body))

    # --- Deliveries ----------------------------------------------------------------------------------------------

    def deliver(self, event_id: str, *, due: float) -> None:
        self._run("INSERT INTO delivery (event, due, attempts, done) VALUES (?, ?, 0, 0)", event_id, due)

    def due_deliveries(self) -> list[tuple[int, str, int]]:
        """(number, event, attempts so far) of what is due now, in the order in which it is."""
        return self._run(
            "SELECT seq, event, attempts FROM delivery WHERE NOT done AND due <= ? ORDER BY due, seq", time.time()
        )

    def delivered(self, seq: int) -> None:
        self._run("UPDATE delivery SET done = 1, attempts = attempts + 1 WHERE seq = ?", seq)

    def try_later(self, seq: int, *, due: float) -> None:
        self._run("UPDATE delivery SET due = ?, attempts = attempts + 1 WHERE seq = ?", due, seq)

    def _run(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()
