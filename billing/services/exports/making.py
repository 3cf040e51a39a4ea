"""Making files: from the rows of the books into a temporary file. Memory stays flat."""

import gzip
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

from django.db import connection, transaction

from billing.engine import journals
from billing.engine.journals import PARQUET
from billing.engine.money import amount_string
from billing.engine.recognition import MEMO
from billing.errors import InvalidState, InvariantViolation
from billing.gateways import parquet
from billing.models import ExportFile, RevenueDay
from billing.selectors.reports import warehouse
from billing.selectors.revenue import revenue_files
from billing.selectors.revenue.revenue_files import Download

JOURNAL_FORMATS = (*journals.FORMATS, PARQUET)
"""What a day's journal can be had as."""
IN_MEMORY = 8 * 1024 * 1024
PIECE = 1024 * 1024
_JOURNAL_TYPES = {
    **dict.fromkeys((field.name for field in fields(journals.Row)), "text"),
    **{"number": "number", "entries": "number", "amount": "amount", "units": "amount", "occurred_on": "date"},
}
JOURNAL_COLUMNS = {"date": "date", "version": "number", **_JOURNAL_TYPES, "memo": "flag"}


@dataclass(frozen=True, slots=True)
class Made:
    """A file at its beginning, to be closed by whoever uses it."""

    body: IO[bytes]
    rows: int
    bytes: int
    sha256: str


def make(file: ExportFile) -> Made:
    """The file's bytes, in a read-only moment of its own. Raises ``InvalidState`` where a package is not installed."""
    body = cast(IO[bytes], SpooledTemporaryFile(max_size=IN_MEMORY))  # noqa: SIM115  Whoever uses it closes it.
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL cursor_tuple_fraction = 1")
        rows = _write(file, body)
    body.seek(0)
    digest, size = hashlib.sha256(), 0
    while piece := body.read(PIECE):
        digest.update(piece)
        size += len(piece)
    body.seek(0)
    return Made(body, rows, size, digest.hexdigest())


def journal(day: RevenueDay, format: str) -> Download:
    """A closed day's file in any of ``JOURNAL_FORMATS``, to be handed out."""
    if format != PARQUET:
        return revenue_files.download(day, format)
    made = make(ExportFile(kind=ExportFile.Kind.JOURNAL, day=day, format=format))
    return Download(revenue_files.name(day, PARQUET), journals.CONTENT_TYPES[PARQUET], made.sha256, made.body)


def _write(file: ExportFile, body: IO[bytes]) -> int:
    if file.day is not None:
        if file.format == PARQUET:
            return _write_parquet(body, JOURNAL_COLUMNS, _journal_rows(file.day))
        for piece in revenue_files.as_closed(file.day, file.format):
            body.write(piece)
        return int(file.day.files[file.format]["lines"])
    assert file.until is not None
    table = warehouse.TABLES[file.kind]
    rows = warehouse.rows(file.kind, since=file.since, until=file.until)
    if file.format == PARQUET:
        return _write_parquet(body, table.types, rows)
    return _write_lines(body, table.types, rows)


def _write_parquet(body: IO[bytes], columns: dict[str, str], rows: Iterable[Sequence[Any]]) -> int:
    if not parquet.installed():
        raise InvalidState(parquet.MISSING)
    return parquet.write(body, columns, rows)


def _write_lines(body: IO[bytes], columns: dict[str, str], rows: Iterable[Sequence[Any]]) -> int:
    """A JSON object a line, compressed: the same bytes for the same rows."""
    count = 0
    with gzip.GzipFile(filename="", fileobj=body, mode="wb", mtime=0) as packed:
        for row in rows:
            shown = {name: _plain(value, kind) for (name, kind), value in zip(columns.items(), row, strict=True)}
            packed.write(journals.json_line(shown))
            count += 1
    return count


def _plain(value: Any, kind: str) -> Any:
    if value is None or kind in {"text", "number", "flag"}:
        return value
    return amount_string(value) if kind == "amount" else value.isoformat()


def _journal_rows(day: RevenueDay) -> Iterator[Sequence[Any]]:
    """The day's lines. Raises ``InvariantViolation`` at their end where they are not those that were closed."""
    heading, digest = journals.Heading(day.date, day.version, day.chart), hashlib.sha256()
    for row in revenue_files.rows(day):
        for piece in journals.jsonl(heading, [row]):
            digest.update(piece)
        own = [getattr(row, name) for name in _JOURNAL_TYPES]
        yield [day.date, day.version, *own, row.movement in MEMO]
    if digest.hexdigest() != day.sha256:
        raise InvariantViolation(f"The lines of {day} are not what they were when the day was closed.")
