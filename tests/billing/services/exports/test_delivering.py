"""Files reach their place whole, once planned and until delivered; what was written late is in a later one."""

import gzip
import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from accounts.services.audit import SYSTEM
from billing import checks
from billing.errors import InvalidState, InvariantViolation
from billing.gateways import stores
from billing.models import ExportFile, LedgerEntry, OutboxEvent, RevenueDay
from billing.services import exports, revenue
from billing.services.exports import delivering
from tests.billing.services.conftest import Clock
from tests.builders import Shop

MORNING = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.fixture
def place(committed_db: None, settings: Any, tmp_path: Path) -> Path:
    settings.EXPORT_TO = f"file://{tmp_path}/there"
    settings.EXPORT_WAREHOUSE = "jsonl"
    return tmp_path / "there"


@pytest.fixture
def closed(place: Path, clock: Clock, shop: Shop) -> RevenueDay:
    clock.stop(MORNING)
    shop.record(shop.customer(usd="10"), input_tokens=1_000_000)
    clock.forward(days=1)
    (day,) = revenue.close_due()
    return day


def told(type_: str) -> list[dict[str, Any]]:
    return list(OutboxEvent.objects.filter(type=type_).order_by("id").values_list("payload", flat=True))


def rows_of(place: Path, kind: str) -> list[dict[str, Any]]:
    """Every row of every file of that kind, in the order of the files."""
    paths = sorted((place / "warehouse" / kind).rglob("*.jsonl.gz"))
    return [json.loads(line) for path in paths for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_a_closed_day_is_delivered_in_each_form_once(closed: RevenueDay, place: Path, settings: Any) -> None:
    settings.EXPORT_JOURNALS = ["csv", "netsuite"]

    assert (exports.plan_journals(), exports.plan_journals()) == (2, 0)
    assert (exports.deliver_due(), exports.deliver_due()) == (2, 0)

    path = place / "journal/2026/11/revenue-2026-11-02-v1.csv"
    with transaction.atomic():
        assert path.read_bytes() == exports.journal(closed, "csv").body.read()
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "revenue-2026-11-02-v1.csv",
        "revenue-2026-11-02-v1.netsuite.csv",
    ]
    file = ExportFile.objects.get(format="csv")
    assert (file.sha256, file.bytes, file.attempts) == (closed.files["csv"]["sha256"], path.stat().st_size, 1)
    assert (file.name, file.sha256) in [(each["name"], each["sha256"]) for each in told("export.delivered")]


def test_what_cannot_be_delivered_says_why_and_is_tried_again(
    closed: RevenueDay, place: Path, clock: Clock, settings: Any
) -> None:
    place.write_text("no directory")
    exports.plan_journals()

    assert exports.deliver_due() == 0
    file = ExportFile.objects.get()
    assert (file.state, file.attempts) == ("waiting", 1)
    assert "Not a directory" in file.last_error
    assert exports.deliver_due() == 0, "not before it is due"
    clock.forward(minutes=2)
    assert exports.deliver_due() == 0
    place.unlink()
    assert exports.deliver_due() == 0
    exports.retry(actor=SYSTEM, file=file, reason="The directory is there")
    assert exports.deliver_due() == 1
    with pytest.raises(InvalidState):
        exports.retry(actor=SYSTEM, file=file, reason="Once more")

    file.refresh_from_db()
    assert (file.state, file.attempts, file.last_error) == ("delivered", 3, "")
    assert len(told("export.failed")) == 1


def test_a_file_that_cannot_be_made_keeps_none_of_the_others(
    closed: RevenueDay, place: Path, settings: Any, monkeypatch: Any
) -> None:
    settings.EXPORT_JOURNALS = ["csv", "netsuite"]
    exports.plan_journals()
    make = delivering.make

    def broken(file: ExportFile) -> Any:
        if file.format == "csv":
            raise InvariantViolation("The lines are not what they were.")
        return make(file)

    monkeypatch.setattr(delivering, "make", broken)

    assert exports.deliver_due() == 1
    assert "not what they were" in ExportFile.objects.get(format="csv").last_error


def test_a_worker_that_died_leaves_its_file_to_another(
    closed: RevenueDay, place: Path, clock: Clock, monkeypatch: Any
) -> None:
    exports.plan_journals()

    def die(self: stores.Directory, name: str, body: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stores.Directory, "put", die)
        with pytest.raises(KeyboardInterrupt):
            exports.deliver_due()
    assert exports.deliver_due() == 0
    clock.forward(minutes=31)

    assert exports.deliver_due() == 1


def test_the_warehouse_has_every_row_once_also_what_commits_late(place: Path, shop: Shop) -> None:
    acme, slow_one = shop.customer(usd="10"), shop.customer("slow", usd="10")
    started, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                shop.record(slow_one, id="slow", input_tokens=1_000_000)
                started.set()
                assert go_on.wait(60)
        finally:
            connection.close()

    writer = threading.Thread(target=slow)
    writer.start()
    try:
        assert started.wait(60)
        shop.record(acme, id="quick", input_tokens=1_000_000)
        call_command("export_warehouse")
        before = [row["event_id"] for row in rows_of(place, "events")]
    finally:
        go_on.set()
        writer.join()
    call_command("export_warehouse")
    call_command("export_warehouse")

    # The quick one began after the slow one, which had not ended: both wait for the range in which both have.
    assert before == []
    assert sorted(row["event_id"] for row in rows_of(place, "events")) == ["quick", "slow"]
    entries = rows_of(place, "entries")
    assert sorted(UUID(row["id"]) for row in entries) == sorted(LedgerEntry.objects.values_list("id", flat=True))
    assert sum(Decimal(row["amount"]) for row in rows_of(place, "charges")) == 5
    assert {row["customer"] for row in entries} == {"acme", "slow"}
    assert ExportFile.objects.filter(kind="events").count() == 1


def test_a_cursor_by_time_would_have_missed_it(place: Path, shop: Shop) -> None:
    """The control: the slow row's time is before that of a row which could be seen already."""
    acme, other = shop.customer(usd="10"), connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT pg_current_xact_id(), clock_timestamp()")
            began = cursor.fetchone()
            shop.record(acme, id="quick", input_tokens=1_000_000)
            quick = LedgerEntry.objects.latest("posted_at")
            call_command("export_warehouse")
            assert began[1] < quick.posted_at
            assert not ExportFile.objects.filter(kind="entries", until__gt=int(began[0])).exists()
    finally:
        other.close()


def test_after_a_restore_everything_comes_once_more(place: Path, shop: Shop) -> None:
    shop.record(shop.customer(usd="10"), id="before", input_tokens=1_000_000)
    call_command("export_warehouse")
    ExportFile.objects.update(cluster="another")

    call_command("export_warehouse")

    (first, second) = ExportFile.objects.filter(kind="events").order_by("id")
    assert (first.since, second.since) == (0, None)
    assert "/all-" in second.name
    assert [row["event_id"] for row in rows_of(place, "events")] == ["before", "before"]


def test_parquet_has_the_same_exact_figures(closed: RevenueDay, place: Path, settings: Any) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    settings.EXPORT_WAREHOUSE = "parquet"
    settings.EXPORT_JOURNALS = ["parquet"]
    call_command("export_warehouse")

    (path,) = (place / "warehouse/charges").rglob("*.parquet")
    (charge,) = pq.read_table(path).to_pylist()
    assert (charge["amount"], charge["quantity"], charge["customer"]) == (Decimal("2.5"), 1_000_000, "acme")
    assert charge["occurred_at"] == MORNING
    journal = pq.read_table(place / "journal/2026/11/revenue-2026-11-02-v1.parquet").to_pylist()
    assert [(row["movement"], row["amount"]) for row in journal] == [
        ("billed", Decimal(10)),
        ("recognised", Decimal("2.5")),
    ]


def test_without_the_package_parquet_is_refused_in_words(closed: RevenueDay, settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("billing.gateways.parquet.installed", lambda: False)
    settings.EXPORT_JOURNALS = ["parquet"]
    exports.plan_journals()

    assert exports.deliver_due() == 0
    assert "pip install 'pyarrow" in ExportFile.objects.get().last_error
    assert [error.id for error in checks.exports(None)] == ["billing.E007"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ftp://host/path", "begins with"),
        ("file://srv/exports", "file:///srv"),
        ("s3://", "no bucket"),
        ("sftp://user@host/path", "KNOWN_HOSTS"),
    ],
)
def test_an_address_that_cannot_be_is_told_at_the_start(settings: Any, address: str, words: str) -> None:
    pytest.importorskip("paramiko")
    settings.EXPORT_TO = address

    (error,) = checks.exports(None)
    assert words in str(error.hint)
    with pytest.raises(stores.Undelivered, match="EXPORT_TO"):
        stores.open_store(address)


def test_without_an_address_nothing_is_planned_and_the_command_says_so(closed: RevenueDay, settings: Any) -> None:
    settings.EXPORT_TO = ""

    assert (exports.plan_journals(), exports.plan_warehouse(), exports.deliver_due()) == (0, 0, 0)
    with pytest.raises(CommandError, match="EXPORT_TO is not set"):
        call_command("export_warehouse")


# --- S3 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """S3-compatible storage with one bucket, ``books``: path to bytes."""
    pytest.importorskip("boto3")
    kept: dict[str, bytes] = {}

    class Answer(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            signed = self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential=key/")
            there = signed and self.path.startswith("/books/")
            if there:
                kept[self.path.split("?")[0]] = body
            self.send_response(200 if there else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    yield kept
    server.shutdown()
    server.server_close()


def test_a_bucket(bucket: dict[str, bytes]) -> None:
    stores.open_store("s3://books/ante/prod").put("journal/day.csv", io.BytesIO(b"one"))
    stores.open_store("s3://books/ante/prod").put("journal/day.csv", io.BytesIO(b"another"))

    assert bucket == {"/books/ante/prod/journal/day.csv": b"another"}
    with pytest.raises(stores.Undelivered):
        stores.open_store("s3://elsewhere").put("journal/day.csv", io.BytesIO(b"one"))


# --- SFTP -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def host(tmp_path: Path, settings: Any) -> Iterator[tuple[int, Path]]:
    """An SSH server with files below a directory; ``ante`` signs in with ``secret``. Its port and the directory."""
    pytest.importorskip("paramiko")
    from tests.billing.services.exports.sftp import serving

    with serving(tmp_path / "files") as (port, key):
        known = tmp_path / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
        settings.EXPORT_SFTP_KNOWN_HOSTS = str(known)
        settings.EXPORT_SFTP_PASSWORD = "secret"
        yield port, tmp_path / "files"


def test_a_host(host: tuple[int, Path], settings: Any) -> None:
    port, root = host
    store = stores.open_store(f"sftp://ante@127.0.0.1:{port}/in")
    store.put("journal/2026/day.csv", io.BytesIO(b"one"))
    store.put("journal/2026/day.csv", io.BytesIO(b"another"))

    assert [path.name for path in (root / "in/journal/2026").iterdir()] == ["day.csv"]
    assert (root / "in/journal/2026/day.csv").read_bytes() == b"another"
    settings.EXPORT_SFTP_PASSWORD = "wrong"
    with pytest.raises(stores.Undelivered, match="Authentication failed"):
        store.put("journal/2026/day.csv", io.BytesIO(b"one"))


def test_a_host_that_nobody_knows_is_refused(host: tuple[int, Path], settings: Any, tmp_path: Path) -> None:
    port, root = host
    (tmp_path / "nobody").write_text("")
    settings.EXPORT_SFTP_KNOWN_HOSTS = str(tmp_path / "nobody")

    with pytest.raises(stores.Undelivered, match="not found in known_hosts"):
        stores.open_store(f"sftp://ante@127.0.0.1:{port}/in").put("day.csv", io.BytesIO(b"one"))
    assert list(root.iterdir()) == []
